"""A tool's result as its reader gets it: without hidden characters, and no larger than a result may be."""

from collections.abc import Iterable
from typing import Any

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
    data = result.model_dump(exclude_unset=True)
    # Measured before it is cleaned: that takes twenty times as long, and every other call would wait.
    blocks = result.blocks()
    total = len(to_json(data)) + sum(map(size, blocks))
    if total > operation.max_result:
        if operation.hints.read_only:
            raise _too_large(operation, args, total)
        data = declared(data, operation.result.model_fields) | {"note": _note(operation, total, offered)}
        blocks = ()
    return visible(data), tuple(map(without_hidden, blocks))


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
