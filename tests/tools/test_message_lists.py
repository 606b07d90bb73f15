"""The tool that lists messages, from an MCP client to the sandbox and back, on both generations of the API."""

import json
from base64 import urlsafe_b64encode
from typing import Any
from uuid import UUID

import httpx2
import pytest

from inkbox_mcp.sandbox import Generation
from tests.support.agents import connect, text
from tests.support.alike import BOTH, GENERATIONS_ALIKE
from tests.support.inboxes import Inbox, inbox


def subjects(page: Any) -> list[str]:
    """Return the subjects of a page's rows."""
    return [row["subject"] for row in page["messages"]]


async def pages(inbox: Inbox, **arguments: Any) -> list[Any]:
    """Return all pages of a list."""
    found = [await inbox.ask("list_messages", **arguments)]
    while cursor := found[-1]["next_cursor"]:
        found.append(await inbox.ask("list_messages", **arguments, cursor=cursor))
        assert len(found) < 100
    return found


@BOTH
async def test_a_row_has_what_an_agent_needs_and_nothing_else(generation: Generation, era: str) -> None:
    """What a reader expects is left out: that a message is read, was received and has no attachments."""
    async with inbox(generation, era) as desk:
        message_id = desk.deliver("Hello", "How are you?")
        (row,) = (await desk.ask("list_messages"))["messages"]
        assert row.pop("created_at").endswith("Z")
        assert row.pop("thread_id")
        assert row == {
            "id": message_id,
            "from": "Ann Lee <ann@example.org>" if generation == "identity" else "ann@example.org",
            "subject": "Hello",
            "snippet": "How are you?",
            "unread": True,
        }


@BOTH
async def test_who_else_received_a_message_is_shown(generation: Generation) -> None:
    """That the mailbox alone received it is left out, where its whole address is known."""
    async with inbox(generation) as desk:
        for headers in ({}, {"Cc": "bob@example.org"}, {"Bcc": "desk@inkboxmail.com"}):
            desk.deliver(headers=headers)
        whole, several, other = "desk@inkboxmail.com", "desk@inkboxmail.com and 1 more", "desk@example.org"
        desk.store.deliver(b"From: a@b.org\nTo: desk@example.org\n\nx", [desk.person.address])
        for address, alone in (("desk", whole), ("Desk@inkboxmail.com", None)):
            rows = (await desk.agent.ask("list_messages", email_address=address))["messages"]
            assert [row.get("to") for row in rows] == [other, alone, several, alone]


@BOTH
async def test_a_sent_message_has_its_status_and_its_recipients_counted(generation: Generation) -> None:
    """It is never unread."""
    async with inbox(generation) as desk:
        await desk.person.send("x@example.org", "y@example.org", cc=["z@example.org"])
        (row,) = (await desk.ask("list_messages"))["messages"]
        assert row["to"] == "x@example.org and 2 more"
        assert row["status"] in {"queued", "sent", "delivered"}
        assert "unread" not in row


@BOTH
async def test_each_filter_finds_its_messages(generation: Generation) -> None:
    """Filters that the API does not have are applied here, and all of them together."""
    async with inbox(generation) as desk:
        first = desk.deliver("one", sender="GitHub <noreply@github.com>")
        desk.deliver("two", sender="bob@example.org")
        await desk.person.send("x@example.org", subject="three")
        await desk.person.ask("PATCH", f"/messages/{first}", json={"is_read": True})
        for arguments, found in (
            ({}, ["three", "two", "one"]),
            ({"direction": "inbound"}, ["two", "one"]),
            ({"direction": "outbound"}, ["three"]),
            ({"unread": True}, ["two"]),
            ({"unread": False}, ["three", "one"]),
            ({"sender": "GITHUB.com"}, ["one"]),
            ({"sender": "example.org", "unread": True}, ["two"]),
            ({"sender": "github", "unread": True}, []),
            ({"since": "2020-01-01"}, ["three", "two", "one"]),
            ({"until": "2020-01-01"}, []),
            ({"since": "2999-01-01T00:00:00Z"}, []),
            ({"since": "0001-01-01", "until": "9999-12-31"}, ["three", "two", "one"]),
        ):
            page = await desk.ask("list_messages", **arguments)
            assert subjects(page) == found, arguments
            assert page["next_cursor"] is None
        if generation == "identity":
            assert subjects(await desk.ask("list_messages", sender="git hub".replace(" ", ""))) == ["one"]


@BOTH
async def test_a_span_of_time_ends_with_its_last_day_or_moment(generation: Generation) -> None:
    """A date is the whole day, in UTC; a moment is included."""
    async with inbox(generation) as desk:
        desk.deliver("one")
        (message,) = await desk.person.list()
        day, moment = message["created_at"][:10], message["created_at"]
        for arguments, number in (
            ({"since": day, "until": day}, 1),
            ({"since": moment, "until": moment}, 1),
            ({"until": day}, 1),
            ({"until": f"{day}T00:00:00Z"}, 0),
            ({"since": f"{day}T23:59:59.999999Z"}, 0),
        ):
            assert len(subjects(await desk.ask("list_messages", **arguments))) == number, arguments


@GENERATIONS_ALIKE
@pytest.mark.parametrize("filters", [{}, {"sender": "ann"}, {"unread": True}, {"direction": "inbound"}])
async def test_pages_together_are_the_whole_list(generation: Generation, filters: dict[str, Any]) -> None:
    """No message is missing or twice."""
    async with inbox(generation) as desk:
        for number in range(23):
            desk.deliver(str(number), sender="ann@example.org" if number % 3 else "bob@example.org")
        everything = subjects(await desk.ask("list_messages", limit=100, **filters))
        for limit in (1, 4, 23):
            found = await pages(desk, limit=limit, **filters)
            assert [subject for page in found for subject in subjects(page)] == everything
            assert all(len(page["messages"]) <= limit for page in found)


@GENERATIONS_ALIKE
@pytest.mark.parametrize("filters", [{}, {"sender": "ann"}])
async def test_pages_neither_repeat_nor_skip_while_mail_comes_and_goes(
    generation: Generation, filters: dict[str, Any]
) -> None:
    """New mail moves the rest to other pages, and the last message that was shown may be deleted."""
    async with inbox(generation) as desk:
        ids = [desk.deliver(str(number), sender="ann@example.org") for number in range(12)]
        first = await desk.ask("list_messages", limit=4, **filters)
        assert subjects(first) == ["11", "10", "9", "8"]
        for number in range(120):  # more than a page of the API
            desk.deliver(f"new {number}", sender="ann@example.org")
        for gone in (8, 6):
            await desk.person.ask("DELETE", f"/messages/{ids[gone]}", 204)
        second = await desk.ask("list_messages", limit=4, cursor=first["next_cursor"], **filters)
        assert subjects(second) == ["7", "5", "4", "3"]
        desk.deliver("newest", sender="ann@example.org")
        third = await desk.ask("list_messages", limit=4, cursor=second["next_cursor"], **filters)
        assert subjects(third) == ["2", "1", "0"]
        assert third["next_cursor"] is None


class Endless:
    """A mailbox without end, of which only every so-manieth message is from bob; with a page of the API for each."""

    def __init__(self, every: int) -> None:
        self.every, self.asked = every, 0

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.asked += 1
        start, limit = int(request.url.params.get("cursor", 0)), int(request.url.params["limit"])
        items = [self.message(number) for number in range(start, start + limit)]
        return httpx2.Response(200, json={"items": items, "next_cursor": str(start + limit), "has_more": True})

    def message(self, number: int) -> dict[str, Any]:
        """Return a message; larger numbers are older."""
        sender = "bob@example.org" if number % self.every == self.every - 1 else "ann@example.org"
        left = 10**6 - number
        return {
            "id": f"00000000-0000-4000-8000-{number:012}", "direction": "inbound", "from_address": sender,
            "created_at": f"2026-01-{1 + left // 86400:02}T{left // 3600 % 24:02}:{left // 60 % 60:02}:{left % 60:02}Z",
        }  # fmt: skip


@BOTH
async def test_at_most_five_pages_are_looked_through_and_the_result_says_how_many(generation: Generation) -> None:
    """A rare sender costs few requests; the cursor goes on where the call stopped."""
    endless = Endless(every=700)
    async with connect(endless, api_generation=generation) as agent:
        first = await agent.ask("list_messages", email_address="desk", sender="bob")
        assert (endless.asked, first["looked_at"], first["messages"]) == (5, 500, [])
        second = await agent.ask("list_messages", email_address="desk", sender="bob", cursor=first["next_cursor"])
        assert (endless.asked, second["looked_at"], len(second["messages"])) == (10, 500, 1)
        plain = await agent.ask("list_messages", email_address="desk", limit=10)
        assert (endless.asked, plain["looked_at"], len(plain["messages"])) == (11, 10, 10)


async def test_a_list_since_a_time_stops_there() -> None:
    """Older pages are not asked for, and there is no next one."""
    endless = Endless(every=2)
    async with connect(endless) as agent:
        page = await agent.ask("list_messages", email_address="desk", since=endless.message(30)["created_at"], limit=50)
        assert (endless.asked, len(page["messages"]), page["next_cursor"]) == (1, 31, None)


@BOTH
async def test_a_search_shows_the_best_matches_and_says_if_there_may_be_more(generation: Generation) -> None:
    """The API's search has no pages, so neither has this one; filters apply to what it finds."""
    async with inbox(generation) as desk:
        for number in range(5):
            desk.deliver(f"Invoice {number}", "the invoice for May", sender="ann@example.org" if number else "b@c.org")
        desk.deliver("Lunch?")
        found = await desk.ask("list_messages", search="invoice may")
        assert (len(found["messages"]), found["looked_at"], found["next_cursor"]) == (5, 5, None)
        assert "note" not in found
        few = await desk.ask("list_messages", search="invoice", limit=2)
        assert (len(few["messages"]), few["next_cursor"]) == (2, None)
        assert "There may be more matches" in few["note"]
        assert subjects(await desk.ask("list_messages", search="invoice", sender="b@c.org")) == ["Invoice 0"]
        assert (await desk.ask("list_messages", search="dinner"))["messages"] == []
        assert len((await desk.ask("list_messages", search=""))["messages"]) == 6
        cursor = (await desk.ask("list_messages", limit=1))["next_cursor"]
        message = await desk.refused("list_messages", search="invoice", cursor=cursor)
        assert "a search has one page only. Leave out cursor" in message


CURSORS = [
    "x", "%%%", "é", urlsafe_b64encode(b"[]").decode(), urlsafe_b64encode(b'["\\ud800",null]').decode(),
    urlsafe_b64encode(b'["a\\nb",null]').decode(), urlsafe_b64encode(b'[null,["1","2"]]').decode(),
    urlsafe_b64encode(b"[" * 2000).decode(), urlsafe_b64encode(b'{"a":1}').decode(),
]  # fmt: skip


@pytest.mark.parametrize("cursor", CURSORS)
async def test_what_is_no_cursor_is_refused_with_what_to_pass(cursor: str) -> None:
    """Models shorten cursors, or make them up."""
    async with inbox("spec") as desk:
        message = await desk.refused("list_messages", cursor=cursor)
        assert "cursor: must be the next_cursor of an earlier result" in message
        assert desk.requests == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"since": "yesterday"}, 'since: must be a date such as "2026-05-31"'),
        ({"until": "31.05.2026"}, 'until: must be a date such as "2026-05-31"'),
        ({"since": "2026-02-02", "until": "2026-02-01"}, "since is later than until"),
        ({"limit": 0}, "limit"),
        ({"limit": 101}, "limit"),
        ({"direction": "received"}, "direction"),
        ({"sender": "a\u202eb"}, "U+202E"),
        ({"search": "x" * 321}, "320"),
        ({"q": "invoice"}, "did you mean search?"),
        ({"from": "ann"}, "pass it as sender"),
        ({"page": 2}, "next_cursor"),
        ({"offset": 25}, "next_cursor"),
        ({"label": "inbox"}, "call list_threads with folder"),
        ({"agent_handle": "desk"}, "call get_identity with agent_handle"),
    ],
)
async def test_a_wrong_argument_is_explained_and_nothing_is_sent(arguments: dict[str, Any], says: str) -> None:
    """Each error says what to write instead."""
    async with inbox("spec") as desk:
        assert says in await desk.refused("list_messages", **arguments)
        assert desk.requests == []


@BOTH
async def test_a_mailbox_that_does_not_exist_leads_to_a_similar_one(generation: Generation) -> None:
    """The error proposes the address."""
    async with inbox(generation) as desk:
        for tool in ("list_messages", "list_threads"):
            message = await desk.agent.refused(tool, email_address="desks")
            assert 'Did you mean "desk@inkboxmail.com"?' in message
            message = await desk.agent.refused(tool, email_address="quite-another")
            assert "Next: call list_mailboxes" in message


ORDINARY = (
    "Hi Sam, thanks for the quick call this morning. As discussed, I have attached the revised offer for the second "
    "phase, with the two options that we talked about. Could you let me know by Friday which one you prefer?\n\n"
    "Best regards,\nAnn\n"
)


@GENERATIONS_ALIKE
@pytest.mark.parametrize(("limit", "most"), [(25, 9_000), (100, 40_000)])
async def test_a_page_of_ordinary_messages_is_small(generation: Generation, limit: int, most: int) -> None:
    """The sizes are printed with `pytest -s`."""
    async with inbox(generation) as desk:
        for number in range(limit):
            desk.deliver(f"Revised offer for phase two, and a question ({number})", ORDINARY)
        size = len(text(await desk.call("list_messages", limit=limit)).encode())
        print(f"\n{generation} list_messages limit={limit}: {size:,} bytes")  # noqa: T201
        assert size <= most


LONG = {
    "from_address": f"{'x' * 180}@example.org",
    "from_display_name": "某" * 200,
    "to_addresses": [f"{'y' * 180}@example.org", "b@example.org"],
    "subject": '"' * 500,
    "snippet": "題" * 500,
    "direction": "outbound",
    "status": "delivered",
    "is_starred": True,
    "has_attachments": True,
    "folder": "archive",
    "last_message_at": "2026-05-31T18:00:00.123456+00:00",
    "created_at": "2026-05-31T18:00:00.123456+00:00",
    "message_count": 123456,
}


@BOTH
async def test_a_page_of_the_longest_texts_is_small_too(generation: Generation) -> None:
    """They are cut, and say so; ids are whole."""
    ids = [str(UUID(int=1 << 127 | number)) for number in range(25)]
    items = [{"id": each, "thread_id": each, **LONG} for each in ids]
    listed = httpx2.Response(200, json={"items": items, "has_more": True, "next_cursor": "c" * 100})
    async with inbox(generation) as desk:
        desk.fault = lambda _: listed
        for tool, rows in (("list_messages", "messages"), ("list_threads", "threads")):
            answer = text(await desk.call(tool))
            assert len(answer.encode()) <= 9_000
            shown = json.loads(answer)[rows]
            assert [row["id"] for row in shown] == ids
            assert all(row["subject"].endswith("…") for row in shown)


@BOTH
async def test_subjects_and_snippets_of_rows_are_cut(generation: Generation) -> None:
    """At 120 and 80 characters, with an ellipsis."""
    async with inbox(generation) as desk:
        desk.deliver("s" * 900, "x" * 5_000)
        page = await desk.ask("list_messages")
        (row,) = page["messages"]
        assert row["subject"] == "s" * 119 + "…"
        assert row["snippet"] == "x" * 79 + "…"
        (thread,) = (await desk.ask("list_threads"))["threads"]
        assert thread["subject"] == "s" * 119 + "…"
        assert json.loads(text(await desk.call("list_messages"))) == page
