#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=dash
# Hook cmdline 13, sourced, after osr's own (12) and before dracut's network (90 on).

# shellcheck source=data/dracut/osr-gfs2/osr-fs-lib.sh
. /lib/osr/osr-fs-lib.sh

if osr_active; then
    osr_fs_network ocfs2
fi
