#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=dash
# report STEP [DIRECTORY]: writes DIRECTORY/.osr/report (osr.dracut(7), NODE REPORT). Runs in the initrd with step root,
# and, from /run/osr, in the running system with step up, whatever system that is: nothing but sh, mkdir, mv and rm.

run=/run/osr
step=$1
dir=$2
if [ -z "$dir" ]; then
    IFS= read -r dir < "$run/nodedir" || exit 1
fi

# Seconds since the epoch without date(1).
while read -r key value _; do
    [ "$key" != btime ] || boot=$value
done < /proc/stat
read -r uptime _ < /proc/uptime
time=$((boot + ${uptime%.*}))

read -r kernel < /proc/sys/kernel/osrelease
read -r boot_id < /proc/sys/kernel/random/boot_id
build=
[ ! -r "$run/build" ] || read -r build < "$run/build"

# Other nodes can write here, too: no link that one of them left is followed.
[ ! -h "$dir/.osr" ] || exit 1

# Boots of this image since this node last was up. Those of another image do not count against this one, and an
# unreadable count starts again.
attempts=0
if [ "$step" != up ]; then
    before=
    if [ -f "$dir/.osr/report" ] && [ ! -h "$dir/.osr/report" ]; then
        while IFS='=' read -r key value; do
            case $key in
                attempts) attempts=$value ;;
                build) before=$value ;;
            esac
        done < "$dir/.osr/report"
    fi
    [ "$before" = "$build" ] || attempts=0
    case $attempts in
        "" | *[!0-9]* | ???????*) attempts=0 ;;
        0) ;;
        0*) attempts=0 ;;
    esac
    attempts=$((attempts + 1))
fi

umask 022
[ -d "$dir/.osr" ] || mkdir "$dir/.osr" || exit 1
[ ! -d "$dir/.osr/report" ] || exit 1
rm -f "$dir/.osr/report.new"
(
    set -C
    printf '%s\n' version=1 "step=$step" "time=$time" "kernel=$kernel" "build=$build" "boot_id=$boot_id" \
        "attempts=$attempts" > "$dir/.osr/report.new"
) && mv -f "$dir/.osr/report.new" "$dir/.osr/report"
