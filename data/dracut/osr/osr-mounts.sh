#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=dash
# Hook pre-pivot 65, sourced: file systems that must be there before the new root's init: OSR_FS_n of this node's data
# (<filesystem> in cluster.conf) and the lines of the root's cdsltab that have the option __initrd.

# shellcheck source=data/dracut/osr/osr-lib.sh
. /lib/osr/osr-lib.sh

# osr_options TEXT: mount options without those that are for us or for fstab; nothing left is "defaults".
osr_options() {
    local rest="$1," option out=""
    while [ -n "$rest" ]; do
        option=${rest%%,*}
        rest=${rest#*,}
        case $option in
            "" | __initrd | nofail | _netdev | noauto | auto | x-*) ;;
            *) out="$out${out:+,}$option" ;;
        esac
    done
    printf '%s\n' "${out:-defaults}"
}

# osr_mount_one DEST SOURCE FSTYPE OPTIONS TRIES WAIT
osr_mount_one() {
    local place source=$2 type=$3 options tries wait attempt=0
    place=$(osr_resolve "$(osr_path "$1")") && [ -d "$NEWROOT$place" ] || {
        osr_blame "the mount point $1 is not there in the root" "make the directory"
        return 1
    }
    case $place in
        / | "$(osr_get cdslmount)") osr_blame "nothing may be mounted over $place" "correct cluster.conf or cdsltab" && return 1 ;;
    esac
    options=$(osr_options "$4")
    tries=$(osr_number "$5" 1)
    wait=$(osr_number "$6" 5)
    case $type,$options in
        bind,* | rbind,* | none,*bind*)
            source=$(osr_resolve "$source") && source=$NEWROOT$source || return 1
            case $type in
                none) type="" ;;
                *) options=$type,$options type="" ;;
            esac
            [ ! "$source" -ef "$NEWROOT$place" ] || return 0
            ;;
        *)
            ! ismounted "$NEWROOT$place" || return 0 # x-initrd.mount in fstab was quicker
            case $source in
                UUID=* | LABEL=* | PARTUUID=* | PARTLABEL=*) source=$(label_uuid_to_dev "$source") ;;
            esac
            modprobe -q "$type" 2> /dev/null
            if command -v "osr-fs-$type" > /dev/null; then "osr-fs-$type" start "$source" "$options"; fi
            ;;
    esac
    while ! mount ${type:+-t "$type"} -o "$options" "$source" "$NEWROOT$place"; do
        attempt=$((attempt + 1))
        if [ "$attempt" -ge "$tries" ]; then
            osr_blame "$2 could not be mounted at $1 in $tries attempts" "look at the message of mount above"
            return 1
        fi
        sleep "$wait"
    done
    osr_in_fstab "$1" || osr_keep_mounted "$place" "$1 of node $(osr_get nodeid)"
    osr_info "$2 is at $1"
}

# osr_list_mounts: one line each, fields separated by |, in the form of OSR_FS_n.
osr_list_mounts() {
    local number=1 line rest file type source dest options tries wait tree
    while line=$(osr_node "OSR_FS_$number"); do
        printf '%s\n' "$line"
        number=$((number + 1))
    done
    file=$(osr_path "$(osr_word cdsltabfile || echo /etc/cdsltab)") && file=$(osr_resolve "$file") || return 0
    [ -f "$NEWROOT$file" ] || return 0
    tree=$(osr_get initrd.nodedir || osr_get nodeid) && tree=${tree##*/} # as it is called in the root
    while read -r type source dest options tries wait rest || [ -n "$type" ]; do
        case $type in
            "" | "#"*) continue ;;
        esac
        if [ -z "$dest" ]; then # a file system with CDSLs of its own
            [ "$source" = __initrd ] || continue
            dest=$type$(osr_get cdsllink) source=$type$(osr_get cdsltree)/$tree type=bind options=__initrd
        fi
        case ",$options," in
            *,__initrd,*) ;;
            *) continue ;;
        esac
        printf '%s|%s|%s|%s|%s|%s\n' "$dest" "$source" "$type" "$options" "$tries" "$wait"
    done < "$NEWROOT$file" | sed "s/%(nodeid)s/$(osr_get nodeid)/g"
}

osr_mounts() {
    local dest source type options tries wait list
    list=$(osr_list_mounts)
    [ -n "$list" ] || return 0
    mkdir -p "$osr_work"
    # By path: /srv before /srv/data.
    printf '%s\n' "$list" | LC_ALL=C sort -t '|' -k 1,1 > "$osr_work/mounts"
    while IFS='|' read -r dest source type options tries wait <&8; do
        until osr_mount_one "$dest" "$source" "$type" "$options" "$tries" "$wait"; do
            case ",$options," in
                *,nofail,*) break ;;
            esac
            emergency_shell "osr: $dest is not mounted"
            getargbool 0 osr.skip && break
            [ ! -e "$osr_work/skip" ] || break
        done
    done 8< "$osr_work/mounts"
}

if osr_active; then
    osr_mounts
fi
