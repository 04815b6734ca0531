# SPDX-License-Identifier: GPL-3.0-or-later
"""A root with kernels, and builds of their initrds as the image store takes them."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from osrd.apply.initrd.store import Finished, ImageStore
from osrd.model.image import BuildOrder, Fingerprint, Image, ImageFile, InputKind, Kernel
from osrd.model.settings import BootWay

CONTENTS = (ImageFile("init", 0o100755, 3, "c" * 64), ImageFile("bin/odd \udcff", 0o120777, target="true"))


def kernel(root: Path, version: str, content: bytes = b"") -> Kernel:
    """A kernel file in the root."""
    content = content or f"kernel {version}".encode()
    path = root / f"boot/vmlinuz-{version}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return Kernel(version, f"boot/{path.name}", sha256(content).hexdigest(), len(content))


def fingerprint(value: str) -> Fingerprint:
    return Fingerprint(value, {(InputKind.KERNEL, "boot/vmlinuz"): "a" * 64, (InputKind.CONTENT, "odd \udcff"): value})


def order(root: Path, made: Kernel, print_: str = "f1", name: str = "web") -> BuildOrder:
    nothing: Mapping[str, bytes] = {}
    return BuildOrder(name, str(root), made, BootWay.FULL, f"ordered {print_}", nothing, nothing)


@dataclass
class Builds:
    """``store`` with a root whose builds are files that say what they are."""

    base: Path
    name: str = "web"

    def __post_init__(self) -> None:
        self.root = self.base / "root"
        self.state = self.base / "state"
        self.store = ImageStore(str(self.state))

    def add(self, version: str = "6.1", initrd: bytes = b"", print_: str = "f1", when: float = 1000.0) -> Image:
        """What a build and its check leave, stored."""
        made = kernel(self.root, version)
        with self.store.staging(self.name) as staging:
            Path(staging, "out.img").write_bytes(initrd or f"initrd {version} {print_}".encode())
            Path(staging, "log").write_bytes(b"all went well\n")
            return self.store.add(self.finished(staging, made, print_, when))

    def finished(self, staging: str, made: Kernel, print_: str = "f1", when: float = 1000.0) -> Finished:
        ordered = order(self.root, made, print_, self.name)
        return Finished(ordered, fingerprint(print_), CONTENTS, f"{staging}/out.img", when, 2.5, log=f"{staging}/log")
