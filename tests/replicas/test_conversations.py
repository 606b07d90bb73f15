"""Exchanges of several requests: questions, pages, sessions, and checks after a lost answer."""

import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from mcp import MCPError
from mcp.types import CallToolResult, InputRequiredResult, InputResponses

from tests.support.agents import Agent, text
from tests.support.event_streams import open_stream
from tests.support.humans import YES, Human
from tests.support.messages import HEADERS
from tests.support.processes import PATIENCE
from tests.support.replicas.agents import code, connected, inkbox_get
from tests.support.replicas.front import Asked, Held, Lost, front
from tests.support.replicas.haproxy import balance
from tests.support.replicas.machine import machine
from tests.support.replicas.replicas import Replicas

pytestmark = [pytest.mark.slow, pytest.mark.linux]

ROUND_ROBIN = {"balance leastconn": "balance roundrobin"}


@asynccontextmanager
async def replicas_of(home: Path, *options: str, count: int) -> AsyncGenerator[Replicas]:
    """Start replicas on a sandbox."""
    async with machine(home) as site:
        replicas = Replicas(site, (await site.sandbox()).url, *options, count=count)
        await replicas.start()
        yield replicas


async def test_an_answer_counts_at_every_replica_and_only_for_its_question(tmp_path: Path) -> None:
    """Any replica accepts the answer, but an answer about one address does not delete another mailbox."""
    async with (
        replicas_of(tmp_path, "--stateless", "--confirm", "always", count=2) as replicas,
        connected(replicas.running[0].url, human=Human("accept")) as first,
        connected(replicas.running[1].url, human=Human("accept")) as second,
    ):
        kept, lost = [
            (await first.ask("create_mailbox", agent_handle=handle))["email_address"]
            for handle in ("sales-agent", "support-agent")
        ]
        question, state = await asked(first, lost)
        yes: InputResponses = {question: YES}
        assert (await asked(second, kept, yes, state))[0] != question
        await second.ask("get_mailbox", email_address=kept)
        done = await second.client.session.call_tool(
            "delete_mailbox", {"email_address": lost}, input_responses=yes, request_state=state
        )
        assert done.structured_content == {"deleted": True, "email_address": lost}
        assert [each["email_address"] for each in (await first.ask("list_mailboxes"))["mailboxes"]] == [kept]


async def asked(
    agent: Agent, address: str, answers: InputResponses | None = None, state: str | None = None
) -> tuple[str, str | None]:
    """Ask to delete a mailbox; return the key and the state of the question that follows."""
    result = await agent.client.session.call_tool(
        "delete_mailbox",
        {"email_address": address},
        input_responses=answers,
        request_state=state,
        allow_input_required=True,
    )
    assert isinstance(result, InputRequiredResult)
    ((key, question),) = (result.input_requests or {}).items()
    assert address in str(question)
    return key, result.request_state


async def test_a_balancer_may_send_the_answer_elsewhere_than_the_question_came_from(tmp_path: Path) -> None:
    """Modern clients can be asked through any replica; for earlier clients the call fails with `cannot_ask`."""
    human = Human("accept")
    async with machine(tmp_path) as site:
        inkbox = await site.sandbox()
        replicas = Replicas(site, inkbox.url, "--stateless", "--confirm", "always")
        await replicas.start()
        balancer = await balance(site, replicas.ports, changes=ROUND_ROBIN)
        async with connected(balancer.url, human=human) as agent:
            made = await agent.ask("create_mailbox", agent_handle="sales-agent", email_local_part="sales")
            await agent.ask("delete_mailbox", email_address=made["email_address"])
        assert len(human.questions) == 1
        async with connected(balancer.url, "legacy", human) as agent:
            made = await agent.ask("create_mailbox", agent_handle="sales-agent")
            refused = await agent.call("delete_mailbox", email_address=made["email_address"])
            assert code(refused) == "cannot_ask", text(refused)
        assert len(human.questions) == 1
        (left,) = await inkbox_get(inkbox.url, "mail/mailboxes")
        assert left["email_address"] == made["email_address"]
        await at_another(replicas)


async def at_another(replicas: Replicas) -> None:
    """Check in the logs that one replica asked and another got the answer."""
    await replicas.stop()
    deletions = {call["outcome"]: call for call in replicas.calls() if call["tool"] == "delete_mailbox"}
    assert deletions.keys() == {"asked", "ok", "cannot_ask"}
    assert deletions["asked"]["replica"] != deletions["ok"]["replica"]
    assert deletions["asked"]["request_id"] != deletions["ok"]["request_id"]


async def test_earlier_clients_need_no_session_where_there_is_none(tmp_path: Path) -> None:
    """They initialize at one replica and call others; they cannot be asked, so a deletion goes ahead."""
    human = Human("accept")
    async with machine(tmp_path) as site:
        replicas = Replicas(site, (await site.sandbox()).url, "--stateless")
        await replicas.start()
        balancer = await balance(site, replicas.ports, changes=ROUND_ROBIN)
        async with connected(balancer.url, "legacy", human) as agent:
            made = await agent.ask("create_mailbox", agent_handle="sales-agent")
            address = made["email_address"]
            renamed = await agent.ask("update_mailbox", email_address=address, display_name="Sales")
            assert await agent.ask("get_mailbox", email_address=address) == renamed
            (listed,) = (await agent.ask("list_mailboxes", details=True))["mailboxes"]
            assert listed == renamed | {"agent_handle": "sales-agent"}
            assert (await agent.ask("delete_mailbox", email_address=address))["deleted"] is True
            assert code(await agent.call("get_mailbox", email_address=address)) == "not_found"
        await replicas.stop()
        calls = replicas.calls()
        assert len(calls) == 6
        assert {call["replica"] for call in calls} == set(replicas.ports)
        assert human.questions == []


async def test_a_cursor_leads_on_at_another_replica(tmp_path: Path) -> None:
    """When mailboxes come and go between pages, none is repeated and none that stays is missing."""
    async with (
        replicas_of(tmp_path, "--stateless", count=2) as replicas,
        connected(replicas.running[0].url) as first,
        connected(replicas.running[1].url, "legacy") as second,
    ):
        addresses = [
            (await first.ask("create_identity", agent_handle=f"agent-{number}"))["email_address"]
            for number in range(10)
        ]
        shown, cursor, turns = list[str](), None, 0
        while turns == 0 or cursor:
            page = await (first, second)[turns % 2].ask("list_mailboxes", limit=2, cursor=cursor)
            shown += [each["email_address"] for each in page["mailboxes"]]
            cursor, turns = page["next_cursor"], turns + 1
            if turns == 1:
                # Delete the last one shown, which the cursor names, and one of a later page; add a new one.
                for gone in (shown[-1], addresses[4]):
                    await second.ask("delete_mailbox", email_address=gone)
                await first.ask("create_identity", agent_handle="late-agent")
        expected = [address for address in reversed(addresses) if address != addresses[4]]
        assert shown == expected


async def test_what_a_lost_answer_did_is_found_out_though_another_replica_interferes(tmp_path: Path) -> None:
    """Inkbox serves one replica, then another; only then the first one loses its answer."""
    async with machine(tmp_path) as site:
        inkbox = await site.sandbox()
        async with front(inkbox.url) as before_inkbox:
            held: dict[str, Held] = {}

            async def rule(asked: Asked) -> None:
                if asked.request_id in held and asked.method != "GET":
                    waits = held.pop(asked.request_id)
                    waits.came.set()
                    await waits.goes.wait()
                    raise Lost

            before_inkbox.rule = rule
            replicas = Replicas(site, before_inkbox.url, "--stateless", count=2)
            await replicas.start()
            async with connected(replicas.running[1].url) as second, anyio.create_task_group() as tasks:

                @asynccontextmanager
                async def missed(tool: str, **arguments: Any) -> AsyncGenerator[list[CallToolResult]]:
                    """Run the block while the first replica waits for an answer that will be lost."""
                    waits = held["lost"] = Held()
                    results: list[CallToolResult] = []
                    over = anyio.Event()

                    async def call() -> None:
                        async with connected(replicas.running[0].url, X_Request_ID="lost") as first:
                            results.append(await first.call(tool, **arguments))
                        over.set()

                    tasks.start_soon(call)
                    with anyio.fail_after(PATIENCE):
                        await waits.came.wait()
                        yield results
                        waits.goes.set()
                        await over.wait()

                async def mailboxes() -> list[tuple[str, str]]:
                    found = await inkbox_get(inkbox.url, "mail/mailboxes")
                    return [(each["email_address"], each["display_name"]) for each in found]

                # The new mailbox was renamed meanwhile, so the replica cannot tell that it made it: conflict.
                wanted = {"agent_handle": "sales-agent", "display_name": "First", "email_local_part": "sales"}
                async with missed("create_mailbox", **wanted) as results:
                    ((address, _),) = await mailboxes()
                    await second.ask("update_mailbox", email_address=address, display_name="Second")
                assert code(results[0]) == "conflict"
                assert f'"sales-agent" already has the mailbox "{address}"' in text(results[0])
                assert await mailboxes() == [(address, "Second")]

                # An update may be repeated, and the last one wins.
                async with missed("update_mailbox", email_address=address, display_name="Third") as results:
                    await second.ask("update_mailbox", email_address=address, display_name="Fourth")
                assert (results[0].structured_content or {})["display_name"] == "Third"
                assert await mailboxes() == [(address, "Third")]

                # The mailbox is deleted once; the one that the other replica made stays.
                async with missed("delete_mailbox", email_address=address) as results:
                    made = await second.ask("create_mailbox", agent_handle="sales-agent", display_name="Fifth")
                assert results[0].structured_content == {"deleted": True, "email_address": address}
                assert await mailboxes() == [(made["email_address"], "Fifth")]

                # The new mailbox was deleted meanwhile: the replica makes another one and returns it.
                await second.ask("delete_mailbox", email_address=made["email_address"])
                async with missed("create_mailbox", agent_handle="sales-agent", display_name="Sixth") as results:
                    ((address, _),) = await mailboxes()
                    await second.ask("delete_mailbox", email_address=address)
                told: dict[str, Any] = results[0].structured_content or {}
                assert told["email_address"] != address
                assert await mailboxes() == [(told["email_address"], "Sixth")]


async def test_a_session_stays_with_its_replica_and_ends_with_it(tmp_path: Path) -> None:
    """Sticky sessions let earlier clients be asked; after a restart they must open a new session."""
    async with machine(tmp_path) as site:
        replicas = Replicas(site, (await site.sandbox()).url, "--confirm", "always", count=2)
        await replicas.start()
        balancer = await balance(site, replicas.ports, sticky=True, changes=ROUND_ROBIN)
        human = Human("accept")
        for number, handle in enumerate(("sales-agent", "support-agent"), 1):
            async with connected(balancer.url, "legacy", human) as agent:
                made = await agent.ask("create_mailbox", agent_handle=handle)
                await agent.ask("delete_mailbox", email_address=made["email_address"])
            assert len(human.questions) == number

        async with connected(balancer.url, "legacy", human, X_Request_ID="before") as agent:
            await agent.ask("list_mailboxes")
            async with open_stream(balancer.url):
                for number, replica in replicas.running.copy().items():
                    seen = len(balancer.log)
                    replica.signal(signal.SIGTERM)
                    assert await replica.ends() == 0
                    await replicas.replace(number)
                    await balancer.sees(f"mcp-{number + 1}", "UP", after=seen)
            with pytest.raises(MCPError, match="Session"):
                await agent.ask("list_mailboxes")
        served = {call["replica"] for call in replicas.calls() if call["tool"] == "create_mailbox"}
        assert served == set(replicas.ports)

        async with httpx2.AsyncClient(base_url=balancer.url, headers=HEADERS) as http:
            ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
            unknown = {"Mcp-Session-Id": "0123456789abcdef0123456789abcdef", "MCP-Protocol-Version": "2025-11-25"}
            assert (await http.post("/mcp", json=ping, headers=unknown)).status_code == 404
        async with connected(balancer.url, "legacy", human) as agent:
            made = await agent.ask("create_mailbox", agent_handle="sales-agent")
            await agent.ask("delete_mailbox", email_address=made["email_address"])
        assert len(human.questions) == 3
