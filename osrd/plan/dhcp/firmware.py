# SPDX-License-Identifier: GPL-3.0-or-later
"""Which boot file a firmware gets: DHCP option 93 (RFC 4578, IANA "Processor Architecture Types") to loader."""

from dataclasses import dataclass

from osrd.model.netboot import BootFiles
from osrd.model.settings import Architecture, Settings

#: 9 was given to x64 UEFI by an early draft and is still sent by some firmware; 7 is what IANA says.
_TFTP_CODES = {Architecture.BIOS: (0,), Architecture.X86_64: (7, 9), Architecture.ARM64: (11,)}
#: UEFI HTTP Boot: the answer must repeat vendor class HTTPClient and name a URL (UEFI 2.10, 24.7.3).
_HTTP_CODES = {Architecture.X86_64: (16,), Architecture.ARM64: (19,)}

HTTP_CLASS = "HTTPClient"


@dataclass(frozen=True, slots=True)
class Match:
    """Clients whose option 93 is one of ``codes`` get ``file``: a TFTP name, or a URL where ``http``."""

    tag: str
    codes: tuple[int, ...]
    file: str
    http: bool = False


def matches(settings: Settings, boot: BootFiles) -> tuple[Match, ...]:
    """One match per firmware family with a loader, TFTP families first."""
    tftp = [
        Match(f"osr-{family}", codes, boot.loaders[family])
        for family, codes in _TFTP_CODES.items()
        if family in boot.loaders
    ]
    if not settings.boot.http:
        return tuple(tftp)
    prefix = f"{settings.tftp.prefix}/" if settings.tftp.prefix else ""
    base = settings.boot.http.rstrip("/")
    http = [
        Match(f"osr-http-{family}", codes, f"{base}/{boot.loaders[family].removeprefix(prefix)}", http=True)
        for family, codes in _HTTP_CODES.items()
        if family in boot.loaders
    ]
    return (*tftp, *http)
