"""The id and the time limit of a tool call."""

import io
import json
import logging
from dataclasses import replace

import anyio
import httpx2
import pytest

from inkbox_mcp.access.tenants import LOCAL
from inkbox_mcp.api.client import InkboxAPI
from inkbox_mcp.api.paths import WHOAMI
from inkbox_mcp.calls import Ending, begin, current
from inkbox_mcp.calls import request_id as current_request_id
from inkbox_mcp.service import Answer, Service
from inkbox_mcp.settings.options import Settings
from inkbox_mcp.telemetry.logs import JSONFormatter, TextFormatter
from inkbox_mcp.toolkit.operation import IDEMPOTENT, READ_ONLY, operation
from inkbox_mcp.tools.account import KeyHolder
from tests.support.agents import KEY, connect
from tests.support.extra_tools import offering
from tests.support.extra_tools.tools.trial import Waited, Waiting, wait_for_nothing
from tests.support.processes import PATIENCE
from tests.support.time_lapse import TIME_LAPSE


@pytest.mark.parametrize("given", ["gateway-7", "0af7651916cd43dd8448eb211c80319c", "a/b:c.d+e=f@g_h", "x" * 128])
async def test_a_callers_id_is_kept(given: str) -> None:
    """Gateways write ids in several forms."""
    with begin(1, given) as call:
        assert call.request_id == given == current_request_id()
    assert current_request_id() is None


@pytest.mark.parametrize(
    "given", [None, "", "two words", "x" * 129, "a\nb", "a\x0bb", "schlüssel", 'a"b', "<script>", "٣"]
)
async def test_an_id_that_could_not_stand_in_a_header_or_a_log_is_replaced(given: str | None) -> None:
    """The new id is random, so no two calls share it."""
    with begin(1, given) as first, begin(1, given) as second:
        assert first.request_id != second.request_id
        for call in (first, second):
            assert len(call.request_id) == 16
            assert int(call.request_id, 16) >= 0


def written(formatter: logging.Formatter, message: str, *values: object, error: Exception | None = None) -> str:
    """Format one log record."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    info = (type(error), error, error.__traceback__) if error else None
    handler.handle(logging.LogRecord("some.logger", logging.WARNING, "", 0, message, values, info))
    return stream.getvalue()


async def test_every_line_of_a_call_ends_with_its_id() -> None:
    """Outside a call, the line has no id."""
    assert written(TextFormatter(), "%s happened", "it").endswith("WARNING some.logger: it happened\n")
    with begin(1, "gateway-7"):
        assert written(TextFormatter(), "%s happened", "it").endswith(": it happened [gateway-7]\n")


async def test_a_json_line_stays_one_line_whatever_it_holds() -> None:
    """A message may contain line breaks and quotes, and a value need not be text."""
    with begin(1, "gateway-7"):
        line = written(JSONFormatter(), 'a\n"b" %s', object, error=ValueError("c\nd"))
    assert line.count("\n") == 1
    told = json.loads(line)
    assert told["message"].startswith('a\n"b" <class')
    assert told["request_id"] == "gateway-7"
    assert "ValueError: c\nd" in told["exception"]
    assert "trace_id" not in told


async def test_an_error_tells_its_requests_id(era: str) -> None:
    """The id is in the result's `_meta`, where a program can read it."""
    async with connect(
        lambda request: httpx2.Response(404, headers={"X-Seen": request.headers["x-request-id"]}), era
    ) as agent:
        result = await agent.call("get_mailbox", email_address="nobody")
        assert result.meta
        assert len(result.meta["request_id"]) == 16


async def test_a_call_that_waits_has_a_time_limit_of_its_own() -> None:
    """The limit follows from the call's arguments and may be longer or shorter than that of other calls."""
    seen: list[float] = []

    @operation(READ_ONLY, waits=lambda args: args.seconds)
    async def wait_long(api: InkboxAPI, args: Waiting) -> Waited:
        """Record how long the call may wait."""
        seen.append(current().remaining)
        return Waited(ended_early=True, looks=0)

    service = offering(wait_long, timeout=30.0)
    for seconds in (0.0, 5.0, 3600.0):
        await service.call(wait_long, {"seconds": seconds}, LOCAL)
    assert [round(remaining, 1) for remaining in seen] == [0.0, 5.0, 3600.0]
    fixed = replace(wait_long, waits=7.0)
    await service.call(fixed, {}, LOCAL)
    assert round(seen[-1], 1) == 7.0


async def test_the_time_that_a_human_takes_is_not_the_calls() -> None:
    """The call's time starts after the user has agreed."""
    asked: list[object] = []

    async def agree(question: object) -> None:
        asked.append(question)

    service = offering(wait_for_nothing)
    asking = replace(wait_for_nothing, confirm="Wait for nothing?")
    answer = await service.call(asking, {"seconds": 0.1}, LOCAL, agree)
    assert isinstance(answer, Answer)
    assert answer.data
    assert answer.data["looks"] > 1
    assert len(asked) == 1


async def test_requests_and_their_repetitions_end_with_the_time_limit() -> None:
    """An unanswered request ends with the call, and a pause that is longer than the rest is not started."""
    later = httpx2.Response(429, headers={"Retry-After": "60"}, json={"detail": "slow down"})
    silent = anyio.Event()

    async def answer(request: httpx2.Request) -> httpx2.Response:
        if not silent.is_set():
            silent.set()
            return later
        await anyio.sleep_forever()
        raise AssertionError

    @operation(READ_ONLY, waits=0.2)
    async def wait_for_account(api: InkboxAPI, args: Waiting) -> KeyHolder:
        """Send one request."""
        return await api.get(WHOAMI, KeyHolder)

    service = Service(Settings.model_validate({"api_key": KEY}), lambda: httpx2.MockTransport(answer))
    codes: list[str] = []
    with anyio.fail_after(PATIENCE):
        for _ in range(2):
            told = await service.call(wait_for_account, {}, LOCAL)
            assert isinstance(told, Answer)
            codes.append((told.meta or {})["code"])
    assert codes == ["rate_limited", "unreachable"]


@pytest.mark.parametrize("anyio_backend", [TIME_LAPSE], ids=["time lapse"])
async def test_a_tool_that_does_not_answer_when_its_time_is_over_is_ended() -> None:
    """A tool that ignores its deadline is stopped, and the error tells the model that it may call again."""
    service = offering(wait_for_nothing)
    with anyio.fail_after(PATIENCE):
        answer = await service.call(wait_for_nothing, {"seconds": 0.05, "stubborn": True}, LOCAL)
    assert isinstance(answer, Answer)
    assert answer.text == (
        "wait_for_nothing failed: nothing came of it in 0.05 seconds. Call again to go on waiting. "
        "Trying again may help."
    )
    assert (answer.meta or {})["code"] == "timed_out"


async def test_a_call_that_waits_holds_no_turn_of_others() -> None:
    """A waiting call does not count, even if only one call may run at a time."""
    service = offering(wait_for_nothing, max_concurrency=1)
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(service.call, wait_for_nothing, {"seconds": 3600.0}, LOCAL)
            await anyio.wait_all_tasks_blocked()
            answer = await service.call(await service.discovery.find("list_identities", LOCAL), {}, LOCAL)
            assert isinstance(answer, Answer)
            assert not answer.is_error
            tasks.cancel_scope.cancel()


async def test_a_call_that_waits_learns_that_the_server_is_about_to_stop() -> None:
    """A waiting call answers at once, and a later call does not wait at all."""
    service = offering(wait_for_nothing)
    answers: list[Answer] = []

    async def wait() -> None:
        answer = await service.call(wait_for_nothing, {"seconds": 3600.0}, LOCAL)
        assert isinstance(answer, Answer)
        answers.append(answer)

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            assert not answers
            service.ending.set()
        await wait()
    assert [answer.data and answer.data["ended_early"] for answer in answers] == [True, True]


async def test_what_is_under_way_in_a_wait_is_cut_off_when_its_time_is_over_or_the_server_stops() -> None:
    """What has ended is not, and a server that is about to stop lets nothing begin."""
    ending = Ending()

    async def cut_off(seconds: float) -> bool:
        with begin(3600) as call:
            call.begin_to_wait(3600, ending)
            with call.cut_off(seconds) as scope:
                await anyio.sleep(0 if seconds == 1 else 3600)
            return scope.cancelled_caught

    with anyio.fail_after(PATIENCE):
        assert await cut_off(0.01)
        assert not await cut_off(1)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(cut_off, 3600)
            tasks.start_soon(cut_off, 3600)
            await anyio.wait_all_tasks_blocked()
            ending.set()
        assert await cut_off(3600)


async def test_other_calls_may_pause_too() -> None:
    """The pause must fit into the call's remaining time."""
    with begin(0.05) as call:
        assert await call.pause(0.001)
        assert not await call.pause(3600)


def test_a_tool_that_waits_keeps_nobody_from_what_it_changes() -> None:
    """A waiting tool would hold the lock that other calls need."""
    with pytest.raises(TypeError, match="leave out changes"):
        operation(IDEMPOTENT, waits=1.0, changes=("email_address",))
