"""`whoami`: what the key may do, with the restrictions that another answer tells."""

from typing import Any

import anyio
import httpx2
import jsonschema
import pytest

from inkbox_mcp.api.paths import SIGNUP, WHOAMI
from inkbox_mcp.sandbox import Store, create_app
from inkbox_mcp.tools import side_by_side
from tests.support.agents import KEY, Agent, connect, text
from tests.support.alike import BOTH
from tests.support.catalogue import EVERY
from tests.support.processes import PATIENCE

HOLDER = {"organization_id": "org_1", "auth_subtype": "api_key.agent_scoped", "expires_at": None}
RESTRICTED = {
    "max_sends_per_day": 5,
    "allowed_recipients": ["human@example.com"],
    "can_receive": True,
    "can_create_mailboxes": False,
}


def telling(status: Any) -> Any:
    """Make an Inkbox that answers the question for the signup so."""

    def inkbox(request: httpx2.Request) -> httpx2.Response:
        if request.url.path == WHOAMI:
            return httpx2.Response(200, json=HOLDER)
        assert request.url.path == SIGNUP
        return status if isinstance(status, httpx2.Response) else httpx2.Response(200, json=status)

    return inkbox


async def whoami(agent: Agent) -> dict[str, Any]:
    """Call the tool and check the result as a client does."""
    result = await agent.ask("whoami")
    jsonschema.validate(result, EVERY["whoami"].output_schema)
    return result


async def test_the_restrictions_of_an_agent_are_shown() -> None:
    """They are there whole, with what a later API adds; the rest of that answer is not."""
    status = {"claim_status": "agent_unclaimed", "human_email": "x@y.z", "restrictions": {**RESTRICTED, "new": [1]}}
    async with connect(telling(status)) as agent:
        assert await whoami(agent) == {**HOLDER, "restrictions": {**RESTRICTED, "new": [1]}}
    published = EVERY["whoami"].output_schema["properties"]["restrictions"]["properties"]
    assert {*RESTRICTED} <= {*published}


@BOTH
async def test_the_sandbox_tells_what_its_agent_may_do(generation: Any) -> None:
    """Nobody is excluded there, so no list of recipients is shown, which could be taken for a list of none."""
    with Store(":memory:") as store:
        app = httpx2.ASGITransport(create_app(store, generation=generation))
        async with connect(app, sandbox=True, sandbox_generation=generation) as agent:
            told = (await whoami(agent)).get("restrictions")
    shown = {"max_sends_per_day": 5000, "can_receive": True, "can_create_mailboxes": True}
    assert told == (shown if generation == "identity" else None)


@pytest.mark.parametrize("pin", [{"allow_handles": "sales-*"}, {"allow_addresses": "sales@*"}])
async def test_the_restrictions_are_shown_within_the_operators_limits(pin: dict[str, Any]) -> None:
    """They are about the key, like the rest of the answer."""
    async with connect(telling({"restrictions": RESTRICTED}), **pin) as agent:
        result = await whoami(agent)
    assert result["restrictions"] == RESTRICTED
    assert len(result["limited_to"]) == 1


SILENT: dict[str, Any] = {
    **{
        str(code): httpx2.Response(code, json={"detail": "no"})
        for code in (400, 401, 403, 404, 409, 422, 429, 500, 503)
    },
    "a later time": httpx2.Response(429, headers={"Retry-After": "60"}, json={"detail": "later"}),
    "HTML": httpx2.Response(200, html="<p>Hello"),
    "no object": [],
    "null": None,
    "no restrictions": {"claim_status": "agent_claimed"},
    "null as restrictions": {"restrictions": None},
    "text as restrictions": {"restrictions": "none"},
    "a list as restrictions": {"restrictions": [RESTRICTED]},
    "too much": httpx2.Response(200, content=b" " * 40_000_000),
}


@pytest.mark.parametrize("status", SILENT.values(), ids=SILENT)
async def test_without_restrictions_the_rest_is_shown(status: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """An API without that resource, or one that fails, is no reason to tell nothing."""
    monkeypatch.setattr(side_by_side, "SECONDS_FOR_THE_OTHER", 0.05)
    async with connect(telling(status)) as agent:
        assert await whoami(agent) == HOLDER


async def test_restrictions_that_come_late_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both are asked at the same time, and the other one is waited for only a moment."""
    monkeypatch.setattr(side_by_side, "SECONDS_FOR_THE_OTHER", 0.05)
    asked = anyio.Event()

    async def slow(request: httpx2.Request) -> httpx2.Response:
        if request.url.path == SIGNUP:
            asked.set()
            await anyio.sleep_forever()
        await asked.wait()
        return httpx2.Response(200, json=HOLDER)

    with anyio.fail_after(PATIENCE):
        async with connect(slow) as agent:
            assert await whoami(agent) == HOLDER


@pytest.mark.parametrize("code", [401, 403, 404])
async def test_what_the_account_itself_fails_by_is_the_answer(code: int) -> None:
    """Restrictions alone say nothing, and are not waited for."""

    async def inkbox(request: httpx2.Request) -> httpx2.Response:
        if request.url.path == SIGNUP:
            await anyio.sleep_forever()
        return httpx2.Response(code, json={"detail": "no"})

    with anyio.fail_after(PATIENCE):
        async with connect(inkbox) as agent:
            assert f"Inkbox answered {code}" in await agent.refused("whoami")


ODD: list[Any] = [None, 5, "x", True, [], {}, [1], {"a": [None]}]


@pytest.mark.parametrize("field", RESTRICTED)
@pytest.mark.parametrize("odd", ODD, ids=str)
async def test_an_odd_restriction_spoils_no_answer(field: str, odd: Any) -> None:
    """The others are shown, and the result fits its schema."""
    async with connect(telling({"restrictions": {**RESTRICTED, field: odd}})) as agent:
        told = (await whoami(agent))["restrictions"]
    assert {**told, field: 0} == {**RESTRICTED, field: 0}


@pytest.mark.parametrize(("number", "more"), [(50, None), (51, 1), (20_000, 19_950)])
async def test_any_number_of_recipients_leaves_room_for_the_rest(number: int, more: int | None) -> None:
    """The first fifty are shown, and the number of others."""
    every = [f"{each:06}@example.com" for each in range(number)]
    async with connect(telling({"restrictions": {**RESTRICTED, "allowed_recipients": every}})) as agent:
        told = (await whoami(agent))["restrictions"]
    assert told["allowed_recipients"] == every[:50]
    assert told.get("more_recipients") == more


async def test_hidden_characters_and_the_key_are_removed_from_restrictions_too() -> None:
    """They come from Inkbox like everything else."""
    odd = {**RESTRICTED, "allowed_recipients": ["a\u202e\u200bb@example.com", KEY]}
    async with connect(telling({"restrictions": odd})) as agent:
        shown = text(await agent.call("whoami"))
    assert "ab@example.com" in shown
    assert KEY not in shown
