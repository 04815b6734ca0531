# SPDX-License-Identifier: GPL-3.0-or-later
"""The osrd program: arguments in, exit status out (osrd(8))."""

import argparse
import os
import stat
import sys
from collections.abc import Sequence

from osrd import __version__
from osrd.model.errors import OsrdError

DEFAULT_CONFIGURATION = "/etc/osrd/osrd.conf"


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="osrd",
        description="Keep boot entries, DHCP, NFS exports and shared roots consistent with cluster.conf.",
        epilog="See osrd(8) and osrd.conf(5).",
    )
    parser.add_argument("--config", metavar="FILE", help=f"configuration file (default {DEFAULT_CONFIGURATION})")
    parser.add_argument("--once", action="store_true", help="make everything true once, without a bus, and end")
    parser.add_argument("--bus", metavar="ADDRESS", help="D-Bus address (default: the system bus)")
    parser.add_argument("--no-bus", action="store_true", help="run without a bus")
    parser.add_argument("--build", action="store_true", help="be what osrd-build@.service starts, and nothing else")
    parser.add_argument("--copy", action="store_true", help="be what osrd-copy@.service starts, and nothing else")
    parser.add_argument("--log-level", choices=("debug", "info", "warning", "error"), help="overrides [log] level")
    parser.add_argument("--version", action="version", version=f"osrd {__version__}")
    return parser


def _apart(arguments: argparse.Namespace) -> int:
    """Be the other end of a connection with osrd (osrd.apply.apart); nothing else of osrd is needed."""
    if not stat.S_ISSOCK(os.fstat(0).st_mode):
        print("osrd: --build and --copy are for osrd-build@.service and osrd-copy@.service", file=sys.stderr)
        return 2
    if arguments.build:
        from osrd.apply.initrd import guard as program  # noqa: PLC0415
    else:
        from osrd.apply.cdsl import launcher as program  # type: ignore[no-redef]  # noqa: PLC0415
    program.main()
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run osrd; what a person must mend is one line on stderr, never a traceback."""
    arguments = _arguments().parse_args(argv)
    if arguments.build or arguments.copy:
        return _apart(arguments)
    # asyncio uses TLS where there is any, and dbus-next GLib; osrd never does: so they are not loaded.
    for unused in ("ssl", "gi"):
        sys.modules.setdefault(unused, None)  # type: ignore[arg-type]
    from osrd.main import EXIT_FAILED, Options, run  # noqa: PLC0415 - `osrd --help` should be instant

    options = Options(
        arguments.config or DEFAULT_CONFIGURATION,
        arguments.config is not None,
        arguments.once,
        arguments.bus,
        not arguments.no_bus,
        arguments.log_level,
    )
    try:
        return run(options)
    except OsrdError as error:
        print(f"osrd: {error}", file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:  # of --once; the daemon takes SIGINT as a request
        print("osrd: interrupted; what was begun is completed by the next run", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
