"""Makes random calls on a network that fails at random, and checks that no change is doubled or lost.

`Inkbox` is a short model without faults. Each step makes one or more calls at once. Afterwards there must be an order
of these calls in which the model gives every answer that was given, and ends in the true state of the sandbox. An
answer promises one of three things:

- **done or refused** (a result, `not_found`, `conflict`): the model gives this answer, and the change was made once;
- **nothing was changed** (`unreachable`, `unavailable`, `rate_limited`): the call had no effect;
- **unknown** (`outcome_unknown`, `server_error`, `unexpected_response`): the call was done, or it had no effect.

Each step begins in the state in which the last one ended, so the same holds for the whole sequence. If a call of
unknown outcome made a mailbox, one later create that wants the same mailbox may return it.
"""

import json
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import chain, permutations
from typing import Any, Literal

import anyio
import pytest
import stamina
from anyio.lowlevel import checkpoint
from hypothesis import given, settings
from hypothesis import strategies as st

from inkbox_mcp.api.paths import IDENTITIES, MAILBOXES
from tests.support.agents import KEY, Agent, connect, text
from tests.support.faults import (
    BUSY,
    DROPPED_AFTER,
    DROPPED_AND_LATE,
    DROPPED_BEFORE,
    FINE,
    LIMITED,
    LOSING,
    STALLED_AFTER,
    STALLED_BEFORE,
    Fault,
    FaultyInkbox,
    faulty_inkbox,
    refusal,
)

BROKEN_AFTER = Fault(serves=True, answers=refusal(500))
QUICK = [fault for fault in LOSING if not fault.stalls] + [BUSY, LIMITED, BROKEN_AFTER, FINE]

CHANGED_NOTHING = {"unreachable", "unavailable", "rate_limited"}
MAY_HAVE_CHANGED = {"outcome_unknown", "server_error", "unexpected_response"}

HANDLES = ["sales-agent", "support-agent"]
PATIENCE, HASTE = 30.0, 0.25
Mood = Literal["patient", "hasty"]
HANGS = 60.0
"""Seconds after which a step counts as hung."""


@dataclass(frozen=True)
class Call:
    """A tool call."""

    tool: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class Answer:
    """The answer of a call: `ok` or an error's code, and the part of the result that the model knows."""

    code: str
    data: object = None


@dataclass(frozen=True)
class Mailbox:
    """A mailbox. Its address identifies it, because an address is given only once."""

    address: str
    handle: str | None
    name: str
    webhook: str | None = None

    def shown(self) -> dict[str, str | None]:
        """Return the fields that a result shows."""
        return {"email_address": self.address, "display_name": self.name, "webhook_url": self.webhook}


@dataclass(frozen=True)
class Inkbox:
    """An Inkbox without faults.

    Attributes:
        mailboxes: the existing mailboxes, oldest first.
        taken: all addresses that were ever given.
        made: how many mailboxes were ever made.
        deleted: how many of them were deleted.
        unclaimed: addresses of mailboxes that were not yet the answer of a call.
    """

    mailboxes: tuple[Mailbox, ...] = ()
    taken: frozenset[str] = frozenset()
    made: int = 0
    deleted: int = 0
    unclaimed: frozenset[str] = frozenset()

    def does(self, call: Call, random_address: str | None) -> tuple[Answer, "Inkbox"]:
        """Return the answer of a call and the state after it; a create without a wish gets the random address."""
        wants = call.arguments
        if call.tool == "create_mailbox":
            return self._creates(wants, _full(wants.get("email_local_part") or random_address or "?"))
        if call.tool == "list_mailboxes":
            return Answer("ok", [mailbox.shown() for mailbox in reversed(self.mailboxes)]), self
        mailbox = next((box for box in self.mailboxes if box.address == _full(wants["email_address"])), None)
        if mailbox is None:
            return Answer("not_found"), self
        if call.tool == "update_mailbox":
            new_name, new_webhook = wants.get("display_name", mailbox.name), wants.get("webhook_url", mailbox.webhook)
            if "display_name" in wants and new_webhook is None and mailbox.webhook:
                return Answer("invalid_arguments"), self
            changed = replace(mailbox, name=new_name, webhook=new_webhook)
            boxes = tuple(changed if box is mailbox else box for box in self.mailboxes)
            return Answer("ok", changed.shown()), replace(self, mailboxes=boxes)
        if call.tool == "delete_mailbox":
            boxes = tuple(box for box in self.mailboxes if box is not mailbox)
            return Answer("ok", True), replace(self, mailboxes=boxes, deleted=self.deleted + 1)
        return Answer("ok", mailbox.shown()), self

    def _creates(self, wants: Mapping[str, Any], address: str) -> tuple[Answer, "Inkbox"]:
        handle = wants["agent_handle"]
        if handle not in HANDLES:
            return Answer("not_found"), self
        if address in self.taken or any(box.handle == handle for box in self.mailboxes):
            return Answer("conflict"), self
        mailbox = Mailbox(address, handle, wants.get("display_name", "Inkbox user"))
        boxes = (*self.mailboxes, mailbox)
        after = replace(self, mailboxes=boxes, taken=self.taken | {address}, made=self.made + 1)
        return Answer("ok", mailbox.shown()), after

    def claims(self, call: Call, answer: Answer) -> "Inkbox | None":
        """Return the state after a create whose answer is an unclaimed mailbox; None if no mailbox fits."""
        wants = call.arguments
        for mailbox in self.mailboxes:
            as_wanted = call.tool == "create_mailbox" and mailbox.handle == wants["agent_handle"]
            as_wanted &= mailbox.name == wants.get("display_name", mailbox.name)
            as_wanted &= mailbox.address == _full(wants.get("email_local_part", mailbox.address))
            if as_wanted and mailbox.address in self.unclaimed and answer == Answer("ok", mailbox.shown()):
                return replace(self, unclaimed=self.unclaimed - {mailbox.address})
        return None

    def visible(self) -> "Inkbox":
        """Return the part of the state that clients can see."""
        return replace(self, taken=frozenset(), unclaimed=frozenset())


def _full(address: str) -> str:
    return f"{address.partition('@')[0].lower()}@inkboxmail.com"


@dataclass(frozen=True)
class Judge:
    """Decides whether the answers of simultaneous calls agree with the true states before and after."""

    before: Inkbox
    after: Inkbox
    lossy: bool
    repeated: bool

    def verdict(self, answers: list[tuple[Call, Answer]]) -> Inkbox | None:
        """Return the model's state after these calls, or None if no order of them explains the true state."""
        for order in permutations(answers):
            states = [self.before]
            for call, answer in order:
                states = [after for state in states for after in self._outcomes(state, call, answer)]
            for state in states:
                if state.visible() == self.after:
                    return state
        return None

    def _outcomes(self, state: Inkbox, call: Call, answer: Answer) -> Iterator[Inkbox]:
        if answer.code in CHANGED_NOTHING | MAY_HAVE_CHANGED:
            yield state
        if answer.code in CHANGED_NOTHING:
            return
        for address in self._random_addresses(state, call):
            expected, after = state.does(call, address)
            is_gone = call.tool == "delete_mailbox" and expected.code == "not_found" and answer == Answer("ok", True)
            # After a lost answer, "deleted" and "there was nothing to delete" look the same.
            if answer == expected or (is_gone and self.lossy):
                yield after
            elif answer.code in MAY_HAVE_CHANGED:
                yield replace(after, unclaimed=after.unclaimed | (after.taken - state.taken))
        # A create that was sent again may find what an earlier call of the same second made, whose answer was lost.
        if (self.lossy or self.repeated) and (claimed := state.claims(call, answer)):
            yield claimed

    def _random_addresses(self, state: Inkbox, call: Call) -> list[str | None]:
        """Return the addresses that this call may have been given: the new ones of its agent."""
        if call.tool != "create_mailbox" or call.arguments.get("email_local_part"):
            return [None]
        handle = call.arguments["agent_handle"]
        new = [box.address for box in self.after.mailboxes if box.handle == handle and box.address not in state.taken]
        return [*new] or [None]


class World:
    """A server on an Inkbox with faults: its agents with long and short deadlines, and the true state."""

    def __init__(self, inkbox: FaultyInkbox, patient: Agent, hasty: Agent) -> None:
        self.inkbox = inkbox
        self.agents = {"patient": patient, "hasty": hasty}
        self.believed = Inkbox()

    def begin(self, *, dated: bool) -> None:
        """Begin with an empty sandbox."""
        self.inkbox.forget()
        self.inkbox.dated = dated
        self.believed = Inkbox()

    async def truth(self) -> Inkbox:
        """Read the true state, without faults."""
        handles = {owner["id"]: owner["agent_handle"] for owner in await self.inkbox.look(IDENTITIES, KEY)}
        mailboxes = [
            Mailbox(
                box["email_address"], handles.get(box["agent_identity_id"]), box["display_name"], box["webhook_url"]
            )
            for box in await self.inkbox.look(MAILBOXES, KEY)
        ]
        made, deleted = self.inkbox.served.count(("POST", 201)), self.inkbox.served.count(("DELETE", 204))
        return Inkbox(tuple(reversed(mailboxes)), made=made, deleted=deleted)

    async def step(self, step: "Step", mood: Mood) -> None:
        """Make some calls at once while requests fail, and judge the answers."""
        answers: list[tuple[Call, Answer]] = []
        told: list[str] = []

        async def make(call: Call) -> None:
            result = await self.agents[mood].call(call.tool, **call.arguments)
            code = (result.meta or {})["code"] if result.is_error else "ok"
            answers.append((call, Answer(code, _data(call, result.structured_content))))
            told.append(f"{call.tool} {dict(call.arguments)}: {text(result)}")

        self.inkbox.fails(*step.faults)
        with anyio.fail_after(HANGS):
            async with anyio.create_task_group() as tasks:
                for call in step.calls:
                    tasks.start_soon(make, self._resolved(call))
            await self.inkbox.settle()
        met = step.faults[: len(step.faults) - len(self.inkbox.script)]
        lossy, repeated = any(fault in LOSING for fault in met), any(fault in (BUSY, LIMITED) for fault in met)
        self.inkbox.fails()
        before, after = self.believed, await self.truth()
        state = Judge(before, after, lossy, repeated).verdict(answers)
        story = "\n  ".join([*told, f"{before} ->", f"{after}", f"served: {self.inkbox.served}"])
        assert state is not None, f"no order of these calls explains what is true:\n  {story}"
        assert "address None" not in story
        self.believed = state

    def _resolved(self, call: Call) -> Call:
        """Replace the address `of a handle` by the address of that handle's mailbox."""
        whose = call.arguments.get("email_address", "").removeprefix("of ")
        if whose not in HANDLES or whose == call.arguments.get("email_address"):
            return call
        address = next((box.address for box in self.believed.mailboxes if box.handle == whose), "nobody")
        return Call(call.tool, {**call.arguments, "email_address": address})


def _data(call: Call, content: Any) -> object:
    """Return the part of a result that the model knows."""
    if content is None:
        return None
    if call.tool == "delete_mailbox":
        return content["deleted"]
    if call.tool == "list_mailboxes":
        assert content["total"] == len(content["mailboxes"])
        return [_shown(mailbox) for mailbox in content["mailboxes"]]
    return _shown(content)


def _shown(mailbox: dict[str, Any]) -> dict[str, Any]:
    return {name: mailbox[name] for name in ("email_address", "display_name", "webhook_url")}


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """Use one event loop for the module, because its world is shared by the tests."""
    return "asyncio"


@pytest.fixture(scope="module")
async def world() -> AsyncGenerator[World]:
    """Share one world; every sequence resets it."""
    async with make_world() as world:
        yield world


@asynccontextmanager
async def make_world() -> AsyncGenerator[World]:
    """Start a faulty Inkbox, and two servers on it: one with a long and one with a short deadline."""
    async with (
        faulty_inkbox() as inkbox,
        connect(inkbox.url, timeout=PATIENCE) as patient,
        connect(inkbox.url, timeout=HASTE) as hasty,
    ):
        yield World(inkbox, patient, hasty)


# One handle is an address too, and addresses come in every form, so that calls use the same mailboxes.
handles = st.sampled_from([*HANDLES, *HANDLES, "nobody"])
local_parts = st.sampled_from(["sales-agent", "help", "Help"])
addresses = st.sampled_from([*[f"of {handle}" for handle in HANDLES] * 2, "sales-agent", "help", "HELP@inkboxmail.com"])
names = st.sampled_from(["A", "B", "Inkbox user"])
webhooks = st.sampled_from(["https://example.com/in", None])


def a_call(tool: str, *, optional: dict[str, Any] | None = None, **required: Any) -> st.SearchStrategy[Call]:
    """Generate calls of one tool."""
    arguments: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(required, optional=optional or {})
    return arguments.map(partial(Call, tool))


creates = a_call(
    "create_mailbox", agent_handle=handles, optional={"email_local_part": local_parts, "display_name": names}
)
updates = a_call("update_mailbox", email_address=addresses, display_name=names, optional={"webhook_url": webhooks})
deletes = a_call("delete_mailbox", email_address=addresses)
reads = a_call("get_mailbox", email_address=addresses) | a_call("list_mailboxes")
calls = creates | creates | updates | deletes | reads


@dataclass(frozen=True)
class Step:
    """Calls that are made at once, and the faults of their requests, in the order of arrival."""

    calls: list[Call]
    faults: list[Fault]


def scripts(faults: list[Fault]) -> st.SearchStrategy[list[Fault]]:
    """Generate lists of faults: one repeated, or a lost answer followed by refusals."""
    in_a_row = [[fault] * times for fault in faults for times in (1, 2, 3)]
    refused_after = [[fault, *[BUSY] * 3] for fault in faults if fault in LOSING]
    bursts = st.sampled_from(in_a_row) | st.sampled_from(refused_after)
    return st.lists(bursts, max_size=4).map(lambda found: list(chain.from_iterable(found)))


FIRST = Step([Call("create_mailbox", {"agent_handle": "sales-agent"})], [])


def steps(faults: list[Fault]) -> st.SearchStrategy[list[Step]]:
    """Generate sequences: one agent gets a mailbox; each later step makes one call, or up to three at once."""
    at_once = st.lists(calls, min_size=1, max_size=1) | st.lists(calls, min_size=2, max_size=3)
    later = st.lists(st.builds(Step, at_once, scripts(faults)), min_size=1, max_size=6)
    return later.map(lambda steps: [FIRST, *steps])


sequences = steps(QUICK)
hasty_sequences = steps([*LOSING, BUSY, FINE, FINE])


async def play(world: World, sequence: list[Step], mood: Mood) -> None:
    """Play a sequence, and judge each step."""
    for step in sequence:
        await world.step(step, mood)


@settings(max_examples=15, deadline=None)
@given(sequence=sequences, dated=st.booleans())
async def test_any_sequence_of_calls_ends_as_the_acknowledged_calls_alone_would(
    world: World, sequence: list[Step], dated: bool
) -> None:
    """Faults must not double or lose a change, or make an answer wrong."""
    world.begin(dated=dated)
    await play(world, sequence, "patient")


@settings(max_examples=8, deadline=None)
@given(sequence=hasty_sequences)
async def test_the_same_holds_when_answers_stall_and_time_is_short(world: World, sequence: list[Step]) -> None:
    """A deadline may make an outcome unknown, but must not make an answer wrong."""
    world.begin(dated=False)
    await play(world, sequence, "hasty")


@pytest.mark.slow
@settings(max_examples=2_000, deadline=None)
@given(sequence=sequences, dated=st.booleans())
async def test_thousands_of_sequences_end_as_the_acknowledged_calls_alone_would(
    world: World, sequence: list[Step], dated: bool
) -> None:
    """More examples find rarer sequences."""
    world.begin(dated=dated)
    await play(world, sequence, "patient")


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(sequence=hasty_sequences)
async def test_the_same_holds_often_when_answers_stall_and_time_is_short(world: World, sequence: list[Step]) -> None:
    """More examples find rarer sequences."""
    world.begin(dated=False)
    await play(world, sequence, "hasty")


async def make(world: World, handle: str = "sales-agent", **wants: str) -> dict[str, Any]:
    """Begin with one mailbox, and return it."""
    world.begin(dated=False)
    return await world.agents["patient"].ask("create_mailbox", agent_handle=handle, **wants)


async def code(world: World, tool: str, mood: Mood = "patient", /, **arguments: Any) -> str:
    """Make a call and return `ok` or its error's code."""
    result = await world.agents[mood].call(tool, **arguments)
    return (result.meta or {})["code"] if result.is_error else "ok"


async def addresses_of(world: World) -> list[str]:
    """Return the addresses of all mailboxes."""
    return [mailbox.address for mailbox in (await world.truth()).mailboxes]


async def test_a_mailbox_may_be_called_like_its_agent(world: World) -> None:
    """A call that locks the handle and the address must not wait for itself."""
    made = await make(world, email_local_part="Sales-Agent")
    assert made["email_address"] == "sales-agent@inkboxmail.com"


async def test_calls_that_want_the_same_things_crosswise_do_not_wait_for_each_other_for_ever(world: World) -> None:
    """Each call wants the address that is named like the other call's agent."""
    world.begin(dated=False)
    codes: list[str] = []

    async def create(handle: str, local_part: str) -> None:
        codes.append(await code(world, "create_mailbox", agent_handle=handle, email_local_part=local_part))

    with anyio.fail_after(HANGS):
        async with anyio.create_task_group() as tasks:
            for handle, local_part in (HANDLES, reversed(HANDLES)):
                tasks.start_soon(create, handle, local_part)
    assert codes == ["ok", "ok"]


REFUSALS = [BUSY, LIMITED, Fault(answers=refusal(403)), Fault(answers=refusal(500))]


@pytest.mark.parametrize("refused", REFUSALS)
@pytest.mark.parametrize(("tool", "more"), [("update_mailbox", {"display_name": "B"}), ("delete_mailbox", {})])
async def test_a_refusal_after_a_lost_answer_does_not_make_the_change_undone(
    world: World, tool: str, more: dict[str, str], refused: Fault
) -> None:
    """The last attempt changed nothing, but the first one may have."""
    made = await make(world)
    world.inkbox.fails(DROPPED_AFTER, refused, refused)
    assert await code(world, tool, email_address=made["email_address"], **more) == "outcome_unknown"


@pytest.mark.parametrize("refused", REFUSALS)
async def test_a_create_that_arrives_late_is_not_said_to_have_made_nothing(world: World, refused: Fault) -> None:
    """The lost request arrived after the server had looked for its mailbox."""
    world.begin(dated=False)
    world.inkbox.fails(DROPPED_AND_LATE, FINE, *[refused] * 3)
    assert await code(world, "create_mailbox", agent_handle="sales-agent") == "outcome_unknown"
    assert len(await addresses_of(world)) == 1


async def test_a_create_that_arrives_late_is_taken_for_what_it_is(world: World) -> None:
    """The repeated request conflicts with the mailbox of the first one, and that mailbox is the answer."""
    world.begin(dated=False)
    world.inkbox.fails(DROPPED_AND_LATE)
    assert await code(world, "create_mailbox", agent_handle="sales-agent") == "ok"
    assert world.inkbox.served == [("GET", 200), ("POST", 201), ("POST", 409), ("GET", 200), ("GET", 200)]


@pytest.mark.parametrize("lost", [DROPPED_BEFORE, DROPPED_AFTER])
async def test_what_an_earlier_call_made_is_not_the_answer_of_a_lost_one(world: World, lost: Fault) -> None:
    """A mailbox from the same second is tested too, because servers report times in whole seconds."""
    await make(world, email_local_part="help")
    world.inkbox.dated = True
    world.inkbox.fails(lost)
    assert await code(world, "create_mailbox", agent_handle="sales-agent", email_local_part="help") == "conflict"


async def test_an_identity_that_does_not_exist_stays_unknown_when_an_answer_is_lost(world: World) -> None:
    """A lost create cannot have made a mailbox of an identity that does not exist."""
    world.begin(dated=False)
    world.inkbox.fails(DROPPED_BEFORE)
    assert await code(world, "create_mailbox", agent_handle="nobody") == "not_found"


async def test_a_conflict_that_is_over_when_it_is_looked_at_is_said_to_be(world: World) -> None:
    """Another call deleted the mailbox meanwhile, so the error must not name an address."""
    world.begin(dated=False)
    world.inkbox.fails(Fault(answers=refusal(409)))
    message = await world.agents["patient"].refused("create_mailbox", agent_handle="sales-agent")
    assert "None" not in message
    assert "has none now" in message


def found(created_at: dict[str, str]) -> list[Fault]:
    """Lose a create, and then answer with a mailbox that was made at this time."""
    identity = {"agent_handle": "sales-agent", "email_address": "a@inkboxmail.com"}
    mailbox = {"id": "1", "email_address": "a@inkboxmail.com", **created_at}
    return [
        DROPPED_BEFORE,
        *[Fault(answers=refusal(200, body=json.dumps(body).encode())) for body in (identity, mailbox)],
    ]


async def test_a_time_without_a_zone_is_universal(world: World) -> None:
    """Lists read such a time as UTC too."""
    world.begin(dated=False)
    now = datetime.now(UTC).replace(tzinfo=None) + timedelta(seconds=HANGS)
    world.inkbox.fails(*found({"created_at": now.isoformat()}))
    made = await world.agents["patient"].ask("create_mailbox", agent_handle="sales-agent")
    assert made["id"] == "1"


@pytest.mark.parametrize("created_at", [{}, {"created_at": "yesterday"}])
async def test_a_mailbox_that_does_not_tell_its_age_may_be_the_lost_one(
    world: World, created_at: dict[str, str]
) -> None:
    """The server cannot know whether the lost request made it."""
    world.begin(dated=False)
    world.inkbox.fails(*found(created_at))
    assert await code(world, "create_mailbox", agent_handle="sales-agent") == "outcome_unknown"
    assert world.inkbox.methods() == ["POST", "GET", "GET"]


async def test_all_that_a_call_waits_for_shares_its_deadline(world: World) -> None:
    """The second call waits for the first, and its deadline ends before it can send a request."""
    await make(world, email_local_part="help")
    codes: list[str] = []

    async def delete() -> None:
        codes.append(await code(world, "delete_mailbox", "hasty", email_address="help"))

    before, sent = 0.0, 0
    for _ in range(5):  # on a busy machine the second may begin so late that it has time left when the first gives up
        world.inkbox.fails(STALLED_BEFORE, STALLED_BEFORE)
        codes.clear()
        before, sent = anyio.current_time(), len(world.inkbox.requests)
        async with anyio.create_task_group() as tasks:
            for _ in range(2):
                tasks.start_soon(delete)
        if "unreachable" in codes:
            break
    assert sorted(codes) == ["outcome_unknown", "unreachable"]
    assert anyio.current_time() - before < 4 * HASTE
    assert len(world.inkbox.requests) == sent + 1
    world.inkbox.fails()
    assert await addresses_of(world) == ["help@inkboxmail.com"]


async def test_a_create_that_stalls_again_and_again_ends_with_its_deadline(world: World) -> None:
    """Lookups and repeated requests use the time of the same call."""
    world.begin(dated=False)
    world.inkbox.fails(STALLED_AFTER, *[STALLED_BEFORE] * 9)
    before = anyio.current_time()
    assert await code(world, "create_mailbox", "hasty", agent_handle="sales-agent") == "outcome_unknown"
    assert anyio.current_time() - before < 4 * HASTE


async def test_a_link_whose_answer_is_lost_is_not_said_to_have_changed_nothing(world: World) -> None:
    """The outcome is unknown if the lookup fails too."""
    made = await make(world)
    await world.agents["patient"].ask("unlink_mailbox", agent_handle="sales-agent")
    world.inkbox.fails(FINE, DROPPED_AFTER, *[DROPPED_BEFORE] * 3)
    arguments = {"agent_handle": "support-agent", "email_address": made["email_address"]}
    assert await code(world, "link_mailbox", **arguments) == "outcome_unknown"


async def test_an_identity_that_was_made_is_not_said_to_be_missing(world: World) -> None:
    """A failed lookup of its mailbox does not undo the identity."""
    world.begin(dated=False)
    await world.agents["patient"].ask("list_identities")
    world.inkbox.fails(FINE, *[DROPPED_BEFORE] * 3)
    assert await code(world, "create_identity", agent_handle="new-agent") == "ok"
    assert len(await addresses_of(world)) == 1


async def test_a_refusal_stays_the_answer_when_nothing_more_can_be_learnt(world: World) -> None:
    """The server looks up the API's generation only for its advice, so a failed lookup does not matter."""
    world.begin(dated=False)
    async with connect(world.inkbox.url) as agent:
        world.inkbox.fails(FINE, *[DROPPED_BEFORE] * 3)
        result = await agent.call("delete_mailbox", email_address="nobody")
        assert (result.meta or {})["code"] == "not_found"


async def test_a_call_that_is_cancelled_between_two_attempts_holds_nothing(world: World) -> None:
    """A cancelled call must release its mailbox and its connection before the pause ends."""
    made = await make(world)
    stamina.set_testing(False)
    world.inkbox.fails(Fault(answers=refusal(503, "Retry-After: 20")))
    sent = len(world.inkbox.requests)
    with anyio.fail_after(PATIENCE / 2):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(partial(code, world, "delete_mailbox", email_address=made["email_address"]))
            while len(world.inkbox.requests) == sent:
                await checkpoint()
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
        assert await code(world, "delete_mailbox", email_address=made["email_address"]) == "ok"
    assert len(world.inkbox.requests) == sent + 2
