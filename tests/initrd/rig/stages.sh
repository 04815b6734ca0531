#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck disable=SC1091,SC2086 # files of the rig; words
# The stages of one boot as dracut's services (or its /init) run them, as far as the test wants them. PID 1 of the rig.
export NEWROOT=/sysroot PATH=/usr/sbin:/usr/bin:/sbin:/bin hookdir=/lib/dracut/hooks
read -r init < /log/init
if [ "$init" = systemd ]; then
    export DRACUT_SYSTEMD=1
elif [ -d /lib/without-systemd ]; then
    cp /lib/without-systemd/parse-root-opts.sh "$hookdir/cmdline/10-parse-root-opts.sh"
fi

stage() {
    case $1,$init in
        cmdline,systemd) /usr/bin/dracut-cmdline ;;
        initqueue,systemd) /usr/bin/dracut-initqueue ;;
        pre-pivot,systemd) /usr/bin/dracut-pre-pivot ;;
        *)
            # shellcheck source=/dev/null
            (
                [ ! -e /dracut-state.sh ] || . /dracut-state.sh
                . /lib/dracut-lib.sh
                source_hook "$1"
                export root rflags fstype netroot rootok
                export -p > /dracut-state.sh
            )
            ;;
    esac
}

while read -r word rest; do
    case $word in
        cmdline | pre-udev | initqueue | pre-mount | pre-pivot) stage "$word" ;;
        settled) # one turn of the main loop
            (
                . /dracut-state.sh
                . /lib/dracut-lib.sh
                main_loop=7
                source_hook initqueue/settled
                echo "$main_loop" > /log/main_loop
            )
            ;;
        timeout)
            (
                . /dracut-state.sh
                . /lib/dracut-lib.sh
                source_hook initqueue/settled
                source_hook initqueue/timeout
            )
            ;;
        netroot) (. /dracut-state.sh && /sbin/netroot "$rest") ;;
        sh) sh -c "$rest" ;;
        *) /sbin/"$word" $rest ;;
    esac
    status=$?
    echo "$word $status" >> /log/stages
    [ "$status" != 137 ] || break # nobody was there to help
done < /log/script > /log/out 2>&1
cat /proc/self/mountinfo > /log/mountinfo
cat /proc/sys/kernel/hostname > /log/hostname
cat /sys/module/nfs/parameters/nfs4_unique_id > /log/identity
ip -o link > /log/links
