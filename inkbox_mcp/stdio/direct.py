"""Answers plain calls over a client's pipes without the SDK.

Importing the SDK takes most of the time before a first call, and most of the memory. So plain calls (see
`inkbox_mcp.protocol.plain`), their cancellations and pings are answered here, with exactly the bytes that the SDK
would write. The SDK handles all other lines. This works only for a conversation that began from a recording: there the
SDK has agreed with the client on the protocol, and the metadata of each call must match that agreement.
"""

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import anyio
from anyio.abc import TaskGroup
from pydantic_core import from_json, to_json

from inkbox_mcp.access.tenants import LOCAL
from inkbox_mcp.protocol.plain import SERVER, VERSION, Members, PlainCall, envelope
from inkbox_mcp.service import Service
from inkbox_mcp.stdio.pipes import Line, Pipes
from inkbox_mcp.stdio.warm_start import Beginning, Exchange

CONNECTION_CLOSED = -32000

Id = int | str


@dataclass(frozen=True)
class Agreement:
    """The agreement between a client and the SDK, as far as calls depend on it.

    Attributes:
        envelope: the `_meta` of each request; empty in the handshake era.
        stamp: the `_meta` of each result; empty in the handshake era.
        opening: the params of the first request.
    """

    envelope: Members
    stamp: Members
    opening: object

    @classmethod
    def of(cls, exchanges: Sequence[Exchange]) -> "Agreement | None":
        """Read the agreement from the beginning of a conversation; return None if it is unclear."""
        # `inkbox_mcp.stdio.sdk_streams` replaced invalid UTF-8 for the SDK, too.
        requests = [
            (from_json(line.decode(errors="replace")), from_json(answer)) for line, answer in exchanges if answer
        ]
        envelopes = [envelope(request.get("params")) for request, _ in requests]
        match requests:
            case [({"method": "initialize"}, {"result": _}), *others] if not any(envelopes):
                again = any(request["method"] == "initialize" for request, _ in others)
                return None if again else cls({}, {}, requests[0][0].get("params"))
            case [*_, (_, {"result": {"_meta": {"io.modelcontextprotocol/serverInfo": server}}})]:
                first, *others = envelopes
                alike = first and VERSION in first and all(envelope == first for envelope in others)
                opening = requests[0][0].get("params")
                return cls(first, {SERVER: server}, opening) if first and alike else None
            case _:
                return None


class DirectCalls:
    """Answers plain calls of a conversation, and returns its other lines."""

    def __init__(self, service: Service, pipes: Pipes, tasks: TaskGroup, beginning: Beginning | None = None) -> None:
        """Continue a conversation.

        Args:
            service: runs the calls.
            pipes: the client's.
            tasks: the task group for calls.
            beginning: the part that was answered from a recording; if there is none, all lines are returned.
        """
        self._service, self._pipes, self._tasks = service, pipes, tasks
        self._beginning = beginning or Beginning()
        self._agreement = Agreement.of(self._beginning.exchanges)
        if self._agreement:
            service.begun(self._agreement.opening)
        self._under_way: dict[Id, anyio.CancelScope] = {}
        self._handed_out = False
        self.keep_list()

    def keep_list(self) -> None:
        """Note that the client has the recorded list, whatever the SDK answers to the same lines now."""
        match self._beginning.generation:
            case "spec" | "identity" as generation:
                self._service.discovery.has_list("", generation)
            case _:
                pass

    async def next_line(self) -> Line:
        """Answer plain calls until another line comes, and return that line.

        Raises:
            anyio.EndOfStream: see `Pipes.line`.
        """
        while True:
            line = await self._pipes.line()
            if not (line and self._agreement and self._take(line, self._agreement)):
                self._handed_out = True
                return line

    def _take(self, line: bytes | bytearray, agreement: Agreement) -> bool:
        match _message(line):
            case {"id": bool()}:
                return False
            case {"jsonrpc": "2.0", "method": "tools/call", "id": int() | str() as request, "params": params, **rest}:
                plain = None if rest else PlainCall.of(params, self._service, LOCAL)
                if plain is None or plain.envelope != agreement.envelope:
                    return False
                self._pipes.begun()
                scope = self._under_way[_key(request)] = anyio.CancelScope()
                self._tasks.start_soon(self._call, request, plain, agreement, scope)
                return True
            case {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": request}, **rest}:
                if "id" in rest:
                    return False
                if type(request) in {int, str} and (scope := self._under_way.get(_key(request))):
                    scope.cancel()
                return not self._handed_out  # it may be about a request that the SDK got
            case {"jsonrpc": "2.0", "method": "ping", "id": int() | str() as request, **rest}:
                if rest or agreement.envelope:
                    return False
                self._write(request, result={})
                self._tasks.start_soon(self._pipes.send_all)  # waiting here would miss the client's end of input
                return True
            case _:
                return False

    async def _call(self, request: Id, plain: PlainCall, agreement: Agreement, scope: anyio.CancelScope) -> None:
        try:
            try:
                with scope:
                    outcome = await plain.outcome(self._service, agreement.stamp)
                    if "result" in outcome:
                        self._notify(agreement)
                    # A client that cancelled the call waits for no answer.
                    if not scope.cancel_called:
                        self._write(request, **outcome)
            except anyio.get_cancelled_exc_class():
                if not scope.cancel_called:
                    self._write(request, error={"code": CONNECTION_CLOSED, "message": "Connection closed"})
                with anyio.move_on_after(1, shield=True):
                    await self._pipes.send_all()
                raise
            finally:
                if self._under_way.get(_key(request)) is scope:
                    del self._under_way[_key(request)]
            await self._pipes.send_all()
        finally:
            self._pipes.settled()

    def _notify(self, agreement: Agreement) -> None:
        """Notify a client of an earlier protocol if its list is outdated; others are notified on their streams."""
        if not agreement.envelope and self._service.discovery.is_outdated("", LOCAL):
            self._pipes.write(to_json({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}) + b"\n")

    def _write(self, request: Id, **outcome: Members) -> None:
        self._pipes.write(to_json({"jsonrpc": "2.0", "id": request, **outcome}) + b"\n")


def _message(line: bytes | bytearray) -> Any:
    """Parse a line; return None if this is left to the SDK."""
    with suppress(ValueError):
        return from_json(line)
    # The text of a cancellation may have half of a character, or be no UTF-8: nobody reads it.
    with suppress(ValueError, RecursionError):
        match json.loads(line.decode(errors="replace")):
            case {"method": "notifications/cancelled"} as cancellation:
                return cancellation
            case _:
                pass
    return None


def _key(request: Id) -> Id:
    """Return the key of a request id. As in the SDK, "7" and 7 are the same."""
    try:
        return int(request)
    except ValueError:
        return request
