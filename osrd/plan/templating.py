# SPDX-License-Identifier: GPL-3.0-or-later
"""Jinja2 templates of boot menus: sandboxed, strict, and with the file and line of whatever is wrong in them.

Everything Jinja can raise is caught here and nowhere else. An administrator's template that fails stops the outputs
of its kind (they stay as published), never anything else (law 4).
"""

from collections.abc import Callable, Collection, Mapping
from difflib import get_close_matches
from hashlib import sha256
from types import TracebackType

from jinja2 import StrictUndefined, Template, TemplateError, TemplateNotFound, TemplateSyntaxError
from jinja2.loaders import FunctionLoader
from jinja2.sandbox import ImmutableSandboxedEnvironment

from osrd.model.errors import InvalidConfigError
from osrd.model.finding import Finding, Place, Severity
from osrd.model.netboot import TemplateSource
from osrd.model.output import Kind
from osrd.plan.fixedforms import form, gaps, only_filled_in

#: Every template osrd uses, and the kind of output that it makes.
TEMPLATES: Mapping[str, Kind] = {
    "pxelinux.j2": Kind.PXELINUX,
    "pxelinux-default.j2": Kind.PXELINUX,
    "grub.j2": Kind.GRUB,
    "grub-default.j2": Kind.GRUB,
    "ipxe.j2": Kind.IPXE,
    "ipxe-boot.j2": Kind.IPXE,
    "ipxe-default.j2": Kind.IPXE,
}

#: Under this prefix an override finds the template that it replaces: ``{% extends "builtin/grub.j2" %}``.
BUILTIN = "builtin/"

#: What expressions in a template can end with, besides Jinja's own errors (1/0, [][1], "a"+1, range(10**9), ...).
_FAILURES = (TemplateError, ArithmeticError, LookupError, TypeError, ValueError, AttributeError, RecursionError,
             MemoryError)  # fmt: skip

#: Called with the flat variables of a template, over Templates.globals; returns the file's content.
Renderer = Callable[[Mapping[str, object]], bytes]


class TemplateFailedError(InvalidConfigError):
    """A template cannot be used. ``finding`` has its file and line."""

    def __init__(self, kind: Kind, finding: Finding) -> None:
        super().__init__(finding.message, finding.fix)
        self.kind = kind
        self.finding = finding


class Templates:
    """A set of template sources, compiled when first needed. ``digest`` identifies all of it."""

    def __init__(self, sources: Mapping[str, TemplateSource]) -> None:
        self._sources = sources
        self._environment = ImmutableSandboxedEnvironment(
            loader=FunctionLoader(self._load),
            undefined=StrictUndefined,
            autoescape=False,  # no HTML; values are checked before they get here
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
            auto_reload=False,
        )
        parts = (f"{name}\0{source.origin}\0{source.text}" for name, source in sorted(sources.items()))
        self.digest = sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()

    @property
    def globals(self) -> Mapping[str, object]:
        """What every template may use besides its variables (range, dict, ...); to be merged into them."""
        return self._environment.globals

    def origin(self, name: str) -> str:
        """The file that the template ``name`` comes from."""
        return self._sources[name].origin if name in self._sources else name

    def renderer(self, name: str) -> Renderer:
        """Compile the template. Raises TemplateFailedError; so does the renderer itself."""
        source = self._sources.get(name)
        if source is not None and source.error:
            raise TemplateFailedError(TEMPLATES[name], _unreadable(source))
        try:
            template = self._environment.get_template(name)
        except TemplateSyntaxError as error:
            # error.filename is that of an included template when that is the broken one.
            place = Place(error.filename or self.origin(name), error.lineno)
            raise TemplateFailedError(TEMPLATES[name], _broken(place, error.message or "syntax error")) from None
        except _FAILURES as error:
            raise self._failure(name, error) from None
        return self._rendering(name, template)

    def filling(self, name: str, shared: Mapping[str, object], varying: Collection[str]) -> Renderer:
        """``renderer(name)`` for files that have the variables ``shared`` in common, which it knows already: it is
        called with those of ``varying`` only. The bytes are the same; a template that is but a text with gaps (see
        ``fixedforms``) is rendered now, and the gaps are filled in later. Raises TemplateFailedError."""
        render = self.renderer(name)
        known = {**self.globals, **shared}
        if only_filled_in(self._environment.parse(self._sources[name].text), varying, shared):
            text, blank = render({**known, **gaps(varying)}), render({**known, **dict.fromkeys(varying, "")})
            filled = form(text.decode(), blank.decode())
            if filled is not None:
                return lambda values: (filled % values).encode()
        return lambda values: render({**known, **values})

    def _rendering(self, name: str, template: Template) -> Renderer:
        root, join, new_context = template.root_render_func, "".join, template.new_context
        template.globals = dict(template.globals)  # each context copies its keys, which takes a ChainMap 3 us

        def render(values: Mapping[str, object]) -> bytes:
            # What Template.render() does without copying the variables: 30,000 files are made in one go. That is
            # why they have to hold the globals too.
            try:
                return join(root(new_context(values, shared=True))).encode()  # type: ignore[arg-type]
            except _FAILURES as error:
                raise self._failure(name, error) from None

        return render

    def _load(self, name: str) -> tuple[str, str, Callable[[], bool]] | None:
        source = self._sources.get(name)
        return (source.text, source.origin, lambda: True) if source else None

    def _failure(self, name: str, error: BaseException) -> TemplateFailedError:
        if isinstance(error, TemplateSyntaxError):
            place = Place(error.filename or self.origin(name), error.lineno)
        else:
            place = _place(error.__traceback__) or Place(self.origin(name))
        if isinstance(error, TemplateNotFound):
            reason = f"there is no template {error.name!r} to include"
        else:
            reason = str(error) or type(error).__name__
        return TemplateFailedError(TEMPLATES[name], _broken(place, reason))


def unknown_overrides(sources: Mapping[str, TemplateSource]) -> tuple[Finding, ...]:
    """A warning for every template file that osrd never uses: most likely its name is misspelt."""
    findings = []
    for name, source in sorted(sources.items()):
        if name in TEMPLATES or name.startswith(BUILTIN):
            continue
        close = get_close_matches(name, TEMPLATES, 1, 0.75)
        guess = f"rename it to {close[0]}" if close else f"use one of {', '.join(TEMPLATES)}"
        findings.append(
            Finding(
                "template-unknown",
                Severity.WARNING,
                f"no output is made from a template named {name}",
                f"{guess}, or ignore this if another template includes it",
                Place(source.origin),
                value=name,
                other=close[0] if close else "",
            )
        )
    return tuple(findings)


def _place(traceback: TracebackType | None) -> Place | None:
    """The line of the innermost template that the exception passed through."""
    place = None
    while traceback is not None:
        template = traceback.tb_frame.f_globals.get("__jinja_template__")
        if isinstance(template, Template) and template.filename:
            place = Place(template.filename, template.get_corresponding_lineno(traceback.tb_lineno))
        traceback = traceback.tb_next
    return place


def _broken(place: Place, reason: str) -> Finding:
    text = " ".join(reason.split())
    return Finding(
        "template-broken",
        Severity.ERROR,
        f"the template cannot be used: {text[:300]}; files made from it stay as they are",
        "correct the template, or remove the file to use the one that comes with osrd",
        place,
    )


def _unreadable(source: TemplateSource) -> Finding:
    return _broken(Place(source.origin), source.error)
