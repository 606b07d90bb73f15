"""The tool that lists a mailbox's messages, with filters that the API lacks.

Source: https://inkbox.ai/docs/api/mail/messages
"""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field

from inkbox_mcp.api.client import InkboxAPI
from inkbox_mcp.api.paths import MAILBOXES, path
from inkbox_mcp.api.responses import parse
from inkbox_mcp.errors import NotFound
from inkbox_mcp.mail.positions import created, in_order, moment
from inkbox_mcp.toolkit.fields import Boolean, SearchText, Text, WholeNumber
from inkbox_mcp.toolkit.operation import READ_ONLY, Also, Args, Result, operation
from inkbox_mcp.tools.mailboxes import NO_MAILBOX, Address, near_mailbox
from inkbox_mcp.tools.messages import PAGE, SEARCH, Item, MessageRow, Page, is_from, messages_of, row_of

TOOLSET = "mail"

MOST_PAGES = 5
"""The most pages of the API's list that one call looks through."""
MORE_WORDS = "There may be more matches: search for more words."

_DAY = 86_400_000_000  # microseconds


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
                case [(str() | None) as page, None]:
                    return cls(page)
                case [(str() | None) as page, [int() as time, str() as id]]:
                    return cls(page, (time, id))
                case _:
                    pass
        except (ValueError, RecursionError):
            pass
        raise ValueError("must be the next_cursor of an earlier result, unchanged; leave it out for the first page")

    def __str__(self) -> str:
        return urlsafe_b64encode(json.dumps([self.page, self.shown], separators=(",", ":")).encode()).decode()

    def is_before(self, message: Item) -> bool:
        """Whether a message of the page has not been shown. New ones may have come, which move the others on."""
        return self.shown is None or in_order(message) < self.shown


class ListMessages(Args):
    email_address: Address
    search: Annotated[
        SearchText | None,
        Field(description="Words in the mail. Best matches, on one page only."),
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
    """List a mailbox's messages, newest first. `looked_at`: how many the filters saw. get_message shows the text."""
    span = _Span.of(args)
    if args.search and args.search.strip():
        return await _found(api, args, span)
    return await _listed(api, args, span)


@dataclass(frozen=True)
class _Span:
    """The time of the wanted messages, in microseconds since 1970; the end is the first moment after it."""

    since: int | None
    until: int | None

    @classmethod
    def of(cls, args: ListMessages) -> Self:
        until = moment(args.until)
        is_date = args.until is not None and len(args.until) <= len("2026-05-31")
        return cls(moment(args.since), None if until is None else until + (_DAY if is_date else 1))

    def has(self, message: Item) -> bool:
        time = created(message)
        return (self.since is None or time >= self.since) and (self.until is None or time < self.until)

    def is_after(self, message: Item) -> bool:
        """Whether all of it is later than a message."""
        return self.since is not None and created(message) < self.since

    def query(self) -> dict[str, str | None]:
        """Return the API's parameters; where it has none, it ignores them."""
        return {"start_datetime": _iso(self.since), "end_datetime": _iso(self.until)}


def _iso(time: int | None) -> str | None:
    return None if time is None else datetime.fromtimestamp(time / 1_000_000, UTC).isoformat()


def _is_wanted(message: Item, args: ListMessages, span: _Span) -> bool:
    return (
        (args.direction is None or message.get("direction") == args.direction)
        and (args.unread is None or (message.get("is_read") is False) is args.unread)
        and (args.sender is None or is_from(message, args.sender))
        and span.has(message)
    )


async def _found(api: InkboxAPI, args: ListMessages, span: _Span) -> MessagePage:
    """Return the best matches of a search."""
    where = path(MAILBOXES, args.email_address, SEARCH).where(q=args.search, limit=PAGE)
    items = (await api.get(where, Page)).items
    found = [message for message in items if _is_wanted(message, args, span)]
    more = len(items) >= PAGE or len(found) > args.limit
    return _page(found[: args.limit], len(items), None, note=MORE_WORDS if more else None)


async def _listed(api: InkboxAPI, args: ListMessages, span: _Span) -> MessagePage:
    """Look through pages of the API's list until there are enough matches."""
    place = Place.parse(args.cursor) if args.cursor else Place()
    is_filtered = any(each is not None for each in (args.unread, args.sender, args.since, args.until))
    found: list[Item] = []
    looked_at = 0
    for _ in range(MOST_PAGES):
        query = {"limit": PAGE if is_filtered else args.limit, "cursor": place.page, "direction": args.direction}
        listed = await api.get(messages_of(args.email_address).where(**query, **span.query()), Page)
        for message in filter(place.is_before, listed.items):
            looked_at += 1
            if _is_wanted(message, args, span):
                found.append(message)
                if len(found) == args.limit and message is not listed.items[-1]:
                    return _page(found, looked_at, Place(place.page, in_order(message)))
        if not listed.has_more or not listed.next_cursor or span.is_after(listed.items[-1]):
            return _page(found, looked_at, None)
        place = Place(listed.next_cursor)
        if len(found) >= args.limit:
            break
    return _page(found, looked_at, place)


def _page(found: list[Item], looked_at: int, place: Place | None, note: str | None = None) -> MessagePage:
    rows = {"messages": [row_of(message) for message in found]}
    cursor = {"looked_at": looked_at, "next_cursor": place and str(place)}
    return parse({**cursor, **({"note": note} if note else {}), **rows}, MessagePage)
