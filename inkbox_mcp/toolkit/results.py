"""A tool's result as its reader gets it: as published, without hidden characters, and no larger than it may be."""

from collections.abc import Iterable, Mapping
from typing import Any, cast

from pydantic_core import to_json

from inkbox_mcp.errors import ResultTooLarge
from inkbox_mcp.text import visible
from inkbox_mcp.toolkit.bounds import declared
from inkbox_mcp.toolkit.content import Block, size, without_hidden
from inkbox_mcp.toolkit.operation import Args, Operation, Result


def readable(
    operation: Operation[Any, Any], args: Args, result: Result, offered: Iterable[Operation[Any, Any]]
) -> tuple[dict[str, Any], tuple[Block, ...]]:
    """Turn a result into plain data and content blocks.

    A change that was made stays made when too much is answered: then the declared fields say so, with a `note`,
    and there are no blocks.

    Args:
        operation: the tool.
        args: what it was called with.
        result: what it returned.
        offered: the tools that the model can call next.

    Raises:
        ResultTooLarge: there is too much to read.
    """
    data = fitting(result.model_dump(exclude_unset=True), operation.output_schema)
    # Measured before it is cleaned: that takes twenty times as long, and every other call would wait.
    blocks = result.blocks()
    total = len(to_json(data)) + sum(map(size, blocks))
    if total > operation.max_result:
        if operation.hints.read_only:
            raise _too_large(operation, args, total)
        data = declared(data, operation.result.model_fields) | {"note": _note(operation, total, offered)}
        blocks = ()
    return visible(data), tuple(map(without_hidden, blocks))


def fitting(value: Any, schema: Mapping[str, Any]) -> Any:
    """Make what the API sent fit the published types: clients refuse a whole result for one field of another type.

    A value of another type becomes its JSON text; a field or an item that cannot be text either is left out. Those that
    a tool cannot do without are right already, or there were no result.

    Args:
        value: plain data.
        schema: as `inkbox_mcp.toolkit.schema.result_schema` makes it.
    """
    match value:
        case dict() if _fits(value, schema):  # pyright: ignore[reportUnknownArgumentType]
            known = schema.get("properties", {})
            fields = [(name, item, known.get(name, {})) for name, item in cast("dict[str, Any]", value).items()]
            return {name: fitting(item, its) for name, item, its in fields if _can_fit(item, its)}
        case list() if "items" in schema and _fits(value, schema):  # pyright: ignore[reportUnknownArgumentType]
            return [
                fitting(item, schema["items"]) for item in cast("list[Any]", value) if _can_fit(item, schema["items"])
            ]
        case _:
            return value if _fits(value, schema) else to_json(value).decode()


def _can_fit(value: object, schema: Mapping[str, Any]) -> bool:
    return _fits(value, schema) or "string" in schema["type"]


def _fits(value: object, schema: Mapping[str, Any]) -> bool:
    kinds = schema.get("type")
    kind = _kind(value)
    return kinds is None or kind in kinds or (kind == "integer" and "number" in kinds)


def _kind(value: object) -> str:
    """Return the name that JSON Schema has for the type of a value."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case str():
            return "string"
        case int():
            return "integer"
        case float():
            return "number"
        case list():
            return "array"
        case _:
            return "object"


def _too_large(operation: Operation[Any, Any], args: Args, size: int) -> ResultTooLarge:
    error = ResultTooLarge(size, operation.max_result)
    limit = getattr(args, "limit", 1)
    if limit > 1:
        error.advised(
            f"Next: call {operation.name} with a limit of less than {limit}, and read the rest by next_cursor."
        )
    return error


def _note(operation: Operation[Any, Any], size: int, offered: Iterable[Operation[Any, Any]]) -> str:
    shows = [other.name for other in offered if other.name.startswith("get_") and other.result is operation.result]
    return (
        f"Done. The rest of the answer was left out: it has {size:,} bytes, and this server passes on at most "
        f"{operation.max_result:,}." + "".join(f" {name} shows what is there now." for name in shows)
    )
