"""Limits hold: what was compared with the operator's patterns is what is sent, and what came back is compared too."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client import ClientRequestContext
from mcp.types import ElicitRequestParams, ElicitResult

from inkbox_mcp.protocol.server import build_server
from inkbox_mcp.sandbox import Generation, Store, create_app
from inkbox_mcp.settings.options import Settings
from tests.conftest import KEY, Agent, text
from tests.test_confirmation import Human

Handler = Callable[[httpx2.Request], httpx2.Response]


class MovingInkbox:
    """An Inkbox whose organisations move from one generation of the API to the other while it runs."""

    def __init__(self) -> None:
        self.generation: Generation = "spec"
        self.requests: list[str] = []
        self.store = Store(":memory:")
        self._apps = {name: httpx2.ASGITransport(create_app(self.store, name)) for name in ("spec", "identity")}

    async def __call__(self, request: httpx2.Request) -> httpx2.Response:
        """Answer a request."""
        self.requests.append(f"{request.method} {request.url.raw_path.decode()}")
        return await self._apps[self.generation].handle_async_request(request)

    def changes(self) -> list[str]:
        """Return the requests that could change something."""
        return [request for request in self.requests if not request.startswith("GET")]


@asynccontextmanager
async def moving(ask: Any = None, mode: str = "auto", **settings: Any) -> AsyncGenerator[tuple[Agent, MovingInkbox]]:
    """Connect an agent to an Inkbox that can move."""
    inkbox = MovingInkbox()
    with inkbox.store:
        options = Settings.model_validate({"sandbox": True, **settings})
        server = build_server(options, transport=lambda: httpx2.MockTransport(inkbox))
        async with Client(server, elicitation_callback=ask, mode=mode) as client:
            yield Agent(client), inkbox


async def test_a_question_says_what_happens_after_the_organisation_moved(era: str) -> None:
    """It is asked about the generation of now, not of the first call."""
    human = Human("accept")
    async with moving(human, era) as (agent, inkbox):
        for handle in ("one-agent", "two-agent"):
            await agent.ask("create_identity", agent_handle=handle)
        await agent.ask("delete_identity", agent_handle="one-agent")
        assert "Its mailbox stays" in human.questions[-1]
        inkbox.generation = "identity"
        await agent.ask("delete_identity", agent_handle="two-agent")
        assert "and its mailbox for good" in human.questions[-1]


async def test_a_human_who_agreed_before_the_move_is_asked_again(era: str) -> None:
    """What they agreed to is not what would happen now."""
    worlds: list[MovingInkbox] = []

    class SlowHuman(Human):
        async def __call__(self, context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
            worlds[0].generation = "identity"
            return await super().__call__(context, params)

    human = SlowHuman("accept")
    async with moving(human, era) as (agent, inkbox):
        worlds.append(inkbox)
        await agent.ask("create_identity", agent_handle="one-agent")
        await agent.ask("delete_identity", agent_handle="one-agent")
    first, second = human.questions
    assert "Its mailbox stays" in first
    assert "and its mailbox for good" in second


async def test_a_limit_on_addresses_rests_on_the_generation_of_now() -> None:
    """In the identity generation an address is made of the handle, whatever else is asked for."""
    async with moving(allow_addresses="ours@inkboxmail.com") as (agent, inkbox):
        await agent.ask("list_identities")
        inkbox.generation = "identity"
        message = await agent.refused("create_identity", agent_handle="outside", mailbox_local_part="ours")
        assert "outside what this server's operator allows" in message
        assert inkbox.changes() == []
        made = await agent.ask("create_identity", agent_handle="ours")
        assert made["email_address"] == "ours@inkboxmail.com"


REFUSED_BEFORE_THE_MOVE: list[tuple[str, dict[str, Any]]] = [
    ("list_webhooks", {"email_address": "one-agent"}),
    ("create_webhook", {"email_address": "one-agent", "webhook_url": "https://hooks.example.com/"}),
    ("update_identity", {"agent_handle": "one-agent", "display_name": "One"}),
]


@pytest.mark.parametrize(("tool", "arguments"), REFUSED_BEFORE_THE_MOVE)
async def test_a_refusal_does_not_rest_on_what_was_true_once(tool: str, arguments: dict[str, Any]) -> None:
    """What only the later generation has can be used as soon as the organisation is there."""
    async with moving(confirm="never") as (agent, inkbox):
        await agent.ask("create_identity", agent_handle="one-agent", mailbox_local_part="one-agent")
        assert "does that differently" in await agent.refused(tool, **arguments)
        inkbox.generation = "identity"
        await agent.ask(tool, **arguments)


async def test_the_generation_is_learnt_from_every_answer() -> None:
    """Also from the refusal of a field that is gone."""
    async with moving(confirm="never") as (agent, inkbox):
        await agent.ask("create_identity", agent_handle="one-agent", mailbox_local_part="one-agent")
        inkbox.generation = "identity"
        await agent.ask("get_mailbox", email_address="one-agent")
        inkbox.requests.clear()
        assert "does that differently" in await agent.refused("delete_mailbox", email_address="one-agent")
        assert inkbox.requests == []
        inkbox.generation = "spec"  # none was seen to move back, but what an answer shows is believed
        await agent.ask("list_identities")
        await agent.ask("delete_mailbox", email_address="one-agent")


@pytest.mark.parametrize("handle", ["DESK-1", "des\u212a-1", "Desk-1", "\uff44esk-1", "desk-\u00b9", "de\u017fk-1"])
@pytest.mark.parametrize("tool", ["delete_identity", "get_identity", "update_identity", "create_identity"])
async def test_a_handle_is_compared_as_it_is_sent(tool: str, handle: str) -> None:
    """An API that keeps two spellings apart would have done it to another agent."""
    more = {"update_identity": {"status": "paused"}}.get(tool, {})
    async with moving(allow_handles="desk-1", confirm="never") as (agent, inkbox):
        assert "agent_handle is outside" in await agent.refused(tool, agent_handle=handle, **more)
        assert inkbox.requests == []


async def test_patterns_in_capitals_mean_the_lower_case_that_inkbox_keeps_too() -> None:
    """But never the other way round."""
    async with moving(allow_handles="Desk-*") as (agent, _):
        assert (await agent.ask("create_identity", agent_handle="desk-1"))["agent_handle"] == "desk-1"
        assert (await agent.ask("create_identity", agent_handle="Desk-1"))["agent_handle"] == "Desk-1"
        assert "is outside" in await agent.refused("create_identity", agent_handle="DESK-1")


@pytest.mark.parametrize("spelling", ["sales", "SALES", "Sales@InkboxMail.com", "sales@inkboxmail.com"])
@pytest.mark.parametrize("limit", [{"allow_addresses": "sales@inkboxmail.com"}, {"allow_handles": "sales-agent"}])
async def test_an_address_is_sent_as_it_was_compared(spelling: str, limit: dict[str, str]) -> None:
    """In full: an API with several domains may take a bare name for another mailbox."""
    async with moving(confirm="never", **limit) as (agent, inkbox):
        with_mailbox = {"agent_handle": "sales-agent", "email_local_part": "sales"}
        await agent.ask("create_mailbox", **with_mailbox)
        inkbox.requests.clear()
        await agent.ask("get_mailbox", email_address=spelling)
        await agent.ask("update_mailbox", email_address=spelling, display_name="x")
        await agent.ask("delete_mailbox", email_address=spelling)
        sent = [request for request in inkbox.requests if "/mailboxes/" in request]
        assert {request.rpartition("/")[2] for request in sent} == {"sales%40inkboxmail.com"}
        assert len(sent) == 3


def answering(data: dict[str, Any]) -> Handler:
    """Answer with this object, whatever is asked for; lists have it as their only item."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        is_list = request.method == "GET" and request.url.path.endswith(("identities", "mailboxes"))
        return httpx2.Response(200, json=[data] if is_list else data)

    return answer


@asynccontextmanager
async def answered(data: dict[str, Any], **settings: Any) -> AsyncGenerator[Agent]:
    """Connect an agent to an API that always answers this."""
    options = Settings.model_validate({"api_key": KEY, "confirm": "never", **settings})
    server = build_server(options, transport=lambda: httpx2.MockTransport(answering(data)))
    async with Client(server) as client:
        yield Agent(client)


OTHERS = {"id": "1", "email_address": "sales@custom.example", "display_name": "secret", "status": "active"}
IDENTITY = {"agent_handle": "other", "email_address": "outside@inkboxmail.com", "description": None, "note": "secret"}


@pytest.mark.parametrize(
    ("tool", "arguments", "data", "limit"),
    [
        ("get_mailbox", {"email_address": "sales"}, OTHERS, {"allow_addresses": "sales@inkboxmail.com"}),
        (
            "get_mailbox",
            {"email_address": "sales"},
            {**OTHERS, "email_address": "\u017fales@inkboxmail.com"},
            {"allow_addresses": "sales@inkboxmail.com"},
        ),
        ("get_identity", {"agent_handle": "ours"}, IDENTITY, {"allow_handles": "ours"}),
        (
            "get_identity",
            {"agent_handle": "ours"},
            {**IDENTITY, "agent_handle": "ours"},
            {"allow_addresses": "ours@inkboxmail.com"},
        ),
    ],
)
async def test_an_answer_about_something_else_is_not_passed_on(
    tool: str, arguments: dict[str, Any], data: dict[str, Any], limit: dict[str, str]
) -> None:
    """Whatever the API took the name for."""
    async with answered(data, **limit) as agent:
        result = await agent.call(tool, **arguments)
        assert (result.meta or {})["code"] == "not_allowed"
        assert "secret" not in text(result)
        assert "custom.example" not in text(result)


async def test_a_change_to_something_else_is_reported_as_made() -> None:
    """It cannot be taken back here, but the user learns of it."""
    async with answered(OTHERS, allow_addresses="sales@inkboxmail.com") as agent:
        message = await agent.refused("update_mailbox", email_address="sales", display_name="x")
        assert "The change was made nevertheless. Tell the user." in message
        assert "Nothing was sent" not in message


async def test_lists_hold_nothing_that_only_looks_allowed() -> None:
    """A letter that becomes an allowed one in lower case is another letter."""
    for address in ("\u212aim@inkboxmail.com", "kim@inkboxmail.com.evil.example"):
        async with answered({**OTHERS, "email_address": address}, allow_addresses="kim@inkboxmail.com") as agent:
            assert (await agent.ask("list_mailboxes"))["total"] == 0
    async with answered({**IDENTITY, "agent_handle": "des\u212a-1"}, allow_handles="desk-1") as agent:
        assert (await agent.ask("list_identities"))["total"] == 0
