"""Prepares a tool's result: fitted to its schema, without hidden characters, and of limited size."""

from collections.abc import Iterable, Mapping
from typing import Any, cast

from pydantic_core import to_json

from inkbox_mcp.errors import ResultTooLarge
from inkbox_mcp.text import visible
from inkbox_mcp.toolkit.bounds import declared
from inkbox_mcp.toolkit.content import Block, size, without_hidden
from inkbox_mcp.toolkit.operation import Args, Operation, Result

_LEFT_OUT = object()
"""Stands for a value that cannot be fitted."""

# JSON Schema's names of the types of values.
_NAMES: dict[type, tuple[str, ...]] = {
    type(None): ("null",),
    bool: ("boolean",),
    str: ("string",),
    int: ("integer", "number"),
    float: ("number",),
    list: ("array",),
    dict: ("object",),
}


def readable(
    operation: Operation[Any, Any], args: Args, result: Result, offered: Iterable[Operation[Any, Any]]
) -> tuple[dict[str, Any], tuple[Block, ...]]:
    """Turn a result into plain data and content blocks.

    If the result of a change is too large, only the declared fields are returned, with a `note`, because the change was
    made.

    Args:
        operation: the tool.
        args: the arguments of the call.
        result: the tool's result.
        offered: the tools that the model can call next.

    Raises:
        ResultTooLarge: the result of a read-only tool is too large.
    """
    data = result.model_dump(exclude_unset=True)
    # Measured before cleaning, which takes twenty times as long and would block other calls.
    blocks = tuple(result.blocks())
    beside = sum(map(size, blocks))
    total = beside + len(to_json(data))
    if total <= operation.max_result:
        data = fitting(visible(data), operation.output_schema)
        total = beside + len(to_json(data))  # a value that became text may be longer
    if total <= operation.max_result:
        return data, tuple(map(without_hidden, blocks))
    if operation.hints.read_only:
        raise _too_large(operation, args, total)
    data = declared(data, operation.result.model_fields) | {"note": _note(operation, total, offered)}
    return fitting(visible(data), operation.output_schema), ()


def fitting(value: Any, schema: Mapping[str, Any]) -> Any:
    """Fit data to the published types, because clients refuse a whole result for one field of another type.

    A value of another type becomes its JSON text. A field or item that cannot be text either is removed. Required
    fields are valid already.

    Args:
        value: plain data.
        schema: from `inkbox_mcp.toolkit.schema.result_schema`.
    """
    match value:
        case dict() if "properties" in schema:
            return _fitting_fields(cast("dict[str, Any]", value), schema["properties"])
        case list() if "items" in schema:
            items = [_fitting_value(item, schema["items"]) for item in cast("list[Any]", value)]
            return [item for item in items if item is not _LEFT_OUT]
        case _:
            return value


def _fitting_fields(data: Mapping[str, Any], published: Mapping[str, Any]) -> dict[str, Any]:
    fields = dict(data)
    for name in published.keys() & fields.keys():
        fields[name] = _fitting_value(fields[name], published[name])
        if fields[name] is _LEFT_OUT:
            del fields[name]
    return fields


def _fitting_value(value: object, schema: Mapping[str, Any]) -> Any:
    kinds = schema.get("type")
    if kinds is None or any(name in kinds for name in _NAMES[type(value)]):
        return fitting(value, schema) if isinstance(value, dict | list) else value
    return to_json(value).decode() if "string" in kinds else _LEFT_OUT


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
