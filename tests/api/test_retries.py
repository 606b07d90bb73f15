"""Retries with real faults on a real connection: no change is made twice, and none is lost."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import anyio
import pytest
import stamina

from inkbox_mcp.api.retries import MAX_PAUSE
from tests.support.agents import Agent, connect
from tests.support.faults import (
    BAD_GATEWAY_AFTER,
    BAD_GATEWAY_BEFORE,
    BUSY,
    CUT,
    DROPPED_AFTER,
    DROPPED_BEFORE,
    FINE,
    GARBLED_AFTER,
    LIMITED,
    STALLED_AFTER,
    STALLED_BEFORE,
    Fault,
    FaultyInkbox,
    faulty_inkbox,
    refusal,
)


@asynccontextmanager
async def failing(**settings: Any) -> AsyncGenerator[tuple[Agent, FaultyInkbox]]:
    """Connect an agent to a server whose Inkbox fails as scripted; a mailbox `sales` exists."""
    async with faulty_inkbox() as inkbox, connect(inkbox.url, **settings) as agent:
        await agent.ask("create_mailbox", agent_handle="sales-agent", email_local_part="sales", display_name="A")
        inkbox.requests.clear()
        yield agent, inkbox


async def everything(agent: Agent) -> dict[str, str | None]:
    """Return each mailbox's address and name."""
    page = await agent.ask("list_mailboxes", limit=200)
    return {mailbox["email_address"]: mailbox["display_name"] for mailbox in page["mailboxes"]}


@pytest.mark.parametrize(
    "fault", [DROPPED_BEFORE, DROPPED_AFTER, CUT, BUSY, LIMITED, BAD_GATEWAY_BEFORE, Fault(answers=refusal(504))]
)
async def test_a_read_is_repeated_until_it_is_answered(fault: Fault) -> None:
    """Two failures of any temporary kind do not reach the caller."""
    async with failing() as (agent, inkbox):
        inkbox.fails(fault, fault)
        assert (await agent.ask("get_mailbox", email_address="sales"))["display_name"] == "A"
        assert inkbox.methods() == ["GET"] * 3


async def test_three_attempts_are_all_there_are() -> None:
    """After three attempts the client reports the failure instead of loading a broken server further."""
    async with failing() as (agent, inkbox):
        inkbox.fails(*[DROPPED_BEFORE] * 5)
        assert "Trying again may help" in await agent.refused("get_mailbox", email_address="sales")
        assert len(inkbox.requests) == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 500, 501])
async def test_a_definite_refusal_is_not_repeated(status: int) -> None:
    """Only temporary failures are retried; a refusal would come again."""
    async with failing() as (agent, inkbox):
        inkbox.fails(*[Fault(answers=refusal(status))] * 3)
        assert str(status) in await agent.refused("get_mailbox", email_address="sales")
        assert len([request for request in inkbox.requests if request.path.endswith("/sales")]) == 1


@pytest.mark.parametrize(
    "fault",
    [DROPPED_BEFORE, DROPPED_AFTER, CUT, BUSY, LIMITED, BAD_GATEWAY_BEFORE, BAD_GATEWAY_AFTER, GARBLED_AFTER],
)
async def test_a_change_is_repeated_because_twice_is_once(fault: Fault) -> None:
    """Repeating an update is safe, because it ends in the same state."""
    async with failing() as (agent, inkbox):
        inkbox.fails(fault, fault)
        assert (await agent.ask("update_mailbox", email_address="sales", display_name="B"))["display_name"] == "B"
        assert await everything(agent) == {"sales@inkboxmail.com": "B"}


@pytest.mark.parametrize(
    "fault", [DROPPED_BEFORE, DROPPED_AFTER, BUSY, BAD_GATEWAY_BEFORE, BAD_GATEWAY_AFTER, GARBLED_AFTER]
)
async def test_a_delete_whose_first_attempt_worked_is_a_success(fault: Fault) -> None:
    """If the first answer was lost, the 404 of the second attempt means that the first one deleted the mailbox."""
    async with failing() as (agent, inkbox):
        inkbox.fails(fault)
        assert (await agent.ask("delete_mailbox", email_address="sales"))["deleted"] is True
        assert await everything(agent) == {}


async def test_a_delete_of_what_was_never_there_stays_an_error() -> None:
    """A 404 counts as success only after an attempt that may have deleted the mailbox."""
    async with failing() as (agent, inkbox):
        inkbox.fails(BUSY)
        assert "404" in await agent.refused("delete_mailbox", email_address="nobody")


LOST_CREATES = [DROPPED_BEFORE, DROPPED_AFTER, CUT, BAD_GATEWAY_BEFORE, BAD_GATEWAY_AFTER, GARBLED_AFTER]


@pytest.mark.parametrize("wanted", [{}, {"display_name": "B"}, {"email_local_part": "Help.Desk"}])
@pytest.mark.parametrize("fault", LOST_CREATES)
async def test_a_create_whose_answer_was_lost_makes_one_mailbox(fault: Fault, wanted: dict[str, str]) -> None:
    """The call makes one mailbox and succeeds, whether or not the lost request made it."""
    async with failing() as (agent, inkbox):
        inkbox.fails(fault)
        made = await agent.ask("create_mailbox", agent_handle="support-agent", **wanted)
        assert made["display_name"] == wanted.get("display_name", "Inkbox user")
        assert ("chosen at random" in made.pop("note", "")) is ("email_local_part" not in wanted)
        assert made.pop("agent_handle") == "support-agent"
        assert made == await agent.ask("get_mailbox", email_address=made["email_address"])
        assert len(await everything(agent)) == 2
        looked = [request.path for request in inkbox.requests[1:2]]
        assert looked == ["/api/v1/identities/support-agent"]


@pytest.mark.parametrize("wanted", [{}, {"with_mailbox": False}, {"mailbox_local_part": "Front.Desk"}])
@pytest.mark.parametrize("fault", LOST_CREATES)
async def test_an_identity_whose_answer_was_lost_is_made_once(fault: Fault, wanted: dict[str, Any]) -> None:
    """The call makes one identity as requested and succeeds, with or without its mailbox."""
    async with failing() as (agent, inkbox):
        await agent.ask("whoami")
        await agent.ask("list_identities")
        inkbox.fails(fault)
        made = await agent.ask("create_identity", agent_handle="new-agent", **wanted)
        assert ("chosen at random" in made.pop("note", "")) is (not wanted)
        shown = await agent.ask("get_identity", agent_handle="new-agent")
        assert {**shown, **made} == shown
        assert (made["email_address"] is None) is ("with_mailbox" in wanted)
        handles = [one["agent_handle"] for one in (await agent.ask("list_identities"))["identities"]]
        assert handles.count("new-agent") == 1


async def test_an_identity_is_shown_as_made_when_it_cannot_be_looked_at() -> None:
    """The identity was made, so the tool returns the API's summary instead of an error."""
    async with failing() as (agent, inkbox):
        await agent.ask("list_identities")
        inkbox.fails(FINE, *[DROPPED_BEFORE] * 3)
        made = await agent.ask("create_identity", agent_handle="new-agent")
        assert made["email_address"].endswith("@inkboxmail.com")


async def test_a_handle_that_was_taken_before_is_a_conflict_although_the_answer_was_lost() -> None:
    """The client compares ages: an identity older than the call was not made by it."""
    async with failing() as (agent, inkbox):
        await agent.ask("create_identity", agent_handle="new-agent", with_mailbox=False)
        inkbox.fails(DROPPED_AFTER)
        message = await agent.refused("create_identity", agent_handle="new-agent", with_mailbox=False)
        assert "call create_mailbox with agent_handle" in message
        inkbox.fails(FINE, *[Fault(answers=refusal(403))] * 3)
        message = await agent.refused("create_identity", agent_handle="new-agent")
        assert 'the handle "new-agent" is taken' in message


async def test_a_create_that_stalls_is_looked_up_within_its_deadline() -> None:
    """A timeout leaves enough time to look up what the lost request did."""
    async with failing(timeout=2) as (agent, inkbox):
        inkbox.fails(STALLED_AFTER)
        made = await agent.ask("create_mailbox", agent_handle="support-agent")
        assert inkbox.methods() == ["POST", "GET", "GET"]
        assert made["email_address"] in await everything(agent)


async def test_a_create_whose_outcome_cannot_be_known_says_so() -> None:
    """If the lookup fails too, the error names the tool to check with, and the create is not repeated."""
    async with failing() as (agent, inkbox):
        inkbox.fails(DROPPED_AFTER, *[DROPPED_BEFORE] * 9)
        result = await agent.call("create_mailbox", agent_handle="support-agent")
        assert (result.meta or {})["code"] == "outcome_unknown"
        message = await agent.refused("create_mailbox", agent_handle="support-agent")
        assert "call get_identity with agent_handle" in message
        assert inkbox.methods().count("POST") <= 2


async def test_an_older_mailbox_is_not_taken_for_the_one_that_was_lost() -> None:
    """The conflict stays an error, even if the older mailbox looks like the requested one."""
    async with failing() as (agent, inkbox):
        inkbox.fails(DROPPED_AFTER)
        message = await agent.refused(
            "create_mailbox", agent_handle="sales-agent", email_local_part="sales", display_name="A"
        )
        assert 'already has the mailbox "sales@inkboxmail.com"' in message


async def test_the_age_of_a_mailbox_is_told_by_the_servers_clock() -> None:
    """The client compares ages by the server's `Date` header, so its own clock may be wrong."""
    now = datetime.now(UTC) + timedelta(days=400)
    identity = {"agent_handle": "a", "email_address": "a@inkboxmail.com"}
    mailbox = {"id": "1", "email_address": "a@inkboxmail.com", "created_at": now.isoformat()}
    date = f"Date: {format_datetime(now, usegmt=True)}"

    def dated(body: object) -> Fault:
        return Fault(answers=refusal(200, date, body=json.dumps(body).encode()))

    async with failing() as (agent, inkbox):
        inkbox.fails(DROPPED_BEFORE, dated(identity), dated(mailbox))
        assert (await agent.ask("create_mailbox", agent_handle="a"))["id"] == "1"

        mailbox["created_at"] = (now - timedelta(minutes=1)).isoformat()
        inkbox.fails(DROPPED_BEFORE, dated(identity), dated(mailbox))
        assert "404" in await agent.refused("create_mailbox", agent_handle="a")


async def test_a_busy_create_is_sent_again() -> None:
    """The statuses 503 and 429 mean that nothing was made, so a repeated create is safe."""
    async with failing() as (agent, inkbox):
        inkbox.fails(BUSY, LIMITED)
        await agent.ask("create_mailbox", agent_handle="support-agent")
        assert inkbox.methods() == ["POST"] * 3


async def test_a_conflict_says_which_of_its_two_causes_it_has() -> None:
    """The error names the identity's mailbox or the address that is taken."""
    async with failing() as (agent, _):
        message = await agent.refused("create_mailbox", agent_handle="sales-agent")
        assert 'The identity "sales-agent" already has the mailbox "sales@inkboxmail.com"' in message
        message = await agent.refused("create_mailbox", agent_handle="support-agent", email_local_part="SALES")
        assert '"sales-agent" has the mailbox "sales@inkboxmail.com"' in message
        assert "The identity" not in message


REASONS = [
    ("Agent identity already has a mailbox", "already has a mailbox. Next", "is taken"),
    ("Email address is already taken", "the address is taken. Next", "already has a mailbox"),
    ("conflict", "Either the identity already has a mailbox, or", "nothing else"),
    ("The identity or the address is taken", "Either the identity already has a mailbox, or", "nothing else"),
]


@pytest.mark.parametrize(("reason", "says", "says_not"), REASONS)
async def test_a_conflict_that_cannot_be_looked_up_says_what_the_reason_settles(
    reason: str, says: str, says_not: str
) -> None:
    """If the lookup is refused, the API's own words may still settle the cause; if not, both are named."""
    body = json.dumps({"detail": reason}).encode()
    async with failing() as (agent, inkbox):
        inkbox.fails(Fault(answers=refusal(409, body=body)), Fault(answers=refusal(403)))
        message = await agent.refused("create_mailbox", agent_handle="sales-agent", email_local_part="desk")
        assert says in message
        assert says_not not in message.partition(f'"{reason}".')[2]


@pytest.mark.parametrize("seconds", [1, 20])
async def test_retry_after_that_exceeds_the_deadline_is_reported(seconds: int) -> None:
    """A wait that is longer than the deadline is left to the model."""
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=seconds + 100), usegmt=True)
    for header in (f"Retry-After: {seconds}", f"Retry-After: {later}"):
        async with failing(timeout=0.9) as (agent, inkbox):
            inkbox.fails(Fault(answers=refusal(429, header)))
            assert "Try again after" in await agent.refused("get_mailbox", email_address="sales")
            assert len(inkbox.requests) == 1


async def test_retry_after_is_waited_for_when_it_fits() -> None:
    """The client waits as long as the header asks."""
    stamina.set_testing(False)
    async with failing() as (agent, inkbox):
        inkbox.fails(LIMITED)
        before = anyio.current_time()
        await agent.ask("get_mailbox", email_address="sales")
        assert anyio.current_time() - before >= 1
    assert MAX_PAUSE <= 1


async def test_creates_for_one_identity_take_turns() -> None:
    """Of eight creates one succeeds, even when answers are lost; the others fail with a conflict."""
    async with failing() as (agent, inkbox):
        inkbox.fails(*[DROPPED_AFTER, FINE] * 2)
        results: list[bool] = []

        async def create() -> None:
            results.append((await agent.call("create_mailbox", agent_handle="support-agent")).is_error)

        async with anyio.create_task_group() as tasks:
            for _ in range(8):
                tasks.start_soon(create)
        assert sorted(results) == [False] + [True] * 7
        assert len(await everything(agent)) == 2


async def test_a_stalled_answer_ends_with_the_deadline() -> None:
    """The error says that a read changed nothing, and that a change must be checked."""
    async with failing(timeout=0.5) as (agent, inkbox):
        inkbox.fails(STALLED_BEFORE)
        assert "Nothing was changed" in await agent.refused("get_mailbox", email_address="sales")
        inkbox.fails(STALLED_AFTER)
        message = await agent.refused("delete_mailbox", email_address="sales")
        assert "no answer came back" in message
        assert "call get_mailbox" in message
