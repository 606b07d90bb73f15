"""The tools for conversations, from an MCP client to the sandbox and back, on both generations of the API."""

from typing import Any
from uuid import uuid4

import httpx2
import pytest

from inkbox_mcp.calls import current
from inkbox_mcp.sandbox import Generation
from tests.support.agents import text
from tests.support.alike import BOTH, GENERATIONS_ALIKE
from tests.support.inboxes import Inbox, inbox


async def thread_of(inbox: Inbox, message_id: str) -> str:
    """Return the thread of a message, which stays unread."""
    (found,) = [each for each in await inbox.person.list(limit=100) if each["id"] == message_id]
    return found["thread_id"]


async def walk(inbox: Inbox, thread_id: str, **arguments: Any) -> list[Any]:
    """Read a thread from its newest messages to its oldest."""
    found = [await inbox.ask("get_thread", thread_id=thread_id, **arguments)]
    while cursor := found[-1]["next_cursor"]:
        found.append(await inbox.ask("get_thread", thread_id=thread_id, cursor=cursor, **arguments))
        assert len(found) < 50
    return found


@BOTH
async def test_conversations_are_listed_newest_first_and_by_folder(generation: Generation, era: str) -> None:
    """Without a folder, all but the blocked."""
    async with inbox(generation, era) as desk:
        first = desk.deliver("first")
        desk.deliver("second")
        page = await desk.ask("list_threads")
        assert [row["subject"] for row in page["threads"]] == ["second", "first"]
        (row,) = page["threads"][1:]
        assert row.keys() == {"id", "subject", "folder", "message_count", "last_message_at"}
        assert (row["folder"], row["message_count"]) == ("inbox", 1)
        await desk.ask("update_messages", message_ids=[first], folder="archive")
        for folder, found in (("archive", ["first"]), ("inbox", ["second"]), ("spam", []), ("blocked", [])):
            page = await desk.ask("list_threads", folder=folder)
            assert [row["subject"] for row in page["threads"]] == found


@BOTH
async def test_pages_of_conversations_together_are_the_whole_list(generation: Generation) -> None:
    """No conversation is missing or twice while others come."""
    async with inbox(generation) as desk:
        for number in range(9):
            desk.deliver(str(number))
        page = await desk.ask("list_threads", limit=4)
        found = [row["subject"] for row in page["threads"]]
        while page["next_cursor"]:
            desk.deliver("new")
            page = await desk.ask("list_threads", limit=4, cursor=page["next_cursor"])
            found += [row["subject"] for row in page["threads"]]
        assert found == [str(number) for number in reversed(range(9))]


@BOTH
async def test_no_more_conversations_are_shown_than_were_asked_for(generation: Generation) -> None:
    """Even if the API ignores the limit."""
    async with inbox(generation) as desk:
        listed = {"items": [{"id": str(uuid4()), "subject": "x"} for _ in range(300)], "has_more": False}
        desk.fault = lambda _: httpx2.Response(200, json=listed)
        assert len((await desk.ask("list_threads", limit=20))["threads"]) == 20


@BOTH
async def test_a_conversation_is_read_oldest_first(generation: Generation, era: str) -> None:
    """Each message has its text between marks; what it quotes is a message of its own."""
    async with inbox(generation, era) as desk:
        ids = desk.converse(3, "Message {}\n\nOn Mon, 1 Jun 2026, Bob <bob@example.org> wrote:\n> as quoted\n")
        thread = await desk.ask("get_thread", thread_id=await thread_of(desk, ids[0]))
        assert (thread["subject"], thread["message_count"], thread["next_cursor"]) == ("Plans", 3, None)
        assert [message["id"] for message in thread["messages"]] == ids
        for number, message in enumerate(thread["messages"]):
            assert f"\nMessage {number}\n" in message["text"]
            assert "as quoted" not in message["text"]


@BOTH
@pytest.mark.parametrize("length", [10, 400, 3_000])
async def test_a_long_conversation_is_read_from_its_newest_messages_on(generation: Generation, length: int) -> None:
    """As many as fit; the cursor leads to the older ones, and no message is missing or twice."""
    async with inbox(generation) as desk:
        ids = desk.converse(17, "{} " + "x" * length)
        found = await walk(desk, await thread_of(desk, ids[0]), max_chars=3_000)
        assert [each["id"] for page in reversed(found) for each in page["messages"]] == ids
        assert len(found) > 1
        for page in found:
            assert page["message_count"] == 17
            assert page["messages"]


@BOTH
async def test_what_is_left_out_names_the_tool_that_shows_it(generation: Generation) -> None:
    """This tool has neither of the arguments."""
    quoting = "Yes. " + "x " * 3_000 + "\n\nOn Mon, 1 Jun 2026, Bob <bob@example.org> wrote:\n> as quoted\n"
    async with inbox(generation) as desk:
        ids = desk.converse(1, quoting)
        thread = await desk.ask("get_thread", thread_id=await thread_of(desk, ids[0]), max_chars=500)
        shown = thread["messages"][0]["text"]
        assert "more characters: get_message with its id and offset=" in shown
        assert "left out: get_message with its id and quoted=true shows them" in shown


@GENERATIONS_ALIKE
async def test_a_result_is_about_as_long_as_was_asked_for(generation: Generation) -> None:
    """What stands beside the texts counts, or a conversation of links would never fit into a result."""
    links = " ".join(f"https://example.org/{number}/{'x' * 2_000}" for number in range(10))
    async with inbox(generation) as desk:
        ids = desk.converse(30, links)
        thread_id = await thread_of(desk, ids[0])
        size = len(text(await desk.call("get_thread", thread_id=thread_id, max_chars=50_000)))
        print(f"\n{generation} get_thread of 50,000 characters: {size:,}")  # noqa: T201
        assert size < 120_000
        assert len(await walk(desk, thread_id, max_chars=50_000)) > 1


@BOTH
async def test_only_what_is_shown_is_marked_read(generation: Generation) -> None:
    """Messages are asked for side by side, and those that do not fit are set back; the spec generation marks none."""
    async with inbox(generation) as desk:
        ids = desk.converse(8, "{} " + "x" * 2_000)
        await desk.ask("update_messages", message_ids=[ids[5]], is_read=True)
        thread = await desk.ask("get_thread", thread_id=await thread_of(desk, ids[0]), max_chars=2_000)
        shown = {message["id"] for message in thread["messages"]}
        assert 0 < len(shown) < 5
        read = {each for each in ids if await desk.is_read(each)}
        assert read == {ids[5]} | (shown if generation == "identity" else set[str]())


@BOTH
async def test_a_message_that_is_deleted_meanwhile_is_left_out_and_no_other(generation: Generation) -> None:
    """Also where it stands beside one that does not fit."""
    async with inbox(generation) as desk:
        ids = desk.converse(8, "{} " + "x" * 2_000)
        thread_id = await thread_of(desk, ids[0])

        def forget(request: httpx2.Request) -> httpx2.Response | None:
            gone = request.method == "GET" and request.url.path.endswith((ids[5], ids[2]))
            return httpx2.Response(404, json={"detail": "Message not found"}) if gone else None

        desk.fault = forget
        found = await walk(desk, thread_id, max_chars=3_000)
        shown = [each["id"] for page in reversed(found) for each in page["messages"]]
        assert shown == [each for each in ids if each not in {ids[5], ids[2]}]


@BOTH
async def test_a_message_that_cannot_be_read_is_named_and_hides_no_other(generation: Generation) -> None:
    """It stays as unread as it was, and the cursor leads past it."""
    async with inbox(generation) as desk:
        ids = desk.converse(12)
        thread_id = await thread_of(desk, ids[0])

        def fail(request: httpx2.Request) -> httpx2.Response | None:
            failing = request.method == "GET" and request.url.path.endswith(ids[5])
            return httpx2.Response(422, json={"detail": "no"}) if failing else None

        desk.fault = fail
        found = await walk(desk, thread_id)
        assert [each["id"] for page in reversed(found) for each in page["messages"]] == [*ids[:5], *ids[6:]]
        (note,) = [page["note"] for page in found if "note" in page]
        assert ids[5] in note
        assert "Inkbox answered 422" in note
        assert not await desk.is_read(ids[5])


@BOTH
async def test_what_fits_is_shown_when_older_messages_cannot_be_read(generation: Generation) -> None:
    """The cursor tries them again, and fails as long as none can be read; those stay unread."""
    async with inbox(generation) as desk:
        ids = desk.converse(8)
        thread_id = await thread_of(desk, ids[0])

        def fail(request: httpx2.Request) -> httpx2.Response | None:
            failing = request.method == "GET" and request.url.path.endswith(tuple(ids[:3]))
            return httpx2.Response(422, json={"detail": "no"}) if failing else None

        desk.fault = fail
        thread = await desk.ask("get_thread", thread_id=thread_id)
        assert [each["id"] for each in thread["messages"]] == ids[3:]
        assert all(each in thread["note"] for each in ids[:3])
        cursor = thread["next_cursor"]
        assert "Inkbox answered 422" in await desk.refused("get_thread", thread_id=thread_id, cursor=cursor)
        assert not any([await desk.is_read(each) for each in ids[:3]])
        desk.fault = None
        thread = await desk.ask("get_thread", thread_id=thread_id, cursor=cursor)
        assert [each["id"] for each in thread["messages"]] == ids[:3]


async def test_messages_are_set_back_when_the_time_of_the_call_is_over() -> None:
    """Setting them back has a time of its own."""
    async with inbox("identity") as desk:
        ids = desk.converse(5, "{} " + "x" * 2_000)
        thread_id = await thread_of(desk, ids[0])

        def end(request: httpx2.Request) -> None:
            if request.method == "GET" and request.url.path.endswith(ids[0]):
                current().timeout = -1
                current().restart()

        desk.fault = end
        thread = await desk.ask("get_thread", thread_id=thread_id, max_chars=1_000)
        shown = {each["id"] for each in thread["messages"]}
        assert 0 < len(shown) < 5
        assert {each for each in ids if await desk.is_read(each)} == shown


@BOTH
async def test_at_most_five_messages_are_asked_for_at_once(generation: Generation) -> None:
    """A long conversation must not take all connections."""
    async with inbox(generation) as desk:
        ids = desk.converse(12, "{}")
        thread_id = await thread_of(desk, ids[0])
        desk.requests.clear()
        await desk.ask("get_thread", thread_id=thread_id, max_chars=500)
        details = [each for each in desk.requests if each.startswith("GET /messages/")]
        assert 0 < len(details) <= 5


@BOTH
async def test_a_conversation_that_does_not_exist_leads_to_those_that_do(generation: Generation) -> None:
    """The mailbox or the conversation: each error leads to the list that has it."""
    async with inbox(generation) as desk:
        message = await desk.refused("get_thread", thread_id=str(uuid4()))
        assert "This mailbox has no such thread. Next: call list_threads" in message
        message = await desk.agent.refused("get_thread", email_address="desks", thread_id=str(uuid4()))
        assert 'Did you mean "desk@inkboxmail.com"?' in message


@pytest.mark.parametrize(
    ("tool", "arguments", "says"),
    [
        ("get_thread", {"thread_id": "5"}, "must be a UUID"),
        ("get_thread", {"thread_id": "../../identities"}, "must be a UUID"),
        ("get_thread", {"id": str(uuid4())}, "pass it as thread_id"),
        ("get_thread", {"thread_id": str(uuid4()), "message_id": "x"}, "call list_messages"),
        ("get_thread", {"thread_id": str(uuid4()), "offset": 5}, "next_cursor"),
        ("get_thread", {"thread_id": str(uuid4()), "cursor": "x"}, "must be the next_cursor of an earlier result"),
        ("get_thread", {"thread_id": str(uuid4()), "max_chars": 1}, "max_chars"),
        ("list_threads", {"folder": "trash"}, "folder"),
        ("list_threads", {"label": "spam"}, "pass it as folder"),
        ("list_threads", {"search": "x"}, "call list_messages"),
        ("list_threads", {"agent_handle": "x"}, "call get_identity with agent_handle"),
    ],
)
async def test_a_wrong_argument_is_explained_and_nothing_is_sent(
    tool: str, arguments: dict[str, Any], says: str
) -> None:
    """Each error says what to write instead."""
    async with inbox("spec") as desk:
        assert says in await desk.refused(tool, **arguments)
        assert desk.requests == []
