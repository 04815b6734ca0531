# SPDX-License-Identifier: GPL-3.0-or-later
"""Boot menus: for every NIC of a node that may boot, one file per boot loader; and the files for unknown machines.

A node's files are a pure function of its Node and its Surroundings. Neither holds the config_version nor anything of
another node, so that an edit of one node touches that node's files only.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from osrd.model.address import dashed
from osrd.model.cluster import Cluster, Node
from osrd.model.errors import InvalidConfigError
from osrd.model.finding import Finding, Severity
from osrd.model.output import Content, Kind, Output, Stage, text_recipe
from osrd.model.settings import BootWay, RootSettings, Settings, UefiLoader
from osrd.plan.cmdline import append_words, grub_words, is_plain, is_word, node_words, word
from osrd.plan.kernels import BootPair
from osrd.plan.nicwords import nic_words
from osrd.plan.roots import boot_way
from osrd.plan.templating import TEMPLATES, Renderer, TemplateFailedError, Templates

MENU_KINDS = frozenset({Kind.PXELINUX, Kind.GRUB, Kind.IPXE})

#: The template of a node's file, and the name of that file around ``01-aa-bb-cc-dd-ee-ff``.
_PER_NIC = (
    ("pxelinux.j2", "pxelinux.cfg/", ""),
    ("grub.j2", "grub/grub.cfg-", ""),
    ("ipxe.j2", "ipxe/", ".ipxe"),
)

#: The template of a file for everybody, and its name.
_SHARED = (
    ("pxelinux-default.j2", "pxelinux.cfg/default"),
    ("grub-default.j2", "grub/grub.cfg"),
    ("ipxe-boot.j2", "ipxe/boot.ipxe"),
    ("ipxe-default.j2", "ipxe/default.ipxe"),
)

#: The variables of a node's file that are not the same for all nodes in the same surroundings.
_VARYING = frozenset({"node", "nodeid", "nic", "mac", "bootif", "args", "grub_args"})

#: Surroundings whose menus are remembered: one or two for every root, and more only when they change.
_SURROUNDINGS = 64

_NOT_SHOWN = re.compile(r"[^A-Za-z0-9 _./:=,@%+~()-]", re.ASCII)

#: The entries of a node's menus.
CURRENT, PREVIOUS = "osr", "previous"

#: Called for every output with its content; returns nothing.
Emit = Callable[[Output, Content], None]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Everything but the node that its menus depend on: equal surroundings and an equal node give equal files.
    ``default`` is the entry that is started when nobody chooses."""

    directory: str
    grub_base: str
    ipxe_base: str
    cluster: str
    cluster_file: str
    timeout: int
    way: BootWay
    append: tuple[str, ...]
    pair: BootPair
    templates: str
    kinds: frozenset[Kind]
    default: str = CURRENT


def shown(text: str) -> str:
    """``text`` for comments and messages in any boot loader's file: other characters than plain ones become ``?``."""
    return _NOT_SHOWN.sub("?", text)


def surroundings(
    settings: Settings,
    cluster: Cluster,
    root: RootSettings,
    pair: BootPair,
    *,
    way: BootWay | None = None,
    templates: str,
    kinds: frozenset[Kind],
) -> Surroundings:
    """What the menus of the nodes of ``root`` have in common; ``way`` of None is the configured one. Raises
    InvalidConfigError for settings that no command line can hold."""
    for text, what in (
        (cluster.name, "name of the cluster"),
        (settings.tftp.served("x"), "prefix of [tftp]"),
        (settings.boot.http or "x", "http of [boot]"),
    ):
        word(text, what)
    append = append_words(settings.boot.append, "[boot]") + append_words(root.append, f"[root {root.name}]")
    grub_base, ipxe_base = _bases(settings)
    return Surroundings(
        settings.tftp.directory,
        grub_base,
        ipxe_base,
        cluster.name,
        shown(cluster.file),
        settings.boot.timeout,
        way or boot_way(settings, root),
        append,
        pair,
        templates,
        kinds,
    )


def _bases(settings: Settings) -> tuple[str, str]:
    """Where GRUB and iPXE find the owned directory.

    iPXE resolves names relative to the script, so no address is needed. GRUB's names begin at the root of the device
    it was loaded from. HTTP is only used by a GRUB that osrd built with that module, and without a port, which
    GRUB 2.06 cannot say.
    """
    base = f"/{settings.tftp.served('')}".rstrip("/")
    http = settings.boot.http.rstrip("/")
    if not http:
        return base, ".."
    url = urlsplit(http)
    plain = url.scheme == "http" and ":" not in url.netloc and url.netloc
    if plain and settings.boot.uefi_loader is UefiLoader.GRUB and not settings.boot.secure_boot:
        base = f"(http,{url.netloc}){url.path}"
    return base, http


@dataclass(frozen=True, slots=True)
class _Menu:
    """How one file of every NIC is made in some surroundings: its path around ``01-aa-bb-cc-dd-ee-ff``, its content
    from the variables in _VARYING."""

    kind: Kind
    before: str
    after: str
    made_from: tuple[str, ...]
    render: Renderer


class MenuMaker:
    """Renders menus with one set of templates."""

    def __init__(self, templates: Templates) -> None:
        self.templates = templates
        self._renderers: dict[str, Renderer] = {}
        #: what the last node was surrounded by, and the menus of nodes there
        self._latest: tuple[Surroundings | None, list[_Menu]] = (None, [])
        self._menus: dict[Surroundings, list[_Menu]] = {}

    def node(self, node: Node, around: Surroundings, emit: Emit) -> None:
        """All files of ``node``. Raises InvalidConfigError when its values cannot be put into a command line,
        TemplateFailedError when a template fails; nothing was emitted for that NIC then."""
        if not is_word(node.name):
            word(node.name, "name of the node")
        nics = node.boot_nics
        common = node_words(node, around.cluster, around.way)
        per_nic = [nic_words(node, nic) if around.way is BootWay.STATIC else () for nic in nics]
        menus = self._within(around) if nics else []
        for nic, extra in zip(nics, per_nic, strict=True):
            words = (*common, *extra, *around.append)
            args, bootif = " ".join(words), dashed(nic.mac)
            values = {
                "node": node.name,
                "nodeid": node.nodeid,
                "nic": shown(nic.name),
                "mac": nic.mac,
                "bootif": bootif,
                "args": args,
                "grub_args": args if is_plain(args) else grub_words(words),
            }
            for menu in menus:
                content = menu.render(values)
                path = f"{menu.before}{bootif}{menu.after}"
                emit(Output(path, menu.kind, Stage.MENU, text_recipe(content), node.name, menu.made_from), content)

    def _within(self, around: Surroundings) -> list[_Menu]:
        """The menus of nodes in these surroundings. Raises TemplateFailedError."""
        latest, menus = self._latest
        if latest is not around:  # comparing takes longer than making a menu
            if around not in self._menus:
                if len(self._menus) >= _SURROUNDINGS:
                    self._menus.clear()
                self._menus[around] = self._made(around)
            menus = self._menus[around]
            self._latest = around, menus
        return menus

    def _made(self, around: Surroundings) -> list[_Menu]:
        shared = _shared_values(around)
        return [
            _Menu(
                TEMPLATES[name],
                f"{around.directory}/{before}",
                after,
                (around.cluster_file, self.templates.origin(name)),
                self.templates.filling(name, shared, _VARYING),
            )
            for name, before, after in _PER_NIC
            if TEMPLATES[name] in around.kinds
        ]

    def shared(self, cluster: Cluster, settings: Settings, kind: Kind, emit: Emit) -> None:
        """The files of ``kind`` for machines that are no nodes. Raises TemplateFailedError."""
        values = {
            **self.templates.globals,
            "cluster": shown(cluster.name),
            "cluster_file": shown(cluster.file),
            "timeout": settings.boot.timeout,
        }
        made = []
        for name, path in _SHARED:
            if TEMPLATES[name] is kind:
                content = self._renderer(name)(values)
                made_from = (shown(cluster.file), self.templates.origin(name))
                output = Output(
                    f"{settings.tftp.directory}/{path}",
                    kind,
                    Stage.MENU,
                    text_recipe(content),
                    made_from=made_from,
                )
                made.append((output, content))
        for output, content in made:
            emit(output, content)

    def _renderer(self, name: str) -> Renderer:
        renderer = self._renderers.get(name)
        if renderer is None:
            renderer = self._renderers[name] = self.templates.renderer(name)
        return renderer

    def broken(self, kind: Kind) -> Finding | None:
        """What is wrong with the templates of ``kind`` as far as compiling them shows."""
        for name, made in TEMPLATES.items():
            if made is kind:
                try:
                    self._renderer(name)
                except TemplateFailedError as error:
                    return error.finding
        return None


def _shared_values(around: Surroundings) -> dict[str, object]:
    pair = around.pair
    return {
        "cluster": around.cluster,
        "cluster_file": around.cluster_file,
        "timeout": around.timeout,
        "default": around.default,
        "base": around.grub_base,
        "ipxe_base": around.ipxe_base,
        "kernel": pair.kernel,
        "initrd": pair.initrd,
        "initrd_name": pair.initrd.rpartition("/")[2],
        "previous_kernel": pair.previous_kernel,
        "previous_initrd": pair.previous_initrd,
        "previous_initrd_name": pair.previous_initrd.rpartition("/")[2],
    }


def refused(node: Node, error: InvalidConfigError) -> Finding:
    """A node whose values cannot be told to a boot loader."""
    return Finding(
        "not-bootable",
        Severity.ERROR,
        f"node {node.name}: {error.message}; its boot entries stay as they are",
        error.fix or "correct the node in cluster.conf",
        node=node.name,
    )


def unusable(root: RootSettings, error: InvalidConfigError) -> Finding:
    """Settings that no menu of the nodes of ``root`` can hold."""
    return Finding(
        "menus-impossible",
        Severity.ERROR,
        f"no menus can be made for nodes of [root {root.name}]: {error.message}; those published stay",
        error.fix,
    )


def without(around: Surroundings, kinds: frozenset[Kind]) -> Surroundings:
    """The same without the menus of broken templates."""
    return replace(around, kinds=around.kinds - kinds) if kinds & around.kinds else around
