"""How tools wait for a message: what is new, what matches, and where the next wait goes on."""

from collections import Counter
from contextlib import suppress
from functools import partial
from math import inf
from typing import Annotated, ClassVar

import anyio
from pydantic import AfterValidator, Field

from inkbox_mcp.api.client import InkboxAPI
from inkbox_mcp.api.polling import PACE, Poll
from inkbox_mcp.api.responses import parse
from inkbox_mcp.calls import Call, current
from inkbox_mcp.errors import InkboxError, NotFound, Unreachable
from inkbox_mcp.mail.positions import Position, in_order, moment
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
    shown,
)
from inkbox_mcp.tools.shared_reading import LATER, OF_ALL, PASSING, SharedReading, inbound, mailbox_name, may_pass

NO_POSITION = 'must be `after` of an earlier result, unchanged, or a time such as "2026-05-31T18:00:00Z"'
NEWEST = 10
"""The messages that each look asks for; `Inbox` goes on to further pages."""
MOST_OTHERS = 5
TOO_MANY = f"More than {MOST_PAGES * PAGE:,} messages are newer than after, and the oldest of them were skipped."
NOT_READ = "The mailbox could not be read at the end, so mail may have come: {error}"
PASSED_OVER = "{count} of the new messages could not be read, and {which} among others: {error}"
NO_TEXT = "The message is too large for this server to read, so its text is not shown."
IN_FUTURE = (
    "`after` is later than now, and only mail that is later still is new: leave it out, or pass an earlier time."
)
SECONDS_OF_DIFFERENCE = 60
"""Seconds by which the clock of whoever names a time may be ahead."""
MOST_BROKEN = 10
"""The most messages that cannot be read which a look tries again although they were tried often enough."""
MOST_PASSED_OVER = 25
"""The most of them that are shown beside a match."""
LOOKS_FOR_BROKEN = 3
"""A message that cannot be read holds up later ones until so many looks have tried it."""
SECONDS_TO_LOOK, SECONDS_FOR_SPAM = 2.5, 1.0
"""Seconds after a wait for what is under way; then for asking for spam."""
SECONDS_TO_ANSWER = SECONDS_TO_LOOK + SECONDS_TO_RESTORE + SECONDS_FOR_SPAM
"""A flag that is being set back when the time is over is set back before spam is asked for."""


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


class Wait:
    """One call that waits.

    Args:
        api: of the caller.
        args: of the call.
        marks_read: whether the API marks a message read when it is asked for.
    """

    def __init__(self, api: InkboxAPI, args: WaitForMessage, *, marks_read: bool) -> None:
        self._api, self._args = api, args
        self._address = args.email_address
        self._poll = inbound(api, self._address)
        self._reading = SharedReading(api, self._address, self._poll, marks_read=marks_read)
        self._inbox = Inbox(api, self._address, _given(args.after))
        self._others: list[Item] = []
        self._broken: dict[str, InkboxError] = {}
        self._tries = Counter[str]()
        self._failed: InkboxError | None = None
        self._has_looked = self._is_without_text = self._is_held_up = False
        self._began = anyio.current_time()
        self._until = self._began + args.timeout

    async def run(self) -> Waited:
        """Wait until a message matches, or the time is over.

        Raises:
            InkboxError: the mailbox cannot be read, and waiting would not help.
        """
        call, found = current(), None
        with call.cut_off(self._args.timeout + SECONDS_TO_LOOK) as scope:
            found = await self._search(call)
        return found or await self._timed_out(call, is_cut_off=scope.cancelled_caught)

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
                if found := await self._match_next(is_last=anyio.current_time() >= self._until):
                    return found
                self._failed = None
            except PASSING as error:
                self._failed = error
                if error is not look.error:
                    self._poll.obey(error)
            now, others = anyio.current_time(), f", {len(self._others)} others came" if self._others else ""
            await call.report(now - self._began, self._args.timeout or None, f"no such mail yet{others}")
            look = await self._poll.look(self._newest, look.began, self._until) if now < self._until else None
        return await self._match_last() if self._is_held_up else None

    async def _newest(self) -> Page:
        where = messages_of(self._address).where(direction="inbound", limit=NEWEST)
        return await self._api.get(where, Page, once=True)

    async def _match_next(self, *, is_last: bool) -> Waited | None:
        """Return the oldest message that matches.

        One that cannot be read stays, and the next look tries it again. Until it was tried often enough, a match after
        it stays, too, if there can be a next look.
        """
        held: list[Item] = []
        waiting = self._inbox.waiting
        self._is_held_up = False
        while len(held) < len(waiting):
            message = waiting[len(held)]
            if len(held) >= MOST_BROKEN and self._is_tried(message):
                held.append(message)
                continue
            try:
                is_early = not is_last and not all(map(self._is_tried, held))
                text = await self._read(message, is_early=is_early, is_patient=len(held) < MOST_BROKEN)
                self._broken.pop(id_of(message), None)
            except NotFound:  # deleted meanwhile
                waiting.remove(message)
                continue
            except InkboxError as error:
                if isinstance(error, OF_ALL):
                    raise
                self._broken[id_of(message)] = error
                if may_pass(error):
                    self._tries[id_of(message)] += 1
                    held.append(message)
                    self._poll.obey(error)
                    continue
                text = None
            if text == LATER:
                self._is_held_up = True
                self._poll.join()  # so that the next look is soon
                return None
            if text:
                self._others += held
                return self._result(self._past(message), text)
            waiting.remove(message)
            self._others.append(message)
        return None

    async def _match_last(self) -> Waited | None:
        """Return the match that was held up, if there was no further look."""
        try:
            return await self._match_next(is_last=True)
        except PASSING as error:
            self._failed = error
            return None

    def _is_tried(self, message: Item) -> bool:
        """Whether so many looks have tried to read a message that it holds up no later one."""
        return self._tries[id_of(message)] >= LOOKS_FOR_BROKEN

    async def _read(self, message: Item, *, is_early: bool, is_patient: bool) -> Item | None:
        """Return what is shown of a message if it matches.

        Args:
            message: as the API lists it.
            is_early: whether a match is to be shown `LATER`.
            is_patient: whether it is tried again at once if the fault may be a passing one of this message.
        """
        if not self._may_match(message):
            return None
        choose = partial(self._chosen, message, is_early=is_early)
        try:
            return await self._reading.read(message, choose)
        except InkboxError as error:
            if not (is_patient and may_pass(error)):
                raise
            return await self._reading.read(message, choose)

    def _may_match(self, message: Item) -> bool:
        sender, subject = self._args.sender, self._args.subject
        return (not sender or is_from(message, sender)) and bool(matching([message], subject, ("subject",)))

    async def _chosen(self, message: Item, detail: Item | None, *, is_early: bool) -> Item | None:
        words = self._args.contains
        if words and not (detail and await _contains(detail, words)):
            return None
        if is_early:
            return LATER
        if detail is None:
            self._is_without_text = True
            return row_of(message)
        return await shown(detail, View(how=BY_GET_MESSAGE))

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
        poll: Poll[Page] = self._api.poll(f"spam {mailbox_name(self._address)}")
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
            listed = broken[-MOST_PASSED_OVER:]
        others = rows_of(sorted(listed, key=in_order))
        result: Item = {"timed_out": message is None, "after": str(position)}
        notes = [TOO_MANY] if self._inbox.is_cut else []
        if self._is_without_text:
            notes.append(NO_TEXT)
        if message is None and self._is_in_future():
            notes.append(IN_FUTURE)
        if broken:
            count = sum(item in listed for item in broken)
            which = "are" if count == len(broken) else f"the newest {count} of them are"
            notes.append(PASSED_OVER.format(count=len(broken), which=which, error=self._broken[id_of(broken[-1])]))
        if message is not None:
            result["message"] = message
        elif self._failed:
            notes.append(NOT_READ.format(error=self._failed))
        result |= {"others": others} if others else {}
        return parse({**result, **({"note": " ".join(notes)} if notes else {})}, Waited)


def _given(after: str | None) -> Position | None:
    if after is None:
        return None
    began = moment(after)
    return Position.parse(after) if began is None else Position.at(began)


async def _contains(detail: Item, words: str) -> bool:
    text = {"subject": detail.get("subject"), "text": (await body_of(detail)).text}
    return bool(matching([text], words, ("subject", "text")))
