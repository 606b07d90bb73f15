"""The reference tables that the README shows and `inkbox-mcp tools` prints, made from what they describe."""

import json
from typing import Any

from inkbox_mcp.operation import Operation
from inkbox_mcp.settings import options
from inkbox_mcp.tools import all_operations


def tools_json() -> str:
    """Write the tools as `tools/list` returns them."""
    tools = [
        operation.tool.model_dump(mode="json", by_alias=True, exclude_none=True)
        for operation in all_operations().values()
    ]
    return json.dumps({"tools": tools}, indent=2, ensure_ascii=False) + "\n"


def tools_table() -> str:
    """Write the tools as a Markdown table: name, arguments (`?` optional), what it does, hints."""
    rows = [
        (
            f"`{operation.name}`",
            _arguments(operation),
            (operation.tool.description or "").split(". ")[0].removesuffix("."),
            _hints(operation),
        )
        for operation in all_operations().values()
    ]
    return _table(("tool", "arguments", "what it does", "hints"), rows)


def options_table() -> str:
    """Write the options as a Markdown table: flag, environment variable, default, meaning."""
    rows = [
        (
            f"`{option.flag}`" if option.flag else "-",
            f"`{option.environment}`",
            "-" if option.default in (None, False, ()) else f"`{option.default}`",
            option.help,
        )
        for option in options()
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
