# SPDX-License-Identifier: GPL-3.0-or-later
"""The user story of the main job, through the programs a user has: osrd, osrctl, gdbus, an editor."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.traced import changes
from tests.conftest import refuse
from tests.end_to_end.monitor import Monitor
from tests.end_to_end.sandbox import REPOSITORY, Sandbox
from tests.eventually import eventually

MAC1, MAC2, MAC3 = "00:0C:29:C9:C6:F5", "00:0C:29:C9:C6:F6", "00:0C:29:C9:C6:F7"

pytestmark = pytest.mark.needs("dbus-daemon", "gdbus")


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        sandbox.start_bus()
        yield sandbox


def correct_second_mac(box: Sandbox) -> None:
    text = box.cluster_conf.read_text()
    second = text.index(MAC1, text.index(MAC1) + 1)
    box.replace(text, text[:second] + MAC2 + text[second + len(MAC2) :])


def test_the_story(box: Sandbox) -> None:
    """The example's mistake found, corrected live, a third node, vandalism repaired; each a signal on the bus."""
    box.start()
    findings = box.ask("status")["findings"]
    duplicates = [finding for finding in findings if finding["code"] == "duplicate-mac"]
    assert {finding["node"] for finding in duplicates} == {"node1", "node2"}
    assert {finding["other"] for finding in duplicates} == {"node1", "node2"}
    lines = [number for number, line in enumerate(box.cluster_conf.read_text().splitlines(), 1) if MAC1 in line]
    assert {finding["line"] for finding in duplicates} == set(lines)
    assert {finding["other_line"] for finding in duplicates} == set(lines)
    assert all(finding["fix"] for finding in duplicates)
    assert not list((box.tftp / "pxelinux.cfg").glob("01-*")), "an ambiguous machine gets no entry"

    monitor = Monitor(box)
    correct_second_mac(box)
    assert monitor.expect("Reconciled")
    for mac, number in ((MAC1, 1), (MAC2, 2)):
        entry = box.entry(mac).read_text()
        assert f"nodeid={number}" in entry
        dashed = mac.lower().replace(":", "-")
        assert (box.tftp / f"grub/grub.cfg-01-{dashed}").exists()
        assert (box.tftp / f"ipxe/01-{dashed}.ipxe").exists()
    hosts = (box.directory / "dnsmasq/hosts").read_text()
    for mac, address in ((MAC1, "192.168.122.171"), (MAC2, "192.168.122.172")):
        assert re.search(rf"(?m)^{mac.lower()},.*{re.escape(address)}", hosts)
    exports = (box.directory / "exports.d/osrd.exports").read_text()
    assert "/mnt/virtual/nfsosr/fc11" in exports
    assert "192.168.122.171(" in exports
    assert "192.168.122.172(" in exports
    assert not [finding for finding in box.ask("status")["findings"] if finding["severity"] == "error"]

    before = box.cluster_conf.read_text()
    box.osrctl("node", "add", "node3", "ip=192.168.122.173", f"mac={MAC3}")
    after = box.cluster_conf.read_text()
    assert 'config_version="2"' in after
    assert 'name="node3" nodeid="3"' in after
    assert set(before.splitlines()) - set(after.splitlines()) == {before.splitlines()[1]}, "only the version changed"
    eventually(box.entry(MAC3).exists, "node3 is published")
    assert "node3" in box.gdbus("Manager.ListNodes", "{}")

    monitor.seen.clear()
    good = box.entry(MAC1).read_bytes()
    box.entry(MAC1).write_bytes(b"vandalised")
    monitor.expect("DriftDetected")
    eventually(lambda: box.entry(MAC1).read_bytes() == good, "the file is repaired")
    box.entry(MAC2).unlink()
    eventually(box.entry(MAC2).exists, "a deleted file is repaired")
    assert box.ask("verify")["stale"] == []


@pytest.fixture(scope="module")
def demo() -> str:
    """What the demo says."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.end_to_end.demo"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_demo_is_the_story(demo: str) -> None:
    for word in ("duplicate-mac", "both nodes published", "node3 published", "repaired", "signal |"):
        assert word in demo


def test_the_demo_goes_on_with_host_dependent_files(demo: str) -> None:
    """What it promises it has checked itself; here, that it got there and cleared up."""
    if "Host-dependent files are left out" in demo:
        refuse("neither root's rights nor user namespaces")
    for word in ("HOSTNAME=two", "node4 has its tree", "mounted again", "no findings", "undone: make /srv"):
        assert word in demo
    assert re.search(r"killed when \d+ of 7500 files were copied", demo)
    directory = re.search(r"A boot host in (\S+):", demo)
    assert directory
    assert not Path(directory[1]).exists()
    assert directory[1] not in Path("/proc/self/mountinfo").read_text()


def test_a_broken_edit_changes_nothing_and_says_so(box: Sandbox) -> None:
    box.cluster_conf.write_text(box.cluster_conf.read_text())
    correct_second_mac(box)
    box.start()
    served = box.published()
    assert box.entry(MAC2).exists()
    good = box.cluster_conf.read_text()
    monitor = Monitor(box)
    box.cluster_conf.write_text(good.replace("</clusternodes>", ""))
    monitor.expect("ConfigRejected")
    status = box.ask("status")
    assert status["state"] == "config-invalid"
    assert any(finding["line"] for finding in status["findings"])
    assert box.published() == served
    box.cluster_conf.unlink()
    eventually(lambda: "no-cluster-conf" in json.dumps(box.ask("status")), "the missing file is reported")
    assert box.published() == served
    box.cluster_conf.write_text(good)
    eventually(lambda: box.ask("status")["state"] == "ready", "everything is well again")


def test_rollback_holds_until_the_next_edit(box: Sandbox) -> None:
    correct_second_mac(box)
    box.start()
    first = box.ask("status")["generation"]
    with_two = box.published()
    box.osrctl("node", "add", "node3", "ip=192.168.122.173", f"mac={MAC3}")
    eventually(box.entry(MAC3).exists, "node3 is published")
    box.osrctl("rollback", str(first))
    assert box.published() == with_two
    assert box.ask("status")["state"] == "pinned"
    box.osrctl("reconcile")
    assert box.published() == with_two, "held"
    assert [action["target"] for action in box.ask("plan")["actions"]], "the plan shows what ending the hold would do"
    box.osrctl("apply", "--yes")
    assert box.entry(MAC3).exists()
    assert box.ask("status")["state"] == "ready"
    box.osrctl("rollback", str(first))
    box.osrctl("node", "set", "node1", "votes=3")
    eventually(box.entry(MAC3).exists, "an edit ends the hold")


def test_plan_apply_is_compare_and_swap(box: Sandbox) -> None:
    correct_second_mac(box)
    box.start()
    assert box.ask("plan")["actions"] == []
    stale = box.ask("plan")["digest"]
    refused = box.osrctl("apply", "--plan", "0123456789abcdef", "--yes", check=False)
    assert refused.returncode == 7
    assert stale
    version = box.ask("status")["config_version"]
    again = box.osrctl("node", "set", "node1", "votes=2", "--expect-version", str(version + 5), check=False)
    assert again.returncode == 7
    assert str(version) in again.stderr


def test_a_killed_daemon_comes_back_to_the_same_truth(box: Sandbox) -> None:
    correct_second_mac(box)
    box.start()
    served = box.published()
    assert box.stop(signal.SIGKILL) == -signal.SIGKILL
    box.entry(MAC1).write_bytes(b"vandalised while nobody watched")
    box.start()
    assert box.published() == served
    assert box.stop() == 0


def test_once_without_a_bus_writes_the_same_and_then_nothing(box: Sandbox) -> None:
    correct_second_mac(box)
    box.start()
    served = box.published()
    refused = box.once(check=False)
    assert refused.returncode == 2
    assert "another osrd" in refused.stderr
    box.stop()
    box.once()
    assert box.published() == served


@pytest.mark.needs("strace")
def test_a_run_with_nothing_to_do_writes_nothing(box: Sandbox) -> None:
    """Law 1, counted by strace over the whole life of `osrd --once`."""
    correct_second_mac(box)
    box.once()
    log = box.directory / "trace"
    argv = ["strace", "-f", "-y", "-qq", "-e", "trace=file,desc", "-o", str(log)]
    argv += [sys.executable, "-m", "osrd", "--config", str(box.osrd_conf), "--once"]
    subprocess.run(argv, env=box.environment, check=True, capture_output=True, timeout=60)
    # SQLite and the lock open their existing files with O_CREAT, which changes nothing.
    known = re.compile(r"O_CREAT.*/(state\.db|lock)>$")
    assert [line for line in changes(log.read_text(errors="replace")) if not known.search(line)] == []


def test_sighup_reads_the_configuration_again(box: Sandbox) -> None:
    correct_second_mac(box)
    box.start()
    assert "way" not in box.osrd_conf.read_text()
    text = box.osrd_conf.read_text().replace("[boot]\n", "[boot]\nway = static\n")
    box.osrd_conf.write_text(text)
    assert box.osrd is not None
    box.osrd.send_signal(signal.SIGHUP)
    eventually(lambda: "root=" in box.entry(MAC1).read_text(), "static entries after SIGHUP")
    box.osrd_conf.write_text(text + "\n[boot]\nserver = nonsense\n")
    box.osrd.send_signal(signal.SIGHUP)
    eventually(lambda: box.ask("status")["findings"], "the bad value is reported")
    assert "root=" in box.entry(MAC1).read_text()
