"""How many calls that wait one caller may have, and that each of them is counted until it ends."""

from dataclasses import replace
from typing import Any

import anyio
import pytest
from pydantic import ValidationError

from inkbox_mcp.access.tenants import LOCAL, Caller
from inkbox_mcp.api.client import InkboxAPI
from inkbox_mcp.errors import Unavailable
from inkbox_mcp.service import Answer, Bug, Service
from inkbox_mcp.settings.options import Settings
from inkbox_mcp.toolkit.operation import READ_ONLY, Operation, operation
from tests.support.agents import KEY
from tests.support.extra_tools import offering, wait_over_http
from tests.support.extra_tools.tools.trial import Waited, Waiting, count_steps, wait_for_nothing
from tests.support.http_in_process import serve_service
from tests.support.processes import PATIENCE
from tests.support.time_lapse import TIME_LAPSE

OTHER = replace(LOCAL, name="other")
FOREVER = {"seconds": 3600.0}


async def waits(service: Service, caller: Caller = LOCAL) -> str:
    """Call a tool that waits, for no time at all, and return "ok" or the error's code."""
    answer = await service.call(wait_for_nothing, {"seconds": 0.0}, caller)
    assert isinstance(answer, Answer)
    return (answer.meta or {}).get("code", "ok")


async def test_one_more_than_a_caller_may_have_is_refused_at_once() -> None:
    """Other callers and other tools are not concerned, and the answer says what to do."""
    service = offering(wait_for_nothing, max_waits=2)
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            for _ in range(2):
                tasks.start_soon(service.call, wait_for_nothing, FOREVER, LOCAL)
            await anyio.wait_all_tasks_blocked()
            answer = await service.call(wait_for_nothing, FOREVER, LOCAL)
            assert isinstance(answer, Answer)
            assert answer.text == (
                "wait_for_nothing failed: you have 2 calls that wait, the most that this server allows at the same "
                "time. Nothing was looked up. Use what the calls that wait already answer, or wait for fewer mailboxes "
                "at the same time. Try again when one of them has ended."
            )
            assert answer.meta
            assert (answer.meta["code"], answer.meta["retryable"]) == ("too_many_waits", True)
            assert await waits(service, OTHER) == "ok"
            assert isinstance(other := await service.call(count_steps, {"steps": 1}, LOCAL), Answer)
            assert not other.is_error
            tasks.cancel_scope.cancel()
    assert await waits(service) == "ok"


async def test_each_caller_has_waits_of_its_own() -> None:
    """One that has too many takes nothing from the others."""
    service = offering(wait_for_nothing, max_waits=1)
    async with anyio.create_task_group() as tasks:
        for caller in (LOCAL, OTHER):
            tasks.start_soon(service.call, wait_for_nothing, FOREVER, caller)
        await anyio.wait_all_tasks_blocked()
        assert [await waits(service, caller) for caller in (LOCAL, OTHER)] == ["too_many_waits"] * 2
        assert await waits(service, replace(LOCAL, name="third")) == "ok"
        tasks.cancel_scope.cancel()


@operation(READ_ONLY, waits=0.05)
async def wait_in_vain(api: InkboxAPI, args: Waiting) -> Waited:
    """Ignore the time limit."""
    await anyio.sleep_forever()
    raise AssertionError


@operation(READ_ONLY, waits=5.0)
async def wait_and_fail(api: InkboxAPI, args: Waiting) -> Waited:
    """Fail as the API may."""
    raise Unavailable(503, "down")


@operation(READ_ONLY, waits=5.0)
async def wait_and_break(api: InkboxAPI, args: Waiting) -> Waited:
    """Have a bug."""
    raise ZeroDivisionError


def _no_time(_: object) -> float:
    raise ZeroDivisionError


ENDS: dict[str, tuple[Operation[Any, Any], dict[str, Any], str]] = {
    "an answer": (wait_for_nothing, {"seconds": 0.0}, "ok"),
    "no answer in time": (wait_in_vain, {}, "timed_out"),
    "an error": (wait_and_fail, {}, "unavailable"),
    "bad arguments": (wait_for_nothing, {"seconds": "soon"}, "invalid_arguments"),
    "a bug": (wait_and_break, {}, "bug"),
    "a bug in its time limit": (replace(wait_for_nothing, waits=_no_time), {}, "bug"),
}


@pytest.mark.parametrize("anyio_backend", [TIME_LAPSE], ids=["time lapse"])
@pytest.mark.parametrize(("tool", "arguments", "outcome"), ENDS.values(), ids=ENDS)
async def test_a_wait_counts_until_it_ends(tool: Operation[Any, Any], arguments: dict[str, Any], outcome: str) -> None:
    """However it ends, the next one may wait."""
    service = offering(tool, max_waits=1)
    for _ in range(3):
        try:
            answer = await service.call(tool, arguments, LOCAL)
        except Bug:
            assert outcome == "bug"
            continue
        assert isinstance(answer, Answer)
        assert (answer.meta or {}).get("code", "ok") == outcome


async def test_a_wait_that_is_cancelled_no_longer_counts() -> None:
    """The same holds for one that the end of the server ends."""
    service = offering(wait_for_nothing, max_waits=1)
    for _ in range(3):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(service.call, wait_for_nothing, FOREVER, LOCAL)
            await anyio.wait_all_tasks_blocked()
            assert await waits(service) == "too_many_waits"
            tasks.cancel_scope.cancel()
        assert await waits(service) == "ok"
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(service.call, wait_for_nothing, FOREVER, LOCAL)
        await anyio.wait_all_tasks_blocked()
        service.ending.set()
    assert await waits(service) == "ok"


@pytest.mark.parametrize("stateless", [False, True], ids=["sessions", "stateless"])
async def test_a_wait_whose_client_has_left_no_longer_counts(stateless: bool, era: str) -> None:
    """Without an end to it, a client that comes back would find its own old waits in the way."""
    service = offering(wait_for_nothing, http=True, stateless=stateless, max_waits=1)
    async with serve_service(service) as origin:
        with anyio.fail_after(PATIENCE):
            for _ in range(2):
                async with wait_over_http(origin, era, 3600.0) as messages:
                    await anext(messages)
                    assert await waits(service) == "too_many_waits"
                while await waits(service) != "ok":
                    await anyio.lowlevel.checkpoint()


SHARED: dict[str, tuple[dict[str, Any], bool]] = {
    "stdio": ({}, False),
    "HTTP": ({"http": True}, True),
    "a token": ({"http": True, "token": "x" * 16}, True),
    "keys": ({"http": True, "per_request_keys": True}, False),
    "an issuer": ({"http": True, "auth_issuer": "https://a.b", "auth_audience": "https://c.d/mcp"}, False),
}


@pytest.mark.parametrize(("settings", "shared"), SHARED.values(), ids=SHARED)
def test_where_callers_are_not_told_apart_all_of_them_share_the_limit(settings: dict[str, Any], shared: bool) -> None:
    """The refusal must not tell a caller to use waits of others."""
    assert Settings.model_validate(settings).tells_callers_apart is not shared


async def test_who_shares_the_limit_is_told_so() -> None:
    """Its own calls may be none of those that wait."""
    service = offering(wait_for_nothing, max_waits=1, http=True)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(service.call, wait_for_nothing, FOREVER, LOCAL)
        await anyio.wait_all_tasks_blocked()
        answer = await service.call(wait_for_nothing, FOREVER, LOCAL)
        assert isinstance(answer, Answer)
        assert answer.text.startswith("wait_for_nothing failed: this server's callers together have 1 call that waits")
        assert "Use what" not in answer.text
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize("wrong", [0, -1, "many", 1.5, None, "", "1e3", float("inf")])
def test_a_limit_that_allows_no_wait_is_refused(wrong: Any) -> None:
    """The default is enough for an agent with many mailboxes."""
    assert Settings.model_validate({"api_key": KEY}).max_waits == 200
    with pytest.raises(ValidationError):
        Settings.model_validate({"max_waits": wrong})
