# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of two kernels is newer, told from their versions (``uname -r``): 6.10.0-rc1 < 6.10.0 < 6.10.1, Debian's
6.1.0-9-amd64 < 6.1.0-56-amd64, Fedora's 6.11.0-0.rc5.43.fc42 < 6.11.0-61.fc42.

Numbers are compared as numbers, words as words. A number is newer than a word, and what goes on with a word or a
number is newer than what ends there, but ``~`` and the words for candidates (rc) are older than the end.
"""

import re

#: Which kind of a part comes first, from the oldest.
_TILDE, _CANDIDATE, _END, _WORD, _NUMBER = range(5)
_PARTS = re.compile(r"([0-9]+)|([A-Za-z]+)|(~)")
_CANDIDATES = frozenset({"rc", "pre", "alpha", "beta"})
#: Kernels of the same release for special purposes. The general one counts as newer than all of them.
_FLAVOUR = re.compile(r"(?<=[-+])(?:debug|rt|cloud|lowlatency|16k|64k|zfcpdump)(?=[-+]|$)")

Key = tuple[tuple[tuple[int, int, str], ...], int, str]


def version_key(version: str) -> Key:
    """What to sort versions by, the oldest first. Different versions never have equal keys."""
    general, flavours = _FLAVOUR.subn("", version)
    parts = [_part(match) for match in _PARTS.finditer(general)]
    return (*parts, (_END, 0, "")), -flavours, version


def _part(match: re.Match[str]) -> tuple[int, int, str]:
    number, word, _ = match.groups()
    if number:
        return _NUMBER, int(number[:_DIGITS]), ""
    if word:
        return (_CANDIDATE if word.lower() in _CANDIDATES else _WORD), 0, word
    return _TILDE, 0, ""


#: more digits than any version has; Python refuses to read numbers of thousands
_DIGITS = 400
