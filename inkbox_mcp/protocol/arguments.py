"""Carries arguments to the server that the SDK's parser cannot read.

JSON can write half of a character: the escape of U+D83D alone is the first half of an emoji. Models write it where they
cut a text, or escape an emoji. The SDK's parser refuses the whole message then, but the model should learn which of its
arguments is wrong. Therefore the arguments are replaced by their JSON text in ASCII, and read again behind the SDK. So
are arguments that are nested more deeply than the parser reads.
"""

import json
import re
import secrets
from dataclasses import replace
from typing import Any, cast

from mcp import MCPError
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.types import INVALID_PARAMS, INVALID_REQUEST
from pydantic_core import from_json

MAX_CARRIED = 1 << 20
"""The most characters of carried arguments. Larger ones get an error of the protocol, which names the half too."""

# Random, so that no client can hide arguments from what is between it and the server.
_CARRIER = f"arguments {secrets.token_hex(16)}"
HALF = re.compile("[\ud800-\udfff]")
"""Half of a character: a surrogate, which is no character in Unicode text."""


class Unsendable(Exception):
    """A message cannot be written so that the SDK reads it.

    Attributes:
        code: of a JSON-RPC error.
    """

    def __init__(self, problem: str, code: int) -> None:
        super().__init__(problem)
        self.code = code


def sendable(message: Any) -> str:
    """Write a JSON-RPC message as JSON that the SDK can read.

    The arguments of a call are carried. All other text of a request must be whole. In notifications and responses,
    halves of characters are replaced: nothing reads their text, and a cancellation counts whatever its reason is.

    Raises:
        Unsendable: text beside the arguments is not whole, values are nested too deeply, or arguments are too large.
        RecursionError: the message is nested more deeply than `json` writes.
    """
    match message:
        case {"method": "tools/call", "params": {"arguments": dict(), **params}}:
            arguments: Any = message["params"]["arguments"]
            beside: Any = {**message, "params": {**params, "arguments": {}}}
        case _:
            beside, arguments = message, None
    text = _json(beside)
    if not (isinstance(beside, dict) and "method" in beside and "id" in beside):
        text = text.encode(errors="replace").decode()
    if problem := _problem(text):
        raise Unsendable(
            f"The message has {problem}.", INVALID_REQUEST if _is_beside_params(beside) else INVALID_PARAMS
        )
    if arguments is None:
        return text
    carried = json.dumps(arguments)
    if len(carried) > MAX_CARRIED:
        raise Unsendable(f"The arguments are too large, and have {_problem(_json(arguments))}.", INVALID_PARAMS)
    return _json({**beside, "params": {**beside["params"], "arguments": {_CARRIER: carried}}})


async def with_carried_arguments(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
    """Handle a request of the SDK with the arguments that its client sent; middleware of a server."""
    arguments = ctx.params and ctx.params.get("arguments")
    if not (isinstance(arguments, dict) and _CARRIER in arguments):
        return await call_next(ctx)
    try:
        sent = json.loads(cast("dict[str, str]", arguments)[_CARRIER])
    except RecursionError:  # the stack is deeper here than where the message was read
        raise MCPError(code=INVALID_PARAMS, message="The arguments are nested too deeply.") from None
    return await call_next(replace(ctx, params={**(ctx.params or {}), "arguments": sent}))


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _problem(text: str) -> str | None:
    """Name what the SDK's parser cannot read in a JSON text; None if it can read it."""
    if half := HALF.search(text):
        return f"half of a character (U+{ord(half[0]):04X}, a surrogate without the other one); send whole characters"
    try:
        from_json(text)
    except ValueError as error:  # such as "recursion limit exceeded"
        return f"a value that cannot be read ({error})"
    return None


def _is_beside_params(message: Any) -> bool:
    return not isinstance(message, dict) or _problem(_json(message | {"params": None})) is not None
