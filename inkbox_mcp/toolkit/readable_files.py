"""Decides what of a file a model can be shown: its text, or a picture. It goes by the bytes; names only narrow it."""

import codecs
import re
from typing import NamedTuple

from inkbox_mcp.toolkit.media_types import PICTURES, detected, is_binary, picture_size

MAX_PICTURE_BYTES = 1_000_000
MAX_PICTURE_SIDE = 8000
"""Pixels; APIs of models refuse larger pictures, and with them the whole conversation."""

_TEXT_TYPES = re.compile(
    r"text/.*|message/rfc822|application/(?:(?:.*\+)?(?:json|xml|yaml)|(?:x-)?(?:ndjson|yaml|toml|javascript|sh|sql)|ics|csv)"
)
_TEXT_NAMES = re.compile(
    r".*\.(?:txt|text|md|markdown|rst|csv|tsv|json|jsonl|ndjson|xml|yaml|yml|toml|ini|cfg|conf|log|ics|vcf|eml|html?|"
    r"css|js|ts|py|sql|sh|diff|patch|tex|srt|vtt|svg)",
    re.IGNORECASE | re.DOTALL,
)
# Encodings of texts that mail is written in. Python's others unpack, or take long.
_CHARSETS = re.compile(
    r"utf-?(?:8|16|32)(?:-?[lb]e|-sig)?|(?:us-)?ascii|latin-?1|iso-?8859-?\d{1,2}|(?:windows-?|cp)\d{3,4}|koi8-[ru]|"
    r"gb(?:2312|k|18030)|big5(?:-hkscs)?|euc-?(?:jp|kr|tw)|shift-?jis|iso-2022-(?:jp|kr)|tis-?620|mac-?roman",
)
_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


class Content(NamedTuple):
    """What a file is.

    Attributes:
        detected: what it begins like; see `inkbox_mcp.toolkit.media_types.detected`.
        text: of the whole file, if it is a text; hidden characters are still in it.
        picture: its media type, if it is a picture that models take, and of a size that they take.
    """

    detected: str | None
    text: str | None = None
    picture: str | None = None


def content_of(file: bytes, name: str, content_type: str) -> Content:
    """Look at a file; its time grows with its size, so run it in a thread.

    Args:
        file: its content.
        name: its name.
        content_type: as its sender or a server wrote it, perhaps with a charset.
    """
    found = detected(file)
    if found in PICTURES:
        size = picture_size(file)
        fits = size is not None and max(size) <= MAX_PICTURE_SIDE and len(file) <= MAX_PICTURE_BYTES
        return Content(found, picture=found if fits else None)
    if is_binary(file) or not _is_said_to_be_text(name, content_type):
        return Content(found)
    return Content(found, text=_decoded(file, content_type))


def media_type(content_type: str) -> str:
    """Return the media type in a Content-Type, in lower case; what is none becomes `application/octet-stream`."""
    kind = content_type.partition(";")[0].strip().lower()
    return kind if re.fullmatch(r"[\w.+-]{1,60}/[\w.+-]{1,80}", kind, re.ASCII) else "application/octet-stream"


def _is_said_to_be_text(name: str, content_type: str) -> bool:
    return bool(_TEXT_TYPES.fullmatch(media_type(content_type)) or _TEXT_NAMES.fullmatch(name))


def _decoded(file: bytes, content_type: str) -> str | None:
    said = re.search(r";\s*charset\s*=\s*[\"']?([\w.:-]{1,40})", content_type, re.ASCII | re.IGNORECASE)
    marked = next((charset for mark, charset in _MARKS.items() if file.startswith(mark)), None)
    named = said[1].lower().replace("_", "-") if said else "utf-8"
    charsets = [marked] if marked else [named, "utf-8"] if _CHARSETS.fullmatch(named) else ["utf-8"]
    for charset in charsets:
        try:
            text = file.decode(charset)
        except (UnicodeError, LookupError):
            continue
        return None if "\0" in text else text
    return None
