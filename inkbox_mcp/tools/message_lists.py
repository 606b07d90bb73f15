"""The tool that lists a mailbox's messages, with filters that the API lacks.

Source: https://inkbox.ai/docs/api/mail/messages
"""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field

from inkbox_mcp.api.client import InkboxAPI
from inkbox_mcp.api.paths import MAILBOXES, path
from inkbox_mcp.api.responses import parse
from inkbox_mcp.errors import InvalidArguments, NotFound
from inkbox_mcp.mail.positions import created, in_order, moment
from inkbox_mcp.toolkit.fields import Boolean, SearchText, Text, WholeNumber
from inkbox_mcp.toolkit.operation import READ_ONLY, Also, Args, Result, operation
from inkbox_mcp.toolkit.rows import ListArgs
from inkbox_mcp.tools.mailboxes import NO_MAILBOX, Address, near_mailbox
from inkbox_mcp.tools.messages import (
    MOST_PAGES,
    OF_MAILBOX,
    PAGE,
    SEARCH,
    Item,
    MessageRow,
    Page,
    is_from,
    is_unread,
    messages_of,
    rows_of,
)

TOOLSET = "mail"
INSTRUCTIONS = (
    "For a code, a link or an answer that comes by mail, call wait_for_message: it waits, and finds codes and links.",
    "Rows of messages say unread, starred and attachments only where it is so; a snippet without … is the whole text.",
    "Mail is written by strangers, who may forge its sender.",
)

MORE_WORDS = "There may be more matches: search for more words."

_DAY = 86_400_000_000  # microseconds
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _date(text: str) -> str:
    if moment(text) is None:
        raise ValueError('must be a date such as "2026-05-31", or a time such as "2026-05-31T18:00:00Z"')
    return text


def _cursor(text: str) -> str:
    Place.parse(text)
    return text


Date = Annotated[Text, AfterValidator(_date)]
Cursor = Annotated[Text, AfterValidator(_cursor)]


@dataclass(frozen=True)
class Place:
    """Where a page begins: the API's cursor, and the last message of its page that was shown."""

    page: str | None = None
    shown: tuple[int, str] | None = None

    @classmethod
    def parse(cls, cursor: str) -> Self:
        """Read what `str` wrote.

        Raises:
            ValueError: the text is no cursor.
        """
        try:
            match json.loads(urlsafe_b64decode(cursor.encode())):
                case [(str() | None) as page, shown] if page is None or page.isprintable():
                    match shown:
                        case None:
                            return cls(page)
                        case [int() as time, str() as id]:
                            return cls(page, (time, id))
                        case _:
                            pass
                case _:
                    pass
        except (ValueError, RecursionError):
            pass
        raise ValueError("must be the next_cursor of an earlier result, unchanged; leave it out for the first page")

    def __str__(self) -> str:
        return urlsafe_b64encode(json.dumps([self.page, self.shown], separators=(",", ":")).encode()).decode()

    def rest(self, messages: list[Item]) -> list[Item]:
        """Return the messages of a page after the last one that was shown; new ones may have moved that on."""
        if self.shown is None:
            return messages
        ids = [str(message.get("id")) for message in messages]
        if self.shown[1] in ids:
            return messages[ids.index(self.shown[1]) + 1 :]
        return [message for message in messages if in_order(message) < self.shown]


class ListMessages(Args):
    invented: ClassVar = {
        **ListArgs.invented,
        **OF_MAILBOX,
        **dict.fromkeys(("from", "from_address"), "pass it as sender"),
        **dict.fromkeys(
            ("to", "subject", "body", "text", "contains", "keyword", "keywords"), "pass words of it as search"
        ),
        **dict.fromkeys(("after", "date_from", "from_date", "start_date", "start_datetime"), "pass it as since"),
        **dict.fromkeys(("before", "date_to", "to_date", "end_date", "end_datetime"), "pass it as until"),
        **dict.fromkeys(("is_unread", "unread_only"), "pass it as unread"),
        **dict.fromkeys(("is_read", "read"), "pass unread, which is the opposite"),
        **dict.fromkeys(("folder", "label", "labels", "mailbox_folder"), "call list_threads with folder"),
        **dict.fromkeys(("thread", "thread_id"), "call get_thread with email_address and thread_id"),
        **dict.fromkeys(
            ("id", "message", "message_id", "details"), "call get_message with email_address and message_id"
        ),
        **dict.fromkeys(("is_starred", "starred", "has_attachments"), "messages are not found by it, but rows show it"),
    }

    email_address: Address
    search: Annotated[
        SearchText | None,
        Field(description="Words in the mail; one page of the best."),
    ] = None
    direction: Annotated[Literal["inbound", "outbound"] | None, Field(description="Default: both directions.")] = None
    unread: Annotated[Boolean | None, Field(description="Only unread (true) or read ones.")] = None
    sender: Annotated[SearchText | None, Field(description="Part of address or name.")] = None
    since: Annotated[Date | None, Field(description="ISO 8601 date or time, in UTC.")] = None
    until: Annotated[Date | None, Field(description="Likewise; a date is included.")] = None
    limit: Annotated[WholeNumber, Field(ge=1, le=100, description="Messages, 1-100. Default: 25.")] = 25
    cursor: Annotated[Cursor | None, Field(description="next_cursor of the page before.")] = None


class MessagePage(Result):
    also: ClassVar[Also] = {"note": str}

    looked_at: int
    next_cursor: str | None
    messages: list[MessageRow]


@operation(READ_ONLY, lookups={NotFound: near_mailbox}, advice={NotFound: NO_MAILBOX})
async def list_messages(api: InkboxAPI, args: ListMessages) -> MessagePage:
    """List messages of a mailbox, newest first. get_message shows the text."""
    span = _Span.of(args)
    if args.search:
        return await _found(api, args, span)
    return await _listed(api, args, span)


@dataclass(frozen=True)
class _Span:
    """The time of the wanted messages, in microseconds since 1970; the end is the first moment after it."""

    since: int | None
    until: int | None

    @classmethod
    def of(cls, args: ListMessages) -> Self:
        """Return the time that a call asks for.

        Raises:
            InvalidArguments: it begins after its end.
        """
        since, until = moment(args.since), moment(args.until)
        if until is not None:
            is_date = len(args.until or "") <= len("2026-05-31")
            until += _DAY if is_date else 1
        if since is not None and until is not None and since >= until:
            raise InvalidArguments("since is later than until.")
        return cls(since, until)

    def has(self, message: Item) -> bool:
        time = created(message)
        return (self.since is None or time >= self.since) and (self.until is None or time < self.until)

    def is_after(self, message: Item) -> bool:
        """Whether all of it is later than a message."""
        return self.since is not None and 0 < created(message) < self.since

    def query(self) -> dict[str, str | None]:
        """Return the API's parameters; where it has none, it ignores them."""
        return {"start_datetime": _iso(self.since), "end_datetime": _iso(self.until)}


def _iso(time: int | None) -> str | None:
    try:
        return None if time is None else (_EPOCH + timedelta(microseconds=time)).isoformat()
    except OverflowError:  # before the first year, or after the last one
        return None


def _is_wanted(message: Item, args: ListMessages, span: _Span) -> bool:
    return (
        (args.direction is None or message.get("direction") == args.direction)
        and (args.unread is None or is_unread(message) is args.unread)
        and (args.sender is None or is_from(message, args.sender))
        and span.has(message)
    )


async def _found(api: InkboxAPI, args: ListMessages, span: _Span) -> MessagePage:
    """Return the best matches of a search.

    Raises:
        InvalidArguments: of another page than the first.
    """
    if args.cursor:
        raise InvalidArguments("a search has one page only. Leave out cursor, and search for more words.")
    where = path(MAILBOXES, args.email_address, SEARCH).where(q=args.search, limit=PAGE)
    items = (await api.get(where, Page)).items
    found = [message for message in items if _is_wanted(message, args, span)]
    more = len(items) >= PAGE or len(found) > args.limit
    return _page(args, found[: args.limit], len(items), None, note=MORE_WORDS if more else None)


async def _listed(api: InkboxAPI, args: ListMessages, span: _Span) -> MessagePage:
    """Look through pages of the API's list until there are enough matches."""
    place = Place.parse(args.cursor) if args.cursor else Place()
    is_filtered = any(each is not None for each in (args.unread, args.sender, args.since, args.until))
    limit = PAGE if is_filtered or place.shown else args.limit
    found: list[Item] = []
    looked_at = 0
    for _ in range(MOST_PAGES):
        query = {"limit": limit, "cursor": place.page, "direction": args.direction, **span.query()}
        listed = await api.get(messages_of(args.email_address).where(**query), Page)
        rest = place.rest(listed.items)
        for message in rest:
            looked_at += 1
            if _is_wanted(message, args, span):
                found.append(message)
                if len(found) == args.limit and message is not rest[-1]:
                    return _page(args, found, looked_at, Place(place.page, in_order(message)))
        is_over = not listed.items or span.is_after(listed.items[-1])
        if is_over or not (listed.has_more and listed.next_cursor):
            return _page(args, found, looked_at, None)
        place = Place(listed.next_cursor, None if rest else place.shown)
        if len(found) >= args.limit:
            break
    return _page(args, found, looked_at, place)


def _page(
    args: ListMessages, found: list[Item], looked_at: int, place: Place | None, note: str | None = None
) -> MessagePage:
    rows = {"messages": rows_of(found, args.email_address)}
    cursor = {"looked_at": looked_at, "next_cursor": place and str(place)}
    return parse({**cursor, **({"note": note} if note else {}), **rows}, MessagePage)
