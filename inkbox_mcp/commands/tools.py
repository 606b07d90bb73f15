"""`inkbox-mcp tools`: the tables of tools and options, which the documentation shows too."""

import json
from collections.abc import Sequence
from typing import Any

from inkbox_mcp.api.generations import DEFAULT, Generation
from inkbox_mcp.catalogue import GENERATIONS, Catalogues
from inkbox_mcp.commands.parser import Parser
from inkbox_mcp.commands.terminal import show
from inkbox_mcp.protocol.declaration import declaration
from inkbox_mcp.settings.options import Group, Settings, options
from inkbox_mcp.toolkit.operation import Operation
from inkbox_mcp.tools import operations


def run(arguments: Sequence[str]) -> int:
    """Run the command `tools` and return its exit status."""
    parser = Parser("tools", "Show the tools.")
    parser.add_argument("--json", action="store_true", help="as tools/list returns them")
    parser.add_argument(
        "--api-generation", choices=GENERATIONS, default=DEFAULT, help=f"of the Inkbox API (default: {DEFAULT})"
    )
    chosen = parser.choose(arguments)
    write = tools_json if chosen.get("json", False) else tools_table
    show(write(chosen.get("api_generation", DEFAULT)))
    return 0


def tools_json(generation: Generation) -> str:
    """Write the tools of a generation of the API as `tools/list` returns them."""
    catalogue = Catalogues(Settings()).of(generation)
    tools = [
        declaration(operation, catalogue).model_dump(mode="json", by_alias=True, exclude_none=True)
        for operation in catalogue.tools.values()
    ]
    return json.dumps({"tools": tools}, indent=2, ensure_ascii=False) + "\n"


def tools_table(generation: Generation) -> str:
    """Write the tools of a generation as a Markdown table: name, arguments (`?` optional), what it does, hints."""
    rows = [
        (
            f"`{operation.name}`",
            _arguments(operation),
            operation.description.split(". ")[0].removesuffix("."),
            _hints(operation),
        )
        for operation in operations(generation).values()
    ]
    return _table(("tool", "arguments", "what it does", "hints"), rows)


def options_table(group: Group) -> str:
    """Write the options of a group as a Markdown table: flag, environment variable, default, meaning."""
    rows = [
        (
            f"`{option.flag}`" if option.flag else "-",
            f"`{option.environment}`",
            "-" if option.default in (None, False, ()) else f"`{option.default}`",
            option.help,
        )
        for option in options()
        if option.group is group
    ]
    return _table(("flag", "environment", "default", "meaning"), rows)


def _arguments(operation: Operation[Any, Any]) -> str:
    fields = operation.args.model_fields.items()
    return ", ".join(f"`{name}`" if field.is_required() else f"`{name}?`" for name, field in fields)


def _hints(operation: Operation[Any, Any]) -> str:
    if operation.hints.read_only:
        return "read-only"
    hints = {"destructive": operation.hints.destructive, "idempotent": operation.hints.idempotent}
    return ", ".join(hint for hint, applies in hints.items() if applies) or "additive"


def _table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [header, tuple("---" for _ in header), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)
