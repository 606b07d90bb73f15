"""The generation of the API is looked for once, remembered for the key, and forgotten by nobody."""

import json
import stat
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from mcp import Client
from pydantic import SecretStr

from inkbox_mcp.access.generations import recall, remember
from inkbox_mcp.access.tenants import LOCAL, Caller
from inkbox_mcp.calls import begin
from inkbox_mcp.discovery import SECONDS_TO_LOOK
from inkbox_mcp.protocol.server import server_of
from inkbox_mcp.service import Service
from inkbox_mcp.settings.options import Settings
from tests.support.agents import KEY, Agent
from tests.support.catalogue import IDENTITY, SPEC
from tests.support.moving import WEBHOOKS, Moving
from tests.support.processes import PATIENCE
from tests.support.time_lapse import TIME_LAPSE

BASE = "https://inkbox.ai"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give this process a home directory of its own."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    return tmp_path


def service_on(world: Any, **settings: Any) -> Service:
    """Make a service with a key on an Inkbox."""
    checked = Settings.model_validate({"api_key": KEY, **settings})
    return Service(checked, lambda: httpx2.MockTransport(world))


async def listed(service: Service, era: str = "auto") -> tuple[list[str], Any]:
    """Begin a conversation; return the names of the tools, and the client's view of the list."""
    async with Client(server_of(service), mode=era) as client:
        result = await client.list_tools()
        return [tool.name for tool in result.tools], result


@pytest.mark.posix
@pytest.mark.parametrize(("generation", "tools"), [("spec", SPEC), ("identity", IDENTITY)])
async def test_one_request_at_the_beginning_decides_which_tools_are_listed(
    generation: str, tools: dict[str, Any], era: str, home: Path
) -> None:
    """The instructions belong to the same generation. The next server does not look again."""
    world = Moving(generation)
    async with Client(server_of(service_on(world)), mode=era) as client:
        assert world.requests == [f"GET {WEBHOOKS}"]
        assert [tool.name for tool in (await client.list_tools()).tools] == list(tools)
        assert ("subscriptions" in (client.instructions or "")) is (generation == "identity")
    await listed(service_on(world), era)
    assert world.requests == [f"GET {WEBHOOKS}"]


@pytest.mark.posix
async def test_the_option_comes_before_the_memory_and_the_memory_before_a_look(home: Path) -> None:
    """With either, no request is sent before a call."""
    world = Moving("spec")
    remember(BASE, SecretStr(KEY), "identity")
    assert (await listed(service_on(world)))[0] == list(IDENTITY)
    assert (await listed(service_on(world, api_generation="spec")))[0] == list(SPEC)
    assert world.requests == []


async def test_the_sandbox_is_not_asked_what_it_is(home: Path) -> None:
    """Its option names the generation, unless `--api-generation` does."""
    world = Moving("spec")
    of_sandbox = {"api_key": None, "sandbox": True, "sandbox_generation": "identity"}
    assert (await listed(service_on(world, **of_sandbox)))[0] == list(IDENTITY)
    assert (await listed(service_on(world, **of_sandbox, api_generation="spec")))[0] == list(SPEC)
    assert world.requests == []
    assert not (home / ".cache").exists()


async def test_without_a_key_nobody_is_asked(era: str, home: Path) -> None:
    """There is no organization yet, so the list is that of the specification."""
    world = Moving("identity")
    assert (await listed(service_on(world, api_key=None), era))[0] == list(SPEC)
    assert world.requests == []


async def test_without_an_answer_the_list_is_that_of_the_specification_and_may_not_be_cached(home: Path) -> None:
    """One look is enough for a conversation, and nothing is remembered."""
    world = Moving(None)
    names, result = await listed(service_on(world, timeout=1))
    assert names == list(SPEC)
    assert (result.ttl_ms, result.cache_scope) == (0, "private")
    looked = len(world.requests)
    assert looked >= 1
    service = service_on(world, timeout=1)
    async with Client(server_of(service)) as client:
        world.requests.clear()
        await client.list_tools()
        assert world.requests == []
    assert recall(BASE, SecretStr(KEY)) is None
    world.generation = "spec"
    names, result = await listed(service_on(world))
    assert result.ttl_ms > 0


@pytest.mark.parametrize("anyio_backend", [TIME_LAPSE], ids=["time lapse"])
async def test_a_look_takes_at_most_a_moment(home: Path) -> None:
    """A server whose Inkbox does not answer must not keep its client waiting."""

    async def never(_: httpx2.Request) -> httpx2.Response:
        await anyio.sleep_forever()
        raise AssertionError

    with anyio.fail_after(PATIENCE):
        began = anyio.current_time()
        names, _ = await listed(service_on(never))
        assert anyio.current_time() - began >= SECONDS_TO_LOOK
    assert names == list(SPEC)


@pytest.mark.parametrize(
    ("status", "body", "generation"),
    [
        (200, {"subscriptions": []}, "identity"),
        (422, {"detail": []}, "identity"),
        (404, {"detail": "Not Found"}, "spec"),
        (405, {"detail": "Method Not Allowed"}, "spec"),
        (404, "<html>", None),
        (401, {"detail": "no"}, None),
        (500, {"detail": "boom"}, None),
    ],
)
async def test_what_the_look_learns_from_each_answer(
    status: int, body: Any, generation: str | None, home: Path
) -> None:
    """A 404 without Inkbox's reason comes from something else, and decides nothing."""
    service = service_on(lambda _: httpx2.Response(status, json=body), timeout=0.5)  # pyright: ignore[reportUnknownLambdaType]
    await service.discovery.look(LOCAL)
    assert service.discovery.known(LOCAL).value == generation


async def test_a_key_that_may_not_see_webhooks_learns_from_its_identities(home: Path) -> None:
    """A key of one agent may be refused."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.url.path.startswith(WEBHOOKS):
            return httpx2.Response(403, json={"detail": "admin only"})
        return httpx2.Response(200, json=[{"agent_handle": "a", "status": "active"}])

    service = service_on(answer)
    await service.discovery.look(LOCAL)
    assert service.discovery.known(LOCAL).value == "spec"


async def test_many_conversations_at_once_look_once(home: Path) -> None:
    """The others wait for its result."""
    asked = 0

    async def slow(_: httpx2.Request) -> httpx2.Response:
        nonlocal asked
        asked += 1
        await anyio.wait_all_tasks_blocked()
        return httpx2.Response(200, json={"subscriptions": []})

    service = service_on(slow)
    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(service.discovery.look, LOCAL)
    assert asked == 1


# Per-request keys.


def by(number: int) -> Caller:
    """Return the caller with a key of this number."""
    return Caller((f"ApiKey_{number:08}-0000-4000-8000-000000000000.s",), name=f"tenant-{number}")


async def test_each_key_has_its_own_generation_and_list(home: Path) -> None:
    """One organization's generation says nothing about another's. Nothing of them is written to disk."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        moved = "00000001" in request.headers["X-API-Key"]
        return httpx2.Response(200 if moved else 404, json={"subscriptions": []} if moved else {"detail": "Not Found"})

    settings = Settings.model_validate({"per_request_keys": True, "http": True})
    service = Service(settings, lambda: httpx2.MockTransport(answer))
    for caller, tools in ((by(1), IDENTITY), (by(2), SPEC), (by(1), IDENTITY), (Caller(), SPEC)):
        await service.discovery.look(caller)
        assert service.discovery.open_to(caller).tools == tools
    assert not (home / ".cache").exists()
    async with Client(server_of(service, lambda _: by(1))) as client:
        assert (await client.list_tools()).cache_scope == "private"


async def test_a_look_counts_against_the_rate_limit(home: Path) -> None:
    """Otherwise a caller over its limit could make the server send a request for each conversation."""
    world = Moving("identity")
    settings = Settings.model_validate({"per_request_keys": True, "http": True, "rate_limit": "1/h"})
    service = Service(settings, lambda: httpx2.MockTransport(world))
    await service.tenants.admit(by(1))
    await service.discovery.look(by(1))
    assert world.requests == []
    assert service.discovery.open_to(by(1)).tools == SPEC
    await service.discovery.look(by(2))
    assert service.discovery.open_to(by(2)).tools == IDENTITY


# The memory.


@pytest.mark.posix
def test_the_memory_is_private_and_has_no_key(home: Path) -> None:
    """Its file has one word, and a name from which neither key nor URL can be read."""
    remember(BASE, SecretStr(KEY), "identity")
    folder = home / ".cache" / "inkbox-mcp" / "generations"
    (file,) = folder.iterdir()
    assert file.read_text() == "identity"
    assert (stat.S_IMODE(file.stat().st_mode), stat.S_IMODE(folder.stat().st_mode)) == (0o600, 0o700)
    assert len(file.name) == 32
    assert recall(BASE, SecretStr(KEY)) == "identity"
    assert recall(f"{BASE}:8443", SecretStr(KEY)) is None
    assert recall(BASE, SecretStr(f"{KEY}x")) is None


@pytest.mark.posix
@pytest.mark.parametrize("damage", ["word", "open file", "open folder", "link"])
def test_a_memory_that_cannot_be_trusted_is_ignored(home: Path, damage: str) -> None:
    """The server looks again, and remembers anew where it may."""
    remember(BASE, SecretStr(KEY), "identity")
    folder = home / ".cache" / "inkbox-mcp" / "generations"
    (file,) = folder.iterdir()
    match damage:
        case "word":
            file.write_text("identity\n; rm -rf")
        case "open file":
            file.chmod(0o644)
        case "open folder":
            folder.chmod(0o755)
        case _:
            file.rename(home / "elsewhere")
            file.symlink_to(home / "elsewhere")
    assert recall(BASE, SecretStr(KEY)) is None


@pytest.mark.posix
def test_the_memory_does_not_grow(home: Path) -> None:
    """Only the newest keys are remembered."""
    for number in range(40):
        remember(BASE, SecretStr(f"{KEY}{number}"), "spec")
    assert len(list((home / ".cache" / "inkbox-mcp" / "generations").iterdir())) <= 16
    assert recall(BASE, SecretStr(f"{KEY}39")) == "spec"


def test_without_a_home_nothing_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing fails."""
    monkeypatch.delenv("HOME")
    remember(BASE, SecretStr(KEY), "identity")
    assert recall(BASE, SecretStr(KEY)) is None


# An organization moves.


@pytest.mark.posix
async def test_an_answer_that_contradicts_is_learnt_and_remembered(era: str, home: Path) -> None:
    """The call itself succeeds; the next list is the other one, in this process and in the next."""
    world = Moving("spec")
    service = service_on(world)
    async with Client(server_of(service), mode=era) as client:
        await Agent(client).ask("get_mailbox", email_address="a")
        world.generation = "identity"
        await Agent(client).ask("get_mailbox", email_address="a")
        assert [tool.name for tool in (await client.list_tools(cache_mode="refresh")).tools] == list(IDENTITY)
    assert recall(BASE, SecretStr(KEY)) == "identity"


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("create_mailbox", {"agent_handle": "a"}),
        ("update_mailbox", {"email_address": "a", "display_name": "A"}),
        ("delete_mailbox", {"email_address": "a"}),
    ],
)
async def test_a_refusal_that_contradicts_leads_to_the_tool_that_does_it_now(
    tool: str, arguments: dict[str, Any], home: Path
) -> None:
    """The API answers 405 after the move; the error explains it and names a tool of the new list."""
    world = Moving("spec")
    service = service_on(world, confirm="never")
    async with Client(server_of(service)) as client:
        world.generation = "identity"
        result = await client.call_tool(tool, arguments)
        assert (result.meta or {})["code"] == "operation_moved"
        named = {*SPEC, *IDENTITY} & set(json.dumps(result.model_dump(mode="json")).replace('"', " ").split())
        assert named <= {*IDENTITY, tool}
        assert [tool.name for tool in (await client.list_tools(cache_mode="refresh")).tools] == list(IDENTITY)


async def test_a_404_about_an_object_is_no_move(home: Path) -> None:
    """Most 404s are about the named object; they cost no look."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        requests.append(request.url.path)
        return httpx2.Response(404, json={"detail": "Not Found"})

    requests: list[str] = []
    service = service_on(answer)
    with begin(PATIENCE):
        await service.discovery.look(LOCAL)
    requests.clear()
    async with Client(server_of(service)) as client:
        result = await client.call_tool("delete_mailbox", {"email_address": "a"})
    assert (result.meta or {})["code"] == "not_found"
    assert WEBHOOKS not in requests
