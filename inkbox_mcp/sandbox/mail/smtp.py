"""Takes mail by SMTP, on this machine only, with the extra `smtp`."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from socket import socket
from typing import Any

import anyio.to_thread
from aiosmtpd.smtp import SMTP, Envelope, Session

from inkbox_mcp.sandbox.mail.parsing import MAX_MESSAGE_BYTES, Unreadable
from inkbox_mcp.sandbox.store import Store

MAX_RECIPIENTS = 100
"""Recipients of one message."""
SECONDS_IDLE = 60
"""How long a connection may say nothing."""


class Receiver:
    """Answers the commands of SMTP for the mailboxes of a store."""

    def __init__(self, store: Store) -> None:
        """Take mail for the mailboxes of `store`."""
        self._store = store

    async def handle_RCPT(  # noqa: N802 - the library's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: Sequence[str]
    ) -> str:
        """Take a recipient that has a mailbox, which may be deleted before the message comes."""
        if len(envelope.rcpt_tos) >= MAX_RECIPIENTS:
            return "452 4.5.3 Too many recipients"
        if not await anyio.to_thread.run_sync(self._store.has_mailbox, address):
            return "550 5.1.1 No such mailbox"
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Deliver a message."""
        content: Any = envelope.content
        deliver = partial(self._store.deliver, sender=envelope.mail_from or None)
        try:
            delivered, _ = await anyio.to_thread.run_sync(deliver, bytes(content), envelope.rcpt_tos)
        except Unreadable as error:
            return f"554 5.6.0 {error}"
        except Exception:
            logging.getLogger(__name__).exception("A message could not be stored")
            return "451 4.3.0 Try again later"
        return "250 2.0.0 OK" if delivered else "552 5.2.2 No mailbox takes it"


@asynccontextmanager
async def serving_smtp(store: Store, listener: socket, *, max_bytes: int = MAX_MESSAGE_BYTES) -> AsyncGenerator[None]:
    """Take mail on an open port while the context lasts.

    Args:
        store: With the mailboxes.
        listener: Of a port on this machine.
        max_bytes: Of a message.
    """
    receiver = Receiver(store)

    def protocol() -> SMTP:
        return SMTP(
            receiver,
            data_size_limit=max_bytes,
            enable_SMTPUTF8=True,
            hostname="inkbox-sandbox",
            ident="Inkbox sandbox",
            timeout=SECONDS_IDLE,
            loop=asyncio.get_running_loop(),
        )

    server = await asyncio.get_running_loop().create_server(protocol, sock=listener)
    async with server:
        yield
