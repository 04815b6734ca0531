# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m tests.end_to_end.reader DIRECTORY LIST`: be all the nodes of a cluster that boot all the time.

LIST names, per line, a file below DIRECTORY and the sha256 that it must have whenever it is looked at. The collected
files (DHCP hosts, exports, hosts) change, but must always be whole and name node1. Prints what was wrong, one line
each; at SIGTERM "ROUNDS n" and ends.
"""

import signal
import sys
from hashlib import sha256
from pathlib import Path

from tests.end_to_end.serving import MAC1

_STOP: list[int] = []


def fault_of(name: str, content: bytes) -> str:
    """What is wrong with a collected file, "" when it is whole."""
    lines = content.decode().splitlines()
    if not content.endswith(b"\n") or not lines[0].startswith("# Made by osrd"):
        return f"{name} has no beginning or no end: {content!r}"
    if name == "dnsmasq/hosts":
        if lines[1] != f"# {len(lines) - 2} reservations":
            return f"{name} says {lines[1]!r} and has {len(lines) - 2}"
        return "" if any(line.startswith(MAC1) for line in lines) else f"{name} has no node1"
    return "" if any("192.168.122.171" in line for line in lines[1:]) else f"{name} has no node1: {content!r}"


def look(directory: Path, constant: dict[str, str]) -> list[str]:
    """One round over everything."""
    faults = []
    for name, digest in constant.items():
        try:
            content = (directory / name).read_bytes()
        except OSError as error:
            faults.append(f"{name}: {error}")
            continue
        if sha256(content).hexdigest() != digest:
            faults.append(f"{name} is {content[:200]!r} of {len(content)} bytes")
    for name in ("dnsmasq/hosts", "exports.d/osrd.exports", "hosts"):
        try:
            fault = fault_of(name, (directory / name).read_bytes())
        except OSError as error:
            fault = f"{name}: {error}"
        faults += [fault] if fault else []
    return faults


def main() -> None:
    signal.signal(signal.SIGTERM, lambda number, frame: _STOP.append(number))
    directory = Path(sys.argv[1])
    pairs = (line.split(" ", 1) for line in Path(sys.argv[2]).read_text().splitlines())
    constant = {name: digest for digest, name in pairs}
    rounds = 0
    while not _STOP:
        for fault in look(directory, constant):
            print(fault, flush=True)
        rounds += 1
        if rounds == 1:
            print("LOOKING", flush=True)
    print(f"ROUNDS {rounds}", flush=True)


if __name__ == "__main__":
    main()
