"""What docs/mail.md says of tools, waiting and the sandbox is what they do."""

import inspect
import json
import re
import shlex
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

import httpx2
import pytest

from inkbox_mcp.api.generations import Generation
from inkbox_mcp.api.polling import PACE
from inkbox_mcp.cli import main
from inkbox_mcp.mail.codes import MAX_CODES
from inkbox_mcp.mail.links import MAX_LINKS
from inkbox_mcp.mail.positions import LATE
from inkbox_mcp.sandbox import Limits, Store, create_app
from inkbox_mcp.sandbox.faults import Fault
from inkbox_mcp.settings.options import options
from inkbox_mcp.toolkit.operation import Operation
from inkbox_mcp.tools import message_changes, message_lists, operations, reading, waiting
from inkbox_mcp.tools.inbox import BEFORE
from tests.support.agents import KEY, Agent, connect
from tests.support.humans import Human

DOCUMENT = (Path(__file__).parent.parent.parent / "docs" / "mail.md").read_text(encoding="utf-8")
ADDRESS = "support@inkboxmail.com"
JSON = {"Content-Type": "application/json"}
MESSAGES = f"/api/v1/mail/mailboxes/{ADDRESS}/messages"
MOST_SECONDS: int = next(
    bound.le for bound in waiting.WaitForMessage.model_fields["timeout"].metadata if hasattr(bound, "le")
)
WITH_FILE = b"""From: a@example.com
Subject: x
Message-ID: <%b@example.com>
Content-Type: multipart/mixed; boundary=b

--b

Hello
--b
Content-Disposition: attachment; filename=a.txt

file
--b--
"""
GENERATIONS: tuple[Generation, ...] = get_args(Generation)


def rows(first: str) -> dict[str, list[str]]:
    """Return a table of the document by the first column, whose heading this is; without code marks there."""
    found = re.search(rf"^\| {first} \|.*\n\| ---.*\n((?:\|.*\n)+)", DOCUMENT, re.MULTILINE)
    assert found, first
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in found[1].splitlines()]
    return {name.strip("`"): rest for name, *rest in cells}


def shell(start: str) -> list[str]:
    """Return the words of the example that begins so."""
    (command,) = [block for block in re.findall(r"```sh\n(.*?)```", DOCUMENT, re.DOTALL) if block.startswith(start)]
    return shlex.split(command.replace("\\\n", " "))


def mail_tools(generation: Generation) -> dict[str, Operation[Any, Any]]:
    """Return the tools whose file says that they are about mail."""
    found = operations(generation)
    return {
        name: tool
        for name, tool in found.items()
        if getattr(inspect.getmodule(tool.function), "TOOLSET", None) == "mail"
    }


def test_every_mail_tool_has_a_row() -> None:
    """And nothing else has one. The one that is destructive says that a human is asked."""
    for generation in GENERATIONS:
        tools = mail_tools(generation)
        assert rows("tool").keys() == tools.keys()
        assert {name for name, row in rows("tool").items() if "a human is asked" in row[0]} == {
            name for name, tool in tools.items() if tool.hints.destructive
        }


def test_every_option_that_the_document_names_exists(capsys: pytest.CaptureFixture[str]) -> None:
    """Of the server, of the sandbox, or of `sandbox deliver`."""
    for command in ([], ["sandbox"], ["sandbox", "deliver"]):
        with pytest.raises(SystemExit):
            main([*command, "--help"])
    known = set(re.findall(r"--[a-z][a-z-]+", capsys.readouterr().out))
    named = set(re.findall(r"(?<=[`\s])--[a-z][a-z-]+", re.sub(r"```sh\ncurl.*?```", "", DOCUMENT, flags=re.DOTALL)))
    assert len(named) > 8
    assert named <= known
    assert set(re.findall(r"\bINKBOX_[A-Z_]+", DOCUMENT)) <= {option.environment for option in options()}


def test_the_numbers_of_the_document_are_those_of_the_code() -> None:
    """A number that is changed in one place only would mislead."""
    wait = waiting.WaitForMessage.model_fields["timeout"]
    first, second, third, last = PACE
    assert [
        f"{wait.default} seconds unless `timeout` says otherwise, and at most {MOST_SECONDS}" in DOCUMENT,
        f"up to {BEFORE // 60_000_000} minutes before the call" in DOCUMENT,
        f"up to {LATE // 1_000_000} seconds late" in DOCUMENT,
        f"shows up to {waiting.MOST_OTHERS} messages" in DOCUMENT,
        f"after {first:g}, {second:g} and {third:g} seconds and then every\n  {last:g}." in DOCUMENT,
        f"up to {MAX_CODES} candidates" in DOCUMENT,
        f"`links` has up to {MAX_LINKS}" in DOCUMENT,
        f"parts of {reading.MAX_TEXT:,} characters" in DOCUMENT,
        f"up to {message_lists.MOST_PAGES * message_lists.PAGE} messages" in DOCUMENT,
        f"at most {message_changes.MOST} messages in a call" in DOCUMENT,
    ] == [True] * 10


def test_no_wait_is_cut_off_by_the_load_balancer() -> None:
    """The longest wait with its answer is that of the page for operators, and HAProxy has more time."""
    longest = waiting.WaitForMessage.model_validate({"email_address": ADDRESS, "timeout": MOST_SECONDS})
    extra = waiting.time_limit(longest) - MOST_SECONDS
    root = Path(__file__).parent.parent.parent
    operating = (root / "docs" / "operating.md").read_text(encoding="utf-8")
    assert f"`wait_for_message` waits up to {MOST_SECONDS} for mail, and may take {extra:g} more" in operating
    (seconds,) = re.findall(r"give an answer (\d+) seconds", operating)
    assert int(seconds) > waiting.time_limit(longest)
    assert f"timeout server {seconds}s" in (root / "deploy" / "haproxy.cfg").read_text(encoding="utf-8")
    kubernetes = (root / "deploy" / "kubernetes.yaml").read_text(encoding="utf-8")
    assert f"a read timeout of {seconds} seconds" in kubernetes
    assert f"the {waiting.time_limit(longest):g} seconds\n# that wait_for_message may take" in kubernetes


@pytest.fixture
def database(tmp_path: Path) -> str:
    """The file of a sandbox."""
    return str(tmp_path / "x.db")


@pytest.fixture
def store(database: str) -> Iterator[Store]:
    """A sandbox's data."""
    with Store(database) as store:
        yield store


def outside(store: Store, generation: Generation) -> httpx2.AsyncClient:
    """Return an HTTP client of the sandbox."""
    transport = httpx2.ASGITransport(create_app(store, generation))
    return httpx2.AsyncClient(transport=transport, base_url="http://sandbox")


@pytest.fixture(params=GENERATIONS)
async def agent(request: pytest.FixtureRequest, store: Store) -> AsyncIterator[tuple[Generation, Agent]]:
    """An agent with a mailbox, on each generation of the API."""
    generation: Generation = request.param
    transport = httpx2.ASGITransport(create_app(store, generation))
    async with connect(transport, api_generation=generation) as agent:
        with_mailbox = {"with_mailbox": True, "mailbox_local_part": "support"} if generation == "spec" else {}
        await agent.ask("create_identity", agent_handle="support", **with_mailbox)
        yield generation, agent


async def test_a_message_is_marked_read_by_the_tools_of_which_the_document_says_so(
    agent: tuple[Generation, Agent], store: Store
) -> None:
    """The last two columns, one for each generation."""
    generation, support = agent
    seen: dict[str, str] = {}
    column = 1 + GENERATIONS.index(generation)
    for name in [name for name, row in rows("tool").items() if row[column]]:
        store.deliver(WITH_FILE % name.encode(), [ADDRESS])
        (message, *_) = (await support.ask("list_messages", email_address=ADDRESS))["messages"]
        assert message["unread"]
        ids = {"message_id": message["id"], "thread_id": message["thread_id"], "filename": "a.txt", "timeout": 0}
        wanted = mail_tools(generation)[name].args.model_fields
        await support.ask(name, email_address=ADDRESS, **{key: value for key, value in ids.items() if key in wanted})
        (message, *_) = (await support.ask("list_messages", email_address=ADDRESS))["messages"]
        seen[name] = "no" if message.get("unread") else "yes"
        await support.ask("delete_message", email_address=ADDRESS, message_id=message["id"])
    assert seen == {name: row[column] for name, row in rows("tool").items() if row[column]}


async def test_a_human_is_asked_with_what_the_document_says(agent: tuple[Generation, Agent], store: Store) -> None:
    """Sender and subject of the message that an agent wants to delete."""
    assert "a human is asked, and sees sender and subject" in rows("tool")["delete_message"][0]
    generation, support = agent
    store.deliver(b"From: a@example.com\nSubject: Your invoice\n\nHello", [ADDRESS])
    (message,) = (await support.ask("list_messages", email_address=ADDRESS))["messages"]
    human = Human("decline")
    transport = httpx2.ASGITransport(create_app(store, generation))
    async with connect(transport, human=human, api_generation=generation) as other:
        await other.refused("delete_message", email_address=ADDRESS, message_id=message["id"])
    (question,) = human.questions
    assert "a@example.com" in question
    assert "Your invoice" in question


async def test_the_mail_of_the_examples_arrives(
    agent: tuple[Generation, Agent], store: Store, database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """That of the command and that of the request are the same, and their code is found."""
    generation, support = agent
    _, *command = shell("inkbox-mcp sandbox deliver")
    assert main([*command, "--db", database]) == 0
    assert capsys.readouterr().out.startswith(f"delivered to {ADDRESS} as ")
    request = shell('curl --fail "$INKBOX_BASE_URL/sandbox/deliveries"')
    async with outside(store, generation) as client:
        answer = await client.post("/sandbox/deliveries", content=request[-1], headers=JSON)
    assert answer.status_code == 201
    for _ in range(2):
        found = await support.ask("wait_for_message", email_address=ADDRESS, timeout=0)
        assert [code["value"] for code in found["message"]["codes"]] == ["482913"]
        await support.ask("delete_message", email_address=ADDRESS, message_id=found["message"]["id"])


async def test_spam_is_what_has_the_header_of_the_document(agent: tuple[Generation, Agent], store: Store) -> None:
    """A time-out shows it as such among the other messages."""
    (header,) = re.findall(r"`(X-Spam-Flag: \w+)`", DOCUMENT)
    store.deliver(f"From: a@example.com\nSubject: x\n{header}\n\nHello".encode(), [ADDRESS])
    found = await agent[1].ask("wait_for_message", email_address=ADDRESS, timeout=0, subject="y")
    assert found["timed_out"]
    assert [other["folder"] for other in found["others"]] == ["spam"]


async def test_recipients_have_the_effects_of_the_document(agent: tuple[Generation, Agent], store: Store) -> None:
    """For whatever program sends by the sandbox's API."""
    generation, support = agent
    async with outside(store, generation) as client:
        for recipient, (effect,) in rows("recipient").items():
            body = {"recipients": {"to": [recipient]}, "subject": recipient, "body_text": "x"}
            answer = await client.post(MESSAGES, json=body, headers={"X-API-Key": KEY})
            if effect.startswith("refused"):
                assert f"{answer.status_code} `{answer.json()['detail']['error']}`" in effect
                continue
            assert answer.status_code == 201
            sent = await support.ask("list_messages", email_address=ADDRESS, direction="outbound", limit=1)
            assert [(row["subject"], row["status"]) for row in sent["messages"]] == [(recipient, effect)]


async def test_limits_are_those_of_the_document(store: Store) -> None:
    """With their defaults, and without a key."""
    assert {name: json.loads(row[0]) for name, row in rows("limit").items()} == asdict(Limits())
    async with outside(store, "spec") as client:
        assert (await client.get("/sandbox/limits")).json() == asdict(Limits())
        changed = await client.patch("/sandbox/limits", json={"footer": "Sent for free"})
        assert changed.json()["footer"] == "Sent for free"


async def test_faults_are_those_of_the_document(agent: tuple[Generation, Agent], store: Store) -> None:
    """The kinds, the members that the document names, and the example."""
    assert tuple(rows("kind")) == get_args(get_type_hints(Fault)["kind"])
    members = {field.name for field in fields(Fault)}
    named = re.findall(r"`(\w+)(?:: true)?`", " ".join(cell for row in rows("kind").values() for cell in row))
    assert {"status", "error", "retry_after", "effect", "seconds"} == {*named} & members == {*named}
    request = shell('curl --fail "$INKBOX_BASE_URL/sandbox/faults"')
    async with outside(store, agent[0]) as client:
        assert (await client.post("/sandbox/faults", content=request[-1], headers=JSON)).status_code == 201
        answers = [await client.get(MESSAGES, headers={"X-API-Key": KEY}) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [503, 503, 503, 200]
    assert answers[0].headers["Retry-After"] == "2"


def test_the_python_names_of_the_document_exist() -> None:
    """For tests that have the sandbox in their own process."""
    names = re.findall(r"`Store\.(\w+)`", DOCUMENT)
    assert len(names) == 3
    assert all(hasattr(Store, name) for name in names)
