# SPDX-License-Identifier: GPL-3.0-or-later
"""What a program of a root may do to the kernel of this host: prctl(2), capabilities(7), seccomp(2), setrlimit(2).

It runs as user 0 of the host, since it must read and copy files of every owner. What that user may do without any
capability is bounded by where it is (the namespaces, and a /proc that cannot be written to); of the capabilities it
has those that concern files. The seccomp filter takes the ways by which user 0 gets more: a user namespace of its own,
in which it would have all capabilities over new mounts and networks, and the keys of the host's user 0.
"""

import ctypes
import os
import resource
import struct

_PR_SET_SECCOMP, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 22, 24, 38
_SECCOMP_MODE_FILTER = 2
_CAPABILITY_VERSION_3 = 0x20080522
_CHOWN, _DAC_OVERRIDE, _FOWNER, _FSETID, _SYS_CHROOT = 0, 1, 3, 4, 18
#: SYS_CHROOT: ldconfig -r, which dracut calls. Without MKNOD and SETFCAP dracut is told not to try (DRACUT_NO_MKNOD,
#: DRACUT_NO_XATTR): a kernel makes the device nodes itself, and cpio keeps no attributes.
KEPT = (_CHOWN, _DAC_OVERRIDE, _FOWNER, _FSETID, _SYS_CHROOT)
_LAST_CAPABILITY = 63

# struct seccomp_data: nr, arch, instruction pointer, arguments
_NR, _ARCH, _FIRST_ARGUMENT = 0, 4, 16
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_EPERM, _ENOSYS = 1, 38
#: of clone(2): mounts, cgroup, uts, ipc, user, pid, net
_NEW_NAMESPACE = 0x7E020000
#: x32 calls of x86-64 have this bit
_X32 = 0x40000000
_CLONE3, _IO_URING_SETUP = 435, 425
#: architecture: the number of clone and those of add_key, request_key, keyctl, unshare, setns, bpf, perf_event_open,
#: userfaultfd (arch/*/entry/syscalls/*.tbl of Linux)
_CALLS = {
    0xC000003E: (56, (248, 249, 250, 272, 308, 321, 298, 323)),  # x86-64
    0x40000003: (120, (286, 287, 288, 310, 346, 357, 336, 374)),  # i386
    0xC00000B7: (220, (217, 218, 219, 97, 268, 280, 241, 282)),  # arm64
    0x40000028: (120, (309, 310, 311, 337, 375, 386, 364, 388)),  # arm
    0xC00000F3: (220, (217, 218, 219, 97, 268, 280, 241, 282)),  # riscv64
}
#: what the machines run that the filter is for; on others there is none
_ARCHITECTURES = {
    "x86_64": (0xC000003E, 0x40000003),
    "aarch64": (0xC00000B7, 0x40000028),
    "riscv64": (0xC00000F3,),
}


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Capabilities(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


class _Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


_libc = ctypes.CDLL(None, use_errno=True)
_libc.prctl.argtypes = (ctypes.c_int, *(ctypes.c_ulong,) * 4)


def restrict(size: int, memory: int, nice: int) -> None:
    """This process and all that it starts: files of at most ``size`` bytes, ``memory`` bytes of address space each, no
    more rights than those above. There is no way back. Raises OSError."""
    os.nice(nice)
    _limit(resource.RLIMIT_FSIZE, size)
    _limit(resource.RLIMIT_AS, memory)
    # Not 0: a program of this host that collects cores would be started for that, with what the attacker wants in it.
    _limit(resource.RLIMIT_CORE, 1)
    _limit(resource.RLIMIT_NOFILE, 4096)
    _limit(resource.RLIMIT_MEMLOCK, 0)
    _drop_capabilities()
    _filter_calls()


def _limit(which: int, value: int) -> None:
    hard = resource.getrlimit(which)[1]
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(which, (value, value))


def _drop_capabilities() -> None:
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    for capability in range(_LAST_CAPABILITY + 1):
        if capability not in KEPT:
            # EPERM without CAP_SETPCAP. It changes nothing: with no_new_privs a program has at most the permitted
            # ones of its parent (capabilities(7)).
            _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    kept = sum(1 << capability for capability in KEPT)
    header = _Header(_CAPABILITY_VERSION_3, 0)
    halves = (_Capabilities * 2)()
    halves[0] = _Capabilities(kept, kept, 0)
    if _libc.capset(ctypes.byref(header), halves) != 0:
        raise _error("capset")


def _filter_calls() -> None:
    architectures = _ARCHITECTURES.get(os.uname().machine, ())
    if not architectures:
        return
    code = [_step(_LOAD, _ARCH)]
    for architecture in architectures:
        block = _block(architecture)
        code += [_step(_EQUAL, architecture, 0, len(block)), *block]
    code.append(_step(_RETURN, _ERRNO | _ENOSYS))
    program = _Program(len(code), b"".join(code))
    _prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(program))


def _block(architecture: int) -> list[bytes]:
    clone, refused = _CALLS[architecture]
    block = [_step(_LOAD, _NR)]
    block += [_step(_AT_LEAST, _X32, 0, 1), _step(_RETURN, _ERRNO | _ENOSYS)]
    for number in refused:
        block += [_step(_EQUAL, number, 0, 1), _step(_RETURN, _ERRNO | _EPERM)]
    # What clone3 wants is in memory, where a filter cannot look; libraries then use clone.
    for number in (_CLONE3, _IO_URING_SETUP):
        block += [_step(_EQUAL, number, 0, 1), _step(_RETURN, _ERRNO | _ENOSYS)]
    block += [_step(_EQUAL, clone, 0, 3), _step(_LOAD, _FIRST_ARGUMENT)]
    block += [_step(_ANY_BIT, _NEW_NAMESPACE, 0, 1), _step(_RETURN, _ERRNO | _EPERM)]
    return [*block, _step(_RETURN, _ALLOW)]


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    """struct sock_filter."""
    return struct.pack("=HBBI", code, if_true, if_false, value)


def _prctl(option: int, value: int, more: int = 0) -> None:
    if _libc.prctl(option, value, more, 0, 0) != 0:
        raise _error("prctl")


def _error(name: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), name)
