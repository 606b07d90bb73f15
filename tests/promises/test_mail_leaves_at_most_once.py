"""Promise: the same message leaves at most once, whatever happens to answers, processes and calls."""

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from random import Random
from typing import Any, Literal

import anyio
import httpx2
import pytest
import stamina

from inkbox_mcp.api.client import InkboxAPI
from inkbox_mcp.api.sending import WINDOW
from inkbox_mcp.calls import Call
from inkbox_mcp.errors import InkboxError
from tests.support.outbox import FAULTS, FINE, REFUSALS, SHAPES, SLOW, Content, Fault, Left, Outbox, process, send
from tests.support.time_lapse import TIME_LAPSE
from tests.support.waits import GENERATIONS, Generation

both = pytest.mark.parametrize("generation", GENERATIONS)


@pytest.fixture
def anyio_backend() -> object:
    """Let hours pass at once."""
    return TIME_LAPSE


@pytest.fixture(autouse=True)
def pauses(no_pauses: None) -> Generator[None]:
    """Let pauses take the time that they take; it passes at once."""
    stamina.set_testing(False)
    yield


CONTENTS = (
    Content("The numbers."),
    Content("Other numbers."),  # looks the same in a list
    Content("The numbers.", subject="Another report"),
    Content("The numbers.", mailbox="help@inkboxmail.com"),
    Content("The numbers.", bcc=("bob@example.com",)),
    Content("The numbers.", forwarded="00000000-0000-0000-0000-0000000000ff"),
)
READING = tuple(fault for fault in FAULTS if fault.effect in {None, 0.0})


@dataclass
class Made:
    """A call, and what became of it.

    Attributes:
        content: what it was to send.
        key: its own key.
        process: the number of its process.
        began: when it began, in seconds of the event loop's clock.
        id: its request id.
        answer: `sent`, `replayed`, `recovered`, an error's code, or `cancelled`.
        message: the id of the message that it answered.
    """

    content: Content
    key: str | None
    process: int
    began: float
    id: str = ""
    answer: str = "cancelled"
    message: str = ""


@dataclass
class World:
    """An Inkbox, a process that sends, and all that was asked of it."""

    outbox: Outbox
    random: Random
    made: list[Made] = field(default_factory=list[Made])
    processes: int = 0
    api: InkboxAPI | None = None

    def restart(self) -> None:
        """Start another process in place of this one."""
        self.processes += 1
        self.api = process(self.outbox)

    async def call(self, content: Content, key: str | None = None, seconds: float = 100.0) -> Made:
        """Call once, and perhaps cancel it."""
        assert self.api is not None
        made = Made(content, key, self.processes, anyio.current_time())
        self.made.append(made)
        began: list[Call] = []
        with anyio.move_on_after(seconds):
            try:
                sent = await send(self.api, content, key, began=began)
            except InkboxError as error:
                made.answer = error.code
            else:
                made.answer = "replayed" if sent.replayed else "recovered" if sent.recovered else "sent"
                made.message = sent.message.id
        made.id = began[0].request_id
        return made


def troubles(random: Random, share: float, generation: Generation) -> Callable[[httpx2.Request], Fault]:
    """Return faults for a share of the requests."""

    def fault(request: httpx2.Request) -> Fault:
        if random.random() > share:
            return FINE
        return random.choice(FAULTS if request.method == "POST" else READING)

    return fault


async def a_sequence(generation: Generation, seed: int) -> World:
    """Play a random sequence; at the end, send everything once more after all windows."""
    random = Random(f"{generation} {seed}")
    outbox = Outbox(generation, shape=random.choice(SHAPES), ahead=random.choice([-7200.0, 0.0, 43_211.7]))
    outbox.keeps_results = random.random() < 0.7
    outbox.usual = troubles(random, random.choice([0.0, 0.2, 0.5]), generation)
    slow_list = random.choice([0.0, 0.0, 0.5, 4.0])
    outbox.late = lambda: random.uniform(0, slow_list)
    world, contents = World(outbox, random), random.sample(CONTENTS, 2)
    world.restart()
    keys = [None, None, None, "order-1", "order-2"]
    for _ in range(random.randint(3, 8)):
        if random.random() < 0.25:
            world.restart()
        key = random.choice(keys)
        # A process knows what its keys stand for; another one has to ask.
        content = contents[0] if key == "order-1" else contents[-1] if key == "order-2" else random.choice(contents)
        seconds = random.choice([100, 100, 100, random.uniform(0, 3)])
        async with anyio.create_task_group() as tasks:
            for _ in range(random.choice([1, 1, 1, 2])):
                tasks.start_soon(world.call, content, key, seconds)
        until_next = WINDOW - outbox.now % WINDOW
        await anyio.sleep(
            random.choice([0, 0, 0.3, 2, 30, 400, 599, max(0, until_next - 1), until_next + random.uniform(0, 3)])
        )
    await anyio.sleep(2 * WINDOW + 60)
    outbox.usual = lambda _: FINE
    outbox.late = lambda: 0.0
    world.restart()
    for content in contents:
        made = await world.call(content)
        assert (made.answer, [mail.call for mail in outbox.left][-1]) == ("sent", made.id)
    return world


def judge(world: World) -> None:
    """Compare what left with what was asked for."""
    by_id = {mail.id: mail for mail in world.outbox.left}
    sender = {made.id: made for made in world.made}
    assert all(sender[mail.call].content.is_in(mail) for mail in world.outbox.left)
    for made in world.made:
        own = [mail for mail in world.outbox.left if mail.call == made.id]
        judge_answer(world, made, own, by_id.get(made.message))
    for calls in groups(world.made):
        ids = {made.id for made in calls}
        left = sorted((mail for mail in world.outbox.left if mail.call in ids), key=lambda mail: mail.posted)
        for number, mail in enumerate(left[1:], 1):
            assert any(is_excused(world, mail, first) for first in left[:number]), (mail, left)


def groups(made: list[Made]) -> list[list[Made]]:
    """Return the calls of which one message may leave: the same key, or the same content within 10 minutes."""
    found: dict[object, list[Made]] = {}
    starts: dict[Content, float] = {}
    for each in sorted(made, key=lambda each: each.began):
        if each.key is None:
            start = starts.get(each.content, -1e9)
            if each.began - start > WINDOW:
                start = starts[each.content] = each.began
            name: object = (each.content, start)
        else:
            name = (each.content.mailbox, bool(each.content.forwarded), each.key)
        found.setdefault(name, []).append(each)
    return list(found.values())


def is_excused(world: World, again: Left, first: Left) -> bool:
    """Whether the spec generation could not know of a message that had left, before the same left again.

    Either its process had ended, or its answer was lost; and it was not in the list when the last look was made. Own
    keys are known to one process only.
    """
    by_id = {made.id: made for made in world.made}
    sender, repeater = by_id[first.call], by_id[again.call]
    if repeater.key is None and again.posted - sender.began > WINDOW:
        return True  # the call began before the 10 minutes were over, and sent after them
    if world.outbox.generation == "identity":
        return False
    if repeater.key and sender.process != repeater.process:
        return True
    if sender.process == repeater.process and sender.answer in {"sent", "recovered"}:
        return False
    return first.visible > looked_before(world, again)


def looked_before(world: World, mail: Left) -> float:
    """Return when the call that sent a message had looked at the list last, before it sent."""
    return world.outbox.looked_before.get(mail.call, float("-inf"))


def judge_answer(world: World, made: Made, own: list[Left], message: Left | None) -> None:
    """Compare the answer of a call with what it sent."""
    match made.answer:
        case "cancelled" | "outcome_unknown":
            assert len(own) <= 1
        case "sent":
            assert message is not None
            assert made.content.is_in(message)
            assert message.call == made.id or world.outbox.generation == "identity"
        case "recovered":
            assert message is not None
            assert made.content.is_in(message) or is_mistaken(world, made, message)
        case "replayed":
            assert message is not None
            assert own in ([], [message])
            assert made.began - message.time <= 2 * WINDOW or made.key
            if world.outbox.generation == "identity" or made.key:
                assert made.content.is_in(message)
            assert made.content.likeness[:5] == _content_of(world, message).likeness[:5]
        case _:
            assert own == [], made


def is_mistaken(world: World, made: Made, message: Left) -> bool:
    """Whether a message was sent by a process that had ended, and appeared in the list too late to be told apart."""
    sender = next(each for each in world.made if each.id == message.call)
    return sender.process != made.process and message.visible > made.began


def _content_of(world: World, mail: Left) -> Content:
    return next(made.content for made in world.made if made.id == mail.call)


@both
@pytest.mark.parametrize("chunk", range(2))
async def test_any_sequence_of_calls_and_faults_sends_each_message_once(generation: Generation, chunk: int) -> None:
    """Calls are repeated, doubled and cancelled, processes end, answers are lost, and windows pass."""
    for seed in range(75 * chunk, 75 * (chunk + 1)):
        world = await a_sequence(generation, seed)
        judge(world)
