"""The text that a newcomer copies from the documents works."""

import json
import math
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest

from inkbox_mcp.cli import main
from inkbox_mcp.settings.options import options
from inkbox_mcp.toolkit.operation import Operation
from tests.support.agents import connect
from tests.support.catalogue import EVERY
from tests.support.humans import ADDRESS, Desk, Human

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/*.md")), ROOT / "benchmarks" / "README.md"]
EXAMPLE = json.loads((ROOT / "claude_desktop_config.example.json").read_text(encoding="utf-8"))


def test_the_desktop_example_starts_our_script_with_variables_that_exist() -> None:
    """A wrong command or variable would fail in a client that may not show the error."""
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    (server,) = EXAMPLE["mcpServers"].values()
    assert {server["command"], *server.get("args", [])} - {"uvx"} <= set(scripts)
    assert set(server["env"]) <= {option.environment for option in options()}


def test_the_readme_shows_the_desktop_example() -> None:
    """The block in the README equals the tested file."""
    block = README.split("```json\n")[1].split("```")[0]
    assert json.loads(block) == EXAMPLE


def test_the_readme_begins_with_exactly_two_commands() -> None:
    """The first runs the demo, the second the tests."""
    lines = README.split("```sh\n")[1].split("```")[0].splitlines()
    commands = [line for line in lines if line and not line.startswith("#")]
    assert [command.split("/")[-1] for command in commands] == ["inkbox-mcp demo", "pytest -n auto"]
    assert len(README.splitlines()) < 250


async def test_the_error_that_the_readme_shows_is_the_one_that_an_agent_sees() -> None:
    """It is the first thing that a reader learns of the tools."""
    shown = README.split("\n> ", 1)[1].split("\n\n")[0].replace("\n> ", " ")
    async with connect(sandbox=True, sandbox_db=":memory:") as agent:
        await agent.ask("create_mailbox", agent_handle="sales-agent", email_local_part="sales.team")
        assert await agent.refused("create_mailbox", agent_handle="sales-agent") == shown


def test_the_readme_documents_every_error_code() -> None:
    """A program that branches on `code` needs every value."""
    from inkbox_mcp import errors

    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.InkboxError)]
    for kind in {kind.code for kind in kinds} - {"error"}:
        assert f"`{kind}`" in README


def test_the_readme_says_what_the_pages_of_each_list_have() -> None:
    """Not all lists can be counted, or show whole objects."""
    text = " ".join(README.split())
    assert "at most 200 identities or mailboxes, or 100 messages or conversations, a page" in text
    assert "Of identities and mailboxes, `total` counts the matches and `of` all, `limited_to`" in text
    most = {"list_identities": 200, "list_mailboxes": 200, "list_messages": 100, "list_threads": 100}
    lists = [
        tool
        for tool in EVERY.values()
        if "next_cursor" in tool.result.model_fields and "limit" in tool.args.model_fields
    ]
    assert {tool.name for tool in lists} == {*most}
    for tool in lists:
        assert tool.input_schema["properties"]["limit"]["maximum"] == most[tool.name]
        is_counted = {"total", "of", "limited_to"} <= {*tool.output_schema["properties"]}
        assert is_counted is ("details" in tool.args.model_fields) is (most[tool.name] == 200)


SANDBOX: dict[str, Any] = {"sandbox": True, "sandbox_db": ":memory:"}
WHOAMI: tuple[str, dict[str, Any]] = ("whoami", {})
MAILBOX: tuple[str, dict[str, Any]] = ("create_mailbox", {"agent_handle": "sales-agent", "email_local_part": "a"})
WITH_FILE: tuple[str, dict[str, Any]] = (
    "send_message",
    {"email_address": "a", "to": ["b@example.com"], "subject": "x", "text": "x", "attachments": ["a.txt"]},
)


@pytest.mark.parametrize(
    ("settings", "calls", "code", "told"),
    [
        ({**SANDBOX, "rate_limit": "1/h"}, [WHOAMI, WHOAMI], "rate_limited", "the caller is over `--rate-limit`"),
        ({"api_key": None}, [WHOAMI], "not_configured", "missing, or cannot be used: an Inkbox key (the server's,"),
        ({"api_key": "ApiKey_..."}, [WHOAMI], "not_configured", "missing, or cannot be used: an Inkbox key"),
        (
            {"api_key": None, "http": True, "per_request_keys": True},
            [WHOAMI],
            "not_configured",
            "or with `--per-request-keys` the request's",
        ),
        (SANDBOX, [MAILBOX, WITH_FILE], "not_configured", "the folder of `--attachments-dir`"),
        ({"sandbox": True, "sandbox_db": str(ROOT / "docs")}, [WHOAMI], "not_configured", "the sandbox's file"),
        ({}, [WHOAMI], "not_configured", "a proxy or certificates that the environment names"),
    ],
    ids=["rate", "no key", "a placeholder", "a request's key", "folder", "file", "proxy"],
)
async def test_the_readme_says_which_errors_are_not_about_an_answer_of_the_api(
    settings: dict[str, Any],
    calls: list[tuple[str, dict[str, Any]]],
    code: str,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They have no status. The last of the calls fails."""
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:none")
    (row,) = [line for line in README.splitlines() if line.startswith("| ") and f"`{code}`" in line.split("|")[1]]
    assert told in row
    async with connect(**settings) as agent:
        *earlier, last = calls
        for tool, arguments in earlier:
            await agent.ask(tool, **arguments)
        meta = (await agent.call(last[0], **last[1])).meta or {}
    assert (meta["code"], meta.get("status")) == (code, None)


def test_every_promise_names_the_tests_that_attack_it() -> None:
    """Each such file of tests belongs to a promise, too."""
    security = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    section = security.split("## What it promises\n")[1].split("\n## ")[0]
    _, *promises = re.split(r"^- \*\*", section, flags=re.MULTILINE)
    named = [re.findall(r"\(tests/promises/(\w+\.py)\)", promise) for promise in promises]
    assert all(named)
    there = {path.name for path in (ROOT / "tests" / "promises").glob("test_*.py")}
    there -= {"test_catalogue.py", "test_converters.py", "test_journeys.py"}  # promises of README
    assert {name for names in named for name in names} == there


def test_every_link_of_a_document_leads_somewhere() -> None:
    """To a file that is there, and to a heading that it has."""
    for document in DOCUMENTS:
        for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", document.read_text(encoding="utf-8")):
            name, _, heading = target.partition("#")
            file = document.parent / name if name else document
            assert file.exists(), f"{document.name}: {target}"
            assert not heading or heading in headings(file.read_text(encoding="utf-8")), f"{document.name}: {target}"


def headings(document: str) -> set[str]:
    """Return the names by which links lead to the headings, as GitHub makes them."""
    without_code = re.sub(r"^```.*?^```", "", document, flags=re.MULTILINE | re.DOTALL)
    found = re.findall(r"^#+ (.*)", without_code, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in found}


async def test_the_readmes_way_to_deliver_mail_to_the_sandbox_is_complete(tmp_path: Path) -> None:
    """An agent that waits gets it."""
    (line,) = re.findall(r"`inkbox-mcp (sandbox deliver [^`]*)`", README)
    words = {"--from": "ann@acme.example", "--to": "a@inkboxmail.com", "--text": "Hello"}
    command = [word for option in shlex.split(line.replace(" …", "")) for word in (option, words.get(option)) if word]
    database = str(tmp_path / "sandbox.db")
    async with connect(sandbox=True, sandbox_db=database) as agent:
        await agent.ask(MAILBOX[0], **MAILBOX[1])
        assert main([*command, "--db", database]) == 0
        found = await agent.ask("wait_for_message", email_address="a", timeout=0)
    assert "Hello" in found["message"]["text"]


PERFORMANCE = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")


def measured(row: str) -> float:
    """Return this server's number in the rows of the tables of docs/performance.md that begin so."""
    return max(map(float, re.findall(rf"^{re.escape(row)} +([\d.]+)(?: |$)", PERFORMANCE, re.MULTILINE)))


def test_the_readme_says_what_was_measured() -> None:
    """A new measurement must reach it."""
    (fastmcp,) = re.findall(r"^spawn to tools/list, ms .* FastMCP +(\d+) ", PERFORMANCE, re.MULTILINE)
    (memory,) = re.findall(r"FastMCP's memory, which is not in the table, is (\d+) MiB", PERFORMANCE)
    text = " ".join(README.split())
    (most,) = re.findall(r"under (\d+) ms to the list of tools from the second start on", text)
    assert float(most) - 10 < measured("spawn to tools/list, ms") < float(most)
    assert f"and {measured('memory after tools/list, MiB'):.0f} MiB while it waits" in text
    assert f"on FastMCP take {int(fastmcp) / 1000:.1f} seconds and {memory} MiB" in text
    for row, claim in {
        "stdio calls/s, 64 in flight": "With 64 calls in flight over stdio it answers {} times as many",
        "HTTP calls/s, 16 clients": "with 16 clients of 2026-07-28 over HTTP {} times",
    }.items():
        (ratio,) = re.findall(rf"^{row} .* FastMCP +\d+ +\d+% +([\d.]+) ", PERFORMANCE, re.MULTILINE)
        assert claim.format(math.floor(float(ratio) * 10) / 10) in text
    assert "; the worst of 3 runs\n" in PERFORMANCE
    assert "([the worst of three runs](docs/performance.md))" in text


def test_the_memory_that_operators_reckon_with_is_what_was_measured() -> None:
    """Of a session, one with its stream, a call that waits, and a key."""
    text = " ".join((ROOT / "docs" / "operating.md").read_text(encoding="utf-8").split())
    told = {
        "a session": "each session of an earlier client adds {:.0f} kB, ",
        "a session with its stream": "or {:.0f} kB with its stream, ",
        "a call that waits": "each call that waits for mail {:.0f} kB, ",
        "one of many keys": "each key that was used {:.0f} kB.",
    }
    assert "".join(words.format(measured(row)) for row, words in told.items()) in text


UNWATCHED = " ".join(README.split("For an agent that nobody watches,")[1].split("\n\n")[0].split())
"""What README says about agents that nobody watches."""


@pytest.mark.parametrize(("answer", "code"), [("cancel", "cancelled"), ("decline", "declined")])
async def test_a_question_that_nobody_sees_ends_as_the_readme_says(desk: Desk, answer: str, code: str) -> None:
    """Clients close or decline it by themselves, and the error must not claim that a person has refused."""
    assert "Clients that run without a person close or decline such questions by themselves" in UNWATCHED
    assert "and the call fails; only `--confirm never` asks nobody." in UNWATCHED
    nobody = Human(answer)
    for confirm in ("auto", "always"):
        async with desk.client("auto", nobody, confirm=confirm) as client:
            result = await client.call_tool("delete_mailbox", {"email_address": ADDRESS})
        assert (result.meta or {})["code"] == code
        assert re.search("runs? without (a person|one)", str(result.content))
    assert (len(nobody.questions), desk.requests) == (2, [])
    async with desk.client("auto", nobody, confirm="never") as client:
        assert not (await client.call_tool("delete_mailbox", {"email_address": ADDRESS})).is_error
    assert len(nobody.questions) == 2


@pytest.mark.parametrize("tool", EVERY.values(), ids=EVERY)
def test_a_person_is_asked_before_what_the_readme_says(tool: Operation[Any, Any]) -> None:
    """With `--confirm always` no other tool asks."""
    assert "every mail, deletion, change of a webhook, and `unlink_mailbox`" in UNWATCHED
    asks = tool.hints.open_world or tool.hints.destructive or tool.name in {"create_webhook", "unlink_mailbox"}
    has_webhook = "webhook_url" in tool.args.model_fields  # one argument of several, so it depends on the call
    assert tool.may_ask("always") is (asks or has_webhook)
    assert not tool.may_ask("never")
