"""Where an HTTP/1.1 answer ends (RFC 9112, section 6), as pure functions over the received bytes.

Anything that is not clearly one whole answer is rejected. The connection is then closed instead of reused.
"""

import re

_NO_BODY = {b"204", b"304"}
# Strict: some parsers accept a line feed alone as the end of a line.
_STATUS_LINE = re.compile(rb"HTTP/1\.1 ([1-5][0-9]{2})(?: [^\r\n]*)?")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([^\r\n]*)")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;[^\r\n]*)?")


def is_one_answer(data: bytes) -> bool:
    """Whether these bytes are exactly one complete final answer."""
    status, fields, body = _head(data)
    while status.startswith(b"1") and status != b"101":
        status, fields, body = _head(body)
    if not status:
        return False
    if status in _NO_BODY:
        return not body
    match fields.get(b"content-length"), fields.get(b"transfer-encoding"):
        case bytes(length), None:
            return length.isdigit() and len(length) < 19 and int(length) == len(body)
        case None, bytes(coding):
            return coding.lower() == b"chunked" and _is_chunked(body)
        case _:  # both contradict each other; with neither, the answer ends with the connection
            return False


def _head(data: bytes) -> tuple[bytes, dict[bytes, bytes], bytes]:
    """Split off a head. The status is empty if there is no head, or one that parsers could read differently."""
    head, end, rest = data.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    status = _STATUS_LINE.fullmatch(first)
    fields: dict[bytes, bytes] = {}
    for line in lines:
        field = _FIELD.fullmatch(line)
        name = field[1].lower() if field else b""
        if not field or (name in fields and name in {b"content-length", b"transfer-encoding"}):
            return b"", {}, b""
        fields[name] = field[2].strip(b" \t")
    return (status[1], fields, rest) if status and end else (b"", {}, b"")


def _is_chunked(body: bytes) -> bool:
    """Whether a body is a sequence of chunks, up to the last one and its trailers."""
    position = 0
    while True:
        line, end, _ = body[position : position + 1024].partition(b"\r\n")
        size = _CHUNK.fullmatch(line)
        if not end or not size:
            return False
        length = int(size[1], 16)
        position += len(line) + 2
        if length == 0:
            *trailers, last, nothing = body[position:].split(b"\r\n") if body.endswith(b"\r\n") else (b"x", b"x")
            return not last and not nothing and all(map(_FIELD.fullmatch, trailers))
        position += length + 2
        if body[position - 2 : position] != b"\r\n":
            return False
