# SPDX-License-Identifier: GPL-3.0-or-later
"""Boot loader programs: where distributions keep them, which are needed, and under which name they are served."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from ipaddress import AddressValueError, IPv4Address

from osrd.model.cluster import RootVolume
from osrd.model.finding import Finding, Severity
from osrd.model.netboot import BootFiles, HostFacts
from osrd.model.output import BuiltBy, Content, CopyOf, Kind, Output, Stage
from osrd.model.settings import Architecture, BiosLoader, Settings, UefiLoader


@dataclass(frozen=True, slots=True)
class Copied:
    """A file that is copied: where it may be below a loader directory (first found wins), and how to get it."""

    name: str
    places: tuple[str, ...]
    debian: str
    fedora: str


@dataclass(frozen=True, slots=True)
class Built:
    """A GRUB that grub-mkimage makes from the modules in ``modules`` below a loader directory."""

    name: str
    target: str
    debian: str
    fedora: str


@dataclass(frozen=True, slots=True)
class Chain:
    """Programs that only work together: each of ``sets`` (shim, GRUB, MokManager) comes from one distribution, below
    one loader directory."""

    names: tuple[str, str, str]
    sets: tuple[tuple[str, str, str], ...]
    debian: str
    fedora: str


_VENDORS = ("fedora", "redhat", "centos", "rocky", "almalinux")


def _chain(arch: str, debian_arch: str, packages: tuple[str, str]) -> Chain:
    debian = (
        f"shim/shim{arch}.efi.signed",
        f"grub/{debian_arch}-efi-signed/grubnet{arch}.efi.signed",
        f"shim/mm{arch}.efi.signed",
    )
    fedora = tuple((f"{v}/shim{arch}.efi", f"{v}/grub{arch}.efi", f"{v}/mm{arch}.efi") for v in _VENDORS)
    # shim looks for GRUB and MokManager under exactly these names, beside itself.
    return Chain((f"shim{arch}.efi", f"grub{arch}.efi", f"mm{arch}.efi"), (debian, *fedora), *packages)


_PXELINUX = (
    Copied("pxelinux.0", ("PXELINUX/pxelinux.0", "syslinux/pxelinux.0"), "pxelinux", "syslinux-nonlinux"),
    Copied(
        "ldlinux.c32",
        ("syslinux/modules/bios/ldlinux.c32", "syslinux/ldlinux.c32"),
        "syslinux-common",
        "syslinux-nonlinux",
    ),
)
_IPXE = {
    Architecture.BIOS: Copied("undionly.kpxe", ("ipxe/undionly.kpxe",), "ipxe", "ipxe-bootimgs-x86"),
    Architecture.X86_64: Copied(
        "ipxe.efi",
        ("ipxe/ipxe.efi", "ipxe/ipxe-x86_64.efi", "ipxe/snponly.efi", "ipxe/ipxe-snponly-x86_64.efi"),
        "ipxe",
        "ipxe-bootimgs-x86",
    ),
    Architecture.ARM64: Copied(
        "ipxe-arm64.efi",
        ("ipxe/ipxe-arm64.efi", "ipxe/arm64-efi/ipxe.efi", "ipxe/arm64-efi/snponly.efi", "ipxe/snponly-arm64.efi"),
        "ipxe",
        "ipxe-bootimgs-aarch64",
    ),
}
_GRUB = {
    Architecture.X86_64: Built("grubx64.efi", "x86_64-efi", "grub-efi-amd64-bin", "grub2-efi-x64-modules"),
    Architecture.ARM64: Built("grubaa64.efi", "arm64-efi", "grub-efi-arm64-bin", "grub2-efi-aa64-modules"),
}
_SIGNED = {
    Architecture.X86_64: _chain("x64", "x86_64", ("shim-signed grub-efi-amd64-signed", "shim-x64 grub2-efi-x64")),
    Architecture.ARM64: _chain("aa64", "arm64", ("shim-signed grub-efi-arm64-signed", "shim-aa64 grub2-efi-aa64")),
}

_MKIMAGE = ("/usr/bin/grub-mkimage", "/usr/bin/grub2-mkimage")
_MKIMAGE_PACKAGES = ("grub-common", "grub2-tools")

#: What must be inside the image: it cannot fetch modules, since osrd serves none. ``minicmd`` has exit, ``all_video``
#: leaves the kernel a frame buffer, ``gzio`` reads compressed files.
_MODULES = (
    *("normal", "configfile", "linux", "net", "efinet", "tftp", "http", "regexp", "echo", "test", "true", "sleep"),
    *("minicmd", "reboot", "halt", "boot", "ls", "gzio", "all_video"),
)

Loader = tuple[Copied, ...] | Built | Chain


def wanted(settings: Settings) -> dict[Architecture, Loader]:
    """The loader of every firmware family that is to be served."""
    boot = settings.boot
    result: dict[Architecture, Loader] = {}
    for arch in boot.architectures:
        if arch is Architecture.BIOS:
            result[arch] = _PXELINUX if boot.bios_loader is BiosLoader.PXELINUX else (_IPXE[arch],)
        elif boot.uefi_loader is UefiLoader.IPXE:
            result[arch] = (_IPXE[arch],)
        else:
            result[arch] = _SIGNED[arch] if boot.secure_boot else _GRUB[arch]
    return result


def _names(loader: Loader) -> tuple[str, ...]:
    """The names of all files that are published for this loader, the one for DHCP first."""
    if isinstance(loader, Chain):
        return loader.names
    return (loader.name,) if isinstance(loader, Built) else tuple(copied.name for copied in loader)


def sources(settings: Settings) -> tuple[str, ...]:
    """Every path at which a file that is needed may be."""
    places: list[str] = []
    for loader in wanted(settings).values():
        if isinstance(loader, Built):
            places += _MKIMAGE
            continue
        sets = loader.sets if isinstance(loader, Chain) else tuple(copied.places for copied in loader)
        for base in settings.boot.loader_directories:
            places += [f"{base}/{name}" for names in sets for name in names]
    return tuple(dict.fromkeys(places))


def module_directories(settings: Settings) -> tuple[str, ...]:
    """Every directory in which the modules of a GRUB that is to be built may be."""
    return tuple(
        f"{base}/grub/{loader.target}"
        for loader in wanted(settings).values()
        if isinstance(loader, Built)
        for base in settings.boot.loader_directories
    )


def served_files(settings: Settings) -> tuple[str, ...]:
    """The paths below the TFTP root whose presence matters: published loaders, and what a signed GRUB reads."""
    own = [f"{settings.tftp.directory}/{name}" for loader in wanted(settings).values() for name in _names(loader)]
    return (*own, _signed_configuration(settings))


def _signed_configuration(settings: Settings) -> str:
    return f"{settings.tftp.root}/grub/grub.cfg"


@dataclass(slots=True)
class LoaderPlan:
    """The loaders to publish. ``keep`` says that one is served which could not be made again: freeze them. ``usable``
    are the families with a loader: one to publish now, or one that is there from before."""

    outputs: list[Output] = field(default_factory=list)
    contents: dict[str, Content] = field(default_factory=dict)
    usable: dict[Architecture, str] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    keep: bool = False

    def add(self, settings: Settings, name: str, recipe: str, content: Content, made_from: tuple[str, ...]) -> None:
        path = f"{settings.tftp.directory}/{name}"
        self.outputs.append(Output(path, Kind.LOADER, Stage.LOADER, recipe, made_from=made_from))
        self.contents[recipe] = content


def plan_loaders(settings: Settings, facts: HostFacts) -> LoaderPlan:
    """All loaders that are wanted and can be had; a finding naming the package for each of the others."""
    plan = LoaderPlan()
    for arch, loader in wanted(settings).items():
        if isinstance(loader, Built):
            complete = _build(plan, loader, settings, facts)
        elif isinstance(loader, Chain):
            complete = _copy_chain(plan, arch, loader, settings, facts)
        else:
            copies = [_copy(plan, copied, settings, facts) for copied in loader]  # all, for all findings
            complete = all(copies)
        names = _names(loader)
        present = {name for name in names if f"{settings.tftp.directory}/{name}" in facts.present}
        if complete or len(present) == len(names):
            plan.usable[arch] = settings.tftp.served(names[0])
        plan.keep |= not complete and bool(present)
    return plan


def _copy_from(plan: LoaderPlan, name: str, source: str, settings: Settings, facts: HostFacts) -> None:
    state = facts.files[source]
    plan.add(settings, name, state.digest, CopyOf(source, state.digest, state.size), (source,))


def _copy(plan: LoaderPlan, copied: Copied, settings: Settings, facts: HostFacts) -> bool:
    for place in copied.places:
        for base in settings.boot.loader_directories:
            if f"{base}/{place}" in facts.files:
                _copy_from(plan, copied.name, f"{base}/{place}", settings, facts)
                return True
    plan.findings.append(_missing(copied.name, copied.debian, copied.fedora, settings))
    return False


def _copy_chain(plan: LoaderPlan, arch: Architecture, chain: Chain, settings: Settings, facts: HostFacts) -> bool:
    """Shim, GRUB and MokManager of one origin, or nothing: a shim refuses a GRUB that another vendor signed."""
    closest: list[str] = []
    for names in chain.sets:
        for base in settings.boot.loader_directories:
            paths = [f"{base}/{name}" for name in names]
            absent = [path for path in paths if path not in facts.files]
            if not absent:
                for name, path in zip(chain.names, paths, strict=True):
                    _copy_from(plan, name, path, settings, facts)
                plan.findings += _signed_reads_elsewhere(settings, facts) if names is chain.sets[0] else ()
                return True
            if len(absent) < len(paths) and (not closest or len(absent) < len(closest)):
                closest = absent
    finding = _missing(chain.names[0], chain.debian, chain.fedora, settings)
    if closest:
        finding = Finding(
            "loader-incomplete",
            Severity.ERROR,
            f"the Secure Boot chain for {arch} is incomplete ({', '.join(closest)} missing) and half a chain does not "
            "boot; nothing of it is published",
            finding.fix,
            value=closest[0],
        )
    plan.findings.append(finding)
    return False


def _signed_reads_elsewhere(settings: Settings, facts: HostFacts) -> tuple[Finding, ...]:
    """Debian's signed GRUB has the directory /grub of the TFTP root compiled in."""
    path = _signed_configuration(settings)
    if not settings.tftp.prefix or path in facts.present:
        return ()
    return (
        Finding(
            "signed-grub-elsewhere",
            Severity.WARNING,
            f"the signed GRUB of Debian reads {path}, outside the directory that osrd owns, and there is no such file",
            f"ln -s {settings.tftp.prefix}/grub {settings.tftp.root}/grub, or set prefix = in [tftp] to nothing",
            value=path,
        ),
    )


def _build(plan: LoaderPlan, built: Built, settings: Settings, facts: HostFacts) -> bool:
    program = next((path for path in _MKIMAGE if path in facts.files), None)
    if program is None:
        plan.findings.append(_missing("grub-mkimage", *_MKIMAGE_PACKAGES, settings))
    bases = settings.boot.loader_directories
    directory = next((path for base in bases if (path := f"{base}/grub/{built.target}") in facts.modules), None)
    if directory is None:
        plan.findings.append(_missing(built.name, built.debian, built.fedora, settings))
    if program is None or directory is None:
        return False
    # Without a device in the prefix GRUB takes the one it was loaded from; below the prefix it then looks for
    # grub.cfg-01-<mac> before grub.cfg, by itself.
    prefix = "/" + settings.tftp.served("grub")
    argv = (program, "--directory", directory, "--prefix", prefix, "--output", "{output}", "--format", built.target,
            *_MODULES)  # fmt: skip
    inputs = "\0".join((*argv, facts.files[program].digest, facts.modules[directory]))
    recipe = f"built:{sha256(inputs.encode('utf-8', 'surrogateescape')).hexdigest()}"
    plan.add(settings, built.name, recipe, BuiltBy(argv), (program, directory))
    return True


def _missing(name: str, debian: str, fedora: str, settings: Settings) -> Finding:
    return Finding(
        "loader-missing",
        Severity.ERROR,
        f"boot loader file {name} was not found below {', '.join(settings.boot.loader_directories)}; one that is "
        "published already stays",
        f"apt-get install {debian} (Debian) or dnf install {fedora} (Fedora)",
        value=name,
    )


def boot_server(settings: Settings, volumes: Iterable[RootVolume]) -> str:
    """This host's IPv4 address as nodes see it: configured, or the NFS server that all root volumes agree on; ""
    when neither says."""
    if settings.boot.server is not None:
        return str(settings.boot.server)
    servers = {volume.server for volume in volumes if volume.is_nfs}
    if len(servers) != 1:
        return ""
    try:
        return str(IPv4Address(servers.pop()))
    except AddressValueError:
        return ""


def no_server() -> Finding:
    return Finding(
        "no-boot-server",
        Severity.ERROR,
        "the address of this host as nodes see it is not configured, and the root volumes do not agree on one IPv4 "
        "address; DHCP and exports stay as they are",
        "set [boot] server in osrd.conf",
        attribute="server",
    )


def boot_files(settings: Settings, server: str, usable: dict[Architecture, str]) -> BootFiles:
    """What DHCP tells clients. ``http`` is the URL of the owned directory."""
    script = "ipxe/boot.ipxe"
    http = settings.boot.http.rstrip("/")
    # iPXE takes a plain name from next-server, of which each subnet can have its own.
    return BootFiles(server, usable, f"{http}/{script}" if http else settings.tftp.served(script))
