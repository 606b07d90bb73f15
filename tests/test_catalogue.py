"""Rules that every tool keeps, and a snapshot of every schema: a changed one is a public change."""

import json
import os
import re
from pathlib import Path
from typing import Any, cast

import jsonschema
import pytest
from mcp import Client

from inkbox_mcp.commands import tools as reference
from inkbox_mcp.commands.parser import server_parser
from inkbox_mcp.protocol.declaration import declaration
from inkbox_mcp.protocol.server import INSTRUCTIONS, build_server
from inkbox_mcp.settings.options import Group, Settings, options
from inkbox_mcp.tools import all_operations

OPERATIONS = all_operations()
SNAPSHOTS = Path(__file__).parent / "snapshots"
README = Path(__file__).parent.parent / "README.md"
UPDATE = bool(os.environ.get("UPDATE_SNAPSHOTS"))
VERBS = {"create", "get", "list", "update", "delete", "link", "unlink"}

every_tool = pytest.mark.parametrize("name", sorted(OPERATIONS))


def shown(name: str) -> dict[str, Any]:
    """Return a tool as it goes over the wire."""
    return declaration(OPERATIONS[name]).model_dump(mode="json", by_alias=True, exclude_none=True)


def keys(schema: Any) -> set[str]:
    """Collect every schema keyword in use, property names aside."""
    found: set[str] = set()
    match schema:
        case dict():
            for keyword, value in cast("dict[str, Any]", schema).items():
                found |= {keyword} | keys([*value.values()] if keyword == "properties" else value)
        case list():
            for item in cast("list[Any]", schema):
                found |= keys(item)
        case _:
            pass
    return found


@every_tool
def test_a_tool_is_its_snapshot(name: str) -> None:
    """Run with UPDATE_SNAPSHOTS=1 to accept a change, and say so in the changelog."""
    snapshot = SNAPSHOTS / f"{name}.json"
    now = json.dumps(shown(name), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    if UPDATE:
        snapshot.write_text(now, encoding="utf-8")
    assert snapshot.read_text(encoding="utf-8") == now


def test_every_snapshot_has_its_tool() -> None:
    """A tool that went away is noticed."""
    assert sorted(file.stem for file in SNAPSHOTS.iterdir()) == sorted(OPERATIONS)


@every_tool
def test_a_tool_is_named_described_and_hinted(name: str) -> None:
    """Closed verb set, a title, a description that is prose, all four hints."""
    tool = shown(name)
    assert name == "whoami" or re.fullmatch(rf"({'|'.join(VERBS)})_[a-z]+", name)
    assert tool["title"]
    assert len(tool["description"]) > 40
    assert "\n" not in tool["description"]
    assert set(tool["annotations"]) == {"readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"}


@every_tool
def test_arguments_are_flat_and_described(name: str) -> None:
    """Every parameter has one type and a description; nothing that some model API refuses is published."""
    schema = shown(name)["inputSchema"]
    jsonschema.Draft202012Validator.check_schema(schema)
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
    """Strict modes strip the keywords, the prose stays."""
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
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["type"] == "object"
    assert not keys(schema) & {"$ref", "$defs", "title", "additionalProperties", "format", "pattern", "default"}


@every_tool
def test_a_tool_names_only_tools_that_exist(name: str) -> None:
    """Advice that leads nowhere is worse than none."""
    operation = OPERATIONS[name]
    prose = " ".join([INSTRUCTIONS, operation.description, operation.moved, *operation.advice.values()])
    for mentioned in re.findall(rf"\b(?:{'|'.join(VERBS)})_[a-z]+\b", prose):
        assert mentioned in OPERATIONS


async def test_the_list_fits_its_budget(era: str) -> None:
    """A model reads this list before every conversation."""
    async with Client(build_server(Settings()), mode=era) as client:
        result = await client.list_tools()
    assert [tool.name for tool in result.tools] == list(OPERATIONS)
    tools = result.model_dump(mode="json", by_alias=True, exclude_none=True)["tools"]
    assert size(tools) <= 12_000
    lifecycle = {"create_mailbox", "list_mailboxes", "get_mailbox", "update_mailbox", "delete_mailbox"}
    assert size([tool for tool in tools if tool["name"] in lifecycle]) <= 6_000


def size(tools: list[dict[str, Any]]) -> int:
    """Return the bytes of a tools/list result."""
    return len(json.dumps({"tools": tools}, separators=(",", ":"), ensure_ascii=False).encode())


async def test_the_instructions_reach_the_client(era: str) -> None:
    """They say what an agent does first, and on the sandbox which identities exist."""
    async with Client(build_server(Settings()), mode=era) as client:
        assert client.instructions == INSTRUCTIONS
    async with Client(build_server(Settings(sandbox=True)), mode=era) as client:
        assert "sales-agent" in (client.instructions or "")
    async with Client(build_server(Settings(sandbox=True, sandbox_generation="identity")), mode=era) as client:
        assert "sandbox" in (client.instructions or "")
        assert "sales-agent" not in (client.instructions or "")


def test_the_readme_shows_the_tools() -> None:
    """Run with UPDATE_SNAPSHOTS=1 to write it."""
    _is_shown(README, "tools_table", reference.tools_table())


@pytest.mark.parametrize("group", Group)
def test_the_options_are_documented_in_their_groups(group: Group) -> None:
    """Run with UPDATE_SNAPSHOTS=1 to write it; the groups of `--help` are the same."""
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
