"""A tool as `tools/list` shows it."""

from functools import cache
from typing import Any

from mcp.types import Tool, ToolAnnotations

from inkbox_mcp.catalogue import Catalogue
from inkbox_mcp.toolkit.operation import Operation


@cache
def declaration(operation: Operation[Any, Any], catalogue: Catalogue) -> Tool:
    """Return an operation in the SDK's type.

    Args:
        operation: the tool.
        catalogue: the tools that the client can call; the declaration names no other.
    """
    return Tool(
        name=operation.name,
        title=operation.title,
        description=catalogue.description(operation),
        input_schema=catalogue.input_schema(operation),
        output_schema=operation.output_schema,
        annotations=ToolAnnotations(
            read_only_hint=operation.hints.read_only,
            destructive_hint=operation.hints.destructive,
            idempotent_hint=operation.hints.idempotent,
            open_world_hint=operation.hints.open_world,
        ),
    )
