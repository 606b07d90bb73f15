"""How tools wait for a message: what is new, what matches, and where the next wait goes on."""

from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import Annotated, ClassVar

import anyio
from pydantic import AfterValidator, Field

from inkbox_mcp.api.client import InkboxAPI
from inkbox_mcp.api.polling import PACE, Poll
from inkbox_mcp.api.responses import parse
from inkbox_mcp.calls import Call, current
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
from inkbox_mcp.mail.positions import Position, in_order, moment
from inkbox_mcp.toolkit.addresses import DOMAIN
from inkbox_mcp.toolkit.fields import SearchText, Text, WholeNumber
from inkbox_mcp.toolkit.operation import Also, Args, Result
from inkbox_mcp.toolkit.paging import matching
from inkbox_mcp.tools.conversations import list_spam, read_spam
from inkbox_mcp.tools.inbox import MOST_PAGES, Inbox
from inkbox_mcp.tools.mailboxes import Address
from inkbox_mcp.tools.messages import (
    OF_MAILBOX,
    PAGE,
    Item,
    MessageRow,
    Page,
    id_of,
    is_from,
    messages_of,
    row_of,
    rows_of,
)
from inkbox_mcp.tools.reading import (
    BY_GET_MESSAGE,
    SECONDS_TO_RESTORE,
    MessageText,
    View,
    body_of,
    read_detail,
    restore_unread,
    shown,
)

NO_POSITION = 'must be `after` of an earlier result, unchanged, or a time such as "2026-05-31T18:00:00Z"'
NEWEST = 10
"""The messages that each look asks for; `Inbox` goes on to further pages."""
MOST_OTHERS = 5
TOO_MANY = f"More than {MOST_PAGES * PAGE:,} messages are newer than after, and the oldest of them were skipped."
NOT_READ = "The mailbox could not be read at the end, so mail may have come: {error}"
PASSED_OVER = "{count} of the new messages could not be read, and are among others: {error}"
NO_TEXT = "The message is too large for this server to read, so its text is not shown."
IN_FUTURE = (
    "`after` is later than now, and only mail that is later still is new: leave it out, or pass an earlier time."
)
SECONDS_OF_DIFFERENCE = 60
"""Seconds by which the clock of whoever names a time may be ahead."""
MOST_BROKEN = 10
"""The most messages that fail in one look before it is given up: more of them are a fault of all the mail."""
MOST_KEPT, MOST_KEPT_CHARACTERS = 50, 200_000
"""The most messages of a mailbox that the calls share, and the most characters of each."""
SECONDS_TO_LOOK, SECONDS_FOR_SPAM = 2.5, 1.0
"""Seconds after a wait for what is under way; then for asking for spam."""
SECONDS_TO_ANSWER = SECONDS_TO_LOOK + SECONDS_TO_RESTORE + SECONDS_FOR_SPAM
"""A flag that is being set back when the time is over is set back before spam is asked for."""

PASSING = (Unreachable, RateLimited, Unavailable, ServerError, UnexpectedResponse)
"""Errors after which a wait goes on."""
OF_ALL = (Unreachable, RateLimited, Unavailable, Unauthorized)
"""Errors that say nothing about the one message that was asked for."""


def _position(text: str) -> str:
    if moment(text) is None:
        try:
            Position.parse(text)
        except ValueError:
            raise ValueError(NO_POSITION) from None
    return text


class WaitForMessage(Args):
    invented: ClassVar = {
        **OF_MAILBOX,
        **dict.fromkeys(("from", "from_address"), "pass it as sender"),
        **dict.fromkeys(("search", "text", "body", "keyword"), "pass words of subject or text as contains"),
        **dict.fromkeys(("since", "cursor", "after_id"), "pass it as after"),
        **dict.fromkeys(("seconds", "wait", "timeout_seconds", "max_wait"), "pass seconds as timeout"),
    }

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


@dataclass
class Kept:
    """A message that the calls share that wait for one mailbox.

    Attributes:
        detail: as the API showed it; None if it is too large to be kept.
        is_shown: whether a call has returned it, so that it stays read.
    """

    detail: Item | None
    is_shown: bool = False


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
        self._poll: Poll[Page] = api.poll(f"inbound {_mailbox(self._address)}")
        self._inbox = Inbox(api, self._address, _given(args.after))
        self._others: list[Item] = []
        self._broken: dict[str, InkboxError] = {}
        self._failed: InkboxError | None = None
        self._has_looked = self._is_without_text = False
        self._began = anyio.current_time()
        self._until = self._began + args.timeout

    async def run(self) -> Waited:
        """Wait until a message matches, or the time is over.

        Raises:
            InkboxError: the mailbox cannot be read, and waiting would not help.
        """
        call, found, failed = current(), None, None
        is_cut_off = True
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_cut_off, tasks.cancel_scope, call, self._args.timeout + SECONDS_TO_LOOK)
            try:
                found = await self._search(call)
            except Exception as error:  # noqa: BLE001 - raised below: a task group would wrap it
                failed = error
            is_cut_off = False
            tasks.cancel_scope.cancel()
        if failed:
            raise failed
        return found or await self._timed_out(call, is_cut_off=is_cut_off)

    async def _search(self, call: Call) -> Waited | None:
        """Look until a message matches; return None if the time is over."""
        look = await self._poll.look(self._newest, self._poll.join(), max(self._until, self._began + PACE[0]))
        while look:
            if look.found or look.clock is not None:
                self._inbox.begin(self._began, look.clock)
            try:
                if look.error:
                    raise look.error.with_traceback(None)
                self._has_looked = True
                await self._inbox.take_new(look.found or Page(items=[]))
                if found := await self._match_next():
                    return found
                self._failed = None
            except PASSING as error:
                self._failed = error
                if error is not look.error:
                    self._poll.obey(error)
            now, others = anyio.current_time(), f", {len(self._others)} others came" if self._others else ""
            await call.report(now - self._began, self._args.timeout or None, f"no such mail yet{others}")
            look = await self._poll.look(self._newest, look.began, self._until) if now < self._until else None
        return None

    async def _newest(self) -> Page:
        where = messages_of(self._address).where(direction="inbound", limit=NEWEST)
        return await self._api.get(where, Page, once=True)

    async def _match_next(self) -> Waited | None:
        """Return the oldest message that matches."""
        held: list[Item] = []
        waiting = self._inbox.waiting
        while len(held) < len(waiting):
            message = waiting[len(held)]
            try:
                text = await self._read_twice(message) if self._may_match(message) else None
                self._broken.pop(id_of(message), None)
            except NotFound:  # deleted meanwhile
                waiting.remove(message)
                continue
            except InkboxError as error:
                if isinstance(error, OF_ALL):
                    raise
                self._broken[id_of(message)] = error
                if _may_pass(error):  # it stays, and the next look tries it again
                    held.append(message)
                    self._poll.obey(error)
                    if len(held) >= MOST_BROKEN:
                        raise
                    continue
                text = None
            if text:
                self._others += held
                return self._result(self._past(message), text)
            waiting.remove(message)
            self._others.append(message)
        return None

    async def _read_twice(self, message: Item) -> Item | None:
        """Read a message; at once again if the fault may be a passing one of this message."""
        try:
            return await self._read(message)
        except InkboxError as error:
            if not _may_pass(error):
                raise
            return await self._read(message)

    def _may_match(self, message: Item) -> bool:
        sender, subject = self._args.sender, self._args.subject
        return (not sender or is_from(message, sender)) and bool(matching([message], subject, ("subject",)))

    async def _read(self, message: Item) -> Item | None:
        """Return what is shown of a message if its text matches, too; each is asked for once for all calls."""
        message_id = id_of(message)
        async with self._poll.reading:
            kept: Kept | None = self._poll.kept.get(message_id)
            detail = kept.detail if kept else None
            is_kept, text, is_gone = detail is not None, None, False
            try:
                detail = detail or await read_detail(self._api, self._address, message_id)
                kept = kept or Kept(detail if _is_small(detail) else None)
                if await _contains(detail, self._args.contains):
                    text = await shown(detail, View(how=BY_GET_MESSAGE))
            except NotFound:
                is_gone = True
                raise
            except TooLarge:
                if self._args.contains:
                    raise
                text, self._is_without_text = row_of(message), True
            finally:
                if self._marks_read and message.get("is_read") is False and not is_gone:
                    await self._mark(message_id, kept, is_kept=is_kept, is_shown=text is not None)
                if kept and not is_kept:
                    _keep(self._poll.kept, message_id, kept)
        return text

    async def _mark(self, message_id: str, kept: Kept | None, *, is_kept: bool, is_shown: bool) -> None:
        """Leave a message read if a call shows it, and unread if none did."""
        if not (is_kept or is_shown or (kept and kept.is_shown)):
            await restore_unread(self._api, self._address, message_id)
        elif kept and is_kept and is_shown and not kept.is_shown:
            with suppress(InkboxError):
                await self._api.patch(messages_of(self._address, message_id), {"is_read": True}, Result)
        if kept:
            kept.is_shown = kept.is_shown or is_shown

    def _past(self, message: Item) -> Position:
        """Return the position after a match and the messages before it, which did not match."""
        position = self._inbox.start
        for other in sorted(self._others, key=in_order):
            if in_order(other) < in_order(message):
                position = position.after(other, self._inbox.now)
        return position.after(message, self._inbox.now)

    async def _timed_out(self, call: Call, *, is_cut_off: bool) -> Waited:
        """Return that nothing matched, and where to go on: at the start, so that a corrected filter misses nothing."""
        self._inbox.begin(self._began, call.clock)
        self._others += [message for message in self._inbox.waiting if id_of(message) in self._broken]
        is_ending = call.ending is not None and call.ending.is_set()
        if (is_cut_off or not self._has_looked) and not self._failed and not is_ending:
            self._failed = self._poll.refused or Unreachable("Inkbox did not answer in time.")
        if not self._failed and not is_ending:
            await self._add_spam()
        return self._result(self._inbox.start)

    async def _add_spam(self) -> None:
        """Find out which of the other messages were taken for spam."""
        start = self._inbox.start
        poll: Poll[Page] = self._api.poll(f"spam {_mailbox(self._address)}")
        with suppress(InkboxError), anyio.move_on_after(SECONDS_FOR_SPAM):
            look = await poll.look(partial(list_spam, self._api, self._address), poll.join(), inf)
            if not look or not look.found:
                return
            for thread in await read_spam(self._api, self._address, look.found, since=start.since):
                spam = [item for item in thread.messages if start.is_new(item) and item.get("direction") == "inbound"]
                ids = {item.get("id") for item in spam}
                kept = [item for item in self._others if item.get("id") not in ids]
                self._others = [*kept, *({**item, "folder": "spam"} for item in spam)]

    def _is_in_future(self) -> bool:
        """Whether no mail that comes now is new, also if the clocks differ somewhat."""
        now = self._inbox.now
        return now is not None and self._inbox.start.since > now + SECONDS_OF_DIFFERENCE * 1_000_000

    def _result(self, position: Position, message: Item | None = None) -> Waited:
        broken = [item for item in self._others if id_of(item) in self._broken]
        if message is None:
            fine = sorted((item for item in self._others if item not in broken), key=in_order)
            listed = [*fine, *broken][-MOST_OTHERS:]
        else:
            listed = broken[-MOST_BROKEN:]
        others = rows_of(sorted(listed, key=in_order))
        result: Item = {"timed_out": message is None, "after": str(position)}
        notes = [TOO_MANY] if self._inbox.is_cut else []
        if self._is_without_text:
            notes.append(NO_TEXT)
        if message is None and self._is_in_future():
            notes.append(IN_FUTURE)
        if broken:
            notes.append(PASSED_OVER.format(count=len(broken), error=self._broken[id_of(broken[-1])]))
        if message is not None:
            result["message"] = message
        elif self._failed:
            notes.append(NOT_READ.format(error=self._failed))
        result |= {"others": others} if others else {}
        return parse({**result, **({"note": " ".join(notes)} if notes else {})}, Waited)


async def _cut_off(scope: anyio.CancelScope, call: Call, seconds: float) -> None:
    """Cancel what is under way when its time is over, or the server is about to stop."""
    await call.pause(seconds)
    scope.cancel()


def _may_pass(error: InkboxError) -> bool:
    """Whether the fault is one of the message that was asked for, and may be over at the next try."""
    return isinstance(error, PASSING) and not isinstance(error, (*OF_ALL, TooLarge))


def _keep(all_kept: dict[str, Kept], message_id: str, kept: Kept) -> None:
    """Keep a message for the other calls, in place of the oldest one."""
    all_kept[message_id] = kept
    if len(all_kept) > MOST_KEPT:
        del all_kept[next(iter(all_kept))]


def _is_small(detail: Item) -> bool:
    return sum(len(str(detail.get(name) or "")) for name in ("body_text", "body_html")) <= MOST_KEPT_CHARACTERS


def _mailbox(address: str) -> str:
    """Return the one form of the two in which a mailbox can be named."""
    return address.casefold().removesuffix(f"@{DOMAIN}")


def _given(after: str | None) -> Position | None:
    if after is None:
        return None
    began = moment(after)
    return Position.parse(after) if began is None else Position.at(began)


async def _contains(detail: Item, words: str | None) -> bool:
    if not words:
        return True
    text = {"subject": detail.get("subject"), "text": (await body_of(detail)).text}
    return bool(matching([text], words, ("subject", "text")))
