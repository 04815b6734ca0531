# SPDX-License-Identifier: GPL-3.0-or-later
.PHONY: all demo test fast-test test-boot lint bench man clean
all: man

demo:
	@packaging/bootstrap.sh demo
	@.venv/bin/python -m tests.end_to_end.demo

test:
	@packaging/bootstrap.sh test
	@.venv/bin/python -m pytest -q -rs

# What every commit must pass: a minute, no servers, no namespaces.
fast-test:
	@.venv/bin/python -m pytest -q tests/unit

# Machines boot from shared roots, in emulation: every file system, every way.
test-boot:
	@packaging/bootstrap.sh boot
	@.venv/bin/python -m pytest -q -rs -m '' tests/boot

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
