#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=dash
# Hook pre-mount 20, sourced, before a root= of the administrator's is mounted.

# shellcheck source=data/dracut/osr-gfs2/osr-fs-lib.sh
. /lib/osr/osr-fs-lib.sh

if osr_active; then
    osr_fs_before ocfs2
fi
