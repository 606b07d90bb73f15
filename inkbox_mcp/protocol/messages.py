"""Reads JSON-RPC messages for the SDK, and answers for those that it cannot read.

The SDK drops, or refuses without an id, what its own parser cannot read; and it takes a request with an invalid id for
a notification. In both cases the client would wait for ever.
"""

import json
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeGuard

from mcp.types import (
    INVALID_REQUEST,
    PARSE_ERROR,
    JSONRPCMessage,
    JSONRPCNotification,
    JSONRPCRequest,
    RequestId,
    jsonrpc_message_adapter,
)
from pydantic import ValidationError
from pydantic_core import from_json

from inkbox_mcp.protocol.arguments import HALF, Unsendable, sendable

BATCH = "This server takes no batches: send each JSON-RPC message as a message of its own."
BAD_ID = 'The "id" of a request must be a string or an integer; leave it out only if no answer is expected.'
NO_MESSAGE = (
    'This is no JSON-RPC 2.0 message. It needs "jsonrpc": "2.0", a "method", "params" that are an object if there are '
    'any, and, where an answer is expected, an "id" that is a string or an integer.'
)


class Refused(Exception):
    """A message is refused.

    Attributes:
        error: of JSON-RPC; says what to send instead.
        request_id: of the request; None if it is not known.
    """

    def __init__(
        self, message: str, code: int = INVALID_REQUEST, request_id: RequestId | None = None, data: Any = None
    ) -> None:
        super().__init__(message)
        self.error: dict[str, Any] = {"code": code, "message": message} | ({} if data is None else {"data": data})
        self.request_id = request_id


@dataclass(frozen=True)
class Received:
    """A message that the SDK can read.

    Attributes:
        message: the same as the SDK's type.
        rewritten: its text, if the SDK cannot read it as it was sent.
    """

    message: JSONRPCMessage
    rewritten: str | None = None


def received(text: str) -> Received:
    """Parse a message.

    Args:
        text: as sent, and not overloaded; see `inkbox_mcp.protocol.overload`.

    Raises:
        Refused: it is no message, or the SDK cannot read it.
    """
    rewritten = None
    try:
        read: Any = from_json(text)
    except ValueError as error:
        rewritten = _rewritten(text, str(error))
        read = from_json(rewritten)
    return Received(_message(read), rewritten)


def id_in(text: str) -> RequestId | None:
    """Return the id of a request that is refused for another reason; None if it cannot be read."""
    with suppress(ValueError, RecursionError):
        return _id(json.loads(text))
    return None


def _message(read: Any) -> JSONRPCMessage:
    if isinstance(read, list):
        raise Refused(BATCH)
    asks = isinstance(read, dict) and "method" in read
    if asks and "id" in read and not _is_id(read["id"]):
        raise Refused(BAD_ID)
    try:
        message = jsonrpc_message_adapter.validate_python(read, by_name=False)
    except ValidationError:
        raise Refused(NO_MESSAGE, request_id=_id(read)) from None
    if asks and not isinstance(message, JSONRPCRequest | JSONRPCNotification):
        raise Refused(NO_MESSAGE, request_id=_id(read))  # a request and a response at the same time
    return message


def _rewritten(text: str, problem: str) -> str:
    """Write a message, which `json` can read, so that the SDK can read it too.

    Args:
        text: the message.
        problem: of the SDK's parser.
    """
    read = None
    try:
        read = json.loads(text)
        return sendable(read)
    except Unsendable as error:
        raise Refused(str(error), error.code, _id(read)) from None
    except (ValueError, RecursionError):
        raise Refused(f"The message is no JSON: {problem}.", PARSE_ERROR) from None


def _is_id(value: Any) -> TypeGuard[RequestId]:
    return isinstance(value, int | str) and not isinstance(value, bool)


def _id(read: Any) -> RequestId | None:
    """Return the id of a request, if it can be sent back. That of a response is of this server's own request."""
    match read:
        case {"id": found, **rest} if _is_id(found):
            is_response = "method" not in rest and ("result" in rest or "error" in rest)
            is_whole = isinstance(found, int) or not HALF.search(found)
            return found if is_whole and not is_response else None
        case _:
            return None
