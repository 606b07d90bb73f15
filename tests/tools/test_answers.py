"""Lists return rows that a model can afford, say what they do not show, and fail for no lesser reason."""

import json
import re
from typing import Any

import httpx2
import jsonschema
import pytest

from inkbox_mcp.tools import side_by_side
from tests.support.agents import Agent, connect, text
from tests.support.alike import BOTH
from tests.support.catalogue import CATALOGUES, EVERY, generation_of

MAILBOXES, IDENTITIES = "/api/v1/mail/mailboxes", "/api/v1/identities"


class Inkbox:
    """An organization of this many identities, each with a mailbox; `fails` answers some requests instead."""

    def __init__(self, generation: str, number: int) -> None:
        self.fails: dict[str, httpx2.Response] = {}
        self.requests: list[str] = []
        spec = generation == "spec"
        self.lists: dict[str, list[dict[str, Any]]] = {MAILBOXES: [], IDENTITIES: []}
        for each in range(number):
            handle, address = f"agent-{each:04}", f"client-{each:04}@inkboxmail.com"
            time = f"2026-01-01T{each // 3600:02}:{each // 60 % 60:02}:{each % 60:02}.123456+00:00"
            own = {"status": "active"} if spec else {"description": None, "display_name": "Inkbox user"}
            times = {"created_at": time, "updated_at": time}
            mailbox_own = {"display_name": "Inkbox user", "webhook_url": None} if spec else {"storage_used_bytes": each}
            mailbox = {
                "id": f"aaaa1111-2222-4333-8444-{each:012}", "email_address": address, **mailbox_own,
                "agent_identity_id": f"bbbb1111-2222-4333-8444-{each:012}", "filter_mode": "blacklist",
                "sending_domain": "inkboxmail.com", **({"status": "active"} if spec else {}), **times,
            }  # fmt: skip
            identity = {
                "id": f"bbbb1111-2222-4333-8444-{each:012}", "organization_id": "org_1", "agent_handle": handle,
                "email_address": address, **own, **times, **({} if spec else {"mailbox": mailbox}),
            }  # fmt: skip
            self.lists[MAILBOXES].append(mailbox)
            self.lists[IDENTITIES].append(identity)

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request.url.path)
        path = request.url.path
        return self.fails.get(path) or httpx2.Response(200, content=json.dumps(self.lists[path][::-1]))


def agent_on(inkbox: Any, generation: Any, **settings: Any) -> Any:
    """Connect an agent to an organization of a generation."""
    return connect(inkbox, api_generation=generation, **settings)


@BOTH
@pytest.mark.parametrize(("limit", "most"), [(50, 11_000), (200, 45_000)])
async def test_a_page_of_rows_fits_every_clients_cap(generation: str, limit: int, most: int) -> None:
    """The sizes are printed with `pytest -s`."""
    async with agent_on(Inkbox(generation, 230), generation) as agent:
        for tool in ("list_mailboxes", "list_identities"):
            rows = len(text(await agent.call(tool, limit=limit)).encode())
            whole = len(text(await agent.call(tool, limit=limit, details=True)).encode())
            print(f"\n{generation} {tool} limit={limit}: {rows:,} bytes; 50 whole objects: {whole:,}")  # noqa: T201
            assert rows <= most


ROWS = {
    ("spec", "list_mailboxes"): {
        "email_address": "client-0001@inkboxmail.com", "display_name": "Inkbox user", "agent_handle": "agent-0001",
        "status": "active", "webhook_url": None, "created_at": "2026-01-01T00:00:01Z",
    },
    ("identity", "list_mailboxes"): {
        "email_address": "client-0001@inkboxmail.com", "display_name": "Inkbox user", "agent_handle": "agent-0001",
        "created_at": "2026-01-01T00:00:01Z",
    },
    ("spec", "list_identities"): {
        "agent_handle": "agent-0001", "email_address": "client-0001@inkboxmail.com", "status": "active",
        "created_at": "2026-01-01T00:00:01Z",
    },
    ("identity", "list_identities"): {
        "agent_handle": "agent-0001", "display_name": "Inkbox user", "email_address": "client-0001@inkboxmail.com",
        "created_at": "2026-01-01T00:00:01Z",
    },
}  # fmt: skip


@pytest.mark.parametrize(("generation", "tool"), ROWS)
async def test_a_row_has_what_an_agent_needs_and_nothing_else(generation: str, tool: str) -> None:
    """Ids that no tool takes, and fields that the generation does not have, are left out."""
    async with agent_on(Inkbox(generation, 2), generation) as agent:
        page = await agent.ask(tool)
        assert page[tool.removeprefix("list_")][0] == ROWS[generation, tool]
        assert list(page)[:2] == ["total", "of"]  # before the rows, in case the end is cut off


@BOTH
async def test_details_are_whole_objects_and_at_most_fifty(generation: str) -> None:
    """Everything that the API sent is there, but nothing twice; the cursor leads on."""
    inkbox = Inkbox(generation, 60)
    async with agent_on(inkbox, generation) as agent:
        page = await agent.ask("list_mailboxes", details=True, limit=200)
        assert len(page["mailboxes"]) == 50
        joined = {"agent_handle": "agent-0059", "display_name": "Inkbox user"}
        assert page["mailboxes"][0] == inkbox.lists[MAILBOXES][-1] | joined
        rest = await agent.ask("list_mailboxes", details=True, limit=200, cursor=page["next_cursor"])
        assert (len(rest["mailboxes"]), rest["next_cursor"]) == (10, None)
        identities = (await agent.ask("list_identities", details=True))["identities"]
        inside: dict[str, Any] = identities[0].get("mailbox", {})
        assert not {"email_address", "status", "created_at", "updated_at"} & inside.keys()
        assert identities[0]["organization_id"] == "org_1"


@BOTH
@pytest.mark.parametrize("details", [True, False])
@pytest.mark.parametrize("tool", ["list_mailboxes", "list_identities"])
async def test_every_published_schema_validates_whole_results(tool: str, details: bool, generation: str) -> None:
    """All fields that the API sends are published, because some clients pass on no others."""
    schema = CATALOGUES[generation].tools[tool].output_schema
    items = schema["properties"][tool.removeprefix("list_")]["items"]
    async with agent_on(Inkbox(generation, 3), generation) as agent:
        page = await agent.ask(tool, details=details)
    jsonschema.validate(page, schema)
    for item in page[tool.removeprefix("list_")]:
        assert item.keys() <= items["properties"].keys()


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 503])
async def test_a_list_of_mailboxes_does_not_fail_without_its_handles(status: int) -> None:
    """The identities may be forbidden, or not answer; the rows go without, and the list says so."""
    inkbox = Inkbox("spec", 3)
    inkbox.fails[IDENTITIES] = httpx2.Response(status, json={"detail": "no"})
    async with agent_on(inkbox, "spec") as agent:
        page = await agent.ask("list_mailboxes")
        found = await agent.ask("list_mailboxes", search="agent")
        inkbox.fails.clear()
        assert "note" not in await agent.ask("list_mailboxes", search="agent")
    assert page["total"] == 3
    assert all("agent_handle" not in row for row in page["mailboxes"])
    assert found["total"] == 0
    assert page["note"] == found["note"]
    assert "search did not look at it" in found["note"]


async def test_handles_that_come_late_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The list is complete but for the handles, so it waits for them only a moment."""
    import anyio

    monkeypatch.setattr(side_by_side, "SECONDS_FOR_THE_OTHER", 0.05)
    inkbox = Inkbox("spec", 3)

    async def slow(request: httpx2.Request) -> httpx2.Response:
        if request.url.path == IDENTITIES:
            await anyio.sleep_forever()
        return inkbox(request)

    async with agent_on(slow, "spec") as agent:
        page = await agent.ask("list_mailboxes")
    assert page["total"] == 3
    assert "agent_handle" not in page["mailboxes"][0]
    assert "search did not look at it" in page["note"]


@BOTH
@pytest.mark.parametrize("tool", ["list_mailboxes", "list_identities"])
async def test_a_search_looks_at_all_that_its_description_names(generation: str, tool: str) -> None:
    """The name is the mailbox's in one generation, and the agent's in the other; rows show what was found."""
    inkbox = Inkbox(generation, 12)
    inkbox.lists[MAILBOXES if generation == "spec" else IDENTITIES][7]["display_name"] = "Jane Doe"
    async with agent_on(inkbox, generation) as agent:
        for search in ("jane DOE", "Agent 0007", "client.0007"):
            page = await agent.ask(tool, search=search)
            (row,) = page[tool.removeprefix("list_")]
            assert (row["agent_handle"], row["display_name"]) == ("agent-0007", "Jane Doe")
            assert page["total"] == 1
            assert "note" not in page


@pytest.mark.parametrize("outside", [{}, {"email_address": None}, {"email_address": ""}])
async def test_a_row_of_an_identity_has_the_address_that_only_its_mailbox_shows(outside: dict[str, Any]) -> None:
    """A null beside it says nothing, and the address is found by a search."""
    inkbox = Inkbox("identity", 1)
    (identity,) = inkbox.lists[IDENTITIES]
    del identity["email_address"]
    identity |= outside
    async with agent_on(inkbox, "identity") as agent:
        for more in ({}, {"search": "client-0000@inkboxmail.com"}, {"details": True}):
            (row,) = (await agent.ask("list_identities", **more))["identities"]
            assert row["email_address"] == "client-0000@inkboxmail.com"
        (row,) = (await agent.ask("list_mailboxes"))["mailboxes"]
        assert row["agent_handle"] == "agent-0000"


async def test_a_search_of_identities_says_that_names_could_not_be_read() -> None:
    """The rest is searched nevertheless."""
    inkbox = Inkbox("spec", 3)
    inkbox.fails[MAILBOXES] = httpx2.Response(403, json={"detail": "no"})
    async with agent_on(inkbox, "spec") as agent:
        page = await agent.ask("list_identities", search="0001")
        assert page["total"] == 1
        assert "search did not look at sender names" in page["note"]
        assert "display_name" not in page["identities"][0]


async def test_a_list_of_mailboxes_fails_as_before_without_the_mailboxes() -> None:
    """Its error is that of its own request."""
    inkbox = Inkbox("spec", 3)
    inkbox.fails[MAILBOXES] = httpx2.Response(403, json={"detail": "no mailboxes"})
    async with agent_on(inkbox, "spec") as agent:
        assert "no mailboxes" in await agent.refused("list_mailboxes")


@BOTH
async def test_both_lists_are_requested_side_by_side_and_once(generation: str) -> None:
    """A list costs two requests, and a list of identities one."""
    inkbox = Inkbox(generation, 3)
    async with agent_on(inkbox, generation) as agent:
        await agent.ask("list_mailboxes")
        assert sorted(inkbox.requests) == [IDENTITIES, MAILBOXES]
        inkbox.requests.clear()
        await agent.ask("list_identities")
        assert inkbox.requests == [IDENTITIES]


async def test_a_list_says_what_it_does_not_show() -> None:
    """A search that finds nothing shows that there is something; limits are named."""
    async with agent_on(Inkbox("spec", 5), "spec") as agent:
        page = await agent.ask("list_mailboxes", search="nothing has this")
        assert (page["total"], page["of"], page["mailboxes"]) == (0, 5, [])
        assert "limited_to" not in page
        assert "limited_to" not in await agent.ask("list_identities")
    limits = {"allow_handles": ["agent-0001", "agent-0002"], "allow_addresses": ["client-0001@*", "x@*"]}
    async with agent_on(Inkbox("spec", 5), "spec", **limits) as agent:
        for tool in ("list_mailboxes", "list_identities"):
            page = await agent.ask(tool)
            assert (page["total"], page["of"]) == (1, 1)
            assert page["limited_to"] == [
                "agent_handle agent-0001", "agent_handle agent-0002",
                "email_address client-0001@*", "email_address x@*",
            ]  # fmt: skip


@BOTH
async def test_an_agents_mailboxes_are_found_by_its_handle(generation: str) -> None:
    """The handle is in the row, so people search for it."""
    async with agent_on(Inkbox(generation, 12), generation) as agent:
        page = await agent.ask("list_mailboxes", search="Agent 0011")
        assert [row["agent_handle"] for row in page["mailboxes"]] == ["agent-0011"]


async def test_unlinking_nothing_says_so() -> None:
    """It is no success, and no error."""
    async with connect(sandbox=True, sandbox_db=":memory:", confirm="never") as agent:
        result = await agent.ask("unlink_mailbox", agent_handle="sales-agent")
    assert result == {
        "unlinked": False,
        "agent_handle": "sales-agent",
        "email_address": None,
        "reason": "The identity has no mailbox.",
    }


# webhook_url: null, "", "none" and values.

HOOK = "https://hooks.example.com/in"


async def hooked(agent: Agent, hook: str | None = HOOK) -> None:
    """Give sales-agent a mailbox `a` with a webhook."""
    await agent.ask("create_mailbox", agent_handle="sales-agent", email_local_part="a", display_name="Old")
    if hook:
        await agent.ask("update_mailbox", email_address="a", webhook_url=hook)


@pytest.mark.parametrize(
    ("arguments", "name", "hook"),
    [
        ({"webhook_url": None}, "Old", None),
        ({"webhook_url": "none"}, "Old", None),
        ({"webhook_url": " None "}, "Old", None),
        ({"webhook_url": "none", "display_name": "New"}, "New", None),
        ({"webhook_url": "", "display_name": "New"}, "New", HOOK),
        ({"webhook_url": HOOK, "display_name": "New"}, "New", HOOK),
        ({"display_name": "New"}, "New", HOOK),
    ],
)
async def test_what_each_way_to_write_a_webhook_means(arguments: dict[str, Any], name: str, hook: str | None) -> None:
    """Null unsubscribes on its own, the word `none` anywhere, and an empty text never."""
    async with connect(sandbox=True, sandbox_db=":memory:", confirm="never") as agent:
        await hooked(agent)
        changed = await agent.ask("update_mailbox", email_address="a", **arguments)
        assert (changed["display_name"], changed["webhook_url"]) == (name, hook)


async def test_a_null_beside_another_change_does_not_cut_a_webhook_off() -> None:
    """Some clients fill in null for everything that is unset. Nothing is changed, and both ways out are calls."""
    async with connect(sandbox=True, sandbox_db=":memory:", confirm="never") as agent:
        await hooked(agent)
        message = await agent.refused("update_mailbox", email_address="a", display_name="New", webhook_url=None)
        assert f'call update_mailbox with email_address, display_name and webhook_url "{HOOK}"' in message
        assert 'call update_mailbox with email_address, display_name and webhook_url "none"' in message
        now = await agent.ask("get_mailbox", email_address="a")
        assert (now["display_name"], now["webhook_url"]) == ("Old", HOOK)


@pytest.mark.parametrize("unset", [None, ""])
@pytest.mark.parametrize("hook", [None, ""])
async def test_a_client_that_sends_null_for_all_that_is_unset_changes_nothing(
    unset: str | None, hook: str | None
) -> None:
    """Its model asked for nothing. Nobody is asked, nothing is changed, and the ways out are calls."""
    async with connect(sandbox=True, sandbox_db=":memory:", confirm="always") as agent:
        await agent.ask("create_mailbox", agent_handle="sales-agent", email_local_part="a", display_name="Old")
        message = await agent.refused("update_mailbox", email_address="a", webhook_url=hook, display_name=unset)
        assert "nothing to update" in message
        assert "call update_mailbox with email_address and display_name" in message
        assert 'call update_mailbox with email_address and webhook_url "none"' in message


async def test_a_null_beside_another_change_is_nothing_where_there_is_no_webhook() -> None:
    """The rename goes through."""
    async with connect(sandbox=True, sandbox_db=":memory:", confirm="never") as agent:
        await hooked(agent, None)
        changed = await agent.ask("update_mailbox", email_address="a", display_name="New", webhook_url=None)
        assert (changed["display_name"], changed["webhook_url"]) == ("New", None)


@pytest.mark.parametrize("word", ["null", "NULL", "undefined"])
async def test_null_as_text_is_refused_and_names_the_word_that_unsubscribes(word: str) -> None:
    """A model that cannot send null writes it as text."""
    async with connect(sandbox=True, sandbox_db=":memory:", confirm="never") as agent:
        await hooked(agent)
        assert '"none"' in await agent.refused("update_mailbox", email_address="a", webhook_url=word)


# Names that models invent.

INVENTED = [
    ("spec", "update_mailbox", "new_email_address", "an address cannot be changed"),
    ("spec", "update_mailbox", "status", "call update_identity with agent_handle and status"),
    ("spec", "update_mailbox", "agent", "call link_mailbox with agent_handle and email_address"),
    ("spec", "update_mailbox", "new_handle", "a handle cannot be changed"),
    ("spec", "update_mailbox", "name", "did you mean display_name?"),
    ("spec", "get_mailbox", "agent_handle", "call get_identity with agent_handle"),
    ("spec", "get_mailbox", "email", "did you mean email_address?"),
    ("spec", "get_mailbox", "mailbox_id", "did you mean email_address?"),
    ("spec", "delete_mailbox", "agent_handle", "call get_identity with agent_handle"),
    ("spec", "delete_mailbox", "name", "call list_mailboxes with search"),
    ("spec", "list_mailboxes", "agent_handle", "pass it as search"),
    ("spec", "list_mailboxes", "identity", "pass it as search"),
    ("spec", "list_mailboxes", "status", "search looks only at address, name and agent"),
    ("spec", "list_mailboxes", "page", "next_cursor"),
    ("spec", "list_identities", "handle", "pass it as search"),
    ("spec", "get_identity", "email", "call list_identities with search"),
    ("spec", "unlink_mailbox", "email_address", "call list_identities with search"),
    ("spec", "link_mailbox", "local_part", "pass it as email_address"),
    ("spec", "delete_identity", "with_mailbox", "call delete_mailbox with email_address"),
    ("spec", "create_identity", "email_address", "pass the part before the @ as mailbox_local_part"),
    ("spec", "create_identity", "name", "the sender name is mailbox_display_name"),
    ("spec", "create_identity", "webhook_url", "call update_mailbox with email_address and webhook_url"),
    ("spec", "create_mailbox", "webhook", "call update_mailbox with email_address and webhook_url"),
    ("spec", "update_identity", "email_local_part", "an address cannot be changed"),
    ("spec", "update_identity", "name", "call update_mailbox with email_address and display_name"),
    ("spec", "update_identity", "new_handle", "a handle cannot be changed"),
    ("spec", "update_identity", "display_name", "call update_mailbox with email_address and display_name"),
    ("spec", "create_mailbox", "email_address", "email_local_part"),
    ("spec", "create_mailbox", "name", "did you mean display_name?"),
    ("identity", "get_mailbox", "agent_handle", "call get_identity with agent_handle"),
    ("identity", "update_identity", "new_email_address", "only a new identity has another"),
    ("identity", "update_identity", "status", "tell the user"),
    ("identity", "create_identity", "email_local_part", "choose the handle that you want before the @"),
    ("identity", "create_identity", "webhook_url", "call create_webhook with email_address and webhook_url"),
    ("identity", "update_identity", "webhook_url", "call create_webhook with email_address and webhook_url"),
    ("identity", "delete_identity", "email_address", "call list_identities with search"),
    ("identity", "list_mailboxes", "agent_handle", "pass it as search"),
    ("identity", "list_webhooks", "agent_handle", "call get_identity with agent_handle"),
    ("identity", "list_webhooks", "limit", "it always shows all"),
    ("identity", "create_webhook", "agent", "call get_identity with agent_handle"),
    ("identity", "create_webhook", "secret", "Inkbox chooses the key"),
    ("identity", "delete_webhook", "url", "call list_webhooks with email_address"),
]


@pytest.mark.parametrize(("generation", "tool", "name", "says"), INVENTED)
async def test_a_name_that_models_invent_gets_an_answer(generation: str, tool: str, name: str, says: str) -> None:
    """The answer is about what the model wanted, not about spelling."""
    own = CATALOGUES[generation].tools[tool].args.model_fields
    values = {
        "agent_handle": "sales-agent", "email_address": "a", "status": "paused", "display_name": "A",
        "webhook_url": HOOK, "webhook_id": "aaaa1111-2222-4333-8444-000000000000",
    }  # fmt: skip
    arguments = {field: values[field] for field in own if own[field].is_required()}
    async with agent_on(Inkbox(generation, 1), generation) as agent:
        assert says in await agent.refused(tool, **arguments, **{name: "x"})


@pytest.mark.parametrize("key", sorted(EVERY))
def test_an_argument_of_another_tool_gets_an_answer_of_its_own(key: str) -> None:
    """A model tries what works elsewhere. A list of the tool's own arguments would not tell it where to go."""
    tool, tools = EVERY[key], CATALOGUES[generation_of(key)].tools
    others = {name for other in tools.values() for name in other.args.model_fields} - {*tool.args.model_fields}
    things = {"agent_handle", "email_address", "display_name", "webhook_url", "status"} & others
    unanswered = {name for name in things if name not in tool.args.invented}
    assert unanswered <= NOT_TRIED.get(tool.name, set())


NOT_TRIED: dict[str, set[str]] = {
    "whoami": {"agent_handle", "email_address", "display_name", "webhook_url", "status"},
    "list_identities": {"webhook_url"},
    "get_identity": {"webhook_url", "status"},
    "delete_identity": {"webhook_url", "status"},
    "get_attachment": {"webhook_url", "status"},
    "get_mailbox": {"webhook_url", "status"},
    "delete_mailbox": {"webhook_url", "status"},
    "link_mailbox": {"webhook_url", "status", "display_name"},
    "unlink_mailbox": {"webhook_url", "status"},
}
"""What has no sense there, and is not tried."""


@pytest.mark.parametrize("key", sorted(EVERY))
async def test_the_answer_still_names_the_argument_where_the_tool_that_does_it_is_off(key: str) -> None:
    """What names the other tool is left out, and the rest must say what is wrong."""
    tool, generation = EVERY[key], generation_of(key)
    if tool.name == "whoami":
        return
    async with connect(api_generation=generation, tools=[tool.name]) as agent:
        for name in tool.args.invented:
            message = await agent.refused(tool.name, **{name: "x"})
            assert f"unknown argument {name!r}" in message
            assert not {*CATALOGUES["spec"].tools, *CATALOGUES["identity"].tools} - {tool.name, name} & {
                *re.findall(r"\w+", message)
            }
