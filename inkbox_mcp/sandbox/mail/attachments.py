"""The signed URLs of attachments: `/sandbox/attachments/…`, which need no key and expire."""

import hashlib
import hmac
import sqlite3
import time
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Query, Request, Response

from inkbox_mcp.sandbox.mail.limits import read_limits
from inkbox_mcp.sandbox.mail.objects import AttachmentURL
from inkbox_mcp.sandbox.mail.parsing import parse
from inkbox_mcp.sandbox.problems import Forbidden, NotFound
from inkbox_mcp.sandbox.rows import Row
from inkbox_mcp.sandbox.store import Store

router = APIRouter(prefix="/sandbox/attachments", include_in_schema=False)


def sign_url(connection: sqlite3.Connection, base_url: str, message: Row, filename: str) -> AttachmentURL:
    """Make the URL of an attachment; of several of one name, of the first.

    Args:
        connection: To read from.
        base_url: Of the sandbox, as the client calls it.
        message: With `attachments`.
        filename: The attachment's.

    Raises:
        NotFound: The message has no such attachment.
    """
    names: list[str] = [each["filename"] for each in message["attachments"]]
    if filename not in names:
        raise NotFound("Attachment not found")
    seconds = read_limits(connection).attachment_url_seconds
    place = f"{message['id']}/{names.index(filename)}"
    expires = int(time.time()) + seconds
    url = (
        f"{base_url.rstrip('/')}{router.prefix}/{place}/{quote(filename, safe='')}"
        f"?expires={expires}&signature={_signature(connection, place, expires)}"
    )
    return AttachmentURL(url=url, filename=filename, expires_in=seconds)


@router.get("/{message_id}/{number}/{filename:path}")
def download_attachment(
    request: Request, message_id: str, number: int, expires: Annotated[int, Query()], signature: Annotated[str, Query()]
) -> Response:
    """Answer an attachment to whoever has its URL. A browser saves it and does not run it."""
    store: Store = request.app.state.store
    with store.reading() as connection:
        expected = _signature(connection, f"{message_id}/{number}", expires)
        if not hmac.compare_digest(expected.encode(), signature.encode()):
            raise Forbidden("The signature is wrong")
        if time.time() >= expires:
            raise Forbidden("The URL has expired")
        row = connection.execute(
            "SELECT raw FROM messages JOIN contents ON contents.id = content_id WHERE messages.id = ?", (message_id,)
        ).fetchone()
    if row is None:
        raise NotFound("Attachment not found")
    attachment = parse(row["raw"]).attachments[number]
    headers = {
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(attachment.filename, safe='')}",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox",
    }
    return Response(attachment.content, headers={**headers, "Content-Type": attachment.content_type})


def _signature(connection: sqlite3.Connection, place: str, expires: int) -> str:
    secret: str = connection.execute("SELECT secret FROM attachment_urls").fetchone()["secret"]
    return hmac.new(secret.encode(), f"{place}?{expires}".encode(), hashlib.sha256).hexdigest()
