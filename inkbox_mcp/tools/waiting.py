"""How tools wait for a message: what is new, what matches, and where the next wait goes on."""

import time
from contextlib import suppress
from typing import Annotated, ClassVar

import anyio
from pydantic import AfterValidator, Field

from inkbox_mcp.api.client import InkboxAPI
from inkbox_mcp.api.polling import Poll
from inkbox_mcp.api.responses import parse
from inkbox_mcp.calls import current
from inkbox_mcp.errors import (
    InkboxError,
    NotFound,
    RateLimited,
    ServerError,
    Unavailable,
    UnexpectedResponse,
    Unreachable,
)
from inkbox_mcp.mail.positions import Position, created, in_order, moment
from inkbox_mcp.toolkit.fields import SearchText, Text, WholeNumber
from inkbox_mcp.toolkit.operation import Also, Args, Result
from inkbox_mcp.toolkit.paging import matching
from inkbox_mcp.tools.conversations import list_spam
from inkbox_mcp.tools.mailboxes import Address
from inkbox_mcp.tools.messages import PAGE, Item, MessageRow, Page, is_from, messages_of, row_of
from inkbox_mcp.tools.reading import MessageText, View, body_of, read_detail, restore_unread, shown

NO_POSITION = 'must be `after` of an earlier result, unchanged, or a time such as "2026-05-31T18:00:00Z"'
NEWEST = 10
"""The messages that each look asks for; what lies beyond them is paged to."""
MOST_PAGES = 20
"""The most further pages of `PAGE` messages; beyond these, messages are skipped, and the result says so."""
BEFORE = 120_000_000
"""Microseconds before the call since when messages are new, because mail often comes before one waits for it."""
MOST_OTHERS = 5
TOO_MANY = f"More than {MOST_PAGES * PAGE:,} messages are newer than after, and the oldest of them were skipped."
SECONDS_TO_ANSWER = 5.0
"""Seconds that a call may take beyond its wait, for requests that are under way."""

PASSING = (Unreachable, RateLimited, Unavailable, ServerError, UnexpectedResponse)
"""Errors after which a wait goes on."""


def _position(text: str) -> str:
    if moment(text) is None:
        try:
            Position.parse(text)
        except ValueError:
            raise ValueError(
                'must be `after` of an earlier result, unchanged, or a time such as "2026-05-31T18:00:00Z"'
            ) from None
    return text


class WaitForMessage(Args):
    email_address: Address
    sender: Annotated[SearchText | None, Field(description="Part of address or name.")] = None
    subject: Annotated[SearchText | None, Field(description="Words in the subject.")] = None
    contains: Annotated[SearchText | None, Field(description="Words in subject or text.")] = None
    after: Annotated[
        Annotated[Text, AfterValidator(_position)] | None,
        Field(description="`after` of the last result, or a time (ISO 8601). Default: 2 minutes ago."),
    ] = None
    timeout: Annotated[WholeNumber, Field(ge=0, le=50, description="Seconds, 0-50. Default: 25.")] = 25


class Waited(Result):
    also: ClassVar[Also] = {"message": MessageText, "others": list[MessageRow], "note": str}

    timed_out: bool
    after: str


def time_limit(args: WaitForMessage) -> float:
    """Return the seconds that a call may take."""
    return args.timeout + SECONDS_TO_ANSWER


class Wait:
    """One call that waits.

    Args:
        api: of the caller.
        args: of the call.
        marks_read: whether the API marks a message read when it is asked for.
    """

    def __init__(self, api: InkboxAPI, args: WaitForMessage, *, marks_read: bool) -> None:
        self._api, self._args, self._marks_read = api, args, marks_read
        self._address = args.email_address
        self._poll: Poll[Page] = api.poll(f"inbound {self._address.casefold()}")
        self._seen: set[str] = set()
        self._waiting: list[Item] = []
        self._others: list[Item] = []
        self._skipped = False

    async def run(self) -> Waited:
        """Wait until a message matches, or the time is over.

        Raises:
            InkboxError: the mailbox cannot be read; or no look succeeded.
        """
        began = anyio.current_time()
        start, number, failed = self._start(), 0, None
        self._poll.join()
        while look := await self._poll.look(self._newest, number, began + self._args.timeout):
            number = look.number
            try:
                if look.error:
                    raise look.error.with_traceback(None)
                start = start or Position.at(_api_time(began) - BEFORE)
                await self._take_new(look.found or Page(items=[]), start)
                if found := await self._match_next():
                    message, detail = found
                    return await self._result(self._past(start, message), detail)
                failed = None
            except PASSING as error:
                failed = error
            others = f", {len(self._others)} others came" if self._others else ""
            await current().report(anyio.current_time() - began, self._args.timeout, f"no such mail yet{others}")
        if failed or start is None:
            raise failed or self._poll.latest.error or Unreachable("the mailbox could not be read in time.")
        await self._add_spam(start)
        return await self._result(start)

    def _start(self) -> Position | None:
        after = self._args.after
        if after is None:
            return None
        time = moment(after)
        return Position.parse(after) if time is None else Position.at(time)

    async def _newest(self) -> Page:
        return await self._api.get(messages_of(self._address).where(direction="inbound", limit=NEWEST), Page)

    async def _take_new(self, page: Page, start: Position) -> None:
        """Take the new messages that this call has not seen; go on to further pages as long as all are."""
        unseen: list[Item] = []
        for _ in range(MOST_PAGES):
            fresh = [item for item in page.items if str(item.get("id")) not in self._seen]
            unseen += fresh
            is_all_new = len(fresh) == len(page.items) and page.items and created(page.items[-1]) >= start.since
            if not (is_all_new and page.has_more and page.next_cursor):
                break
            where = messages_of(self._address).where(direction="inbound", limit=PAGE, cursor=page.next_cursor)
            page = await self._api.get(where, Page)
        else:
            self._skipped = True
        # Not before all pages were read: after a failure the next look takes them all.
        self._seen |= {str(item.get("id")) for item in unseen}
        self._waiting = sorted([*self._waiting, *filter(start.is_new, unseen)], key=in_order)

    async def _match_next(self) -> tuple[Item, Item] | None:
        """Return the oldest message that matches, and the same with its bodies."""
        while self._waiting:
            message = self._waiting[0]
            if detail := await self._match(message):
                return message, detail
            self._others.append(self._waiting.pop(0))
        return None

    async def _match(self, message: Item) -> Item | None:
        """Return a message with its bodies if it matches."""
        args = self._args
        if (args.sender and not is_from(message, args.sender)) or not matching([message], args.subject, ("subject",)):
            return None
        try:
            return await self._read(message)
        except NotFound:  # deleted meanwhile
            return None

    async def _read(self, message: Item) -> Item | None:
        message_id, is_kept = str(message.get("id")), False
        try:
            detail = await read_detail(self._api, self._address, message_id)
            is_kept = await _contains(detail, self._args.contains)
            return detail if is_kept else None
        finally:
            if self._marks_read and not is_kept and message.get("is_read") is False:
                await restore_unread(self._api, self._address, message_id)

    def _past(self, start: Position, message: Item) -> Position:
        """Return the position after a match and the messages before it, which did not match."""
        for other in sorted(self._others, key=in_order):
            if in_order(other) < in_order(message):
                start = start.after(other)
        return start.after(message)

    async def _add_spam(self, start: Position) -> None:
        """Find out which of the other messages were taken for spam."""
        with suppress(InkboxError):
            for thread in await list_spam(self._api, self._address, since=start.since):
                spam = [item for item in thread.messages if start.is_new(item) and item.get("direction") == "inbound"]
                ids = {item.get("id") for item in spam}
                kept = [item for item in self._others if item.get("id") not in ids]
                self._others = [*kept, *({**item, "folder": "spam"} for item in spam)]

    async def _result(self, position: Position, detail: Item | None = None) -> Waited:
        others = [row_of(item) for item in sorted(self._others, key=in_order)[-MOST_OTHERS:]]
        result: Item = {"timed_out": detail is None, "after": str(position)}
        if detail is not None:
            result["message"] = await shown(detail, View())
        elif others:
            result["others"] = others
        if self._skipped:
            result["note"] = TOO_MANY
        return parse(result, Waited)


async def _contains(detail: Item, words: str | None) -> bool:
    if not words:
        return True
    text = {"subject": detail.get("subject"), "text": (await body_of(detail)).text}
    return bool(matching([text], words, ("subject", "text")))


def _api_time(moment: float) -> int:
    """Return a time of the event loop's clock by the API's clock, in microseconds since 1970."""
    clock = current().clock
    ahead = time.time() - anyio.current_time() if clock is None else clock
    return int((moment + ahead) * 1_000_000)
