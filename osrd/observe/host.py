# SPDX-License-Identifier: GPL-3.0-or-later
"""What osrctl doctor asks a host: files of /proc, /sys and /run. Reads, runs nothing, sends nothing."""

import ctypes
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from threading import Thread
from typing import TypeVar

from osrd.model.errors import OsrdError
from osrd.model.host import Host, Inotify, RootOnHost, Space
from osrd.model.rootcare import Family
from osrd.model.settings import Settings
from osrd.observe.hostsockets import descriptors, leases, names_in, networks, sockets, text_of
from osrd.observe.inside import Inside
from osrd.observe.kernels import find_dracut
from osrd.observe.nodeview import NodeView
from osrd.observe.rootcare import InsideReader
from osrd.parse.hosttables import parse_apparmor
from osrd.plan.dhcp import hosts_place
from osrd.plan.doctor.ports import MOUNTD_PROGRAM, PORTS
from osrd.plan.rootcare.distribution import PLACES, family, family_of

#: programs whose absence matters to somebody
_PROGRAMS = (
    *("dnsmasq", "dhcpd", "kea-dhcp4", "exportfs", "grub-mkimage", "grub2-mkimage", "nft", "iptables-save"),
    *("rpcbind", "in.tftpd", "firewall-cmd", "ufw", "polkitd"),
)
_PLACES = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/lib/polkit-1")
_SELINUX = "/sys/fs/selinux"
_APPARMOR = "/sys/kernel/security/apparmor/profiles"
_NFSD = "/proc/fs/nfsd"
_INOTIFY = "/proc/sys/fs/inotify"
#: What osrd watches in a root whose initrds it builds, with the directories on the way (osrd.engine.initrdroot).
_OF_A_ROOT = 100
#: Directories below the TFTP root that are counted at most.
_MOST = 100_000
#: Seconds for a root to answer.
_PATIENCE = 5.0
_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronised


T = TypeVar("T")


def within(seconds: float, work: Callable[[], T], otherwise: T) -> T:
    """What ``work`` gives, ``otherwise`` when that takes longer: a file system on a server that is gone answers
    nothing, and whoever waits for it waits for ever. The thread ends with the process."""
    given = [otherwise]
    thread = Thread(target=lambda: given.append(work()), daemon=True)
    thread.start()
    thread.join(seconds)
    return given[-1]


def look(settings: Settings) -> Host:
    """Everything but the packet filter, which only programs can tell."""
    threads, versions = _nfs()
    paths = [root.path for root in settings.roots if root.path]
    silent = frozenset(path for path in paths if not within(_PATIENCE, partial(_answers, path), False))
    return Host(
        family=_family(),
        privileged=os.geteuid() == 0,
        kernel=os.uname().release,
        programs=frozenset(
            name for name in _PROGRAMS if any(os.access(f"{place}/{name}", os.X_OK) for place in _PLACES)
        ),
        sockets=sockets(PORTS, MOUNTD_PROGRAM),
        networks=networks(),
        leases=leases(),
        nfs_threads=threads,
        nfs_versions=versions,
        selinux=_selinux(),
        labels=_labels((settings.tftp.root, settings.tftp.directory, *_with_directories(_server_files(settings)))),
        nfs_may_export_all=not text_of(f"{_SELINUX}/booleans/nfs_export_all_rw").startswith("0"),
        confined=_confined(),
        inotify=_inotify(),
        directories=_directories(settings),
        spaces=tuple(_spaces(settings, [path for path in paths if path not in silent])),
        closed=tuple(_closed((settings.tftp.directory, *map(os.path.dirname, filter(None, _server_files(settings)))))),
        memory=_memory(),
        synchronised=_synchronised(),
        roots=tuple(_root(root.name, root.path, silent) for root in settings.roots if root.path),
    )


def _with_directories(files: Iterable[str]) -> Iterable[str]:
    """What is not there yet gets the label of its directory."""
    for file in filter(None, files):
        yield from (file, os.path.dirname(file))


def _server_files(settings: Settings) -> tuple[str, ...]:
    """Files that the DHCP server reads as its own user, after it has given up root's rights."""
    return (hosts_place(settings),)


def _family() -> Family:
    text = next(filter(None, (text_of(f"/{place}") for place in PLACES)), "")
    return family_of(text.encode())


def _nfs() -> tuple[int | None, frozenset[str]]:
    """Threads of the kernel's NFS server, and the versions that are on (nfsd(7)); None without one."""
    threads = text_of(f"{_NFSD}/threads").strip()
    versions = text_of(f"{_NFSD}/versions").split()
    return int(threads) if threads.isdigit() else None, frozenset(each[1:] for each in versions if each[0] == "+")


def _selinux() -> str:
    return {"1": "enforcing", "0": "permissive"}.get(text_of(f"{_SELINUX}/enforce").strip(), "")


def _labels(paths: Iterable[str]) -> dict[str, str]:
    """The types of what servers read."""
    found = {}
    for path in paths:
        try:
            label = os.getxattr(path, "security.selinux").rstrip(b"\0").decode(errors="replace").split(":")
        except OSError:
            continue
        if len(label) > 2:
            found[path] = label[2]
    return found


def _confined() -> frozenset[str] | None:
    if not os.path.isdir(os.path.dirname(_APPARMOR)):
        return frozenset()
    try:
        with open(_APPARMOR, encoding="utf-8", errors="replace") as file:
            return parse_apparmor(file.read())
    except OSError:
        return None


def _inotify() -> Inotify:
    limits = (text_of(f"{_INOTIFY}/{name}").strip() for name in ("max_user_watches", "max_user_instances"))
    watches, instances = (int(limit) if limit.isdigit() else 0 for limit in limits)
    if os.geteuid() != 0:
        return Inotify(watches, instances)
    used_watches = used_instances = 0
    # Limits count per user, and osrd runs as root.
    for pid, link in descriptors():
        if link == "anon_inode:inotify" and _is_roots(pid):
            used_instances += 1
    for pid in names_in("/proc"):
        if pid.isdigit() and _is_roots(pid):
            infos = (text_of(f"/proc/{pid}/fdinfo/{name}") for name in names_in(f"/proc/{pid}/fdinfo"))
            used_watches += sum(info.count("\ninotify wd:") for info in infos)
    return Inotify(watches, instances, used_watches, used_instances)


def _is_roots(pid: str) -> bool:
    try:
        return os.stat(f"/proc/{pid}").st_uid == 0
    except OSError:
        return False


def _directories(settings: Settings) -> int:
    count = 64
    for _ in os.walk(settings.tftp.directory):
        count += 1
        if count > _MOST:
            break
    return count + _OF_A_ROOT * sum(root.takes_images for root in settings.roots)


def _spaces(settings: Settings, roots: Iterable[str]) -> Iterable[Space]:
    """Where osrd writes, each file system once. What is not there yet is made in the first directory above it."""
    seen: set[int] = set()
    for wanted in (settings.paths.state, settings.tftp.directory, settings.paths.runtime, *roots):
        path = _present(wanted)
        try:
            device, found = os.stat(path).st_dev, os.statvfs(path)
        except OSError:
            continue
        if device not in seen:
            seen.add(device)
            inodes = found.f_favail if found.f_files else None
            yield Space(path, device, found.f_bavail * found.f_frsize, inodes, bool(found.f_flag & os.ST_RDONLY))


def _present(path: str) -> str:
    while not os.path.isdir(path) and path != "/":
        path = os.path.dirname(path)
    return path


def _closed(paths: Iterable[str]) -> Iterable[str]:
    """The directories on the way to ``paths`` that only some may enter."""
    steps: dict[str, None] = {}
    for path in paths:
        parts = path.split("/")
        steps.update(dict.fromkeys("/".join(parts[:count]) for count in range(2, len(parts) + 1)))
    for step in steps:
        try:
            if not os.stat(step).st_mode & 0o001:
                yield step
        except OSError:
            continue  # osrd makes it


def _memory() -> int:
    for line in text_of("/proc/meminfo").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) // 1024
    return 0


def _synchronised() -> bool | None:
    """Whether somebody keeps the clock right; adjtimex(2) with no modes only tells."""
    state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(ctypes.create_string_buffer(512)))
    return None if state < 0 else state != _TIME_ERROR


def _answers(path: str) -> bool:
    with suppress(OSError):  # an answer, too
        os.statvfs(path)
    return True


def _root(name: str, path: str, silent: frozenset[str]) -> RootOnHost:
    if path in silent:
        return RootOnHost(name, path, f"{path} does not answer: its server is gone, or the way to it")
    try:
        with Inside.open(path) as inside:
            dracut = find_dracut(NodeView(inside))
            modules = inside.names(dracut.modules) if dracut else []
            known = family(InsideReader(inside))
    except OsrdError as error:
        return RootOnHost(name, path, error.message)
    plain = frozenset(module.lstrip("0123456789") for module in modules)
    return RootOnHost(name, path, "", known, dracut.text if dracut else "", plain)
