# SPDX-License-Identifier: GPL-3.0-or-later
"""Fingerprints as JSON, as osrd keeps them beside its images."""

import json

from osrd.model.errors import InvalidConfigError
from osrd.model.image import Fingerprint, InputKind

_FORMAT = 1
#: 20,000 nodes and 20,000 files are far below this
_LARGEST = 32 << 20
_MOST_INPUTS = 400_000
_KINDS = frozenset(kind.value for kind in InputKind)


def render_fingerprint(fingerprint: Fingerprint) -> bytes:
    """Byte-stable: equal fingerprints, equal bytes."""
    inputs: dict[str, dict[str, str]] = {}
    for kind, name in sorted(fingerprint.inputs):
        inputs.setdefault(kind.value, {})[name] = fingerprint.inputs[kind, name]
    document = {"format": _FORMAT, "value": fingerprint.value, "inputs": inputs}
    return json.dumps(document, separators=(",", ":")).encode("ascii") + b"\n"


def parse_fingerprint(data: bytes, file: str) -> Fingerprint:
    """Raises InvalidConfigError naming ``file`` for anything else, and for what a newer osrd wrote. The value is
    taken as written: whoever asks whether something changed computes a new one anyway."""
    if len(data) > _LARGEST:
        raise InvalidConfigError(
            f"{file}: has more than {_LARGEST} bytes", "remove it; the initrd is then built again"
        )
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _odd(file, "is not JSON") from error
    if not isinstance(document, dict) or not isinstance(document.get("format"), int):
        raise _odd(file, "says no format")
    if document["format"] > _FORMAT:
        raise InvalidConfigError(
            f"{file}: was written by a newer osrd (format {document['format']})", "install that version again"
        )
    value, kinds = document.get("value"), document.get("inputs")
    if not isinstance(value, str) or not isinstance(kinds, dict):
        raise _odd(file, "has no value and inputs")
    inputs: dict[tuple[InputKind, str], str] = {}
    for kind, names in kinds.items():
        if kind not in _KINDS or not isinstance(names, dict):
            raise _odd(file, f"has inputs of the unknown kind {kind[:40]!r}")
        for name, digest in names.items():
            if not isinstance(digest, str):
                raise _odd(file, "has an input whose digest is no text")
            inputs[InputKind(kind), name] = digest
        if len(inputs) > _MOST_INPUTS:
            raise _odd(file, f"has more than {_MOST_INPUTS} inputs")
    return Fingerprint(value, inputs)


def _odd(file: str, problem: str) -> InvalidConfigError:
    return InvalidConfigError(f"{file}: {problem}", "remove it; the initrd is then built again")
