# SPDX-License-Identifier: GPL-3.0-or-later
"""What a root must hold as such: directories to mount on, /etc/mtab, a kernel, the CDSL infrastructure."""

from collections.abc import Iterator

from osrd.model.cdsl import FileKind
from osrd.model.finding import Severity
from osrd.model.rootcare import Infrastructure, Link, MakeDirectory, Remark, SetAside
from osrd.plan.cdsl.links import aim
from osrd.plan.rootcare.view import Root, remark

#: mount points of a running system. What is mounted there hides mode and owner, except /tmp's where it is no tmpfs.
DIRECTORIES = {"proc": 0o555, "sys": 0o555, "dev": 0o755, "run": 0o755, "tmp": 0o1777}
#: a system starts without them; programs that need them fail later
_OPTIONAL = frozenset({"run", "tmp"})
#: systemd warns about every other target
_MTAB = frozenset({"proc/self/mounts", "proc/mounts"})
#: where pre-systemd programs kept what is now in /run
# The texts are absolute: below a host-dependent /var a relative one would be read from the node's tree.
_VOLATILE = {"var/run": "/run", "var/lock": "/run/lock"}


def directories(root: Root) -> Iterator[Remark]:
    for path, mode in DIRECTORIES.items():
        seen = root.reader.look(path)
        severity = Severity.WARNING if path in _OPTIONAL else Severity.ERROR
        if seen is None:
            message = f"the directory /{path} is missing; nodes mount a file system on it"
            fix = f"mkdir -m {mode:o} {root.path}/{path}"
            yield remark("root-directory", severity, message, fix, MakeDirectory(path, mode), path=path)
        elif seen.kind is not FileKind.DIRECTORY:
            message = f"/{path} is no directory; nodes mount a file system on it"
            fix = f"look what it is, and make it a directory: mkdir -m {mode:o} {root.path}/{path}"
            yield remark("root-directory", severity, message, fix, path=path)


def mtab(root: Root) -> Iterator[Remark]:
    for copy in root.copies("etc/mtab"):
        seen = root.reader.look(copy.path)
        # From a node's tree it is further to the top than from /etc.
        if seen is not None and seen.kind is FileKind.LINK and aim(copy.path, seen.text).path in _MTAB:
            continue
        target = "/proc/self/mounts" if copy.node else "../proc/self/mounts"
        what = "is missing" if seen is None else "is no link to /proc/self/mounts"
        message = f"/etc/mtab {what}: every node would see the mounts of another one"
        fix = f"ln -sfn {target} {root.path}/{copy.path}"
        repair = Link("etc/mtab", target, copy.node)
        yield remark("root-mtab", Severity.ERROR, message, fix, repair, path="etc/mtab", node=copy.node)


def volatile(root: Root) -> Iterator[Remark]:
    """/var/run and /var/lock where there is /run: sockets and pid files of an earlier boot, or of another node."""
    if not root.systemd:
        return
    for path, target in _VOLATILE.items():
        for copy in root.copies(path):
            seen = root.reader.look(copy.path)
            if seen is None or seen.kind is FileKind.LINK:
                continue
            message = f"/{path} is no link to {target}, so what is in there outlives a boot"
            fix = f"move {root.path}/{copy.path} away, then ln -s {target} {root.path}/{copy.path}"
            repair = Link(path, target, copy.node)
            yield remark("root-var-run", Severity.WARNING, message, fix, repair, path=path, node=copy.node)


def leftovers(root: Root) -> Iterator[Remark]:
    """A request to relabel every file: each node would do it, on all the others' files."""
    if root.reader.look(".autorelabel"):
        message = "/.autorelabel makes every node relabel the whole root when it boots"
        fix = f"rm {root.path}/.autorelabel"
        yield remark("root-autorelabel", Severity.ERROR, message, fix, SetAside(".autorelabel"), path=".autorelabel")


def kernel(root: Root) -> Iterator[Remark]:
    """/boot is often a file system of its own, which cp -ax leaves behind (the seed copies it in a second step)."""
    boot = root.reader.names("boot") if root.has("boot") else ()
    images = [name for name in boot if name.startswith(("vmlinuz", "vmlinux", "Image", "bzImage"))]
    modules = "usr/lib/modules" if root.has("usr/lib/modules") else "lib/modules"
    found = [name for name in (root.reader.names(modules) if root.has(modules) else ()) if name[:1].isdigit()]
    if images or any(root.has(f"{modules}/{name}/vmlinuz") for name in found):
        if not found:
            message = f"the root has a kernel and no modules for it in /{modules}"
            fix = "install the distribution's kernel package inside the root"
            yield remark("root-no-modules", Severity.WARNING, message, fix, path=modules)
        return
    message = "the root holds no kernel, neither in /boot nor in /usr/lib/modules"
    fix = "install the distribution's kernel package inside the root, or copy the source machine's /boot"
    yield remark("root-no-kernel", Severity.WARNING, message, fix, path="boot")


def inventory(root: Root) -> Iterator[Remark]:
    if root.inventory is not None:
        return
    message = "the root has no CDSL inventory: every file in it is the same for all nodes"
    fix = f"osrctl cdsl init {root.path}"
    yield remark("root-no-inventory", Severity.ERROR, message, fix, Infrastructure())


def nodes(root: Root) -> Iterator[Remark]:
    if root.hosts:
        return
    message = "no node is known, neither from cluster.conf nor from the inventory's maxnodeidnum"
    fix = "write the nodes into cluster.conf, or give --maxnodeidnum"
    yield remark("root-no-nodes", Severity.ERROR, message, fix)
