# SPDX-License-Identifier: GPL-3.0-or-later
"""Build an initrd: the root's own dracut, in a sandbox; kernel and image as files of this host.

Nothing is written into the root, and nothing that runs there can write anything but the image and its log: not even
while this process is killed, since the kernel then ends the rest (see guard.py). Files get their names when they are
complete and on the disk, the image last.
"""

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from osrd.apply.initrd.buildlog import BuildLog, text
from osrd.apply.initrd.place import Place
from osrd.apply.initrd.room import IMAGE, TEMPORARY
from osrd.apply.initrd.sandbox import Hear, Sandbox, Task
from osrd.model.errors import ConflictError, FailedError, InvalidArgsError, NotFoundError
from osrd.model.image import BuildLimits, BuildOrder
from osrd.observe.inside import Inside
from osrd.observe.kernels import VERSION
from osrd.observe.nodeview import NodeView
from osrd.plan.initrd.dracut import Progress, dracut_argv

KERNEL, INITRD, LOG = "kernel", "initrd", "log"

#: device nodes need a right that programs of a root do not get, and cpio keeps no extended attributes
_ENVIRONMENT = {"DRACUT_NO_MKNOD": "1", "DRACUT_NO_XATTR": "1"}
_PART = 1 << 20
#: of the largest allowed image, what has to be free before one is built; it is asked again when the size is known
_LEAST_FREE = 4
_TOLD_LINES = 5
_MOST_LINES = 200

Tell = Callable[[float, str], None]


@dataclass(frozen=True, slots=True)
class Built:
    """A finished build: absolute paths, sha256 in hex, bytes; ``seconds`` it took."""

    kernel: str
    initrd: str
    initrd_digest: str
    initrd_size: int
    seconds: float
    log: str


class BuildFailedError(FailedError):
    """The build was made and did not succeed. ``lines`` are the last ones that it printed, fit to be shown."""

    def __init__(self, message: str, fix: str, lines: tuple[str, ...], log: str, *, passing: bool = False) -> None:
        super().__init__(message, fix, passing=passing)
        self.lines = lines
        self.log = log


def _silent(fraction: float, message: str) -> None:
    """Nobody waits for progress."""


def build(
    order: BuildOrder,
    limits: BuildLimits,
    destination: str,
    progress: Tell = _silent,
    cancelled: Callable[[], bool] = lambda: False,
) -> Built:
    """Build what ``order`` says into the directory ``destination``: the files kernel, initrd and log, which take the
    place of older ones. ``cancelled`` is asked several times a second.

    Raises BuildFailedError; ConflictError when the kernel is not that of the order, or not any more; CancelledError;
    UnsupportedError when this host has no safe place to run programs of a root; NotFoundError, FailedError.
    """
    if not VERSION.fullmatch(order.kernel.version):
        raise InvalidArgsError(f"{order.kernel.version!a} is no version of a kernel")
    try:
        return _built(order, limits, destination, progress, cancelled)
    except OSError as error:
        raise FailedError(f"{error.filename or destination}: {error.strerror}", passing=True) from error


def _built(
    order: BuildOrder, limits: BuildLimits, destination: str, progress: Tell, cancelled: Callable[[], bool]
) -> Built:
    started = time.monotonic()
    with ExitStack() as stack:
        inside = stack.enter_context(Inside.open(order.path))
        place = stack.enter_context(Place(destination))
        place.clear((KERNEL, INITRD, LOG))
        place.check_space(order.kernel.size + (limits.size << 20) // _LEAST_FREE)
        kernel, initrd = (stack.enter_context(place.new_file(name)) for name in (KERNEL, INITRD))
        seen = _copy_kernel(inside, order, kernel.fd)
        log = stack.enter_context(BuildLog(place.fd, LOG))
        with _explained(order, log, place.name(LOG)):
            size = Sandbox(inside, limits, cancelled).run(_task(order), initrd.fd, log, _staged(progress))
        if _kernel_status(inside, order) != seen:
            raise _changed(order)
        kernel.keep()
        initrd.keep()
        digest = _digest(initrd.fd)
    return Built(
        kernel=place.name(KERNEL),
        initrd=place.name(INITRD),
        initrd_digest=digest,
        initrd_size=size,
        seconds=time.monotonic() - started,
        log=place.name(LOG),
    )


def _staged(progress: Tell) -> Hear:
    stages = Progress()

    def hear(lines: Sequence[bytes]) -> None:
        # Only few of them say something, and there may be many more than a real dracut prints.
        told = stages.heard(text(line) for line in lines[-_MOST_LINES:] if b"*** " in line)
        if told is not None:
            progress(*told)

    return hear


@contextmanager
def _explained(order: BuildOrder, log: BuildLog, log_name: str) -> Iterator[None]:
    """What failed in the sandbox, with the last lines that it printed."""
    try:
        yield
    except (FailedError, ConflictError, NotFoundError) as error:
        log.say(error.message)
        lines = log.last
        printed = f" ({' / '.join(lines[-_TOLD_LINES:])})" if lines else ""
        raise BuildFailedError(
            f"the initrd of {order.root} for kernel {order.kernel.version} was not built: {error.message}{printed}",
            error.fix
            if error.passing
            else "; ".join(filter(None, (error.fix, f"all of its output is in {log_name}"))),
            lines,
            log_name,
            passing=error.passing,
        ) from error


def _task(order: BuildOrder) -> Task:
    files = {f"etc/osr/initrd/{path}": data for path, data in order.data.items()}
    files["etc/osr/initrd/build"] = f"{order.fingerprint}\n".encode()
    files |= {f"usr/lib/dracut/{path}": data for path, data in order.modules.items()}
    return Task(dracut_argv(order, IMAGE, TEMPORARY), files, order.link, order.tree, _ENVIRONMENT)


def _copy_kernel(inside: Inside, order: BuildOrder, target: int) -> tuple[int, ...]:
    """What the kernel's file is, after it was copied. Raises ConflictError when it is another kernel."""
    digest = hashlib.sha256()
    with os.fdopen(inside.regular(_kernel_place(inside, order)), "rb", buffering=0) as file:
        before = _identity(os.fstat(file.fileno()))
        left = order.kernel.size
        while data := file.read(min(_PART, left + 1)):
            left -= len(data)
            if left < 0:
                break
            digest.update(data)
            while data:
                data = data[os.write(target, data) :]
    if left or digest.hexdigest() != order.kernel.digest:
        raise _changed(order)
    return before


def _kernel_place(inside: Inside, order: BuildOrder) -> str:
    place = NodeView(inside, order.link, order.tree).physical(order.kernel.image)
    if not place:
        raise NotFoundError(f"{inside.name(order.kernel.image)}: there is no such kernel")
    return place


def _kernel_status(inside: Inside, order: BuildOrder) -> tuple[int, ...]:
    status = inside.status(_kernel_place(inside, order))
    return () if status is None else _identity(status)


def _identity(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_mode, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _changed(order: BuildOrder) -> ConflictError:
    return ConflictError(
        f"{order.kernel.image} of {order.root} changed while its initrd was being built",
        "osrd builds again when it rests",
    )


def _digest(fd: int) -> str:
    with open(f"/proc/self/fd/{fd}", "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
