"""How the calls that wait for one mailbox read a message: once for all of them, and left unread if none shows it."""

from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass

from inkbox_mcp.api.client import InkboxAPI
from inkbox_mcp.api.polling import Poll
from inkbox_mcp.errors import (
    InkboxError,
    NotFound,
    RateLimited,
    ServerError,
    TooLarge,
    Unauthorized,
    Unavailable,
    UnexpectedResponse,
    Unreachable,
)
from inkbox_mcp.toolkit.addresses import DOMAIN
from inkbox_mcp.toolkit.operation import Result
from inkbox_mcp.tools.messages import Item, Page, id_of, messages_of
from inkbox_mcp.tools.reading import read_detail, restore_unread

MOST_KEPT, MOST_KEPT_CHARACTERS = 50, 200_000
"""The most messages of a mailbox that the calls share, and the most characters of each."""

PASSING = (Unreachable, RateLimited, Unavailable, ServerError, UnexpectedResponse)
"""Errors after which a wait goes on."""
OF_ALL = (Unreachable, RateLimited, Unavailable, Unauthorized)
"""Errors that say nothing about the one message that was asked for."""

LATER: Item = {}
"""Instead of what a call shows of a message, if it may show it later."""
Choose = Callable[[Item | None], Awaitable[Item | None]]
"""Returns what a call shows of a message; None if it does not show it. It gets None for one that is too large."""


@dataclass
class Kept:
    """A message that the calls share that wait for one mailbox.

    Attributes:
        detail: as the API showed it; None if it is too large to be kept.
        is_shown: whether a call has returned it, so that it stays read.
    """

    detail: Item | None = None
    is_shown: bool = False


def inbound(api: InkboxAPI, address: str) -> Poll[Page]:
    """Return the requests for the received messages of a mailbox, which all calls share that wait for it."""
    return api.poll(f"inbound {mailbox_name(address)}")


def mailbox_name(address: str) -> str:
    """Return the one form of the two in which a mailbox can be named."""
    return address.casefold().removesuffix(f"@{DOMAIN}")


def keep_read(api: InkboxAPI, address: str, message_ids: Iterable[str], *, is_shown: bool = True) -> None:
    """Let the calls that wait leave messages read that another call shows.

    Args:
        api: of the caller.
        address: of the mailbox.
        message_ids: of the messages; before the API is asked for them, because that marks them read.
        is_shown: False if the other call does not show them after all.
    """
    all_kept = inbound(api, address).kept
    for message_id in message_ids:
        _keep(all_kept, message_id).is_shown = is_shown


class SharedReading:
    """Reads the messages of a mailbox for a call that waits.

    Args:
        api: of the caller.
        address: of the mailbox.
        poll: what the calls share.
        marks_read: whether the API marks a message read when it is asked for.
    """

    def __init__(self, api: InkboxAPI, address: str, poll: Poll[Page], *, marks_read: bool) -> None:
        self._api, self._address, self._poll, self._marks_read = api, address, poll, marks_read

    async def read(self, message: Item, choose: Choose) -> Item | None:
        """Return what a call shows of a message; each message is asked for once for all calls.

        Args:
            message: as the API lists it.
            choose: makes what is shown of its detail.

        Raises:
            InkboxError: it cannot be read.
        """
        message_id = id_of(message)
        async with self._poll.reading:
            known: Kept | None = self._poll.kept.get(message_id)
            detail = known.detail if known else None
            is_kept, text, is_gone = detail is not None, None, False
            try:
                text = await choose(detail or await self._detail(message_id))
            except NotFound:
                is_gone = True
                raise
            except TooLarge:
                text = await choose(None)
                if text is None:
                    raise
            finally:
                if self._marks_read and message.get("is_read") is False and not is_gone:
                    await self._mark(message_id, is_kept=is_kept, is_shown=bool(text))
        return text

    async def _detail(self, message_id: str) -> Item:
        detail = await read_detail(self._api, self._address, message_id)
        _keep(self._poll.kept, message_id).detail = detail if _is_small(detail) else None
        return detail

    async def _mark(self, message_id: str, *, is_kept: bool, is_shown: bool) -> None:
        """Leave a message read if a call shows it, and unread if none did."""
        if is_shown:
            kept = _keep(self._poll.kept, message_id)
            is_read, kept.is_shown = kept.is_shown or not is_kept, True
            if not is_read:
                await self._mark_read(message_id)
        elif not (is_kept or self._is_shown(message_id)):
            await restore_unread(self._api, self._address, message_id)
            if self._is_shown(message_id):  # meanwhile, by another call
                await self._mark_read(message_id)

    def _is_shown(self, message_id: str) -> bool:
        kept: Kept | None = self._poll.kept.get(message_id)
        return kept is not None and kept.is_shown

    async def _mark_read(self, message_id: str) -> None:
        with suppress(InkboxError):
            await self._api.patch(messages_of(self._address, message_id), {"is_read": True}, Result)


def may_pass(error: InkboxError) -> bool:
    """Whether the fault is one of the message that was asked for, and may be over at the next try."""
    return isinstance(error, PASSING) and not isinstance(error, (*OF_ALL, TooLarge))


def _keep(all_kept: dict[str, Kept], message_id: str) -> Kept:
    """Return what is kept of a message, or keep it from now on, in place of the oldest one."""
    kept = all_kept.setdefault(message_id, Kept())
    if len(all_kept) > MOST_KEPT:
        del all_kept[next(iter(all_kept))]
    return kept


def _is_small(detail: Item) -> bool:
    return sum(len(str(detail.get(name) or "")) for name in ("body_text", "body_html")) <= MOST_KEPT_CHARACTERS
