"""Operator limits hold: a name is sent exactly as it was checked, and answers are checked too."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Annotated, Any, ClassVar

import httpx2
import pytest
from mcp import Client
from mcp.client import ClientRequestContext
from mcp.types import ElicitRequestParams, ElicitResult
from pydantic import Field

from inkbox_mcp.access.tenants import LOCAL
from inkbox_mcp.api.client import InkboxAPI
from inkbox_mcp.api.paths import IDENTITIES, MAILBOXES, SEND_LOOKUP, WEBHOOKS, WHOAMI, Path, path
from inkbox_mcp.protocol.server import build_server
from inkbox_mcp.sandbox import Generation, Store, create_app
from inkbox_mcp.service import Answer, Service
from inkbox_mcp.settings.options import Settings
from inkbox_mcp.toolkit.fields import (
    AgentHandle,
    LocalPart,
    MailboxAddress,
    NewAgentHandle,
    NewMailboxOwner,
    Text,
    WebhookURL,
    WebhookURLOrNone,
    WithMailbox,
)
from inkbox_mcp.toolkit.marks import Mark
from inkbox_mcp.toolkit.operation import ADDITIVE, READ_ONLY, Args, Operation, Result, operation
from tests.support.agents import KEY, Agent, Handler, connect, text
from tests.support.humans import Human


class MovingInkbox:
    """An Inkbox whose organizations can move to the other API generation while it runs."""

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
        async with connect(inkbox, mode, ask, sandbox=True, **settings) as agent:
            yield agent, inkbox


async def test_a_question_says_what_happens_after_the_organization_moved(era: str) -> None:
    """The question must use the current generation, not that of the first call."""
    human = Human("accept")
    async with moving(human, era) as (agent, inkbox):
        for handle in ("one-agent", "two-agent"):
            await agent.ask("create_identity", agent_handle=handle)
        await agent.ask("delete_identity", agent_handle="one-agent")
        assert "Its mailbox stays" in human.questions[-1]
        inkbox.generation = "identity"
        # The client's list says that the mailbox stays, so nothing is done before the client has the new list.
        assert "The tools have changed" in await agent.refused("delete_identity", agent_handle="two-agent")
        assert len(human.questions) == 1
        await agent.ask("delete_identity", agent_handle="two-agent")
        assert "and its mailbox for good" in human.questions[-1]


async def test_what_a_human_agreed_to_before_the_move_is_not_done_after_it(era: str) -> None:
    """The deletion would now do more than the human agreed to."""
    worlds: list[MovingInkbox] = []

    class SlowHuman(Human):
        async def __call__(self, context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
            worlds[0].generation = "identity"
            return await super().__call__(context, params)

    human = SlowHuman("accept")
    async with moving(human, era) as (agent, inkbox):
        worlds.append(inkbox)
        await agent.ask("create_identity", agent_handle="one-agent")
        inkbox.requests.clear()
        assert "The tools have changed" in await agent.refused("delete_identity", agent_handle="one-agent")
        assert inkbox.changes() == []
    (question,) = human.questions
    assert "Its mailbox stays" in question


async def test_a_limit_on_addresses_rests_on_the_generation_of_now() -> None:
    """In the identity generation, an address is made from the handle, even if another one is requested."""
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
]


@pytest.mark.parametrize(("tool", "arguments"), REFUSED_BEFORE_THE_MOVE)
async def test_a_refusal_does_not_rest_on_what_was_true_once(tool: str, arguments: dict[str, Any]) -> None:
    """A feature of the later generation works as soon as the organization has moved."""
    async with moving(confirm="never") as (agent, inkbox):
        await agent.ask("create_identity", agent_handle="one-agent", mailbox_local_part="one-agent")
        assert "no such operation" in await agent.refused(tool, **arguments)
        inkbox.generation = "identity"
        await agent.ask(tool, **arguments)


async def test_the_generation_is_learnt_from_every_answer() -> None:
    """The generation that an answer shows is remembered, so a refusal needs no extra request."""
    async with moving(confirm="never") as (agent, inkbox):
        await agent.ask("create_identity", agent_handle="one-agent", mailbox_local_part="one-agent")
        inkbox.generation = "identity"
        await agent.ask("get_mailbox", email_address="one-agent")
        inkbox.requests.clear()
        assert "no such operation" in await agent.refused("delete_mailbox", email_address="one-agent")
        assert inkbox.requests == []
        inkbox.generation = "spec"  # organizations do not move back, but an answer would be trusted
        await agent.ask("list_identities")
        await agent.ask("delete_mailbox", email_address="one-agent")


@pytest.mark.parametrize("handle", ["DESK-1", "des\u212a-1", "Desk-1", "\uff44esk-1", "desk-\u00b9", "de\u017fk-1"])
@pytest.mark.parametrize("tool", ["delete_identity", "get_identity", "update_identity", "create_identity"])
async def test_a_handle_is_compared_as_it_is_sent(tool: str, handle: str) -> None:
    """An API that distinguishes the two spellings would change another agent."""
    more = {"update_identity": {"status": "paused"}}.get(tool, {})
    async with moving(allow_handles="desk-1", confirm="never") as (agent, inkbox):
        assert "agent_handle is outside" in await agent.refused(tool, agent_handle=handle, **more)
        assert inkbox.requests == []


async def test_patterns_in_capitals_mean_the_lower_case_that_inkbox_keeps_too() -> None:
    """A lower-case pattern does not match capitals."""
    async with moving(allow_handles="Desk-*") as (agent, _):
        assert (await agent.ask("create_identity", agent_handle="desk-1"))["agent_handle"] == "desk-1"
        assert (await agent.ask("create_identity", agent_handle="Desk-1"))["agent_handle"] == "Desk-1"
        assert "is outside" in await agent.refused("create_identity", agent_handle="DESK-1")


@pytest.mark.parametrize("spelling", ["sales", "SALES", "Sales@InkboxMail.com", "sales@inkboxmail.com"])
@pytest.mark.parametrize("limit", [{"allow_addresses": "sales@inkboxmail.com"}, {"allow_handles": "sales-agent"}])
async def test_an_address_is_sent_as_it_was_compared(spelling: str, limit: dict[str, str]) -> None:
    """The full address is sent, because an API with several domains may read a bare name as another mailbox."""
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
    """Answer every request with this object; a list has it as its only item."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        is_list = request.method == "GET" and request.url.path.endswith(("identities", "mailboxes"))
        return httpx2.Response(200, json=[data] if is_list else data)

    return answer


def answered(data: dict[str, Any], **settings: Any) -> AbstractAsyncContextManager[Agent]:
    """Connect an agent to an API that always answers this."""
    return connect(answering(data), confirm="never", **settings)


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
    """The API may read a name as another object than the one that was checked."""
    async with answered(data, **limit) as agent:
        result = await agent.call(tool, **arguments)
        assert (result.meta or {})["code"] == "not_allowed"
        assert "secret" not in text(result)
        assert "custom.example" not in text(result)


async def test_a_change_to_something_else_is_reported_as_made() -> None:
    """The server cannot undo it, but the user must learn of it."""
    async with answered(OTHERS, allow_addresses="sales@inkboxmail.com") as agent:
        message = await agent.refused("update_mailbox", email_address="sales", display_name="x")
        assert "The change was made nevertheless. Tell the user." in message
        assert "Nothing was sent" not in message


async def test_lists_hold_nothing_that_only_looks_allowed() -> None:
    """A letter whose lower case is allowed is still a different letter."""
    for address in ("\u212aim@inkboxmail.com", "kim@inkboxmail.com.evil.example"):
        async with answered({**OTHERS, "email_address": address}, allow_addresses="kim@inkboxmail.com") as agent:
            assert (await agent.ask("list_mailboxes"))["total"] == 0
    async with answered({**IDENTITY, "agent_handle": "des\u212a-1"}, allow_handles="desk-1") as agent:
        assert (await agent.ask("list_identities"))["total"] == 0


# Future tools, with argument names that no current tool uses.

Inbox = Annotated[MailboxAddress, Field(description="Its address.")]


class Ran(Result):
    """The arguments that a tool would have sent."""

    given: dict[str, Any]


class Sends(Args):
    """Addresses, under names that no tool uses."""

    mailbox: MailboxAddress | None = None
    inbox: Inbox | None = None
    recipients: list[MailboxAddress] | None = None
    more: Annotated[list[Inbox | None], Field(max_length=20)] | None = None
    subject: Text = ""


class SendsTwice(Sends):
    """The same arguments, inherited."""

    copy_to: MailboxAddress | None = None


Addressee = Annotated[str, Mark.RECIPIENT]


class Mails(Args):
    """Recipients, under names that no tool uses."""

    mailbox: MailboxAddress | None = None
    whom: list[Addressee] | None = None
    hidden: list[Addressee | None] | None = None
    best_friend: Addressee | None = None


class Moves(Args):
    """Handles, under names that no tool uses."""

    source: AgentHandle | None = None
    target: AgentHandle | None = None
    watchers: list[AgentHandle] | None = None


class Hooks(Args):
    """Webhooks, under names that no tool uses."""

    first: WebhookURL | None = None
    others: list[WebhookURL] | None = None


class Opens(Args):
    """A new mailbox of an existing agent, with another existing agent beside it."""

    whose: NewMailboxOwner
    like: AgentHandle | None = None
    start: LocalPart | None = None


class Renames(Args):
    """A new mailbox for an agent that may already have one."""

    whose: AgentHandle
    start: LocalPart | None = None


class Founds(Args):
    """A new agent."""

    named: NewAgentHandle
    reachable: WithMailbox | None = None
    start: LocalPart | None = None


class Reserves(Args):
    """A new mailbox without an agent."""

    start: LocalPart | None = None


class Peeks(Args):
    """An address or handle that is declared as plain text."""

    note: Text


@operation(READ_ONLY)
async def get_sent(api: InkboxAPI, args: Sends) -> Ran:
    """Return the arguments of the call."""
    return Ran(given=args.supplied())


@operation(ADDITIVE)
async def send_twice(api: InkboxAPI, args: SendsTwice) -> Ran:
    """Return the arguments of the call."""
    return Ran(given=args.supplied())


@operation(ADDITIVE)
async def mail_all(api: InkboxAPI, args: Mails) -> Ran:
    """Return the arguments of the call."""
    return Ran(given=args.supplied())


@operation(ADDITIVE)
async def move_all(api: InkboxAPI, args: Moves) -> Ran:
    """Return the arguments of the call."""
    return Ran(given=args.supplied())


@operation(ADDITIVE)
async def hook_all(api: InkboxAPI, args: Hooks) -> Ran:
    """Return the arguments of the call."""
    return Ran(given=args.supplied())


@operation(ADDITIVE)
async def open_mailbox(api: InkboxAPI, args: Opens) -> Ran:
    """Return the arguments of the call."""
    return Ran(given=args.supplied())


@operation(ADDITIVE)
async def rename_mailbox(api: InkboxAPI, args: Renames) -> Ran:
    """Return the arguments of the call."""
    return Ran(given=args.supplied())


@operation(ADDITIVE)
async def found_agent(api: InkboxAPI, args: Founds) -> Ran:
    """Return the arguments of the call."""
    return Ran(given=args.supplied())


@operation(ADDITIVE)
async def reserve_address(api: InkboxAPI, args: Reserves) -> Ran:
    """Return the arguments of the call."""
    return Ran(given=args.supplied())


class Future:
    """A limited server with a future tool, on an Inkbox with one allowed agent and one that is not."""

    def __init__(self, service: Service, inkbox: MovingInkbox) -> None:
        self._service = service
        self.inkbox = inkbox

    async def call(self, tool: Operation[Any, Any], **arguments: Any) -> Answer:
        """Call the tool."""
        answer = await self._service.call(tool, arguments, LOCAL)
        assert isinstance(answer, Answer)
        return answer

    async def run(self, work: Callable[[InkboxAPI], Awaitable[object]]) -> str | None:
        """Call a tool that does this work, and return the text of its error."""

        @operation(READ_ONLY)
        async def get_work(api: InkboxAPI, args: Args) -> Ran:
            await work(api)
            return Ran(given={})

        answer = await self.call(get_work)
        return answer.text if answer.is_error else None


@asynccontextmanager
async def future(**limits: Any) -> AsyncGenerator[Future]:
    """Make a `Future` with these limits."""
    inkbox = MovingInkbox()
    with inkbox.store:
        unlimited = Settings.model_validate({"sandbox": True})
        async with Client(build_server(unlimited, transport=lambda: httpx2.MockTransport(inkbox))) as client:
            for name in ("ours", "outside"):
                await Agent(client).ask("create_identity", agent_handle=name, mailbox_local_part=name)
        settings = Settings.model_validate({"sandbox": True, "confirm": "never", **limits})
        service = Service(settings, lambda: httpx2.MockTransport(inkbox))
        async with service.tenants:
            inkbox.requests.clear()
            yield Future(service, inkbox)


ADDRESSES = {"allow_addresses": "ours@inkboxmail.com,ours-*@inkboxmail.com"}
HANDLES = {"allow_handles": "ours,ours-*"}


@pytest.mark.parametrize("limit", [ADDRESSES, HANDLES, {**ADDRESSES, **HANDLES}], ids=["addresses", "handles", "both"])
@pytest.mark.parametrize(
    ("arguments", "place"),
    [
        ({"mailbox": "outside"}, "mailbox"),
        ({"inbox": "OUTSIDE@inkboxmail.com"}, "inbox"),
        ({"mailbox": "ours", "inbox": "outside"}, "inbox"),
        ({"recipients": ["ours", "outside"]}, "recipients.1"),
        ({"more": [None, "ours", "ours@evil.example"]}, "more.2"),
        ({"mailbox": "ours", "copy_to": "outside"}, "copy_to"),
    ],
)
async def test_an_address_is_compared_whatever_it_is_called(
    limit: dict[str, str], arguments: dict[str, Any], place: str
) -> None:
    """An address may be optional, in a list, one of several, or inherited. The error names its place."""
    async with future(**limit) as server:
        answer = await server.call(send_twice, **arguments)
        assert (answer.meta or {}).get("code") == "not_allowed"
        assert answer.text.startswith(f"send_twice failed: {place} is outside")
        assert server.inkbox.changes() == []


@pytest.mark.parametrize("limit", [ADDRESSES, HANDLES], ids=["addresses", "handles"])
async def test_every_address_is_sent_as_it_was_compared(limit: dict[str, str]) -> None:
    """This includes addresses in lists; plain text is sent unchanged."""
    full = "ours@inkboxmail.com"
    async with future(**limit) as server:
        answer = await server.call(
            get_sent, mailbox="Ours", recipients=["ours", "OURS@inkboxmail.com"], more=["ours", None], subject="ours"
        )
        assert answer.data == {
            "given": {"mailbox": full, "recipients": [full, full], "more": [full, None], "subject": "ours"}
        }
        assert (await server.call(get_sent, subject="outside")).data == {"given": {"subject": "outside"}}


async def test_an_address_that_nobody_wrote_is_compared_too() -> None:
    """A default address of a tool is used like one from the caller."""

    class Falls(Args):
        back: MailboxAddress = "outside"

    @operation(ADDITIVE)
    async def send_back(api: InkboxAPI, args: Falls) -> Ran:
        return Ran(given=args.supplied())

    async with future(**ADDRESSES) as server:
        assert "back is outside" in (await server.call(send_back)).text
        assert (await server.call(send_back, back="ours")).data == {"given": {"back": "ours@inkboxmail.com"}}


@pytest.mark.parametrize(
    ("arguments", "place"),
    [
        ({"source": "outside"}, "source"),
        ({"source": "ours", "target": "outside"}, "target"),
        ({"watchers": ["ours", "@outside"]}, "watchers.1"),
    ],
)
async def test_a_handle_is_compared_whatever_it_is_called(arguments: dict[str, Any], place: str) -> None:
    """A limit on addresses is checked against the mailbox of the handle."""
    async with future(**HANDLES) as server:
        assert f"failed: {place} is outside" in (await server.call(move_all, **arguments)).text
        assert server.inkbox.requests == []
    async with future(**ADDRESSES) as server:
        assert f"failed: {place}'s mailbox is outside" in (await server.call(move_all, **arguments)).text


@pytest.mark.parametrize(
    ("arguments", "place"),
    [
        ({"first": "https://evil.example.org/"}, "first's host"),
        ({"others": ["https://hooks.example.com/", "https://evil.example.org/"]}, "others.1's host"),
    ],
)
async def test_a_webhook_is_compared_whatever_it_is_called(arguments: dict[str, Any], place: str) -> None:
    """The host of the URL is compared."""
    async with future(allow_webhook_hosts="hooks.example.com") as server:
        assert f"{place} is outside" in (await server.call(hook_all, **arguments)).text
        assert not (await server.call(hook_all, first="https://hooks.example.com/")).is_error


@pytest.mark.parametrize("more", [{}, ADDRESSES, HANDLES], ids=["alone", "addresses", "handles"])
@pytest.mark.parametrize(
    ("arguments", "place"),
    [
        ({"whom": ["jane@example.com", "evil@example.org"]}, "whom.1"),
        ({"whom": ["jane@example.com"], "hidden": [None, "evil@example.org"]}, "hidden.1"),
        ({"best_friend": "jane@example.com,evil@example.org"}, "best_friend"),
        ({"best_friend": "ours"}, "best_friend"),
    ],
)
async def test_a_recipient_is_compared_whatever_it_is_called(
    more: dict[str, str], arguments: dict[str, Any], place: str
) -> None:
    """No request is sent before that, whatever else is limited; the mailbox that sends is another matter."""
    async with future(allow_recipients="*@Example.com", **more) as server:
        message = (await server.call(mail_all, mailbox="ours", **arguments)).text
        assert message.startswith(
            f"mail_all failed: {place} is outside what this server's operator allows (*@Example.com). Nothing was sent."
        )
        assert server.inkbox.requests == []
        assert not (await server.call(mail_all, mailbox="ours", whom=["Jane@EXAMPLE.com"])).is_error


async def test_a_recipient_that_a_tool_found_in_a_message_is_compared_too() -> None:
    """Whoever wrote the message chose where a reply goes."""

    async def reply(api: InkboxAPI) -> None:
        api.permit_recipients(["jane@example.com", '"jane@example.com"@example.org'])
        await api.post(path(MAILBOXES, "ours@inkboxmail.com", MESSAGES), {}, Result)

    async with future(allow_recipients="*@example.com") as server:
        message = await server.run(reply)
        assert "the recipient \"'jane@example.com'@example.org\" is outside" in (message or "")
        assert server.inkbox.requests == []


async def test_recipients_are_counted_before_anything_is_sent() -> None:
    """What is over the limit is refused with an error that a program understands."""

    async def send(api: InkboxAPI) -> None:
        await api.count_recipients(3)
        await api.get_list(IDENTITIES)

    async with future(max_recipients_per_hour=5) as server:
        assert await server.run(send) is None
        sent = len(server.inkbox.requests)
        assert "the message has 3 recipients, and fewer are left of the 5" in (await server.run(send) or "")
        assert len(server.inkbox.requests) == sent


@pytest.mark.parametrize("limit", [ADDRESSES, HANDLES], ids=["addresses", "handles"])
async def test_what_became_of_a_sent_message_can_be_looked_up(limit: dict[str, str]) -> None:
    """The look-up names the id of a mailbox that the call has already checked, and no address."""
    async with future(**limit) as server:
        await server.run(lambda api: api.get(SEND_LOOKUP.where(sender_id="1"), Result))
        assert server.inkbox.requests == ["GET /api/v1/message-sends/lookup?sender_id=1"]


async def test_an_unsubscription_has_no_host_to_compare() -> None:
    """The limit is about where mail events go. The word and null stay apart; a URL is still compared."""

    class Unhooks(Args):
        nullable: ClassVar[frozenset[str]] = frozenset({"hook"})
        hook: WebhookURLOrNone | None = None

    @operation(ADDITIVE)
    async def unhook(api: InkboxAPI, args: Unhooks) -> Ran:
        return Ran(given=args.supplied())

    async with future(allow_webhook_hosts="hooks.example.com") as server:
        assert (await server.call(unhook, hook=" None")).data == {"given": {"hook": "none"}}
        assert (await server.call(unhook, hook=None)).data == {"given": {"hook": None}}
        assert "hook's host is outside" in (await server.call(unhook, hook="https://evil.example.org/none")).text


@pytest.mark.parametrize(
    ("tool", "arguments", "problem"),
    [
        (open_mailbox, {"whose": "ours"}, "a random address (pass start)"),
        (open_mailbox, {"whose": "ours", "start": "outside"}, "start"),
        (open_mailbox, {"whose": "ours", "start": "ours-2", "like": "outside"}, "like's mailbox"),
        (open_mailbox, {"whose": "ours", "start": "ours-2", "like": "ours"}, None),
        (rename_mailbox, {"whose": "outside", "start": "ours-2"}, "whose's mailbox"),
        (rename_mailbox, {"whose": "ours", "start": "outside"}, "start"),
        (rename_mailbox, {"whose": "ours", "start": "ours-2"}, None),
        (found_agent, {"named": "any"}, "a random address (pass start)"),
        (found_agent, {"named": "any", "start": "outside"}, "start"),
        (found_agent, {"named": "any", "start": "ours-2"}, None),
        (found_agent, {"named": "any", "reachable": True, "start": "outside"}, "start"),
        (found_agent, {"named": "any", "reachable": False}, None),
        (reserve_address, {}, "a random address (pass start)"),
        (reserve_address, {"start": "outside"}, "start"),
        (reserve_address, {"start": "ours-2"}, None),
    ],
)
async def test_a_new_mailbox_is_made_only_at_an_allowed_address(
    tool: Operation[Any, Any], arguments: dict[str, Any], problem: str | None
) -> None:
    """The check follows the types of the arguments, not their names."""
    async with future(**ADDRESSES) as server:
        answer = await server.call(tool, **arguments)
        assert answer.is_error is (problem is not None)
        assert problem is None or f"{tool.name} failed: {problem} is outside" in answer.text


async def test_a_new_mailbox_where_addresses_are_made_of_handles_is_at_an_allowed_one() -> None:
    """The check follows the type of the handle, not its name."""
    async with future(**ADDRESSES) as server:
        server.inkbox.generation = "identity"
        assert "named's mailbox is outside" in (await server.call(found_agent, named="any", start="ours")).text
        assert not (await server.call(found_agent, named="ours-3")).is_error


async def test_a_new_mailbox_belongs_to_an_allowed_handle() -> None:
    """A mailbox without an agent is not made."""
    async with future(**HANDLES) as server:
        assert "whose is outside" in (await server.call(open_mailbox, whose="outside")).text
        assert "start is outside" in (await server.call(reserve_address, start="ours")).text
        assert not (await server.call(open_mailbox, whose="ours")).is_error
        assert server.inkbox.requests == []


MESSAGES = Path("messages")
UNRULED: list[Path] = [
    path(IDENTITIES, "ours", MESSAGES),
    path(Path("/api/v1/mail/messages"), "1"),
    Path("/api/v1/mail/threads").where(email_address="ours@inkboxmail.com"),
    Path(f"{MAILBOXES}/ours@inkboxmail.com"),
    Path(f"{MAILBOXES}-of-all"),
]


@pytest.mark.parametrize("limit", [ADDRESSES, HANDLES], ids=["addresses", "handles"])
@pytest.mark.parametrize("unruled", UNRULED)
async def test_a_resource_without_a_rule_is_not_touched(limit: dict[str, str], unruled: Path) -> None:
    """The server could not filter its answers. The error names the module that needs a rule."""
    every: list[Callable[[InkboxAPI], Awaitable[object]]] = [
        lambda api: api.get(unruled, Result),
        lambda api: api.get_list(unruled),
        lambda api: api.post(unruled, {}, Result),
        lambda api: api.delete(unruled),
    ]
    async with future(**limit) as server:
        for work in every:
            message = await server.run(work)
            assert f"{unruled.template} is outside" in (message or "")
            assert "inkbox_mcp.access.pins has a rule" in (message or "")
        assert server.inkbox.requests == []


async def test_the_address_of_a_mailbox_decides_about_its_mail() -> None:
    """Messages do not show whose they are, so it is the path that counts, for every path below a mailbox."""
    async with future(**ADDRESSES) as server:
        for below in (("messages",), ("messages", "1"), ("threads", "1"), ("search",)):
            where = path(MAILBOXES, "outside@inkboxmail.com", *map(Path, below))
            assert "outside" in (await server.run(lambda api, where=where: api.get(where, Result)) or "")
        assert server.inkbox.requests == []
        await server.run(lambda api: api.get(path(MAILBOXES, "ours@inkboxmail.com", MESSAGES), Result))
        assert len(server.inkbox.requests) == 1


async def test_a_resource_without_a_rule_can_be_used_without_limits() -> None:
    """A rule is needed only if the operator set limits."""
    async with future() as server:
        assert "404" in (await server.run(lambda api: api.get(UNRULED[1], Result)) or "")
        assert server.inkbox.requests == ["GET /api/v1/mail/messages/1"]


@pytest.mark.parametrize("limit", [ADDRESSES, HANDLES], ids=["addresses", "handles"])
async def test_a_list_has_to_be_read_as_a_list(limit: dict[str, str]) -> None:
    """The server could not filter a list inside an object, or a list of objects without an agent."""
    async with future(**limit) as server:
        for resource in (WEBHOOKS, WHOAMI, path(MAILBOXES, "ours@inkboxmail.com")):
            message = await server.run(lambda api, resource=resource: api.get_list(resource))
            assert f"{resource.template} is outside" in (message or "")
        assert server.inkbox.requests == []
    options = Settings.model_validate({"api_key": KEY, **limit})
    page = {"items": [OTHERS, IDENTITY]}
    service = Service(options, lambda: httpx2.MockTransport(lambda _: httpx2.Response(200, json=page)))
    async with service.tenants:
        server = Future(service, MovingInkbox())
        for resource in (MAILBOXES, IDENTITIES, MAILBOXES.where(limit="9")):
            message = await server.run(lambda api, resource=resource: api.get(resource, Result))
            assert "something other than a list" in (message or "")


@pytest.mark.parametrize("limit", [ADDRESSES, HANDLES], ids=["addresses", "handles"])
@pytest.mark.parametrize(("resource", "field"), [(MAILBOXES, "email_address"), (IDENTITIES, "agent_handle")])
async def test_a_list_with_a_query_holds_what_is_allowed(limit: dict[str, str], resource: Path, field: str) -> None:
    """A query must not turn the filter off."""
    found: list[dict[str, Any]] = []
    async with future(**limit) as server:

        async def work(api: InkboxAPI) -> None:
            found.extend(await api.get_list(resource.where(limit="9")))

        assert await server.run(work) is None
        names = {item[field].partition("@")[0] for item in found}
        assert "ours" in names
        assert "outside" not in names


async def test_a_name_that_a_tool_took_for_plain_text_is_compared_in_the_path() -> None:
    """The check comes before the request, because the answer to a deletion shows no object."""

    @operation(ADDITIVE)
    async def delete_peeked(api: InkboxAPI, args: Peeks) -> Result:
        await api.delete(path(MAILBOXES, args.note))
        return Result()

    @operation(ADDITIVE)
    async def unlink_peeked(api: InkboxAPI, args: Peeks) -> Result:
        await api.delete(path(IDENTITIES, args.note, Path("mailbox")))
        return Result()

    async with future(**ADDRESSES) as server:
        assert "email_address is outside" in (await server.call(delete_peeked, note="outside")).text
        assert server.inkbox.requests == []
        assert not (await server.call(delete_peeked, note="ours")).is_error
    async with future(**HANDLES) as server:
        for note in ("outside", "ours/mailbox", "ours?x=/mailbox"):
            assert "agent_handle is outside" in (await server.call(unlink_peeked, note=note)).text
        assert server.inkbox.requests == []
        assert not (await server.call(unlink_peeked, note="ours")).is_error
