# SPDX-License-Identifier: GPL-3.0-or-later
"""osrctl cdsl as a client of the running daemon, and beside it."""

import pytest

from tests.end_to_end.test_roots import RootHost, host
from tests.eventually import eventually

__all__ = ["host"]

pytestmark = [pytest.mark.root, pytest.mark.needs("unshare", "nsenter", "gdbus", "dbus-daemon", "umount", "mount")]


def test_changes_are_jobs_and_their_failures_the_command_s(host: RootHost) -> None:
    root = str(host.root)
    assert len(host.ask("cdsl", "init", root)["jobs"]) == 1
    done = host.ask("cdsl", "make", root, "/var", "/etc/sysconfig/network")
    assert len(done["jobs"]) == len(done["lines"]) == 2
    (host.root / "cluster/cdsl/2/var/lib/rpm/Packages").write_bytes(b"2's")
    refused = host.osrctl("cdsl", "share", root, "/var/lib", check=False)
    assert refused.returncode == 7
    assert "--from" in refused.stderr
    shared = host.ask("cdsl", "share", root, "/var/lib", "--from", "2")
    assert (host.root / "cluster/shared/var/lib/rpm/Packages").read_bytes() == b"2's"
    assert len(shared["backups"]) == 1
    eventually(lambda: host.mounted_trees() == ["1"], "the tree of node 1 is mounted")
    host.ask("cdsl", "bind", root, "2")
    assert host.mounted_trees() == ["2"]
    (backup,) = host.ask("cdsl", "backups", "list", root)["backups"]
    assert host.ask("cdsl", "backups", "drop", root, backup, "--yes")["jobs"]
    assert host.ask("cdsl", "backups", "list", root)["backups"] == []


def test_work_beside_the_daemon_is_noticed(host: RootHost) -> None:
    root = str(host.root)
    eventually(lambda: host.shown("State") == "plain", "the daemon has looked at it")
    assert host.ask("cdsl", "init", root, "--offline", "-c", str(host.cluster_conf))["jobs"] == []
    eventually(lambda: host.shown("State") == "ready", "the daemon knows that it is one now")
    assert host.ask("cdsl", "make", root, "/var", "--offline", "-c", str(host.cluster_conf))["jobs"] == []
    eventually(lambda: host.shown("CdslCount") == "1", "the daemon knows it")
    assert host.ask("cdsl", "undo", root)["jobs"]
    assert (host.root / "var/lib/rpm/Packages").read_bytes() == b"packages"
    assert host.ask("cdsl", "list", root)["cdsls"] == []
