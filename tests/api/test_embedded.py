"""The embedded sandbox when its file is slow or locked: calls end in time, and other calls are still answered."""

import signal
import sqlite3
from collections.abc import Generator
from contextlib import AbstractAsyncContextManager, closing, contextmanager
from pathlib import Path

import anyio
import pytest

from inkbox_mcp.sandbox import Store
from tests.support.agents import Agent, connect
from tests.support.alike import choices
from tests.support.processes import PATIENCE, start

pytestmark = pytest.mark.posix

TIMEOUT = 0.5
"""Seconds that a call may take; tests keep the file locked for longer."""
WELL_BEFORE_THE_LOCK_IS_GIVEN_UP = 8
"""Seconds; a thread waits ten for the lock."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Create a sandbox's file and return its path."""
    path = tmp_path / "x.db"
    Store(path).close()
    return path


@contextmanager
def locked(path: Path) -> Generator[None]:
    """Keep the file locked for writers, as another process would."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def agent_of(path: Path, era: str = "auto", seconds: float = TIMEOUT) -> AbstractAsyncContextManager[Agent]:
    """Connect an agent to a server with a sandbox in this file."""
    return connect(mode=era, sandbox=True, sandbox_db=str(path), timeout=seconds, confirm="never")


async def code(agent: Agent, tool: str, **arguments: str) -> str:
    """Call a tool that must fail, and return the error's code."""
    result = await agent.call(tool, **arguments)
    assert result.is_error
    return (result.meta or {})["code"]


CHANGES = [
    ("create_mailbox", {"agent_handle": "support-agent"}),
    ("update_mailbox", {"email_address": "sales", "display_name": "Sales"}),
    ("delete_mailbox", {"email_address": "sales"}),
    ("delete_identity", {"agent_handle": "support-agent"}),
]


@pytest.mark.parametrize("change", choices(CHANGES, CHANGES[1::2]), ids=lambda change: change[0])
async def test_a_change_of_a_locked_file_ends_with_its_deadline_and_may_have_been_made(
    change: tuple[str, dict[str, str]], path: Path
) -> None:
    """The call ends at its deadline, and the error never claims that nothing was changed."""
    async with agent_of(path, seconds=PATIENCE) as agent:
        await agent.ask("create_mailbox", agent_handle="sales-agent", email_local_part="sales")
    async with agent_of(path) as agent:
        await code(agent, "get_mailbox", email_address="nobody")
        with locked(path), anyio.fail_after(WELL_BEFORE_THE_LOCK_IS_GIVEN_UP):
            assert await code(agent, change[0], **change[1]) == "outcome_unknown"


async def test_other_calls_are_answered_while_one_waits_for_a_locked_file(path: Path, era: str) -> None:
    """Even calls that read the locked file are answered."""
    changed = anyio.Event()
    async with agent_of(path, era, seconds=PATIENCE) as agent, anyio.create_task_group() as tasks:
        await agent.ask("list_identities")

        async def change() -> None:
            await agent.ask("create_mailbox", agent_handle="sales-agent")
            changed.set()

        with locked(path):
            tasks.start_soon(change)
            with anyio.fail_after(WELL_BEFORE_THE_LOCK_IS_GIVEN_UP):
                for _ in range(20):
                    await agent.client.list_tools()
                    assert (await agent.ask("list_identities"))["total"] == 2
            assert not changed.is_set()
    assert changed.is_set()


async def test_a_file_that_is_locked_at_the_first_call_cannot_be_reached_and_can_be_later(path: Path) -> None:
    """The call was never made, not even later, so repeating it is safe."""
    async with agent_of(path) as agent:
        with locked(path), anyio.fail_after(WELL_BEFORE_THE_LOCK_IS_GIVEN_UP):
            assert await code(agent, "create_mailbox", agent_handle="sales-agent") == "unreachable"
            message = await agent.refused("create_mailbox", agent_handle="sales-agent")
            assert "the sandbox's file is locked or slow" in message
            await agent.client.list_tools()
    async with agent_of(path, seconds=PATIENCE) as agent:
        assert (await agent.ask("list_mailboxes"))["total"] == 0


async def test_a_file_that_cannot_be_used_can_be_when_it_has_been_corrected(tmp_path: Path) -> None:
    """Each call tries to open the file again."""
    path = tmp_path / "x.db"
    path.mkdir()
    async with agent_of(path, seconds=PATIENCE) as agent:
        assert await code(agent, "list_mailboxes") == "not_configured"
        path.rmdir()
        assert (await agent.ask("list_mailboxes"))["total"] == 0


async def test_many_calls_on_a_locked_file_leave_a_bounded_number_of_threads(path: Path) -> None:
    """The server counts waiting threads and rejects calls over the limit before it sends them."""
    async with agent_of(path) as agent:
        await code(agent, "get_mailbox", email_address="nobody")
        with locked(path):
            codes: list[str] = []

            async def change() -> None:
                codes.append(await code(agent, "create_mailbox", agent_handle="sales-agent"))

            with anyio.fail_after(PATIENCE):
                for _ in range(4):
                    async with anyio.create_task_group() as tasks:
                        for _ in range(32):
                            tasks.start_soon(change)
            assert set(codes) <= {"outcome_unknown", "unreachable", "unavailable"}


@pytest.mark.parametrize("end", choices(["end of input", "signal"], {"end of input"}))
async def test_a_server_ends_although_its_file_is_locked(end: str, path: Path, tmp_path: Path) -> None:
    """The server does not wait for a thread that is blocked by the file's lock."""
    async with start("--sandbox", "--sandbox-db", str(path), home=tmp_path) as server:
        await server.initialize()
        await server.request("tools/call", name="list_mailboxes", arguments={})
        with locked(path):
            await server.send("tools/call", name="create_mailbox", arguments={"agent_handle": "sales-agent"})
            await server.request("ping")
            with anyio.fail_after(WELL_BEFORE_THE_LOCK_IS_GIVEN_UP):
                if end == "signal":
                    server.signal(signal.SIGTERM)
                else:
                    await server.close_stdin()
                status, _, stderr = await server.end()
            assert status == 0
            assert "Traceback" not in stderr
