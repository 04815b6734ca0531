# SPDX-License-Identifier: GPL-3.0-or-later
"""What the checks of an initrd look at, and what their findings have in common."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from osrd.model.cluster import Cluster, Node
from osrd.model.finding import Finding, Severity
from osrd.model.image import BuildLimits, BuildOrder, Dracut, Image, ImageContent, ImageFile
from osrd.parse.kernelmodules import KernelModules, module_name

Findings = Iterator[Finding]
#: dracut lists its modules in this file of an image
MODULES_LIST = "lib/dracut/modules.txt"
_LIMITS = BuildLimits()
NETWORK_PROVIDERS = ("network-legacy", "systemd-networkd", "network-manager", "connman")


@dataclass(frozen=True)
class Subject:
    """An initrd that was built by ``order`` with the root's ``dracut``: its ``size`` and ``content``, and the version
    that the kernel image says of itself. ``cluster`` and its ``nodes`` that use the root say what must be inside;
    ``modules`` are the kernel's in the root. ``history`` are the images of the root, the newest first."""

    order: BuildOrder
    dracut: Dracut
    size: int
    content: ImageContent = field(repr=False)
    own_version: str
    cluster: Cluster = field(repr=False)
    nodes: tuple[Node, ...] = field(repr=False)
    modules: KernelModules = field(repr=False)
    history: tuple[Image, ...] = ()
    limits: BuildLimits = _LIMITS

    @cached_property
    def files(self) -> Mapping[str, ImageFile]:
        return {file.path: file for file in self.content.files}

    @cached_property
    def drivers(self) -> frozenset[str]:
        """The kernel modules in the image, and those that the kernel has built in."""
        return frozenset(name for path in self.files if (name := module_name(path))) | self.modules.builtin

    @cached_property
    def dracut_modules(self) -> frozenset[str]:
        """What dracut says that it put into the image; empty when it says nothing."""
        lists = [text for path, text in self.content.texts.items() if path.endswith(MODULES_LIST)]
        return frozenset(lists[0].decode("utf-8", "replace").split()) if lists else frozenset()

    @cached_property
    def programs(self) -> frozenset[str]:
        """The names of the files in the directories of programs."""
        return frozenset(path.rpartition("/")[2] for path in self.files if "bin/" in path)


def error(code: str, message: str, fix: str, *, node: str = "", value: str = "") -> Finding:
    return Finding(code, Severity.ERROR, message, fix, node=node, value=value)


def warning(code: str, message: str, fix: str, *, node: str = "", value: str = "") -> Finding:
    return Finding(code, Severity.WARNING, message, fix, node=node, value=value)
