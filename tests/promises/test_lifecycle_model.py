"""Checks the whole server against a model of the specification, with any calls in any order.

`Lifecycle` models the rules for mailboxes: which identities may have one, what a list shows and in which order, and
what remains after a deletion. Hypothesis plays it through an MCP client, on the sandbox without faults.
"""

import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import httpx2
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from fastapi import FastAPI
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule
from hypothesis.stateful import run_state_machine_as_test as play
from mcp import Client
from mcp.types import CallToolResult

from inkbox_mcp.protocol.server import build_server
from inkbox_mcp.sandbox import Store, create_app
from inkbox_mcp.settings.options import Settings
from tests.support.agents import KEY, text

DOMAIN = "inkboxmail.com"
PAGES_AT_MOST = 50


@dataclass
class Mailbox:
    """The state of a mailbox in the model."""

    address: str
    handle: str
    name: str
    webhook: str | None = None

    def shown(self) -> dict[str, str | None]:
        """Return the fields that the model predicts."""
        return {
            "email_address": self.address,
            "display_name": self.name,
            "webhook_url": self.webhook,
            "status": "active",
        }


@dataclass
class Desk:
    """A synchronous client of a server on the sandbox."""

    portal: BlockingPortal
    client: Client
    app: FastAPI

    def call(self, tool: str, arguments: Mapping[str, Any]) -> CallToolResult:
        """Call a tool."""
        return self.portal.call(self.client.call_tool, tool, dict(arguments))

    def restart(self, handles: list[str]) -> None:
        """Empty the sandbox and add these identities to its first two."""
        self.app.state.store.close()
        self.app.state.store = Store(":memory:")
        self.portal.call(self._identify, handles)

    async def _identify(self, handles: list[str]) -> None:
        transport = httpx2.ASGITransport(self.app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://sandbox") as sandbox:
            for handle in handles:
                identity = {"agent_handle": handle}
                answer = await sandbox.post("/api/v1/identities", json=identity, headers={"X-API-Key": KEY})
                assert answer.is_success


@contextmanager
def open_desk() -> Generator[Desk]:
    """Run a server on an empty sandbox, in a thread."""
    app = create_app(Store(":memory:"))
    options = Settings.model_validate({"api_key": KEY, "base_url": "http://localhost"})
    client = Client(build_server(options, transport=lambda: httpx2.ASGITransport(app)))
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(client):
        yield Desk(portal, client, app)
    app.state.store.close()


FIRST_HANDLES = ["sales-agent", "support-agent"]
MORE_HANDLES = ["Büro", "sales", "x.y"]

names = st.sampled_from(["Sales", "Straße 1", "İ", "Inkbox user", "a" * 255])
local_parts = st.sampled_from(["sales", "sales-agent", "Help.Desk", "HELP.DESK", "a+b_c-1"])
webhooks = st.sampled_from(["https://example.com/in?a=1", "https://Hooks.example.com:8443/"])
no_others: dict[str, str | None] = {}
others: st.SearchStrategy[dict[str, str | None]] = st.just(no_others) | st.fixed_dictionaries(
    {"display_name": st.none() | names}
)
searches = st.sampled_from(
    ["", "SALES", "strasse", "help.", "@", "inkboxmail.com", "nothing has this", "%", "_", "user Desk"]
)
limits = st.sampled_from([1, 2, 3, 50, 200])
forms = st.sampled_from(["{local}", "{local}@" + DOMAIN, "{upper}", "{upper}@InkboxMail.com"])


NOTHING = cast("Any", multiple())
"""The return value of a rule that adds nothing to its bundle."""


class Lifecycle(RuleBasedStateMachine):
    """The specification: `exists` has the mailboxes, oldest first; `taken` has every address ever given."""

    desk: ClassVar[Desk]
    made: Bundle[Mailbox] = Bundle("made")
    gone: Bundle[Mailbox] = Bundle("gone")
    pages: Bundle[tuple[str, list[str]]] = Bundle("pages")

    def __init__(self) -> None:
        super().__init__()
        self.exists: list[Mailbox] = []
        self.taken: set[str] = set()
        self.handles: list[str] = []

    @initialize(more=st.lists(st.sampled_from(MORE_HANDLES), unique=True))
    def begin(self, more: list[str]) -> None:
        """Begin with an empty sandbox."""
        self.desk.restart(more)
        self.handles = FIRST_HANDLES + more

    def ask(self, tool: str, /, **arguments: Any) -> Any:
        """Make a call that must succeed and that the front delays."""
        result = self.desk.call(tool, arguments)
        assert not result.is_error, text(result)
        return result.structured_content

    def refused(self, code: str, tool: str, /, **arguments: Any) -> str:
        """Make a call that must be refused, and return the error message."""
        result = self.desk.call(tool, arguments)
        assert result.is_error, result.structured_content
        assert (result.meta or {})["code"] == code, text(result)
        return text(result)

    @rule(
        target=made,
        handle=st.sampled_from([*FIRST_HANDLES, *MORE_HANDLES]),
        at=st.sampled_from(["", "@"]),
        wants=st.fixed_dictionaries({}, optional={"email_local_part": local_parts, "display_name": names}),
    )
    def create(self, handle: str, at: str, wants: dict[str, str]) -> Any:
        """An identity has one mailbox, and an address is given only once; the error names the rule that was broken."""
        wished = wants.get("email_local_part")
        owned = next((box for box in self.exists if box.handle == handle), None)
        if handle not in self.handles:
            message = self.refused("not_found", "create_mailbox", agent_handle=at + handle, **wants)
            assert "identity has this agent_handle" in message
        elif owned:
            message = self.refused("conflict", "create_mailbox", agent_handle=at + handle, **wants)
            assert f'already has the mailbox "{owned.address}"' in message
        elif wished and f"{wished.lower()}@{DOMAIN}" in self.taken:
            message = self.refused("conflict", "create_mailbox", agent_handle=at + handle, **wants)
            holder = next((box for box in self.exists if box.address == f"{wished.lower()}@{DOMAIN}"), None)
            assert (f'has the mailbox "{holder.address}"' if holder else "the address is taken") in message
        else:
            answer = self.ask("create_mailbox", agent_handle=at + handle, **wants)
            return self._remember(handle, wants, answer)
        return NOTHING

    def _remember(self, handle: str, wants: dict[str, str], answer: dict[str, Any]) -> Mailbox:
        wished, address = wants.get("email_local_part"), answer["email_address"]
        if wished:
            assert address == f"{wished.lower()}@{DOMAIN}"
        else:
            assert re.fullmatch(rf"[a-z]{{3}}-[a-z]{{3}}@{DOMAIN}", address)
            assert address not in self.taken
        mailbox = Mailbox(address, handle, wants.get("display_name", "Inkbox user"))
        assert answer.items() >= mailbox.shown().items()
        assert answer["created_at"] == answer["updated_at"]
        self.exists.append(mailbox)
        self.taken.add(address)
        return mailbox

    @rule(mailbox=made, form=forms)
    def get(self, mailbox: Mailbox, form: str) -> None:
        """A mailbox is found by its local part or its full address, in any case."""
        answer = self.ask("get_mailbox", email_address=_written(mailbox, form))
        assert answer.items() >= mailbox.shown().items()

    @rule(mailbox=made, form=forms, name=names)
    def rename(self, mailbox: Mailbox, form: str, name: str) -> None:
        """The name changes, and the other fields stay."""
        mailbox.name = name
        answer = self.ask("update_mailbox", email_address=_written(mailbox, form), display_name=name)
        assert answer.items() >= mailbox.shown().items()

    @rule(mailbox=made, form=forms, webhook=webhooks | st.none(), more=others)
    def subscribe(self, mailbox: Mailbox, form: str, webhook: str | None, more: dict[str, str | None]) -> None:
        """A URL subscribes. Null alone unsubscribes; beside a name that is null too, it counts as missing."""
        name, address = more.get("display_name"), _written(mailbox, form)
        if webhook is None and name and mailbox.webhook:
            webhook = "none"
        if webhook is None and more and not name:
            self.refused("invalid_arguments", "update_mailbox", email_address=address, webhook_url=None, **more)
            return
        mailbox.webhook, mailbox.name = (None if webhook == "none" else webhook), name or mailbox.name
        answer = self.ask("update_mailbox", email_address=address, webhook_url=webhook, **more)
        assert answer.items() >= mailbox.shown().items()

    @rule(target=gone, mailbox=consumes(made), form=forms)
    def delete(self, mailbox: Mailbox, form: str) -> Mailbox:
        """The mailbox disappears from every answer. Its address stays taken, and its identity is free."""
        address = _written(mailbox, form)
        assert self.ask("delete_mailbox", email_address=address) == {"deleted": True, "email_address": address}
        self.exists.remove(mailbox)
        return mailbox

    @rule(mailbox=gone, form=forms)
    def miss(self, mailbox: Mailbox, form: str) -> None:
        """A deleted mailbox cannot be read, changed or deleted again."""
        for tool, more in (("get_mailbox", {}), ("update_mailbox", {"display_name": "x"}), ("delete_mailbox", {})):
            message = self.refused("not_found", tool, email_address=_written(mailbox, form), **more)
            assert "No active mailbox has this address" in message

    @rule(search=searches, limit=limits)
    def list_all(self, search: str, limit: int) -> None:
        """The pages show each match once, newest first, and every page has the total."""
        words = re.split("[ ._-]+", search.casefold())
        matching = [
            box
            for box in self.exists
            if all(any(word in text.casefold() for text in (box.address, box.name, box.handle)) for word in words)
        ]
        seen: list[dict[str, Any]] = []
        cursor = None
        for _ in range(PAGES_AT_MOST):
            page = self.ask("list_mailboxes", search=search, limit=limit, cursor=cursor)
            assert page["total"] == len(matching)
            seen += page["mailboxes"]
            assert len(page["mailboxes"]) == min(limit, len(matching) - len(seen) + len(page["mailboxes"]))
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert [answer["email_address"] for answer in seen] == [box.address for box in reversed(matching)]

    @rule(target=pages, limit=limits)
    def list_one_page(self, limit: int) -> Any:
        """The cursor is remembered with the addresses that must follow it."""
        page = self.ask("list_mailboxes", limit=limit)
        addresses = [box.address for box in reversed(self.exists)]
        assert [answer["email_address"] for answer in page["mailboxes"]] == addresses[:limit]
        assert (page["next_cursor"] is None) == (len(addresses) <= limit)
        return (page["next_cursor"], addresses[limit:]) if page["next_cursor"] else NOTHING

    @rule(page=pages, limit=limits)
    def go_on_listing(self, page: tuple[str, list[str]], limit: int) -> None:
        """The next page repeats and skips none, even if mailboxes changed or the cursor's mailbox was deleted."""
        cursor, rest = page
        still = {box.address for box in self.exists}
        answer = self.ask("list_mailboxes", limit=limit, cursor=cursor)
        expected = [address for address in rest if address in still]
        assert [mailbox["email_address"] for mailbox in answer["mailboxes"]] == expected[:limit]
        assert answer["total"] == len(self.exists)

    @invariant()
    def the_list_is_what_exists(self) -> None:
        """After every step, exactly the mailboxes of the model exist."""
        page = self.ask("list_mailboxes", limit=200)
        assert page["total"] == len(self.exists)
        assert page["next_cursor"] is None
        for answer, mailbox in zip(page["mailboxes"], reversed(self.exists), strict=True):
            assert answer.items() >= mailbox.shown().items()


def _written(mailbox: Mailbox, form: str) -> str:
    local = mailbox.address.partition("@")[0]
    return form.format(local=local, upper=local.upper())


@pytest.fixture(scope="module")
def desk() -> Generator[Desk]:
    """Share one desk between the tests of this module."""
    with open_desk() as desk:
        yield desk


def test_any_life_of_mailboxes_goes_as_the_specification_says(desk: Desk) -> None:
    """Mailboxes are made, listed, read, changed and deleted in any order."""
    Lifecycle.desk = desk
    play(Lifecycle, settings=settings(max_examples=6, stateful_step_count=20, deadline=None))


@pytest.mark.slow
def test_many_long_lives_of_mailboxes_go_as_the_specification_says(desk: Desk) -> None:
    """Longer and more sequences find rarer states."""
    Lifecycle.desk = desk
    play(Lifecycle, settings=settings(max_examples=200, stateful_step_count=50, deadline=None))
