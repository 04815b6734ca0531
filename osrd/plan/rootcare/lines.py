# SPDX-License-Identifier: GPL-3.0-or-later
"""Editing configuration files by lines: what is not edited keeps every byte."""

from collections.abc import Callable, Iterable

#: bytes of one configuration file; real ones have a few thousand
LARGEST = 1 << 20


def lines(data: bytes) -> list[bytes]:
    """With their line ends; other control characters than the line feed end no line."""
    parts = data.split(b"\n")
    whole = [part + b"\n" for part in parts[:-1]]
    return [*whole, parts[-1]] if parts[-1] else whole


def commented(data: bytes, numbers: Iterable[int]) -> bytes:
    """``data`` with these lines (counted from 1) turned into comments."""
    chosen = set(numbers)
    return b"".join(b"# " + line if number in chosen else line for number, line in enumerate(lines(data), 1))


def edited(data: bytes, edit: Callable[[bytes], bytes | None]) -> bytes:
    """``data`` with each line as ``edit`` (given it without its end) returns it; None removes the line."""
    out = []
    for line in lines(data):
        body = line.rstrip(b"\r\n")
        new = edit(body)
        if new is not None:
            out.append(new + line[len(body) :])
    return b"".join(out)


def assignment(line: bytes) -> tuple[str, str]:
    """``KEY=value`` of a shell-like file, quotes taken off; ("", "") for anything else."""
    text = line.decode(errors="replace").strip()
    key, equals, value = text.partition("=")
    if not equals or key.startswith("#"):
        return "", ""
    value = value.strip()
    quote = value[:1] if value[:1] in ("'", '"') else ""
    return key.strip(), value[1:].partition(quote)[0] if quote else value.partition(" #")[0].strip()


def assigned(data: bytes) -> dict[str, tuple[str, int]]:
    """The values of a shell-like file with their lines; the last of several counts."""
    return {
        key: (value, number) for number, line in enumerate(lines(data), 1) for key, value in (assignment(line),) if key
    }
