"""Notifies clients when an answer of the API shows that their list of tools is another one.

A client of 2026-07-28 is notified on the stream that it opened by `subscriptions/listen`. An earlier client is notified
in its session, beside the answer of its next call. Without a session there is no way.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

import anyio
from mcp import MCPError
from mcp.server.context import ServerRequestContext
from mcp.server.subscriptions import ListenHandler, ServerEvent, ToolsListChanged
from mcp.types import (
    INVALID_REQUEST,
    SubscriptionsListenRequestParams,
    SubscriptionsListenResult,
    ToolListChangedNotification,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from inkbox_mcp.access.tenants import Caller
from inkbox_mcp.api.generations import KnownGeneration
from inkbox_mcp.errors import NotConfigured
from inkbox_mcp.service import Service

MAX_STREAMS = 64
"""The most streams that one caller may keep open, where callers are told apart."""
MAX_STREAMS_OF_ALL = 1024
"""The most streams of all callers together: a quarter of the connections, because each stream keeps one open."""

Context = ServerRequestContext[Service, Any]


class ListChanges:
    """Notifies the clients of a server.

    Args:
        service: knows the callers' tools.
        caller_of: returns the caller of a request.
    """

    def __init__(self, service: Service, caller_of: Callable[[Any], Caller]) -> None:
        self._service, self._caller_of = service, caller_of
        self._told_apart = service.settings.tells_callers_apart
        self._streams: Counter[str] = Counter()

    def listed(self, context: Context) -> None:
        """Note that a client gets its list now."""
        if (session := _session(context)) is not None:
            self._service.discovery.listed(session, self._caller_of(context.request))

    async def notify(self, context: Context) -> None:
        """Notify the client of a call if its list is outdated."""
        session, caller = _session(context), self._caller_of(context.request)
        if context.protocol_version in MODERN_PROTOCOL_VERSIONS or session is None:
            return
        if self._service.discovery.is_outdated(session, caller):
            await context.session.send_notification(ToolListChangedNotification(), context.request_id)

    async def listen(self, context: Context, params: SubscriptionsListenRequestParams) -> SubscriptionsListenResult:
        """Serve a stream of notifications until the client closes it or the server is about to stop.

        Raises:
            MCPError: the caller needs a key and has none, or there are too many streams.
        """
        caller = self._caller_of(context.request)
        name = caller.name
        self._admit(caller)
        discovery, session = self._service.discovery, _session(context)
        has_changed = session is not None and discovery.is_outdated(session, caller)
        handler = ListenHandler(_Bus(discovery.known(caller), has_changed=has_changed))

        async def close_at_the_end() -> None:
            await self._service.ending.wait()
            handler.close()

        self._streams[name] += 1
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(close_at_the_end)
                ended = await handler(context, params)
                tasks.cancel_scope.cancel()
        finally:
            self._streams[name] -= 1
            if not self._streams[name]:
                del self._streams[name]
        return ended  # pyright: ignore[reportPossiblyUnboundVariable] - nothing cancels the group before

    def _admit(self, caller: Caller) -> None:
        """Refuse a stream that could never have anything to say, and one too many."""
        try:
            self._service.tenants.api(caller)
        except NotConfigured as error:
            raise MCPError(INVALID_REQUEST, error.explain("subscriptions/listen")) from None
        if self._told_apart and self._streams[caller.name] >= MAX_STREAMS:
            raise MCPError(
                INVALID_REQUEST, f"You have {MAX_STREAMS} open streams of notifications, the most: close one first."
            )
        if self._streams.total() >= MAX_STREAMS_OF_ALL:
            raise MCPError(
                INVALID_REQUEST,
                f"The clients of this server have {MAX_STREAMS_OF_ALL} open streams of notifications, the most. Try "
                "again later. Tools can be called without a stream; list them again from time to time.",
            )


class _Bus:
    """What the SDK's handler of streams listens to: what is learnt of one organization."""

    def __init__(self, known: KnownGeneration, *, has_changed: bool) -> None:
        self._known, self._has_changed = known, has_changed

    async def publish(self, event: ServerEvent) -> None:
        """Publish nothing: answers of the API cause all events."""

    def subscribe(self, listener: Callable[[ServerEvent], None]) -> Callable[[], None]:
        if self._has_changed:
            listener(ToolsListChanged())
        return self._known.watch(lambda _: listener(ToolsListChanged()))


def _session(context: Context) -> str | None:
    """Return the session of a request; empty over stdio, None if it has no session."""
    if context.request is None:
        return ""
    return (
        None if context.protocol_version in MODERN_PROTOCOL_VERSIONS else context.request.headers.get("mcp-session-id")
    )
