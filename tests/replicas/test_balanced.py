"""Three replicas behind a load balancer serve many agents while each is restarted or killed."""

import signal
import sqlite3
from collections import Counter
from itertools import count
from pathlib import Path

import anyio
import httpx2
import pytest

from tests.support.agents import Agent
from tests.support.replicas.agents import Lives, connected, inkbox_get
from tests.support.replicas.front import Asked, Front, Rule, front
from tests.support.replicas.haproxy import Balancer, balance
from tests.support.replicas.machine import machine
from tests.support.replicas.replicas import Replicas

pytestmark = [pytest.mark.slow, pytest.mark.linux]

AGENTS = 64
DRAIN = 3.0
WORK = 60
"""Calls that the agents make together before and after each replica's restart."""


async def test_a_rolling_restart_fails_no_call(tmp_path: Path) -> None:
    """Each replica finishes its calls before it is replaced, so that 64 agents see no failure."""
    lives = Lives()
    async with machine(tmp_path) as site:
        inkbox = await site.sandbox()
        async with front(inkbox.url) as before_inkbox:
            before_inkbox.rule = sometimes_slow()
            replicas = Replicas(site, before_inkbox.url, "--stateless", "--drain-timeout", f"{DRAIN:g}")
            await replicas.start()
            balancer = await balance(site, replicas.ports)
            async with anyio.create_task_group() as tasks:
                for number in range(AGENTS):
                    tasks.start_soon(lives.steadily, balancer.url, number)
                for number in range(3):
                    await lives.go_on(WORK)
                    await restart(replicas, number, balancer, before_inkbox)
                await lives.go_on(WORK)
                lives.is_over = True
            async with httpx2.AsyncClient(base_url=balancer.url) as outside:
                for path in ("/healthz", "/readyz", "/metrics"):  # for operators only
                    assert (await outside.get(path)).status_code == 404
        await judge(lives, inkbox.url, tmp_path)
        await replicas.stop()
    handled = Counter(call["request_id"] for call in replicas.calls())
    assert handled.total() >= lives.calls
    assert [known for known, times in handled.items() if times > 1] == []


async def restart(replicas: Replicas, number: int, balancer: Balancer, before_inkbox: Front) -> None:
    """Restart a replica as a platform does, during a call that takes longer than the balancer needs."""
    replica, name = replicas.running[number], f"mcp-{number + 1}"
    held = before_inkbox.holds(f"slow-{number}")
    seen = len(balancer.log)
    started = anyio.current_time()
    async with (
        httpx2.AsyncClient(base_url=replica.url) as http,
        connected(replica.url, X_Request_ID=f"slow-{number}") as agent,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(slow_call, agent)
        await held.came.wait()
        assert (await http.get("/readyz")).status_code == 200
        started = anyio.current_time()
        replica.signal(signal.SIGTERM)
        await replica.logs("draining for at most")
        assert (await http.get("/readyz")).json() == {"status": "draining"}
        assert (await http.get("/readyz")).status_code == 503
        assert (await http.get("/healthz")).status_code == 200
        await balancer.sees(name, "DOWN", after=seen)
        held.goes.set()
    assert await replica.ends() == 0
    assert anyio.current_time() - started < DRAIN + 2
    seen = len(balancer.log)
    await replicas.replace(number)
    await balancer.sees(name, "UP", after=seen)


async def slow_call(agent: Agent) -> None:
    """Make a call that must succeed and that the front delays."""
    await agent.ask("list_mailboxes")


async def test_killed_replicas_lose_and_double_nothing(tmp_path: Path) -> None:
    """Agents repeat interrupted calls at another replica; in the end Inkbox holds what the answers reported."""
    lives = Lives()
    async with machine(tmp_path) as site:
        inkbox = await site.sandbox()
        async with front(inkbox.url) as before_inkbox:
            before_inkbox.rule = sometimes_slow()
            replicas = Replicas(site, before_inkbox.url, "--stateless", "--drain-timeout", f"{DRAIN:g}")
            await replicas.start()
            balancer = await balance(site, replicas.ports)
            async with anyio.create_task_group() as tasks:
                for number in range(AGENTS):
                    tasks.start_soon(lives.persistently, balancer.url, number)
                for number in range(3):
                    await lives.go_on(WORK)
                    seen = len(balancer.log)
                    replicas.running[number].signal(signal.SIGKILL)
                    await balancer.sees(f"mcp-{number + 1}", "DOWN", after=seen)
                    await lives.go_on(WORK)
                    await replicas.replace(number)
                    await balancer.sees(f"mcp-{number + 1}", "UP", after=seen)
                await lives.go_on(WORK)
                lives.is_over = True
        await judge(lives, inkbox.url, tmp_path)
    assert lives.repeated > 0


def sometimes_slow() -> Rule:
    """Delay every tenth answer of Inkbox."""
    number = count()

    async def rule(_: Asked) -> None:
        if next(number) % 10 == 0:
            await anyio.sleep(0.3)

    return rule


async def judge(lives: Lives, inkbox: str, home: Path) -> None:
    """Compare the current mailboxes of Inkbox, and all that it ever had, with what the agents were told."""
    mailboxes = await inkbox_get(inkbox, "mail/mailboxes")
    assert {each["email_address"]: each["display_name"] for each in mailboxes} == lives.known
    assert len(mailboxes) == len(lives.known) > 0
    own = {each["agent_handle"] for each in await inkbox_get(inkbox, "identities")}
    assert own - {"sales-agent", "support-agent"} == lives.handles
    with sqlite3.connect(f"file:{home / 'sandbox.db'}?mode=ro", uri=True) as database:
        rows = database.execute("SELECT local_part FROM mailboxes").fetchall()
    database.close()
    assert sorted(row[0] for row in rows) == sorted(address.partition("@")[0] for address in lives.made)
