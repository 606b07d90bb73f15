"""Reads the body of an answer, of limited size both as received and decompressed."""

import re
import zlib
from typing import cast

import anyio.to_thread
import httpx2

from inkbox_mcp.errors import TooLarge, UnexpectedResponse

_AT_ONCE = 1 << 16
"""Up to this many packed bytes are unpacked by the event loop; of more, the work would hold up other calls."""


async def read_body(response: httpx2.Response, limit: int) -> bytes:
    """Read a body, decompressed.

    Args:
        response: not read yet.
        limit: the most bytes of it.

    Raises:
        TooLarge: the body is larger.
        UnexpectedResponse: the body is not packed by gzip alone, or is damaged.
    """
    status = response.status_code
    packed = response.headers.get("content-encoding", "").strip().lower() or "identity"
    if packed not in {"identity", "gzip", "x-gzip"}:
        # Compressed twice, a few bytes become minutes of work.
        raise UnexpectedResponse("the answer is packed in a way that was not asked for.", status=status)
    if re.fullmatch("[0-9]{1,18}", told := response.headers.get("content-length", "")) and int(told) > limit:
        raise TooLarge(limit, status=status)
    chunks: list[bytes] = []
    size = 0
    async for chunk in cast("httpx2.AsyncByteStream", response.stream):
        chunks.append(chunk)
        size += len(chunk)
        if size > limit:
            raise TooLarge(limit, status=status)
    content = b"".join(chunks)
    if packed == "identity" or not content:
        return content
    if size <= _AT_ONCE:
        return _unpack(content, limit, status)
    return await anyio.to_thread.run_sync(_unpack, content, limit, status, abandon_on_cancel=True)


def _unpack(content: bytes, limit: int, status: int) -> bytes:
    unpacking = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        unpacked = unpacking.decompress(content, limit + 1)
    except zlib.error:
        raise UnexpectedResponse("the answer is packed, and damaged.", status=status) from None
    if len(unpacked) > limit:
        raise TooLarge(limit, status=status)
    if not unpacking.eof or unpacking.unused_data:
        raise UnexpectedResponse("the answer is packed, and incomplete or followed by something else.", status=status)
    return unpacked
