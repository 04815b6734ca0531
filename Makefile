# SPDX-License-Identifier: GPL-3.0-or-later
.PHONY: all install install-modules uninstall deb rpm demo demo-boot test fast-test test-boot lint bench man clean
all: man

# Where `make install` puts things, below DESTDIR; D-Bus and polkit look for policies in /usr only.
PREFIX = /usr/local
DESTDIR =
SBINDIR = $(PREFIX)/sbin
SYSCONFDIR = /etc
UNITDIR = $(PREFIX)/lib/systemd/system
POLICYDIR = /usr/share
ZSHDIR = $(PREFIX)/share/zsh/site-functions
# The distribution's own, which has the distribution's libraries.
PYTHON = /usr/bin/python3
COMPILE = yes
# The version of the dracut that `make install-modules` is for; this system's where nothing is said.
DRACUT =
INSTALL_PY = $(PYTHON) packaging/install.py --destdir '$(DESTDIR)' --prefix '$(PREFIX)' --sbindir '$(SBINDIR)' \
	--sysconfdir '$(SYSCONFDIR)' --unitdir '$(UNITDIR)' --policydir '$(POLICYDIR)' --zshdir '$(ZSHDIR)' \
	--python '$(PYTHON)' --compile '$(COMPILE)' --dracut '$(DRACUT)'

install: all
	@$(INSTALL_PY) install
	@[ -n '$(DESTDIR)' ] || packaging/installed.sh '$(PYTHON)'

# The dracut modules and kernel hooks, into a root that nodes share.
install-modules:
	@$(INSTALL_PY) modules

uninstall:
	@$(INSTALL_PY) uninstall

# Into build/deb and build/rpm.
deb rpm:
	@packaging/packages.sh $@

demo:
	@packaging/bootstrap.sh demo
	@.venv/bin/python -m tests.end_to_end.demo

# Two machines boot from one root, in emulation: ten minutes, as root.
demo-boot:
	@packaging/bootstrap.sh boot
	@.venv/bin/python -m tests.boot.demo

test:
	@packaging/bootstrap.sh test
	@.venv/bin/python -m pytest -q -rs

# What every commit must pass: a minute and a half of one processor, no servers, no namespaces.
fast-test:
	@.venv/bin/python -c 'import pytest' 2>/dev/null || packaging/bootstrap.sh test
	@.venv/bin/python -m pytest -q tests/unit

# Machines boot from shared roots, in emulation: every file system, every way.
test-boot:
	@packaging/bootstrap.sh boot
	@.venv/bin/python -m pytest -q -rs -m '' --durations=0 --durations-min=1 tests/boot

bench:
	@packaging/bootstrap.sh test
	@.venv/bin/python -m bench

man: man/org.opensharedroot.Osrd1.5

man/org.opensharedroot.Osrd1.5: data/dbus/org.opensharedroot.Osrd1.Manager.xml data/dbus/org.opensharedroot.Osrd1.Node.xml \
		data/dbus/org.opensharedroot.Osrd1.SharedRoot.xml data/dbus/org.opensharedroot.Osrd1.Image.xml \
		data/dbus/org.opensharedroot.Osrd1.Job.xml \
		packaging/bus_manual.py
	@python3 packaging/bus_manual.py > $@.new && mv $@.new $@

clean:
	rm -rf .venv build *.egg-info .mypy_cache .ruff_cache .hypothesis bench/out.json
	find . -name __pycache__ -prune -exec rm -r {} +
