"""Promise: the same message leaves at most once, whatever happens to answers, processes and calls."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

import anyio
import httpx2
import pytest
import stamina

from inkbox_mcp.api.attempts import WINDOW
from inkbox_mcp.api.client import InkboxAPI
from inkbox_mcp.api.generations import Generation
from inkbox_mcp.calls import Call, begin
from inkbox_mcp.errors import InkboxError, OutcomeUnknown, RateLimited, Unreachable
from tests.support.alike import BOTH
from tests.support.outbox import (
    AMBIGUOUS_BEFORE,
    BROKEN_BEFORE,
    BUSY,
    BUSY_2S,
    BUSY_AFTER,
    CUT_AFTER,
    CUT_AND_LATE,
    CUT_BEFORE,
    FAULTS,
    FINE,
    HANGS_BEFORE,
    LIMITED,
    LIMITED_2S,
    REFUSALS,
    SHAPES,
    SLOW,
    UNREADABLE,
    Content,
    Fault,
    Left,
    Outbox,
    Shape,
    answers,
    process,
    send,
)
from tests.support.time_lapse import TIME_LAPSE


@pytest.fixture
def anyio_backend() -> object:
    """Let hours pass at once."""
    return TIME_LAPSE


@pytest.fixture(autouse=True)
def pauses(no_pauses: None) -> None:
    """Let pauses take the time that they take; it passes at once."""
    stamina.set_testing(False)


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
    before: InkboxAPI | None = None

    def restart(self) -> None:
        """Start another process in place of this one; where there are keys, both may go on."""
        self.processes += 1
        self.before, self.api = self.api, process(self.outbox)

    async def call(self, content: Content, key: str | None = None, seconds: float = 100.0) -> Made:
        """Call once, and perhaps cancel it."""
        api = self.api
        if self.before and self.outbox.generation == "identity" and self.random.random() < 0.3:
            api = self.before
        assert api is not None
        made = Made(content, key, self.processes, anyio.current_time())
        self.made.append(made)
        began: list[Call] = []
        with anyio.move_on_after(seconds):
            try:
                sent = await send(api, content, key, began=began)
            except InkboxError as error:
                made.answer = error.code
            else:
                made.answer = "replayed" if sent.replayed else "recovered" if sent.recovered else "sent"
                made.message = sent.message.id
        made.id = began[0].request_id
        return made


def troubles(random: Random, share: float) -> Callable[[httpx2.Request], Fault]:
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
    outbox.usual = troubles(random, random.choice([0.0, 0.2, 0.5]))
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
        seconds = random.choice([100, 100, 100, random.uniform(0, 3), random.random()])
        async with anyio.create_task_group() as tasks:
            for _ in range(random.choice([1, 1, 1, 2])):
                tasks.start_soon(world.call, content, key, seconds)
        until_next = WINDOW - outbox.now % WINDOW
        await anyio.sleep(
            random.choice(
                [0, 0, 0.3, 2, 30, 400, 599, max(0, until_next - random.random()), until_next + random.uniform(0, 3)]
            )
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
            if each.began - start >= WINDOW:
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
    if repeater.key is None and again.posted - sender.began >= WINDOW:
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
                same = [each for each in world.made if (each.process, each.key) == (made.process, made.key)]
                assert made.content.is_in(message) or any(is_mistaken(world, each, message) for each in same)
            assert made.content.likeness == _content_of(world, message).likeness
        case _:
            assert own == [], made


def is_mistaken(world: World, made: Made, message: Left) -> bool:
    """Whether a message was sent by a process that had ended, and could not be told apart.

    It appeared in the list after the call had looked; or the call has an own key and did not look, and the message is
    less than two seconds older, by a clock of whole seconds.
    """
    sender = next(each for each in world.made if each.id == message.call)
    if world.outbox.generation == "identity":
        return False
    is_close = made.key is not None and message.time > made.began - 2
    return sender.process != made.process and (message.visible > made.began or is_close)


def _content_of(world: World, mail: Left) -> Content:
    return next(made.content for made in world.made if made.id == mail.call)


async def sequences(generation: Generation, seeds: range) -> None:
    """Play and judge some sequences."""
    for seed in seeds:
        world = await a_sequence(generation, seed)
        judge(world)


@BOTH
async def test_any_sequence_of_calls_and_faults_sends_each_message_once(generation: Generation) -> None:
    """Calls are repeated, doubled and cancelled, processes end, answers are lost, and windows pass."""
    await sequences(generation, range(60))


@pytest.mark.slow
@BOTH
@pytest.mark.parametrize("thousand", range(2))
async def test_thousands_of_sequences_send_each_message_once(generation: Generation, thousand: int) -> None:
    """More examples find rarer sequences."""
    await sequences(generation, range(1000 * thousand + 60, 1000 * thousand + 1060))


REPORT = Content()
OTHER = Content("Other numbers.")


async def outcome(api: InkboxAPI, content: Content = REPORT, key: str | None = None) -> str:
    """Send, and return what became of it or an error's code."""
    try:
        sent = await send(api, content, key)
    except InkboxError as error:
        return error.code
    return "replayed" if sent.replayed else "recovered" if sent.recovered else "sent"


async def to_the_end_of_the_window(outbox: Outbox, before: float) -> None:
    """Let time pass until some seconds before a window of the API's clock ends."""
    await anyio.sleep((WINDOW - outbox.now - before) % WINDOW)


@BOTH
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
async def test_a_failed_request_does_not_send_a_second_message(generation: Generation, fault: Fault) -> None:
    """With keys it is repeated; without, it is looked for. A repeated call does not send again what has left."""
    outbox = Outbox(generation, faults=[fault])
    api = process(outbox)
    first = await outcome(api)
    await anyio.sleep(5)
    assert await outcome(api) in {"sent", "replayed"}
    assert len(outbox.left) == 1
    if generation == "identity":
        assert first in {"sent", "recovered"}
        assert len({*outbox.keys}) == 1
    elif fault in REFUSALS:
        assert first in {"sent", "rate_limited"}
    elif fault is not SLOW:
        assert first == ("recovered" if fault.effect == 0 else "outcome_unknown") or fault.effect


@BOTH
async def test_a_call_that_is_cancelled_or_killed_at_any_moment_sends_at_most_one(generation: Generation) -> None:
    """The repetition comes from the same process, or from the next one."""
    for moment in range(12):
        for is_killed in (False, True):
            outbox = Outbox(
                generation, faults=[Fault("slow", 0.0, delay=0.5)], usual=lambda _: Fault("slow", delay=0.2)
            )
            api = process(outbox)
            with anyio.move_on_after(moment / 10):
                await send(api, REPORT)
            assert await outcome(process(outbox) if is_killed else api) in {"sent", "replayed"}
            assert len(outbox.left) == 1


@BOTH
@pytest.mark.parametrize("is_restarted", [False, True])
@pytest.mark.parametrize("before", [0.01, 0.9, 1.1, 5])
async def test_a_double_click_over_the_end_of_a_window_is_one_message(
    generation: Generation, before: float, is_restarted: bool
) -> None:
    """The key of the window before is looked up; the API's clock is read from whole seconds."""
    outbox = Outbox(generation, ahead=0.37)
    api = process(outbox)
    await to_the_end_of_the_window(outbox, before)
    assert await outcome(api) == "sent"
    await anyio.sleep(2 * before)
    assert await outcome(process(outbox) if is_restarted else api) == "replayed"
    assert len(outbox.left) == 1


@pytest.mark.parametrize("seconds", [1, 3, 4.5])
async def test_a_request_that_still_runs_when_its_window_has_ended_is_waited_for(seconds: float) -> None:
    """Its process was killed, and the look-up of its key does not show it yet."""
    outbox = Outbox("identity", faults=[Fault("late", seconds, lambda: None)])
    await to_the_end_of_the_window(outbox, 0.3)
    with anyio.move_on_after(0.2):
        await send(process(outbox), REPORT)
    await anyio.sleep(0.3)
    assert await outcome(process(outbox)) == "replayed"
    assert len(outbox.left) == 1


async def test_a_request_that_runs_for_long_is_repeated_under_its_key_by_the_same_process() -> None:
    """The process knows the key of the window before; the API says that it is at work."""
    outbox = Outbox("identity", faults=[Fault("late", 15.0, lambda: None)])
    await to_the_end_of_the_window(outbox, 0.3)
    api = process(outbox)
    with anyio.move_on_after(0.2):
        await send(api, REPORT)
    await anyio.sleep(0.3)
    assert await outcome(api) in {"recovered", "replayed"}
    assert len({*outbox.keys}) == len(outbox.left) == 1


async def test_where_that_cannot_be_waited_for_nothing_is_sent() -> None:
    """The caller is told how long to wait."""
    outbox = Outbox("identity")
    await to_the_end_of_the_window(outbox, -0.5)
    with pytest.raises(Unreachable, match="may be on its way") as raised:
        await send(process(outbox), REPORT, seconds=4)
    assert (raised.value.retry_after, outbox.posts()) == (6, 0)


async def test_no_request_with_a_windows_key_begins_after_the_window() -> None:
    """Another process may have looked the key up, and have sent the message under the next one."""
    outbox = Outbox("identity", faults=[Fault("cut", None, lambda: httpx2.ReadError("cut off"), delay=1.5)] * 3)
    await to_the_end_of_the_window(outbox, 0.2)
    assert await outcome(process(outbox)) == "outcome_unknown"
    assert outbox.posts() == 1


async def test_a_call_whose_window_ends_while_it_looks_begins_anew() -> None:
    """Meanwhile another process has looked for it in vain, and sent it under the next key."""
    outbox = Outbox("identity", reading_faults=[FINE, Fault("slow", delay=15)])
    await to_the_end_of_the_window(outbox, 2)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(outcome, process(outbox))
        await anyio.sleep(3)
        assert await outcome(process(outbox)) == "sent"
    assert len(outbox.left) == 1


async def test_an_answer_that_is_old_when_it_arrives_hides_no_message() -> None:
    """Its date shows the window before; a repetition two windows later is one of the last ten minutes all the same."""
    outbox = Outbox("identity", reading_faults=[Fault("slow", delay=1.5)])
    await to_the_end_of_the_window(outbox, 1)
    assert await outcome(process(outbox)) == "sent"
    await to_the_end_of_the_window(outbox, -0.3)
    assert await outcome(process(outbox)) == "replayed"
    assert len(outbox.left) == 1


@BOTH
async def test_the_same_report_of_tomorrow_leaves(generation: Generation) -> None:
    """So does one that comes more than 20 minutes after the first, in the same process or another one."""
    outbox = Outbox(generation)
    api = process(outbox)
    for count, pause in enumerate((0, 1201, 86_400, 7 * 86_400), 1):
        await anyio.sleep(pause)
        assert await outcome(api) == "sent"
        assert await outcome(api) == "replayed"
        await anyio.sleep(6)  # of what is younger, it cannot be told by clocks that disagree
        assert await outcome(process(outbox)) == "replayed"
        assert len(outbox.left) == count


@BOTH
@pytest.mark.parametrize("ahead", [-36_000.0, 36_000.0])
async def test_what_is_a_repetition_is_told_by_the_clock_of_the_api(generation: Generation, ahead: float) -> None:
    """This machine's clock may be wrong by hours, and no answer of this call was dated yet."""
    outbox = Outbox(generation, ahead=ahead)
    await to_the_end_of_the_window(outbox, 60)
    for answer in (False, True, True):
        api = process(outbox)
        with begin(30):
            assert await api.generation() == generation
        with begin(30):
            assert (await api.send(REPORT.outgoing())).replayed is answer
        await anyio.sleep(100)
    assert len(outbox.left) == 1


@BOTH
async def test_two_calls_side_by_side_send_one_message(generation: Generation) -> None:
    """The second one waits for the first, and shows what it sent."""
    outbox = Outbox(generation, usual=lambda _: SLOW)
    api, answers = process(outbox), list[str]()

    async def click() -> None:
        answers.append(await outcome(api))

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(click)
    assert (answers, len(outbox.left)) == (["sent", "replayed", "replayed"], 1)


async def test_two_processes_side_by_side_send_one_message() -> None:
    """The key is the same in both, and the API works on it once."""
    outbox = Outbox("identity", faults=[Fault("slow", 2.0, lambda: None)])
    answers: list[str] = []

    async def click() -> None:
        answers.append(await outcome(process(outbox)))

    async with anyio.create_task_group() as tasks:
        for _ in range(2):
            tasks.start_soon(click)
    assert len(outbox.left) == 1
    assert len({*answers} & {"sent", "replayed", "recovered"}) > 0


@BOTH
@pytest.mark.parametrize("key", ["order-1", "~ !"])
async def test_an_own_key_sends_once_for_ever_and_stands_for_one_message(generation: Generation, key: str) -> None:
    """It also sends what would be taken for a repetition."""
    outbox = Outbox(generation)
    api = process(outbox)
    assert await outcome(api) == "sent"
    for answer in ("sent", "replayed"):
        assert await outcome(api, key=key) == answer
        await anyio.sleep(6 * 86_400)
    assert len(outbox.left) == 2
    assert await outcome(api, OTHER, key) == "idempotency_key_reused"
    if generation == "identity":
        assert await outcome(process(outbox), OTHER, key) == "idempotency_key_reused"
    assert len(outbox.left) == 2
    assert await outcome(api, Content(mailbox="help@inkboxmail.com"), key) == "sent"


class SlowlyCounting(InkboxAPI):
    """Counts recipients in another place."""

    async def count_recipients(self, number: int) -> None:
        """Take a while."""
        await anyio.sleep(number)


@BOTH
async def test_two_messages_with_one_own_key_side_by_side_are_one_too_many(generation: Generation) -> None:
    """They look different, and still take turns."""
    outbox = Outbox(generation, usual=lambda _: SLOW)
    api, answers = process(outbox, SlowlyCounting), list[str]()

    async def click(content: Content) -> None:
        answers.append(await outcome(api, content, "order-1"))

    async with anyio.create_task_group() as tasks:
        for content in (REPORT, Content(subject="Another")):
            tasks.start_soon(click, content)
    assert (sorted(answers), len(outbox.left)) == (["idempotency_key_reused", "sent"], 1)


@pytest.mark.parametrize("shape", SHAPES)
async def test_each_shape_of_a_refusal_is_understood(shape: Shape) -> None:
    """The same key in progress is waited for, a lost result is looked up, and a reused key is an error."""
    outbox = Outbox("identity", shape=shape, faults=[Fault("late", 3.0, lambda: httpx2.ReadError("cut off"))])
    assert await outcome(process(outbox), key="a") == "recovered"
    assert len(outbox.left) == 1
    outbox.keeps_results, outbox.faults = False, [CUT_AFTER]
    assert await outcome(process(outbox), key="b") == "recovered"
    assert await outcome(process(outbox), OTHER, key="a") == "idempotency_key_reused"
    await anyio.sleep(6)
    assert await outcome(process(outbox), key="b") == "replayed"
    assert len(outbox.left) == 2


async def test_after_the_last_attempt_the_key_is_looked_up() -> None:
    """It shows the message; if that fails too, the error names the key, with which a repetition is safe."""
    outbox = Outbox("identity", faults=[CUT_AFTER, UNREADABLE, BROKEN_BEFORE])
    assert await outcome(process(outbox)) == "recovered"
    outbox = Outbox("identity", faults=[CUT_AFTER, UNREADABLE, AMBIGUOUS_BEFORE])
    outbox.reading_faults = [FINE] * 3 + [BROKEN_BEFORE]
    with pytest.raises(OutcomeUnknown) as raised:
        await send(process(outbox), REPORT)
    assert (raised.value.status, len(outbox.left)) == (503, 1)
    told = raised.value.explain("send_message")
    assert told.endswith("then it leaves at most once.")
    key = re.findall('idempotency_key "(.*)"', told)[0]
    await anyio.sleep(5000)
    assert await outcome(process(outbox), key=key) == "replayed"
    assert len(outbox.left) == 1


async def test_an_own_key_of_another_message_is_not_taken_for_success() -> None:
    """No attempt reached the API, and the look-up shows what was sent under the key yesterday."""
    outbox = Outbox("identity")
    assert await outcome(process(outbox), key="a") == "sent"
    await anyio.sleep(86_400)
    outbox.faults = [CUT_BEFORE] * 3
    assert await outcome(process(outbox), OTHER, "a") == "outcome_unknown"
    outbox.faults = [CUT_BEFORE]
    assert await outcome(process(outbox), OTHER, "a") == "idempotency_key_reused"


@BOTH
async def test_an_error_that_is_not_about_the_outcome_means_that_nothing_left(generation: Generation) -> None:
    """After a refusal that may have come too late, only the look-up can tell."""
    outbox = Outbox(generation, faults=[BUSY_AFTER, LIMITED, LIMITED])
    assert await outcome(process(outbox)) == "recovered"
    outbox = Outbox(generation, faults=[BUSY, LIMITED, LIMITED])
    expected = "rate_limited" if generation == "identity" else "outcome_unknown"
    assert (await outcome(process(outbox)), len(outbox.left)) == (expected, 0)


@BOTH
async def test_retry_after_is_obeyed_while_there_is_time(generation: Generation) -> None:
    """A longer one is the caller's to obey."""
    refused = Fault("429", None, answers(429, retry_after=600))
    outbox = Outbox(generation, faults=[refused])
    with pytest.raises(RateLimited) as limited:
        await send(process(outbox), REPORT)
    assert (limited.value.retry_after, outbox.posts()) == (600, 1)
    outbox = Outbox(generation, faults=[Fault("503", None, answers(503, "send_outcome_ambiguous", retry_after=600))])
    with pytest.raises(OutcomeUnknown) as unknown:
        await send(process(outbox), REPORT)
    assert (unknown.value.status, unknown.value.retry_after, outbox.posts()) == (503, 600, 1)
    if generation == "identity":
        outbox, began = Outbox(generation, faults=[LIMITED_2S, BUSY_2S]), anyio.current_time()
        assert await outcome(process(outbox)) == "sent"
        assert anyio.current_time() - began >= 4


async def test_without_keys_what_looks_the_same_is_looked_for_first() -> None:
    """Another process may have sent it; an own key says that it is another message."""
    outbox = Outbox("spec")
    assert await outcome(process(outbox)) == "sent"
    api = process(outbox)
    for _ in range(2):
        assert await outcome(api) == "replayed"
        assert await outcome(api, OTHER) == "replayed"
        assert await outcome(api, Content(bcc=("eve@example.com",))) in {"sent", "replayed"}
        await anyio.sleep(200)
    assert len(outbox.left) == 2
    assert await outcome(api, OTHER, "a") == "sent"
    assert await outcome(api, Content("Third numbers.")) == "replayed"
    assert await outcome(api, REPORT) == "replayed"
    assert len(outbox.left) == 3


async def test_other_texts_of_the_same_process_leave() -> None:
    """It knows that what the list shows is another message."""
    outbox = Outbox("spec")
    api = process(outbox)
    answers = [await outcome(api, Content(text)) for text in ("a", "b", "c", "a", "b")]
    assert answers == ["sent"] * 3 + ["replayed"] * 2
    assert len(outbox.left) == 3


async def test_without_keys_the_list_is_read_as_far_as_ten_minutes_reach() -> None:
    """Many other messages may be newer."""
    outbox = Outbox("spec")
    assert await outcome(process(outbox)) == "sent"
    api = process(outbox)
    for number in range(250):
        assert await outcome(api, Content(subject=f"Report {number}")) == "sent"
    assert await outcome(process(outbox)) == "replayed"
    assert len(outbox.left) == 251


@pytest.mark.parametrize("fault", [BROKEN_BEFORE, CUT_BEFORE, HANGS_BEFORE, UNREADABLE], ids=lambda fault: fault.name)
async def test_without_keys_nothing_is_sent_while_the_list_cannot_be_read(fault: Fault) -> None:
    """It might have left."""
    outbox = Outbox("spec", reading_faults=[FINE, fault, fault, fault])
    assert await outcome(process(outbox)) in {"server_error", "unreachable", "unexpected_response"}
    assert outbox.posts() == 0


async def test_without_keys_what_left_while_it_was_looked_for_is_found() -> None:
    """The API worked on the request after the connection was cut; or lists show messages late."""
    outbox = Outbox("spec", faults=[Fault("late", 0.7, answers(504))])
    assert await outcome(process(outbox)) == "recovered"
    outbox = Outbox("spec", faults=[CUT_AFTER], late=lambda: 0.9)
    assert await outcome(process(outbox)) == "recovered"


async def test_without_keys_a_repetition_looks_for_what_may_still_be_on_its_way() -> None:
    """Its call was cancelled, and the API was still at work."""
    for key in (None, "a"):
        outbox = Outbox("spec", faults=[Fault("late", 1.0, lambda: None)])
        api = process(outbox)
        with anyio.move_on_after(0.3):
            await send(api, REPORT, key)
        for _ in range(2):
            assert await outcome(api, key=key) == "replayed"
        assert len(outbox.left) == 1


async def test_without_keys_a_message_that_may_be_another_ones_is_not_claimed() -> None:
    """Two that look the same were lost, and one of them left."""
    outbox = Outbox("spec", faults=[CUT_AND_LATE, Fault("502", None, answers(502), delay=2.5)])
    api = process(outbox)
    assert await outcome(api) == "outcome_unknown"
    assert await outcome(api, OTHER) == "outcome_unknown"
    assert len(outbox.left) == 1


async def test_without_keys_a_message_on_its_way_is_not_forgotten_for_the_same_one_with_a_key() -> None:
    """It leaves while another one that looks the same is lost."""
    outbox = Outbox("spec", faults=[CUT_AND_LATE])
    api = process(outbox)
    assert await outcome(api) == "outcome_unknown"
    assert await outcome(api, key="a") == "sent"
    outbox.faults = [Fault("502", None, answers(502), delay=2.5)]
    assert await outcome(api, OTHER, "b") == "outcome_unknown"
    assert len(outbox.left) == 2


async def test_what_is_known_late_of_an_older_message_does_not_hide_a_newer_one() -> None:
    """The older one was sent under a key and lost; the newer one is of the last ten minutes."""
    outbox = Outbox("spec", faults=[CUT_AND_LATE])
    api = process(outbox)
    assert await outcome(api, key="a") == "outcome_unknown"
    await anyio.sleep(700)
    assert await outcome(api) == "sent"
    await anyio.sleep(300)
    assert [await outcome(api, key="a"), await outcome(api)] == ["replayed", "replayed"]
    assert len(outbox.left) == 2


async def test_without_keys_several_that_look_the_same_leave_the_outcome_unknown() -> None:
    """Other programs may send with the same mailbox."""
    outbox = Outbox("spec")
    faults = [Fault("cut", None, lambda: httpx2.ReadError("cut off"), delay=2.0)]
    api = process(outbox)

    async def others() -> None:
        for key in ("a", "b"):
            await anyio.sleep(0.5)
            await send(process(outbox), OTHER, key)

    async with anyio.create_task_group() as tasks:
        outbox.faults = faults
        tasks.start_soon(others)
        assert await outcome(api, key="c") == "outcome_unknown"


async def test_without_keys_a_process_that_is_killed_before_the_list_shows_its_message_may_send_it_twice() -> None:
    """This stays, and SECURITY.md says so."""
    outbox = Outbox("spec", late=lambda: 4.0)
    assert await outcome(process(outbox)) == "sent"
    assert await outcome(process(outbox)) == "sent"
    await anyio.sleep(5)
    assert await outcome(process(outbox)) == "replayed"


async def test_without_keys_what_leaves_after_all_looks_may_leave_twice() -> None:
    """This stays, and SECURITY.md says so; the first call said that its outcome is unknown."""
    outbox = Outbox("spec", faults=[CUT_AND_LATE])
    api = process(outbox)
    assert [await outcome(api), await outcome(api)] == ["outcome_unknown", "sent"]
    await anyio.sleep(5)
    assert len(outbox.left) == 2


async def test_without_keys_an_own_key_is_known_to_one_process() -> None:
    """This stays, and SECURITY.md says so."""
    outbox = Outbox("spec")
    assert await outcome(process(outbox), key="a") == "sent"
    assert await outcome(process(outbox), key="a") == "sent"
