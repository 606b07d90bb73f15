"""Names of files, on every system and for every reader: made harmless, or refused, and what they say of a file.

What a person sees is what the system acts on: no hidden or bidirectional characters, no folders, no names that a system
takes for devices or streams, and none that hide a file.
"""

import mimetypes
import re
import unicodedata
from collections.abc import Iterator
from functools import cache
from itertools import count

from inkbox_mcp.mail.visible import visible_text
from inkbox_mcp.text import first_hidden, one_line

NAMELESS = "attachment"
MAX_BYTES = 150
"""Bytes of a name in UTF-8; systems take 255, and encrypting ones 143 to 175."""

MAX_NAME = 255
"""Characters of the name of an attachment."""

UNKNOWN_TYPE = "application/octet-stream"

_LONGEST_EXTENSION = 20
_LONGEST_READ = 4096
# What Windows refuses or takes for something else; a colon also names a stream of a file there.
_REFUSED = re.compile(r'[<>:"|?*\x00-\x1f\x7f]')
# Devices of Windows, whatever their extension, and files that it reads by itself when it shows a folder.
_RESERVED = re.compile(
    r"(?:con|prn|aux|nul|clock\$|conin\$|conout\$|(?:com|lpt)[0-9\u00b9\u00b2\u00b3])[ .]*(?:\.|$)"
    r"|(?:desktop|autorun)\.(?:ini|inf)$",
    re.IGNORECASE,
)

# Which Inkbox does not send.
_NEVER_SENT = re.compile(r"\.(?:exe|bat|scr)$", re.IGNORECASE)
_COMPRESSED = {"gzip": "application/gzip", "bzip2": "application/x-bzip2", "xz": "application/x-xz"}
# Frequent in mail, and not known to every Python that is supported.
_OPEN_XML, _OPEN_DOCUMENT = "application/vnd.openxmlformats-officedocument.", "application/vnd.oasis.opendocument."
_MORE_TYPES = {
    ".7z": "application/x-7z-compressed",
    ".docx": f"{_OPEN_XML}wordprocessingml.document",
    ".xlsx": f"{_OPEN_XML}spreadsheetml.sheet",
    ".pptx": f"{_OPEN_XML}presentationml.presentation",
    ".odt": f"{_OPEN_DOCUMENT}text",
    ".ods": f"{_OPEN_DOCUMENT}spreadsheet",
    ".odp": f"{_OPEN_DOCUMENT}presentation",
    ".epub": "application/epub+zip",
    ".heic": "image/heic",
    ".ics": "text/calendar",
    ".md": "text/markdown",
    ".rtf": "application/rtf",
    ".webp": "image/webp",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
}


def require_plain_name(name: str) -> None:
    """Refuse the name of a file or folder that is hidden, or that a system or a mail program takes for something else.

    It decides by the name alone, so that nothing can be learnt about what is on the disk.

    Raises:
        ValueError: a sentence for a model, about "a name".
    """
    if not 1 <= len(name) <= MAX_NAME:
        raise ValueError(f"has a name that is empty or longer than {MAX_NAME} characters")
    if first_hidden(name) is not None:
        raise ValueError("has a name with hidden characters or line breaks; rename the file")
    if name[0] in ".~" or name[-1] == "." or name != name.strip():
        raise ValueError('has a name that begins with ".", "~" or a blank, or ends with "." or a blank')
    if re.search(r"[/\\]", name) or _REFUSED.search(name) or _RESERVED.match(name):
        raise ValueError('has a name with one of /\\<>:"|?*, or one that Windows reserves; rename the file')


def is_never_sent(name: str) -> bool:
    """Whether a file is of a type that Inkbox does not send, by the end of its name."""
    plain = unicodedata.normalize("NFKC", name)  # people read full-width characters like normal ones
    return _NEVER_SENT.search(plain) is not None


def content_type_of(name: str) -> str:
    """Return the media type that a name stands for, whatever else the system knows; `UNKNOWN_TYPE` for others."""
    kind, compression = _types().guess_type(name)
    return _COMPRESSED.get(compression, UNKNOWN_TYPE) if compression else kind or UNKNOWN_TYPE


@cache
def _types() -> mimetypes.MimeTypes:
    """Return the types of the standard library, without the files that systems add to them."""
    types = mimetypes.MimeTypes()
    for extension, kind in _MORE_TYPES.items():
        types.add_type(kind, extension)
    return types


def safe_name(name: str) -> str:
    """Return the name under which a file can be saved: at most `MAX_BYTES` long, with the extension that was there.

    Applying it again changes nothing.

    Args:
        name: anything, such as what a mail calls its attachment.
    """
    last = re.split(r"[/\\]", name[-_LONGEST_READ:])[-1]
    # All hidden characters first: without them, what is left may be composed in another way.
    plain = _short(_REFUSED.sub("_", _stripped(one_line(visible_text(one_line(last)).text))))
    return _short(f"_{plain}") if _RESERVED.match(plain) else plain or NAMELESS


def numbered(name: str) -> Iterator[str]:
    """Yield a safe name, then names for further files of the same name: `bill.pdf`, `bill (2).pdf` and so on."""
    yield name
    for number in count(2):
        yield _short(name, f" ({number})")


def _stripped(name: str) -> str:
    """Remove what hides a file or looks like a command's option at the begin, and what Windows drops at the end."""
    return name.lstrip(" .-~").rstrip(" .")


def _short(name: str, suffix: str = "") -> str:
    stem, dot, extension = name.rpartition(".")
    if not dot or not stem or len((dot + extension).encode()) > _LONGEST_EXTENSION:
        stem, end = name, ""
    else:
        end = dot + extension
    room = MAX_BYTES - len((suffix + end).encode())
    return _stripped(stem.encode()[:room].decode(errors="ignore")) + suffix + end
