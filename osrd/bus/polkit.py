# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may do what: polkit's CheckAuthorization, awaited, denying whenever anything is unclear."""

import asyncio
import itertools
import logging
from collections import Counter
from collections.abc import Mapping

from osrd.bus.connection import CallError, Connection
from osrd.bus.wire import Incoming, wrapped
from osrd.model.errors import BusyError, NotAuthorizedError

POLKIT = "org.freedesktop.PolicyKit1"
AUTHORITY_PATH = "/org/freedesktop/PolicyKit1/Authority"
AUTHORITY = "org.freedesktop.PolicyKit1.Authority"
#: Questions that may be open at once; the bus ends a connection's calls at 128 (DESIGN 8: fail closed, stay up).
LIMIT = 60
LIMIT_PER_USER = 8
_ALLOW_USER_INTERACTION = 1
_ABSENT = ("org.freedesktop.DBus.Error.ServiceUnknown", "org.freedesktop.DBus.Error.NameHasNoOwner")
_SPAWN_FAILED = "org.freedesktop.DBus.Error.Spawn."

log = logging.getLogger(__name__)


class Authority:
    """Root and the daemon's own user are not asked about; everybody else is, action by action.

    Without polkit on the bus (minimal hosts, a demo in a sandbox) only those two may change anything.
    """

    def __init__(self, connection: Connection, allowed_uid: int) -> None:
        self._connection = connection
        self._trusted = frozenset((0, allowed_uid))
        self._numbers = itertools.count(1)
        self._open: Counter[int] = Counter()

    async def uid(self, call: Incoming) -> int:
        """The caller's uid, from the bus. Raises NotAuthorizedError when the bus does not know it (any more)."""
        try:
            (credentials,) = await self._connection.ask_bus("GetConnectionCredentials", "s", call.sender)
        except CallError as error:
            raise NotAuthorizedError(f"the bus does not tell who you are ({error.message})") from error
        if "UnixUserID" not in credentials:
            raise NotAuthorizedError("the bus does not tell who you are")
        return int(credentials["UnixUserID"].value)

    async def require(self, call: Incoming, uid: int, action: str, details: Mapping[str, str]) -> None:
        """Return if ``uid``, who made ``call``, may do ``action``; raise NotAuthorizedError otherwise.

        May take minutes when somebody is asked for a password. BusyError: too many questions are open already.
        """
        if uid in self._trusted:
            return
        if self._open.total() >= LIMIT or self._open[uid] >= LIMIT_PER_USER:
            raise BusyError("too many authorisation questions are open", "answer or close the password dialogs")
        self._open[uid] += 1
        try:
            await self._ask(call, action, details)
        finally:
            self._open[uid] -= 1
            self._open += Counter()  # drops the users at zero

    async def _ask(self, call: Incoming, action: str, details: Mapping[str, str]) -> None:
        cancellation = f"osrd-{self._connection.unique_name}-{next(self._numbers)}"
        question = asyncio.ensure_future(
            self._connection.call(
                POLKIT,
                AUTHORITY_PATH,
                AUTHORITY,
                "CheckAuthorization",
                signature="(sa{sv})sa{ss}us",
                arguments=(
                    ["system-bus-name", {"name": wrapped(call.sender)}],
                    action,
                    dict(details),
                    _ALLOW_USER_INTERACTION if call.interactive else 0,
                    cancellation,
                ),
            )
        )
        try:
            async with self._connection.departure(call.sender) as gone:
                await asyncio.wait((question, gone), return_when=asyncio.FIRST_COMPLETED)
                if gone.done():
                    await self._cancel(cancellation)
                    raise NotAuthorizedError("the caller left before the answer")
            allowed, challenge, _ = (await question)[0]
        except CallError as error:
            raise NotAuthorizedError(_refusal(error)) from error
        finally:
            question.cancel()
        if allowed is not True:
            hint = "allow interactive authorisation or become root" if challenge else "ask an administrator"
            raise NotAuthorizedError(f"polkit does not allow you {action}", hint)

    async def _cancel(self, cancellation: str) -> None:
        try:
            await self._connection.call(
                POLKIT, AUTHORITY_PATH, AUTHORITY, "CancelCheckAuthorization", signature="s", arguments=(cancellation,)
            )
        except CallError as error:
            log.debug("polkit had nothing to cancel: %s", error)


def _refusal(error: CallError) -> str:
    if error.name in _ABSENT or error.name.startswith(_SPAWN_FAILED):
        return "polkit is not running, so only root may do this"
    return f"polkit does not answer the question ({error.message})"
