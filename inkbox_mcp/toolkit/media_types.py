"""Tells what a file is by its first bytes, whatever its name and its sender say.

Source: the signatures of https://mimesniff.spec.whatwg.org and https://en.wikipedia.org/wiki/List_of_file_signatures.
"""

import re
import struct
from struct import unpack_from

PICTURES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
"""The pictures that language models take."""

_SIGNATURES = (
    (rb"\x89PNG\r\n\x1a\n", "image/png"),
    (rb"\xff\xd8\xff", "image/jpeg"),
    (rb"GIF8[79]a", "image/gif"),
    (rb"RIFF.{4}WEBP", "image/webp"),
    (rb"RIFF.{4}(?:WAVE|AVI )", "audio or video (RIFF)"),
    (rb".{4}ftyp(?:heic|heix|mif1|avif)", "image/heif"),
    (rb".{4}ftyp", "video/mp4"),
    (rb"II\*\0|MM\0\*", "image/tiff"),
    (rb"BM.{4}\0{4}", "image/bmp"),
    (rb"%PDF-", "application/pdf"),
    (rb"PK\x03\x04|PK\x05\x06|PK\x07\x08", "application/zip (also docx, xlsx, pptx, jar and apk)"),
    (rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/x-ole-storage (doc, xls, ppt, msg or msi)"),
    (rb"\x1f\x8b\x08", "application/gzip"),
    (rb"BZh[1-9]1AY&SY", "application/x-bzip2"),
    (rb"\xfd7zXZ\0", "application/x-xz"),
    (rb"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (rb"Rar!\x1a\x07", "application/vnd.rar"),
    (rb"\x28\xb5\x2f\xfd", "application/zstd"),
    (rb".{257}ustar", "application/x-tar"),
    (rb"MSCF\0{4}", "application/vnd.ms-cab-compressed"),
    (rb"MZ(?=.{0,62}\0)", "a Windows program"),
    (rb"\x7fELF", "a Linux program"),
    (rb"\xfe\xed\xfa[\xce\xcf]|[\xce\xcf]\xfa\xed\xfe|\xca\xfe\xba\xbe", "a macOS program or Java class"),
    (rb"L\0{3}\x01\x14\x02\0", "a Windows shortcut"),
    (rb"SQLite format 3\0", "application/vnd.sqlite3"),
    (rb"ID3[\x02-\x04]|\xff[\xfb\xf3\xf2]", "audio/mpeg"),
    (rb"OggS\0", "application/ogg"),
    (rb"fLaC\0", "audio/flac"),
    (rb"\x1aE\xdf\xa3", "video/webm or matroska"),
    (rb"wOF[F2]|OTTO\0|\0\x01\0\0\0", "a font"),
    (rb"\{\\rtf", "application/rtf"),
)
_READABLE = (
    (rb"\s*(?:<!--.{0,500}?-->\s*)*<(?:!doctype html|html|head|body|script)\b", "text/html"),
    (rb"\s*(?:<\?xml[^>]{0,200}>\s*)?(?:<!--.{0,500}?-->\s*|<!doctype svg[^>]{0,300}>\s*)*<svg\b", "image/svg+xml"),
    (rb"\s*<\?xml\b", "application/xml"),
    (rb"#!\s*/", "a script"),
    (rb"begin:vcalendar\b", "text/calendar"),
    (rb"begin:vcard\b", "text/vcard"),
)
_LOOKED_AT = 2048


def detected(content: bytes) -> str | None:
    """Return what a file begins like: a media type, or in words what has none; None if it is not known."""
    head = content[:_LOOKED_AT]
    for pattern, what in _SIGNATURES:
        if re.match(pattern, head, re.DOTALL):
            return what
    text = head.removeprefix(b"\xef\xbb\xbf")
    return next((what for pattern, what in _READABLE if re.match(pattern, text, re.DOTALL | re.IGNORECASE)), None)


def is_binary(content: bytes) -> bool:
    """Whether a file begins like one that is not text."""
    head = content[:_LOOKED_AT]
    return any(re.match(pattern, head, re.DOTALL) for pattern, _ in _SIGNATURES)


def picture_size(content: bytes) -> tuple[int, int] | None:
    """Return the width and height of a picture in pixels; None if it has none, or is no picture of `PICTURES`."""
    try:
        match detected(content):
            case "image/png" if content[12:16] == b"IHDR":
                width, height = unpack_from(">II", content, 16)
            case "image/gif":
                width, height = unpack_from("<HH", content, 6)
            case "image/jpeg":
                height, width = unpack_from(">HH", content, _frame(content) + 5)
            case "image/webp":
                width, height = _webp_size(content)
            case _:
                return None
    except (struct.error, ValueError):
        return None
    return (width, height) if width and height else None


def _frame(jpeg: bytes) -> int:
    """Return the position of the header that has the size (SOFn; ITU T.81, B.2.2).

    Raises:
        ValueError: there is none.
    """
    place = 2
    while jpeg[place : place + 1] == b"\xff":
        kind = jpeg[place + 1]
        if kind == 0xFF:  # a fill byte
            place += 1
        elif 0xC0 <= kind <= 0xCF and kind not in {0xC4, 0xC8, 0xCC}:
            return place
        elif kind in {0xD9, 0xDA}:
            break
        else:
            place += 2 + int(unpack_from(">H", jpeg, place + 2)[0])
    raise ValueError


def _webp_size(content: bytes) -> tuple[int, int]:
    """Return the size in the first chunk (RFC 9649).

    Raises:
        ValueError: the chunk is of another kind.
    """
    match content[12:16]:
        case b"VP8 ":
            width, height = unpack_from("<HH", content, 26)
            return width & 0x3FFF, height & 0x3FFF
        case b"VP8L":
            (bits,) = unpack_from("<I", content, 21)
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8X" if len(content) >= 30:
            return int.from_bytes(content[24:27], "little") + 1, int.from_bytes(content[27:30], "little") + 1
        case _:
            raise ValueError
