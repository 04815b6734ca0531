#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=dash disable=SC2154 # variables of dracut and of the library
# Hook cmdline 12, sourced: reads the parameters (osr.dracut(7)), decides who mounts the root, and tells dracut's own
# scripts, which come later (nfs 90, network 91 to 99), by the variables root, netroot, rootok and by
# /etc/cmdline.d/20-osr.conf, which the kernel command line overrides.

# shellcheck source=data/dracut/osr/osr-lib.sh
. /lib/osr/osr-lib.sh

# osr_tell WORD...: one more parameter for dracut's scripts.
osr_tell() {
    mkdir -p /etc/cmdline.d
    printf '%s\n' "$@" >> /etc/cmdline.d/20-osr.conf
}

osr_read_cdsl() {
    local key value default
    for key in cdsltree cdsllink cdslsharedtree; do
        case $key in
            cdsltree) default=$(osr_setting OSR_CDSLTREE || echo /cluster/cdsl) ;;
            cdsllink) default=$(osr_setting OSR_CDSLLINK || echo /cdsl.local) ;;
            *) default=$(osr_setting OSR_CDSLSHARED || echo /cluster/shared) ;;
        esac
        value=$(osr_word "$key" "osr.$key" || echo "$default")
        if [ "$value" = nocdsl ]; then
            [ "$key" = cdslsharedtree ] || : > "$osr_work/nocdsl"
            continue
        fi
        value=$(osr_path "$value") ||
            osr_fatal "$key=$(osr_word "$key" "osr.$key" || echo "$default") is no path below /" "give an absolute path without '..'"
        osr_set "$key" "$value"
    done
    getargbool 1 osr.cdsl || : > "$osr_work/nocdsl"
    value=$(osr_word osr.cdslbind || osr_setting OSR_CDSLBIND || echo bind)
    case $value in
        bind | rbind) ;;
        *) osr_warn "osr.cdslbind=$value is neither bind nor rbind: bind" && value=bind ;;
    esac
    osr_set initrd.cdslbind "$value"
}

# Parameters of the initrds before dracut: what still means something is translated, the rest is told once.
osr_read_old() {
    local word value
    # One walk: asking for each of them takes a second of a slow machine's boot.
    for word in $(getcmdline); do
        value=${word#*=}
        case ${word%%=*} in
            com-debug) osr_tell rd.debug ;;
            com-step | com-stepmode) osr_tell rd.break=initqueue rd.break=pre-mount rd.break=pre-pivot ;;
            com-expert) emergency_shell -n osr "osr: com-expert" ;;
            chrootneeded | chrootenv_mountpoint | chrootenv_fstype | chrootenv_device | chrootenv_chrootdir | \
                chrootenv_options | quorumack | votes | tmpfix | scsi_failover | scsi_driver | scsidriver | \
                nousb | lockmethod)
                osr_warn "${word%%=*} is of an older initrd and has no effect"
                ;;
            rootsource)
                osr_warn "rootsource is of an older initrd and has no effect"
                case $value in
                    iscsi*) osr_warn "for iSCSI give netroot=iscsi:... (dracut.cmdline(7))" ;;
                esac
                ;;
        esac
    done
    if value=$(osr_node OSR_ISCSI_INITIATOR); then osr_tell "rd.iscsi.initiator=$value"; fi
    # dracut's syslog module reads these files. Its own words win: it writes the files again, at 90.
    value=$(osr_word syslogserver syslog || osr_node OSR_SYSLOG_SERVER) && printf '%s\n' "$value" > /tmp/syslog.server
    value=$(osr_word syslogfilter || osr_node OSR_SYSLOG_FILTER) && printf '%s\n' "$value" > /tmp/syslog.filters
    value=$(osr_word syslogtype || osr_node OSR_SYSLOG_TYPE) && printf '%s\n' "$value" > /tmp/syslog.type
    return 0
}

# osr_old_root: a root string from rootvolume=, rootfs= and mountopts= (also com-...).
osr_old_root() {
    local volume type options
    volume=$(osr_word rootvolume com-rootvolume) || return 1
    type=$(osr_word rootfs com-rootfs || echo "")
    options=$(osr_word mountopts com-mountopts || echo "")
    case $volume in
        nfs:* | nfs4:*) type=${type:-${volume%%:*}} volume=${volume#nfs*:} ;;
        *:/*) type=${type:-nfs} ;;
    esac
    case $type in
        nfs | nfs3) printf 'nfs:%s:%s\n' "$volume" "$options" ;;
        nfs4) printf 'nfs4:%s:%s\n' "$volume" "$options" ;;
        *)
            osr_set initrd.rootfstype "${type:-ext3}"
            osr_set initrd.rootflags "$options"
            printf 'block:%s\n' "$volume"
            ;;
    esac
}

# osr_needs_network: whether the root is reached through a network, or is kept consistent through one: then dracut
# has to bring it up. Of a node that is not known yet every node's root is asked.
osr_needs_network() {
    local file
    if file=$(osr_get initrd.root); then
        osr_is_remote "$file" "$(osr_get initrd.rootfstype)" "$(osr_get initrd.rootflags)"
        return
    fi
    file="$osr_etc/nodes.d/$(osr_get nodeid).conf"
    set -- "$file"
    [ -e "$file" ] || set -- "$osr_etc"/nodes.d/*.conf
    for file in "$@"; do
        osr_is_remote "$(osr_conf "$file" OSR_ROOT)" "$(osr_conf "$file" OSR_ROOTFSTYPE)" \
            "$(osr_conf "$file" OSR_ROOTFLAGS)" && return 0
    done
    return 1
}

osr_read_cmdline() {
    local value
    mkdir -p "$osr_work"
    chmod 0755 "$osr_run"
    rm -f /etc/cmdline.d/20-osr.conf
    osr_set version 2
    if [ -r "$osr_etc/format" ] && read -r value < "$osr_etc/format" && [ "$value" != 2 ]; then
        osr_fatal "the data of this initrd has format $value, and these modules read format 2" "rebuild the initrd"
    fi
    value=static
    [ ! -d "$osr_etc/nodes.d" ] || value=cluster
    osr_set mode "$value"
    if [ "$value" = cluster ] && [ ! -r "$osr_etc/nodeids" ]; then
        osr_fatal "$osr_etc/nodeids is missing in this initrd" "rebuild the initrd"
    fi
    if value=$(osr_setting OSR_CLUSTER); then osr_set cluster "$value"; fi
    if [ -r "$osr_etc/build" ] && read -r value < "$osr_etc/build"; then osr_set build "$value"; fi

    osr_read_cdsl
    osr_identify_early
    osr_identify
    osr_read_old

    osr_set initrd.tries "$(osr_number "$(osr_word mounttimes osr.tries com-mounttimes || osr_node OSR_ROOTTRIES)" 30)"
    osr_set initrd.wait "$(osr_number "$(osr_word mountwait osr.wait com-mountwait || osr_node OSR_ROOTWAIT)" 10)"
    if getarg ro > /dev/null; then
        getarg rw > /dev/null || osr_warn "ro: the shared root and this node's own files will be read-only"
    fi
}

# osr_wants_root: whether the root is ours to find. Every other root= is dracut's business (static boot way).
osr_wants_root() {
    local value
    value=$(getarg root=) || value=""
    case $value in
        "" | osr | osr:* | /dev/root | autodetect) ;;
        *) return 1 ;;
    esac
    if value=$(osr_old_root); then
        osr_set initrd.root "$value"
    elif [ "$(osr_get mode)" = static ]; then
        # No word at all: systemd's generators may know a root (a partition's type); that is theirs.
        getarg root= > /dev/null || [ -z "$DRACUT_SYSTEMD" ] || return 1
        osr_fatal "root= does not say where the root is, and this initrd has no cluster data" \
            "add root= to the kernel command line, or build the initrd with osr-cluster"
    fi
}

if getargbool 1 osr; then
    osr_read_cmdline
    if osr_wants_root; then
        root=osr
        rootok=1
        # shellcheck disable=SC2016 # dracut's shell expands it
        echo '[ -e "$NEWROOT/proc" ] || [ -e "$NEWROOT/usr" ]' > "$hookdir/initqueue/finished/osr-root.sh"
        if osr_needs_network; then
            netroot=osr
            osr_tell rd.neednet=1
        fi
    elif ! osr_read_only; then
        # dracut's NFS helper mounts read-only otherwise, and nothing remounts a shared root. Of a root of ours its own
        # options say it.
        getarg rw > /dev/null || osr_tell rw
        # Without systemd this variable decides about a root on a disk; it was made before this hook.
        case "$DRACUT_SYSTEMD,$rflags," in
            1* | *,rw,* | *,ro,*) ;;
            *) rflags="${rflags:+$rflags,}rw" ;;
        esac
    fi
    : "$root" "$netroot" "$rootok" "$rflags"
    if [ -e /lib/osr/osr-net-lib.sh ]; then
        # shellcheck source=data/dracut/osr-cluster/osr-net-lib.sh
        . /lib/osr/osr-net-lib.sh
        osr_net_cmdline
    fi
fi
