"""A message as the tool `get_message` shows it to an agent: by that tool itself, which asks nobody but this module."""

import sqlite3
from contextvars import ContextVar
from typing import TYPE_CHECKING
from uuid import UUID

import anyio
import httpx2

from inkbox_mcp.commands.page.reading import Item, found, one
from inkbox_mcp.sandbox import rows
from inkbox_mcp.settings.options import Settings

if TYPE_CHECKING:
    from inkbox_mcp.service import Service

_ADDRESSED = """
SELECT organization_id, mailbox_id FROM messages JOIN mailboxes ON mailboxes.id = mailbox_id
WHERE messages.id = :id AND mailboxes.status <> 'deleted'
"""

_detail: ContextVar[bytes] = ContextVar("detail")


class AgentsView:
    """Shows messages as agents see them.

    Args:
        settings: of the sandbox, with the generation of its API.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._loading = anyio.Lock()
        self._service: Service | None = None

    def read(self, connection: sqlite3.Connection, message_id: str) -> tuple[str, bytes]:
        """Return the address of a message's mailbox, and the message as the API answers it; it stays unread.

        Raises:
            HTTPException: 404; there is no such message.
        """
        if self._settings.sandbox_generation == "spec":
            from inkbox_mcp.sandbox.spec_generation import messages
        else:
            from inkbox_mcp.sandbox.identity_generation import messages
        message = found(one(connection, _ADDRESSED, {"id": message_id}), "message")
        mailbox = rows.find_mailbox(connection, message["organization_id"], UUID(message["mailbox_id"]))
        fields = messages.detail(connection, mailbox, UUID(message_id))
        return mailbox["email_address"], messages.MessageDetail.model_validate(fields).model_dump_json().encode()

    async def show(self, message_id: str, address: str, detail: bytes) -> Item:
        """Return the structured result of `get_message` with its default arguments.

        Where the tool fails, as it does with a message that is too large, the text is what the agent is told.

        Args:
            message_id: of the message.
            address: of its mailbox; see `read`.
            detail: the message as the API answers it; see `read`.
        """
        from inkbox_mcp.access.tenants import LOCAL

        service = await self._loaded()
        tool = service.catalogues.of(self._settings.sandbox_generation).tools["get_message"]
        _detail.set(detail)
        answer = await service.call(tool, {"email_address": address, "message_id": message_id}, LOCAL)
        return {"id": message_id, "text": answer.text} if answer.data is None else answer.data

    async def _loaded(self) -> "Service":
        """Return the tools. They are loaded by the first message that is looked at; the sandbox does not need them."""
        async with self._loading:
            if self._service is None:
                self._service = await anyio.to_thread.run_sync(self._load)
            return self._service

    def _load(self) -> "Service":
        from inkbox_mcp.service import Service

        return Service(self._settings, _OneMessage)


class _OneMessage(httpx2.AsyncBaseTransport):
    """Answers requests for the message that is looked at, and no others; so nothing is changed or marked read."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if request.method != "GET" or "/messages/" not in request.url.path:
            return httpx2.Response(405, json={"detail": "Method Not Allowed"})
        return httpx2.Response(200, content=_detail.get())
