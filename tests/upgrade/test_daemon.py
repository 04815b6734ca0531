# SPDX-License-Identifier: GPL-3.0-or-later
"""The daemon after a downgrade: on the bus, with the reason, without a byte written; well again without a restart."""

import json
import sqlite3

import pytest

from tests.end_to_end.sandbox import Sandbox


@pytest.mark.needs("dbus-daemon", "gdbus")
def test_a_downgraded_daemon_says_on_the_bus_why_it_does_nothing() -> None:
    with Sandbox() as box:
        box.start_bus()
        box.once(check=False)
        file = box.directory / "state/state.db"
        connection = sqlite3.connect(file)
        connection.execute("PRAGMA user_version = 99")
        connection.close()
        box.replace("00:0C:29:C9:C6:F5", "00:0C:29:C9:C6:F6", 1)
        before, served = file.read_bytes(), box.published()
        box.start()
        status = box.ask("status")
        assert status["state"] == "degraded"
        (finding,) = (finding for finding in status["findings"] if finding["code"] == "state-unusable")
        assert "schema version 99" in finding["message"]
        assert box.ask("reconcile")["result"]["in_sync"] is False
        for command in (["verify"], ["generations"], ["apply", "--yes"]):
            done = box.osrctl("--json", *command, check=False)
            assert done.returncode != 0, (command, done.stdout)
            assert "Traceback" not in done.stderr
        assert (file.read_bytes(), box.published()) == (before, served)
        file.rename(file.with_suffix(".99"))
        assert box.ask("reconcile")["result"]["written"] > 0
        assert "state-unusable" not in json.dumps(box.ask("status")["findings"])
        assert box.published() != served
