"""Plain calls, which both transports answer without the SDK: which ones they are, and what is answered.

A plain call can neither ask its human nor report progress (see `Operation.is_plain`), and has nothing unusual beside
its arguments. `inkbox_mcp.stdio.direct` answers them because importing the SDK takes most of the time before a first
call, and `inkbox_mcp.http.direct` because the SDK's transport takes more time than the call. Answers are exactly the
SDK's. This module must not need the SDK.
"""

from dataclasses import dataclass
from typing import Any, cast

from inkbox_mcp.access.tenants import Caller
from inkbox_mcp.service import Answer, Bug, Service
from inkbox_mcp.toolkit.content import Block, Image, Link, Text
from inkbox_mcp.toolkit.operation import Operation

INTERNAL_ERROR = -32603
VERSION = "io.modelcontextprotocol/protocolVersion"
SERVER = "io.modelcontextprotocol/serverInfo"

Members = dict[str, Any]
"""The members of a JSON object."""


@dataclass(frozen=True)
class PlainCall:
    """A plain call.

    Attributes:
        operation: the tool.
        arguments: as the model wrote them.
        caller: who may call the tool.
        envelope: the request's `_meta` without the progress token; the transport must know that the SDK accepts it.
    """

    operation: Operation[Any, Any]
    arguments: Members
    caller: Caller
    envelope: Members

    @classmethod
    def of(cls, params: Any, service: Service, caller: Caller) -> "PlainCall | None":
        """Return the plain call that has these params; None if the SDK must handle the call."""
        match params:
            case {"name": str() as name, **rest} if rest.keys() <= {"arguments", "_meta"}:
                arguments: Any = rest.get("arguments", {})
                meta = envelope(params)
                if meta is None or not isinstance(arguments, dict) or not service.discovery.is_settled(caller):
                    return None
                operation = service.discovery.open_to(caller).tools.get(name)
                wants_progress = "progressToken" in rest.get("_meta", {})
                if operation and service.is_plain(operation, wants_progress=wants_progress):
                    return cls(operation, cast("Members", arguments), caller, meta)
                return None
            case _:
                return None

    async def outcome(self, service: Service, stamp: Members) -> Members:
        """Run the call, and return the `result` or the `error` of its answer.

        Args:
            service: runs the call.
            stamp: the `_meta` of each result; empty in the handshake era.
        """
        try:
            return {"result": _result(await service.call(self.operation, self.arguments, self.caller), stamp)}
        except Bug as bug:
            return {"error": {"code": INTERNAL_ERROR, "message": str(bug), "data": bug.data}}


def envelope(params: Any) -> Members | None:
    """Return a request's `_meta` without the progress token; None if it is invalid."""
    match params:
        case {"_meta": {"progressToken": int() | str(), **rest}}:
            return rest
        case {"_meta": {"progressToken": _}}:
            return None
        case {"_meta": {**rest}}:
            return rest
        case {"_meta": _}:
            return None
        case _:
            return {}


def _result(answer: Answer, stamp: Members) -> Members:
    """Return an answer as the SDK writes it, members in the same order."""
    meta = {"_meta": {**(answer.meta or {}), **stamp}}
    return {
        **(meta if answer.meta else {}),
        "content": [{"text": answer.text, "type": "text"}, *map(_block, answer.blocks)],
        "isError": answer.is_error,
        **({"resultType": "complete"} if stamp else {}),
        **({} if answer.data is None else {"structuredContent": answer.data}),
        **(meta if stamp and not answer.meta else {}),
    }


def _block(block: Block) -> Members:
    """Return a content block as the SDK writes it, members in the same order."""
    match block:
        case Text():
            return {"text": block.text, "type": "text"}
        case Image():
            return {"data": block.base64, "mimeType": block.media_type, "type": "image"}
        case Link():
            known = {
                "description": block.description,
                "mimeType": block.media_type,
                "name": block.name,
                "size": block.size,
                "title": block.title,
                "type": "resource_link",
                "uri": block.uri,
            }
            return {name: value for name, value in known.items() if value is not None}
