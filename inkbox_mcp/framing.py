"""Where an HTTP/1.1 answer ends (RFC 9112, section 6); pure functions over the bytes that came.

What is not clearly one whole answer counts as none: the connection it came on is then closed instead of used again.
"""

_NO_BODY = {b"204", b"304"}


def is_one_answer(data: bytes) -> bool:
    """Whether these bytes are exactly one final answer, with nothing missing and nothing after it."""
    status, fields, body = _head(data)
    while status.startswith(b"1") and status != b"101":
        status, fields, body = _head(body)
    if not status:
        return False
    if status in _NO_BODY:
        return not body
    match fields.get(b"content-length"), fields.get(b"transfer-encoding"):
        case bytes(length), None:
            return length.isdigit() and int(length) == len(body)
        case None, bytes(coding):
            return coding.lower() == b"chunked" and _is_chunked(body)
        case _:  # both contradict each other; with neither, the end of the connection is the end of the answer
            return False


def _head(data: bytes) -> tuple[bytes, dict[bytes, bytes], bytes]:
    """Cut a head off; the status is empty where there is none, or one that parsers could read in two ways."""
    head, end, rest = data.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    version, _, status = first.partition(b" ")
    fields: dict[bytes, bytes] = {}
    for line in lines:
        name, _, value = line.partition(b":")
        name = name.lower()
        if name in fields and name in {b"content-length", b"transfer-encoding"}:
            return b"", {}, b""
        fields[name] = value.strip(b" \t")
    is_clear = end and version == b"HTTP/1.1" and not any(line[:1] in (b" ", b"\t") for line in lines)
    return (status[:3], fields, rest) if is_clear else (b"", {}, b"")


def _is_chunked(body: bytes) -> bool:
    """Whether a body is a sequence of chunks that ends with the last chunk and its trailers."""
    position = 0
    while True:
        line, end, _ = body[position : position + 1024].partition(b"\r\n")
        size = line.partition(b";")[0].strip(b" \t")
        if not end or not size.isalnum():
            return False
        try:
            length = int(size, 16)
        except ValueError:
            return False
        position += len(line) + 2
        if length == 0:
            trailers = body[position:]
            return trailers == b"\r\n" or 0 < trailers.find(b"\r\n\r\n") == len(trailers) - 4
        position += length + 2
        if body[position - 2 : position] != b"\r\n":
            return False
