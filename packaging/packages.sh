#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# packages.sh deb|rpm [DIRECTORY]: builds the packages from a clean copy of this checkout's sources, into DIRECTORY
# (build/deb, build/rpm).
# shellcheck disable=SC2086 # an option or nothing
set -eu
kind=$1
cd "$(dirname "$0")/.."
version=$(sed -n 's/^version = //p' setup.cfg)
mkdir -p "${2:-build/$kind}"
out=$(cd "${2:-build/$kind}" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

case $kind in
    deb) tool=dpkg-buildpackage packages="build-essential debhelper dh-python pkgconf" ;;
    rpm) tool=rpmbuild packages=rpm ;;
    *) echo "usage: packages.sh deb|rpm [DIRECTORY]" >&2 && exit 2 ;;
esac
command -v "$tool" >/dev/null || { echo "$tool is not installed; on Debian: apt-get install $packages" >&2; exit 1; }

# The sources, and nothing that a developer or a test has left beside them.
mkdir "$work/osrd-$version"
tar -c --exclude=__pycache__ --exclude='*~' --exclude=bench/out.json \
    LICENSE Makefile ./*.md bench data man osrd packaging pyproject.toml setup.cfg tests |
    tar -x -C "$work/osrd-$version"
cd "$work"
case $kind in
    deb)
        cp -R "osrd-$version/packaging/debian" "osrd-$version/debian"
        (cd "osrd-$version" && dpkg-buildpackage -us -uc)
        rm -f "$out"/osr*.deb "$out"/osrd_*
        mv ./*.deb ./*.dsc ./*.tar.* ./*.buildinfo ./*.changes "$out"
        ;;
    rpm)
        tar -czf "osrd-$version.tar.gz" "osrd-$version"
        # rpm's database knows what is installed where rpm is the package manager.
        nodeps=$(rpm -q rpm >/dev/null 2>&1 || echo --nodeps)
        rpmbuild -ba $nodeps --define "_topdir $work/rpmbuild" --define "_sourcedir $work" "osrd-$version/packaging/osrd.spec"
        rm -f "$out"/osr*.rpm
        mv rpmbuild/RPMS/*/*.rpm rpmbuild/SRPMS/*.rpm "$out"
        ;;
esac
