"""Makes a name that a stranger chose into the name of a file on this machine, on every system and for every reader.

What a person sees is what the system acts on: no hidden or bidirectional characters, no folders, no names that a system
takes for devices or streams, and none that hide a file.
"""

import re
from collections.abc import Iterator
from itertools import count

from inkbox_mcp.mail.visible import visible_text
from inkbox_mcp.text import one_line

NAMELESS = "attachment"
MAX_BYTES = 150
"""Bytes of a name in UTF-8; systems take 255, and encrypting ones 143 to 175."""

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
