#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# After `make install` on the running system: what packages do by themselves. Nothing of it is started.
set -eu
python=$1

# Each module of Python with the Debian package that has it.
missing=
while read -r module package; do
    "$python" -I -c "import $module" 2>/dev/null || missing="$missing $package"
done <<'LIST'
dbus_next python3-dbus-next
pyinotify python3-pyinotify
lxml python3-lxml
pyudev python3-pyudev
systemd python3-systemd
jinja2 python3-jinja2
click python3-click
rich python3-rich
LIST
if [ -n "$missing" ]; then
    echo "osrd needs libraries of $python that are not there; on Debian: apt-get install$missing"
fi

if [ -d /run/systemd/system ] && [ "$(id -u)" = 0 ]; then
    systemd-sysusers
    systemd-tmpfiles --create osrd.conf
    journalctl --update-catalog
    systemctl daemon-reload
fi
