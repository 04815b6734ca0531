# SPDX-License-Identifier: GPL-3.0-or-later
"""osrd.conf as values. Defaults here are the documented defaults of osrd.conf(5); paths are absolute strings."""

from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network


class BootWay(StrEnum):
    """How a node learns who it is: from its own command line, or from the cluster data inside the initrd (seed)."""

    STATIC = "static"
    FULL = "full"


class Architecture(StrEnum):
    """Firmware families, chosen by the DHCP option 93 of the client (RFC 4578; spec/initrd.md 6.4)."""

    BIOS = "bios"
    X86_64 = "x86_64"
    ARM64 = "arm64"


class BiosLoader(StrEnum):
    PXELINUX = "pxelinux"
    IPXE = "ipxe"


class UefiLoader(StrEnum):
    GRUB = "grub"
    IPXE = "ipxe"


class DhcpBackend(StrEnum):
    DNSMASQ = "dnsmasq"
    ISC = "isc"
    KEA = "kea"
    NONE = "none"


class ReloadMethod(StrEnum):
    """How a running server is told to read its files again.

    SYSTEMD reloads (or restarts, where the unit has no reload) a unit; PIDFILE sends SIGHUP to the process in the
    file; SOCKET talks to Kea's control socket; COMMAND runs an argv; NONE: somebody else does it.
    """

    SYSTEMD = "systemd"
    PIDFILE = "pidfile"
    SOCKET = "socket"
    COMMAND = "command"
    NONE = "none"


class InotifyUse(StrEnum):
    AUTO = "auto"
    NEVER = "never"


class BuildUse(StrEnum):
    """Whether initrds are built. AUTO: for roots that can; YES: one that cannot is an error; NO: never."""

    AUTO = "auto"
    YES = "yes"
    NO = "no"


@dataclass(frozen=True, slots=True)
class Reload:
    """``systemd:dnsmasq.service``, ``pidfile:/run/x.pid``, ``socket:/run/kea/kea4-ctrl-socket``,
    ``command:/usr/sbin/exportfs -r`` (split like a shell would, run without one) or ``none``."""

    method: ReloadMethod = ReloadMethod.NONE
    argument: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Paths:
    state: str = "/var/lib/osrd"
    runtime: str = "/run/osrd"
    cache: str = "/var/cache/osrd"
    templates: str = "/etc/osrd/templates"


@dataclass(frozen=True, slots=True)
class TftpSettings:
    """``root`` is the TFTP server's root; osrd owns the subdirectory ``prefix`` of it ("" when it owns all of it)."""

    root: str = "/srv/tftp"
    prefix: str = "osr"

    @property
    def directory(self) -> str:
        """The directory that osrd owns."""
        return f"{self.root}/{self.prefix}" if self.prefix else self.root

    def served(self, name: str) -> str:
        """What a TFTP client asks for to get the file ``name`` of the owned directory; no leading slash."""
        return f"{self.prefix}/{name}" if self.prefix else name


@dataclass(frozen=True, slots=True)
class BootSettings:
    """``server`` is this host's address as nodes see it; None: taken from the root volumes when they agree.

    ``timeout`` is in seconds; ``http`` is a base URL for kernels and iPXE scripts, "" to use TFTP.
    """

    server: IPv4Address | None = None
    architectures: tuple[Architecture, ...] = (Architecture.BIOS, Architecture.X86_64)
    bios_loader: BiosLoader = BiosLoader.PXELINUX
    uefi_loader: UefiLoader = UefiLoader.GRUB
    secure_boot: bool = False
    way: BootWay = BootWay.FULL
    timeout: int = 5
    append: str = ""
    http: str = ""
    loader_directories: tuple[str, ...] = ("/usr/lib", "/usr/share", "/boot/efi/EFI")
    keep_generations: int = 10


class KernelUse(StrEnum):
    """For which kernels of a root initrds are built: NEWEST, so that there is what nodes boot; ALL, so that each of
    them can be chosen at once."""

    NEWEST = "newest"
    ALL = "all"


#: What ``link`` says in place of a node when this host must mount nothing.
NO_LINK = "none"


@dataclass(frozen=True, slots=True)
class RootSettings:
    """One ``[root NAME]`` section: what this host knows about a shared root of cluster.conf.

    ``volume`` is matched against ``rootvolume@name`` (``server:/path`` or a device), "" matches every volume that
    no other section matches. ``path`` is the root on this host. Kernels and initrds are files of this host.
    ``way`` and ``export_options`` of None mean the general setting; with options of "" this host does not export it.
    ``link`` is the node whose tree is mounted at the link on this host, NO_LINK for none, "" for the lowest node.
    ``kernels`` get initrds when there is no ``kernel``; a node that tried ``previous_after`` times in vain to come up
    with the current image starts the previous one by itself, with 0 never.
    """

    name: str
    volume: str = ""
    path: str = ""
    kernel: str = ""
    initrd: str = ""
    previous_kernel: str = ""
    previous_initrd: str = ""
    way: BootWay | None = None
    append: str = ""
    export_options: str | None = None
    link: str = ""
    kernels: KernelUse = KernelUse.NEWEST
    previous_after: int = 0

    @property
    def left_to_its_server(self) -> bool:
        """Whether its nodes mount it from another host, although it is on this one."""
        return self.export_options == ""

    @property
    def takes_images(self) -> bool:
        """Whether the kernels of its nodes come from osrd's image store."""
        return bool(self.path) and not self.kernel


@dataclass(frozen=True, slots=True)
class SubnetSettings:
    """One ``[subnet NETWORK]`` section. ``range`` serves ip="dhcp" nodes; absent values come from cluster.conf."""

    network: IPv4Network
    range: tuple[IPv4Address, IPv4Address] | None = None
    router: IPv4Address | None = None
    dns: tuple[IPv4Address, ...] = ()
    domain: str = ""
    next_server: IPv4Address | None = None
    interface: str = ""


@dataclass(frozen=True, slots=True)
class DhcpSettings:
    """``config`` and ``hosts`` of "" mean the back end's default place (osrd.conf(5)); lease time is in seconds."""

    backend: DhcpBackend = DhcpBackend.DNSMASQ
    config: str = ""
    hosts: str = ""
    reload: Reload | None = None
    check: bool = True
    program: str = ""
    interfaces: tuple[str, ...] = ()
    lease_time: int = 43200
    serve_tftp: bool = True


@dataclass(frozen=True, slots=True)
class NfsSettings:
    """``exports`` of "" writes none."""

    exports: str = "/etc/exports.d/osrd.exports"
    options: str = "rw,sync,no_root_squash,no_subtree_check"
    reload: Reload | None = None


@dataclass(frozen=True, slots=True)
class HostsSettings:
    """``file`` is the hosts(5) fragment, "" writes none."""

    file: str = "/var/lib/osrd/hosts"


#: What ``server-log`` says in place of a file.
JOURNAL = "journal"


@dataclass(frozen=True, slots=True)
class WatchSettings:
    """Seconds. ``rescan`` is the full comparison while inotify works, ``poll`` the one while it does not;
    ``quiet`` is how long the inputs must rest before a run, ``limit`` how long a burst may delay it. ``server_log`` is
    where the DHCP and TFTP servers log what they do for machines that boot: JOURNAL, a file, or "" for nowhere.
    ``boot_limit`` is how long a boot may take before it is called late."""

    inotify: InotifyUse = InotifyUse.AUTO
    rescan: float = 300.0
    poll: float = 30.0
    quiet: float = 0.05
    limit: float = 1.0
    server_log: str = JOURNAL
    boot_limit: float = 900.0


@dataclass(frozen=True, slots=True)
class BuildSettings:
    """Initrds of roots that are on this host and have no ``kernel``. ``quiet`` is how long a root must rest before a
    build (seconds), ``poll`` how often it is looked at whatever inotify says; ``timeout`` is seconds, ``memory`` and
    ``size`` (of a finished image) are MiB, ``nice`` is that of nice(1); ``keep`` images of a root stay."""

    enabled: BuildUse = BuildUse.AUTO
    quiet: float = 20.0
    poll: float = 60.0
    timeout: float = 900.0
    memory: int = 2048
    nice: int = 10
    keep: int = 5
    size: int = 512


@dataclass(frozen=True, slots=True)
class Settings:
    """All of osrd.conf and its drop-ins."""

    cluster_conf: str = "/etc/cluster/cluster.conf"
    paths: Paths = Paths()
    tftp: TftpSettings = TftpSettings()
    boot: BootSettings = BootSettings()
    roots: tuple[RootSettings, ...] = ()
    dhcp: DhcpSettings = DhcpSettings()
    subnets: tuple[SubnetSettings, ...] = ()
    nfs: NfsSettings = NfsSettings()
    hosts: HostsSettings = HostsSettings()
    watch: WatchSettings = WatchSettings()
    build: BuildSettings = BuildSettings()
    log_level: str = "info"
    #: the files the settings came from, in the order read
    files: tuple[str, ...] = field(default=(), compare=False)
