"""Rules that every tool follows, and a snapshot of every schema, because a changed schema is a public change."""

import json
import os
import re
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp import Client
from packaging.requirements import Requirement

from inkbox_mcp.access.scopes import EVERYTHING, MAIL_READ, MAIL_SEND, READ
from inkbox_mcp.access.tenants import LOCAL, Caller
from inkbox_mcp.commands import tools as reference
from inkbox_mcp.commands.parser import server_parser
from inkbox_mcp.protocol.declaration import declaration
from inkbox_mcp.protocol.instructions import instructions
from inkbox_mcp.protocol.server import server_of
from inkbox_mcp.service import Service
from inkbox_mcp.settings.options import Group, Settings, options
from tests.support.agents import connect
from tests.support.alike import BOTH
from tests.support.catalogue import CATALOGUES, EVERY, IDENTITY, SPEC, generation_of
from tests.support.json_schema import keys, mistakes

OPERATIONS = EVERY
SNAPSHOTS = Path(__file__).parent / "snapshots"
README = Path(__file__).parent.parent.parent / "README.md"
UPDATE = bool(os.environ.get("UPDATE_SNAPSHOTS"))
MOST_READ = 600
MOST_READ_OF_MAIL = 730
"""Of the tools for mail alone; a mail has more parts than a mailbox."""
MOST_READ_OF_ALL = 15_000
VERBS = {
    *("create", "get", "list", "update", "delete", "link", "unlink"),
    *("send", "reply_to", "forward", "search", "wait_for"),
}
NAME = re.compile(rf"(?:{'|'.join(VERBS)})_[a-z]+")

every_tool = pytest.mark.parametrize("name", sorted(OPERATIONS))


def shown(name: str) -> dict[str, Any]:
    """Return a tool as it is sent to clients."""
    catalogue = CATALOGUES[generation_of(name)]
    return declaration(OPERATIONS[name], catalogue).model_dump(mode="json", by_alias=True, exclude_none=True)


def snapshot_of(name: str) -> Path:
    """Return the file of a tool's snapshot: beside the others, or in its generation's folder."""
    tool = OPERATIONS[name]
    shared = SPEC.get(tool.name) is IDENTITY.get(tool.name)
    return (SNAPSHOTS if shared else SNAPSHOTS / f"{generation_of(name)}_generation") / f"{tool.name}.json"


@every_tool
def test_a_tool_is_its_snapshot(name: str) -> None:
    """Run with UPDATE_SNAPSHOTS=1 to accept a change, and describe it in the changelog."""
    snapshot = snapshot_of(name)
    now = json.dumps(shown(name), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    if UPDATE:
        snapshot.parent.mkdir(exist_ok=True)
        snapshot.write_text(now, encoding="utf-8")
    assert snapshot.read_text(encoding="utf-8") == now


def test_every_snapshot_has_its_tool() -> None:
    """A tool must not be removed without notice."""
    assert {file for file in SNAPSHOTS.rglob("*") if file.is_file()} == {snapshot_of(name) for name in OPERATIONS}


@every_tool
def test_a_tool_is_named_described_and_hinted(name: str) -> None:
    """A name starts with a known verb, a description is one paragraph, and all four hints are set."""
    tool = shown(name)
    assert name == "whoami" or NAME.fullmatch(tool["name"])
    assert tool["title"]
    assert len(tool["description"]) > 40
    assert "\n" not in tool["description"]
    assert set(tool["annotations"]) == {"readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"}


@pytest.mark.parametrize(
    "name",
    ["send_message", "reply_to_message", "forward_message", "search_messages", "wait_for_message", "unlink_mailbox"],
)
def test_a_name_may_have_any_of_the_verbs(name: str) -> None:
    """Some of the verbs have two words."""
    assert NAME.fullmatch(name)


@pytest.mark.parametrize(
    "name",
    ["message_send", "reply_message", "wait_message", "send", "send_", "get_mail_box", "remove_mailbox", "getMailbox"],
)
def test_a_name_has_one_of_the_verbs_and_a_noun(name: str) -> None:
    """Models can guess names that follow one pattern."""
    assert not NAME.fullmatch(name)


@every_tool
def test_arguments_are_flat_and_described(name: str) -> None:
    """Every parameter has one type and a description, and no keyword that the API of a model refuses."""
    schema = shown(name)["inputSchema"]
    jsonschema.Draft202012Validator.check_schema(schema)
    assert not mistakes(schema)
    assert schema["type"] == "object"
    forbidden = {"$ref", "$defs", "title", "additionalProperties", "const", "oneOf", "allOf", "pattern", "format"}
    assert not keys(schema) & forbidden
    nullable = OPERATIONS[name].args.nullable
    for parameter, field in schema["properties"].items():
        assert len(field["description"]) > 20
        assert ("anyOf" in field) is (parameter in nullable)
        for arm in field.get("anyOf", []):
            assert arm["type"] == "null" or arm["description"] == field["description"]


@every_tool
def test_limits_are_repeated_in_the_description(name: str) -> None:
    """Strict modes of model APIs remove the keywords but keep the description."""
    for field in shown(name)["inputSchema"]["properties"].values():
        for keyword in ("maxLength", "maximum"):
            for arm in (field, *field.get("anyOf", [])):
                assert str(arm.get(keyword, "")) in field["description"]
        if (default := field.get("default")) is not None:
            assert f"Default: {json.dumps(default)}" in field["description"]


@every_tool
def test_results_are_one_flat_object(name: str) -> None:
    """Clients validate results against this schema."""
    schema = shown(name)["outputSchema"]
    assert not mistakes(schema)
    assert schema["type"] == "object"
    assert not keys(schema) & {"$ref", "$defs", "title", "additionalProperties", "pattern", "default"}


@every_tool
def test_what_may_be_missing_promises_nothing(name: str) -> None:
    """The server does not check optional fields of an answer, so they may not require anything."""
    schema = shown(name)["outputSchema"]
    for field in set(schema["properties"]) - set(schema.get("required", [])):
        assert "required" not in keys(schema["properties"][field])


@every_tool
def test_a_tool_names_only_tools_that_exist(name: str) -> None:
    """Its texts name tools of its own generation; `moved` names tools of the other one."""
    operation, catalogue = OPERATIONS[name], CATALOGUES[generation_of(name)]
    prose = " ".join([json.dumps(shown(name)), *operation.advice.values()])
    assert set(re.findall(rf"\b{NAME.pattern}\b", prose)) <= {*catalogue.tools}
    other = CATALOGUES["identity" if catalogue is CATALOGUES["spec"] else "spec"]
    assert set(re.findall(rf"\b{NAME.pattern}\b", operation.moved)) <= {*other.tools}
    assert bool(operation.moved) is (operation.name not in other.tools)


@BOTH
async def test_the_list_fits_its_budget(era: str, generation: Any) -> None:
    """Models read names, descriptions and arguments in every conversation; only programs read schemas of results."""
    async with connect(mode=era, api_key=None, api_generation=generation) as agent:
        result = await agent.client.list_tools()
    assert [tool.name for tool in result.tools] == list(CATALOGUES[generation].tools)
    tools = result.model_dump(mode="json", by_alias=True, exclude_none=True)["tools"]
    read = [size({part: tool[part] for part in ("name", "description", "inputSchema")}) for tool in tools]
    results = [size(tool["outputSchema"]) for tool in tools]
    rows = zip([tool["name"] for tool in tools], read, results, strict=True)
    average = sum(read) / len(read)
    table = "\n".join(
        [
            f"{'bytes of':20}{'what a model reads':>20}{'the result schema':>20}",
            *(f"{name:20}{reads:20,}{shows:20,}" for name, reads, shows in rows),
            f"{'average':20}{average:20,.0f}{sum(results) / len(results):20,.0f}",
            f"{'at most':20}{f'{MOST_READ:,} on average':>20}",
        ]
    )
    print(f"\n{table}")  # noqa: T201 - shown with `pytest -s`
    assert average <= MOST_READ, table
    mail = [
        bytes_
        for name, bytes_ in zip(CATALOGUES[generation].tools, read, strict=True)
        if CATALOGUES[generation].tools[name].toolset == "mail"
    ]
    assert sum(mail) / len(mail) <= MOST_READ_OF_MAIL, table
    assert sum(read) <= MOST_READ_OF_ALL, table
    assert f"at most {MOST_READ} bytes per tool" in " ".join(README.read_text(encoding="utf-8").split())


def size(data: Any) -> int:
    """Return the number of bytes of compact JSON."""
    return len(json.dumps(data, separators=(",", ":"), ensure_ascii=False).encode())


def newest_and_lowest() -> dict[str, str]:
    """Return the requirements of the newest and the lowest pydantic that pyproject.toml admits."""
    project = tomllib.loads((README.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    requirements = [Requirement(each) for each in project["dependencies"]]
    (pydantic,) = [each for each in requirements if each.name == "pydantic"]
    (floor,) = [each.version for each in pydantic.specifier if each.operator == ">="]
    return {"newest": str(pydantic), "lowest": f"pydantic=={floor}"}


@pytest.mark.slow
@pytest.mark.parametrize("which", ["newest", "lowest"])
def test_every_pydantic_that_is_admitted_publishes_the_same(which: str, tmp_path: Path) -> None:
    """Pydantic makes the schemas, so the snapshots and rules must hold with its newest and its lowest version."""
    requirement = newest_and_lowest()[which]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", str(tmp_path)]
    installed = subprocess.run([*pip, requirement], capture_output=True, text=True, timeout=120)
    if installed.returncode:
        pytest.skip(f"NOT CHECKED: {requirement} could not be installed: {installed.stderr.splitlines()[-1]}")
    files = [__file__, str(Path(__file__).parent.parent / "toolkit" / "test_schema.py")]
    run = [sys.executable, "-c", UNDER_ANOTHER, str(tmp_path), "-q", "-p", "no:cacheprovider", "-m", "not slow", *files]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "UPDATE_SNAPSHOTS": ""}
    ended = subprocess.run(run, capture_output=True, text=True, timeout=240, env=environment, cwd=README.parent)
    assert ended.returncode == 0, ended.stdout + ended.stderr


UNDER_ANOTHER = """
import sys
import pydantic
import pytest

folder, *arguments = sys.argv[1:]
assert pydantic.__file__.startswith(folder), pydantic.__file__
sys.exit(pytest.main(arguments))
"""


def told(caller: Caller = LOCAL, **settings: Any) -> str:
    """Return the instructions for a caller of a server with these settings."""
    return instructions(Service(Settings.model_validate(settings)), caller)


async def test_the_instructions_reach_the_client(era: str) -> None:
    """They are those of the organization's generation."""
    for generation in CATALOGUES:
        async with connect(mode=era, sandbox=True, sandbox_generation=generation) as agent:
            assert agent.client.instructions == told(sandbox=True, sandbox_generation=generation)


@BOTH
def test_the_instructions_describe_one_generation_only(generation: str) -> None:
    """The other one is not mentioned, neither its tools nor its ways."""
    text = told(api_generation=generation)
    assert named(text) <= {*CATALOGUES[generation].tools}
    assert ("subscriptions" in text) is (generation == "identity")
    assert ("one of its fields" in text) is (generation == "spec")
    assert "never instructions" in text


@BOTH
def test_the_instructions_say_when_the_lists_are_needed(generation: str) -> None:
    """Models called the list of identities before every creation, and both lists where one shows it all."""
    text, creating = told(api_generation=generation), CATALOGUES[generation].tools["create_identity"].description
    assert "If the user did not give the handle, call list_identities first." in creating
    assert "create_identity, call" not in text
    enough, other = (
        ("list_mailboxes", "list_identities") if generation == "spec" else ("list_identities", "list_mailboxes")
    )
    assert f"so it needs no {other} beside it" in text
    assert enough not in told(api_generation=generation, exclude_tools=[enough])
    assert "beside it" not in told(api_generation=generation, exclude_tools=[other])


def test_the_instructions_say_that_there_is_no_key() -> None:
    """Every call would fail, so the model can tell the user at once."""
    assert "No Inkbox API key is set yet" in told()
    assert "No Inkbox API key" not in told(sandbox=True)
    assert "No Inkbox API key" not in told(api_key="ApiKey_x.y")
    assert "No Inkbox API key" in told(per_request_keys=True, http=True)


def test_the_instructions_say_what_the_operator_has_limited() -> None:
    """A model that does not know a limit claims too much."""
    assert "read-only" not in told()
    assert "This server is read-only" in told(read_only=True)
    assert "This server is read-only" in told(replace(LOCAL, scopes=frozenset({READ})))
    sender = told(replace(LOCAL, scopes=frozenset({READ, MAIL_READ, MAIL_SEND})))
    assert "read-only" not in sender
    assert "Your access token allows mailboxes:read and mail:send." in sender
    assert "access token" not in told(replace(LOCAL, scopes=EVERYTHING))
    assert "matches support-* or sales-*" in told(allow_handles=["support-*", "sales-*"])
    assert "matches *@acme.com" in told(allow_addresses=["*@acme.com"])
    assert "send mail only to addresses that match *@acme.com" in told(allow_recipients=["*@acme.com"])
    assert "addresses that match" not in told(allow_recipients=["*@acme.com"], read_only=True)


@pytest.mark.parametrize(
    ("patterns", "seen"),
    [
        ([], ["sales-agent", "support-agent"]),
        (["support-*"], ["support-agent"]),
        (["Sales-*"], ["sales-agent"]),
        (["x*"], []),
    ],
)
def test_the_sandboxs_sentence_names_no_identity_that_a_pin_hides(patterns: list[str], seen: list[str]) -> None:
    """Otherwise the model would call tools for identities that it cannot use."""
    text = told(sandbox=True, allow_handles=patterns).partition("This is a local sandbox")[2]
    assert [name for name in ("sales-agent", "support-agent") if name in text] == seen
    assert "sales-agent" not in told(sandbox=True, sandbox_generation="identity")


def named(text: str) -> set[str]:
    """Return the tools that a text names."""
    return {*SPEC, *IDENTITY} & set(re.findall(r"\w+", text))


@BOTH
@given(st.data())
def test_no_text_names_a_tool_that_is_not_offered(generation: str, data: st.DataObject) -> None:
    """For any set of switched-off tools: instructions, descriptions, arguments and advice."""
    off = data.draw(st.sets(st.sampled_from(sorted({*SPEC, *IDENTITY} - {"whoami"}))))
    service = Service(Settings.model_validate({"api_generation": generation, "exclude_tools": sorted(off)}))
    catalogue = service.discovery.open_to(LOCAL)
    text = instructions(service, LOCAL)
    assert named(text) <= {*catalogue.tools}
    assert re.fullmatch(r"(\w[^.]+\.( |$))+", text)
    for operation in catalogue.tools.values():
        shown = declaration(operation, catalogue)
        assert named(json.dumps(shown.model_dump(mode="json", by_alias=True))) <= {*catalogue.tools}
        assert len(shown.description or "") > 30
        assert all(len(field["description"]) > 20 for field in shown.input_schema["properties"].values())
        for kind, advice in operation.advice.items():
            error = kind.__new__(kind)
            Exception.__init__(error, "x.")
            error.status = error.retry_after = error.looked_up = None
            assert named(operation.explain(error, catalogue.about)) <= {*catalogue.tools, operation.name}
            assert not catalogue.about(advice).endswith((" ", ";", ":"))


SETTINGS: list[dict[str, Any]] = [
    {},
    {"read_only": True},
    {"read_only": True, "sandbox": True},
    {"tools": ["get_mailbox"]},
    {"exclude_tools": ["list_identities", "create_mailbox"]},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
async def test_a_client_is_instructed_about_the_tools_on_its_list(settings: dict[str, Any], era: str) -> None:
    """The instructions do not name a tool that is switched off."""
    async with connect(mode=era, api_key=None, **settings) as agent:
        client = agent.client
        listed = {tool.name for tool in (await client.list_tools()).tools}
        assert named(client.instructions or "") <= listed


async def test_a_caller_who_may_not_write_is_instructed_about_reading(era: str) -> None:
    """Callers of one server may have different tools."""
    server = server_of(Service(Settings()), lambda _: replace(LOCAL, scopes=frozenset({READ})))
    async with Client(server, mode=era) as client:
        assert {tool.name for tool in (await client.list_tools()).tools} >= named(client.instructions or "")
        assert "This server is read-only" in (client.instructions or "")


@BOTH
def test_the_readme_shows_the_tools(generation: Any) -> None:
    """Run with UPDATE_SNAPSHOTS=1 to write the tables."""
    _is_shown(README, f"tools_table: {generation}", reference.tools_table(generation))


@pytest.mark.parametrize("group", Group)
def test_the_options_are_documented_in_their_groups(group: Group) -> None:
    """Run with UPDATE_SNAPSHOTS=1 to write the tables; `--help` has the same groups."""
    _is_shown(README.parent / "docs" / "options.md", f"options: {group.value}", reference.options_table(group))
    shown = server_parser("", "").format_help().split(f"\n{group.value}:\n")[1].split("\n\n")[0]
    flags = [option.flag for option in options() if option.group is group and option.flag]
    assert re.findall(r"^  (--[a-z-]+)", shown, re.MULTILINE) == flags


def _is_shown(file: Path, name: str, table: str) -> None:
    rendered = f"<!-- {name} -->\n{table}<!-- end -->"
    text = file.read_text(encoding="utf-8")
    if UPDATE:
        text = re.sub(rf"<!-- {name} -->.*?<!-- end -->", lambda _: rendered, text, flags=re.DOTALL)
        file.write_text(text, encoding="utf-8")
    assert rendered in text
