#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=dash
# /sbin/osr-param get KEY | set KEY VALUE | del KEY | list: for the emergency shell. Also called getparameter,
# setparameter, delparameter and listparameters, as in the initrds of 2011.

# shellcheck source=data/dracut/osr/osr-lib.sh
. /lib/osr/osr-lib.sh

usage() {
    echo "usage: osr-param get KEY | set KEY VALUE | del KEY | list" >&2
    exit 2
}

case ${0##*/} in
    *parameters) verb=list ;;
    *parameter)
        verb=${0##*/}
        verb=${verb%parameter}
        ;;
    *)
        verb=$1
        [ $# -eq 0 ] || shift
        ;;
esac
case $1 in
    */* | .*) usage ;;
esac
case $verb,$# in
    get,1) osr_get "$1" ;;
    del,1) rm -f "$osr_run/$1" ;;
    list,0)
        for file in "$osr_run"/*; do
            [ -f "$file" ] && [ "${file##*/}" != diagnosis ] && IFS= read -r value < "$file" || continue
            printf '%s=%s\n' "${file##*/}" "$value"
        done
        ;;
    set,2)
        if [ "$1" = nodeid ]; then
            osr_is_id "$2" || { echo "osr-param: a node id is a number from 1 to 99999" >&2; exit 1; }
            osr_known "$2" || { echo "osr-param: this initrd knows the nodes $(osr_ids)" >&2; exit 1; }
            osr_set nodeid_source osr-param
            rm -f "$osr_work/conflict" "$osr_work/identity"
            if name=$(osr_name_of "$2"); then osr_set nodename "$name"; else rm -f "$osr_run/nodename"; fi
        fi
        osr_set "$1" "$2"
        ;;
    *) usage ;;
esac
