# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine that boots over the network: QEMU with an iPXE option ROM (BIOS) or OVMF (UEFI) on a tap of the lab.

Emulated, not virtualised: /dev/kvm is there on many machines that run tests in virtual machines and does not work in
them. One processor each, since a second one only makes waiting for the first one slower.
"""

import re
import shutil
import socket
import subprocess
import time
from enum import StrEnum
from pathlib import Path

from tests.boot.lab import Lab

#: Firmware and the variables it begins with: Debian's and Fedora's.
_OVMF = (
    ("raw", Path("/usr/share/OVMF/OVMF_CODE_4M.fd"), Path("/usr/share/OVMF/OVMF_VARS_4M.fd")),
    ("qcow2", Path("/usr/share/edk2/ovmf/OVMF_CODE_4M.qcow2"), Path("/usr/share/edk2/ovmf/OVMF_VARS_4M.qcow2")),
)

#: The less translated code is kept, the sooner QEMU 7.2 is done with looking what of it a write has changed: with its
#: default of a gibibyte two machines stand still for minutes after they have left the initrd.
_ACCELERATION = "tcg,tb-size=128"
#: What a machine says last that will not come up by itself: osr-emergency.sh, the kernel, systemd.
_LOST = re.compile("osr-param list shows what is known|Kernel panic - not syncing|You are in emergency mode")
_ORDERS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1bc|\r")


class Firmware(StrEnum):
    BIOS = "bios"
    UEFI = "uefi"


class Machine:
    """``disks`` are images, the first one /dev/vda. The console is a file that stays as long as the lab."""

    def __init__(
        self, lab: Lab, name: str, mac: str, firmware: Firmware = Firmware.BIOS, disks: tuple[Path, ...] = ()
    ) -> None:
        self.name, self.mac = name, mac
        self._lab = lab
        self._firmware = firmware
        self._disks = disks
        self.log = lab.directory / f"console-{name}.log"
        self._qemu_log = lab.directory / f"qemu-{name}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._from = 0
        self._socket = lab.directory / f"keyboard-{name}"
        self._questions = 0
        self._keyboard: socket.socket | None = None
        self._tap = lab.tap()

    @property
    def console(self) -> str:
        """What it said since it was switched on; firmware speaks to a terminal, whose orders are left out."""
        if not self.log.exists():
            return ""
        return _ORDERS.sub("", self.log.read_bytes()[self._from :].decode(errors="replace"))

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def switch_on(self) -> None:
        assert not self.running
        self._hang_up()
        self._from = self.log.stat().st_size if self.log.exists() else 0
        argv = [
            "qemu-system-x86_64",
            "-machine",
            "pc,graphics=off",  # the firmware and PXELINUX speak on the serial line, too
            "-accel",
            _ACCELERATION,
            "-cpu",
            "max",
            "-smp",
            "1",
            "-m",
            "768",
        ]
        argv += ["-display", "none", "-monitor", "none", "-no-reboot", "-nodefaults", "-vga", "none"]
        self._socket.unlink(missing_ok=True)
        argv += ["-chardev", f"file,id=console,path={self.log},append=on", "-serial", "chardev:console"]
        # A line of its own for questions: a console with two ends would stop the machine when nobody reads it.
        argv += [
            "-chardev",
            f"socket,id=keyboard,path={self._socket},server=on,wait=off",
            "-serial",
            "chardev:keyboard",
        ]
        argv += ["-netdev", f"tap,id=net0,ifname={self._tap},script=no,downscript=no"]
        # OVMF brings its own driver and PXE; QEMU's option ROM would make an iPXE of it.
        rom = ",romfile=" if self._firmware is Firmware.UEFI else ""
        argv += ["-device", f"virtio-net-pci,netdev=net0,mac={self.mac},bootindex=1{rom}"]
        argv += ["-object", "rng-random,id=rng0,filename=/dev/urandom", "-device", "virtio-rng-pci,rng=rng0"]
        if self._firmware is Firmware.UEFI:
            variables = self._lab.directory / f"ovmf-{self.name}.fd"
            kind, code, fresh = next(each for each in _OVMF if each[1].exists())
            shutil.copyfile(fresh, variables)
            argv += ["-drive", f"if=pflash,format={kind},readonly=on,file={code}"]
            argv += ["-drive", f"if=pflash,format={kind},file={variables}"]
        for number, disk in enumerate(self._disks):
            argv += ["-drive", f"if=none,id=disk{number},format=raw,cache=unsafe,file.locking=off,file={disk}"]
            argv += ["-device", f"virtio-blk-pci,drive=disk{number},share-rw=on"]
        with self._qemu_log.open("wb") as output:
            self._process = self._lab.spawn([*self._lab.wrapper, *argv], stdout=output, stderr=output)

    def wait_until_up(self, seconds: float) -> None:
        """Until the root's agent says so. A boot that has failed is not waited for."""
        self.wait(rf"^OSR-UP {self.name}$", seconds, lost=_LOST)

    def wait(self, pattern: str, seconds: float, lost: "re.Pattern[str] | None" = None) -> "re.Match[str]":
        """The first match of ``pattern`` on the console; the end of the console is in the error. ``lost`` is what
        makes it pointless to wait on."""
        deadline = time.monotonic() + seconds
        while True:
            late, running, console = time.monotonic() > deadline, self.running, self.console
            found = re.search(pattern, console, re.M)
            if found:
                return found
            given_up = lost.search(console) if lost else None
            if not running or late or given_up:
                why = f"says {given_up[0]!r}" if given_up else f"did not in {seconds:.0f} s" if running else "is off"
                raise AssertionError(f"{self.name}: no {pattern!r}: {why}; its console ends:\n{self._last_words}")
            assert self._process is not None
            try:
                self._process.wait(0.5)
            except subprocess.TimeoutExpired:
                continue

    @property
    def _last_words(self) -> str:
        qemu = self._qemu_log.read_text(errors="replace") if self._qemu_log.exists() else ""
        return self.console[-4000:] + (f"\nQEMU says: {qemu[-2000:]}" if qemu else "")

    def ask(self, command: str, seconds: float = 120) -> str:
        """What a command prints in the booted system: ``osr-agent`` of the root obeys the second serial line."""
        number = self._say(command)
        answer = self.wait(rf"^OSR-BEGIN {number}\n(?s:(.*?))^OSR-END {number} (\d+)$", seconds)
        assert answer[2] == "0", f"{self.name}: {command} ended with {answer[2]}:\n{answer[1]}"
        return "".join(line[2:] + "\n" for line in answer[1].splitlines() if line.startswith("| ")).rstrip("\n")

    def _say(self, command: str) -> int:
        """Type a command; its number."""
        self._questions += 1
        if self._keyboard is None:
            # Kept: what is not read yet when the other end hangs up is lost.
            self._keyboard = socket.socket(socket.AF_UNIX)
            self._keyboard.connect(str(self._socket))
        self._keyboard.sendall(f"{self._questions} {command}\n".encode())
        return self._questions

    def shut_down(self, seconds: float) -> None:
        """Power off from inside: nothing may fail, nor be unmounted while it is in use."""
        self._say("systemctl poweroff")
        self.wait_until_off(seconds)
        complaints = re.findall(r"(?m)^.*(?:Failed unmounting|target is busy|FAILED|not responding).*$", self.console)
        assert not complaints, complaints

    def wait_until_off(self, seconds: float) -> None:
        assert self._process is not None
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} is still on:\n{self._last_words}") from None

    def _hang_up(self) -> None:
        if self._keyboard is not None:
            self._keyboard.close()
            self._keyboard = None

    def pull_the_plug(self) -> None:
        self._hang_up()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
