"""Reads small files that a call brings with it, as `data:` URLs with a name (RFC 2397).

Source: https://www.rfc-editor.org/rfc/rfc2397. The parameter `name` is of mail (RFC 2183 has it as `filename`).
"""

import base64
import re
from typing import NamedTuple
from urllib.parse import unquote

from inkbox_mcp.toolkit.file_names import content_type_of, require_plain_name

MAX_DATA = 100_000
"""Bytes of the file in a URL."""

MAX_DATA_URL = 150_000
"""Bytes of a URL: Base64 makes four of three, and lines and names take room."""

_EXAMPLE = '"data:text/csv;name=report.csv;base64,YSxiCg=="'
_MEDIA_TYPE = re.compile(r"[\w.+-]{1,60}/[\w.+-]{1,80}", re.ASCII)
_NAMES = frozenset({"name", "filename"})
_LINES = str.maketrans("", "", "\t\n\r ")


class DataFile(NamedTuple):
    """The file in a `data:` URL."""

    filename: str
    content_type: str
    content: bytes


def is_data_url(text: str) -> bool:
    """Whether a text is meant as a `data:` URL, and not as a path."""
    return text[:5].lower() == "data:"


def data_file(url: str) -> DataFile:
    """Return the file in a URL such as `data:text/csv;name=report.csv;base64,YSxiCg==`.

    Without a media type, the name decides what it is.

    Raises:
        ValueError: it has no name, is not in Base64, or is too large; the sentence is for a model.
    """
    head, comma, body = url[5:].partition(",")
    kind, *parameters = (part.strip() for part in head.split(";"))
    if not comma or [part.lower() for part in parameters[-1:]] != ["base64"]:
        raise ValueError(f'must be a data: URL with ";base64," before the content; write it like {_EXAMPLE}')
    name = _name(parameters[:-1])
    return DataFile(name, _content_type(kind, name), _content(body))


def _name(parameters: list[str]) -> str:
    """Return the name of the file, which must be given once."""
    pairs = [parameter.partition("=") for parameter in parameters]
    names = [value.strip() for key, _, value in pairs if key.strip().lower() in _NAMES]
    if len(names) != 1:
        raise ValueError(f'must be a data: URL with one name, such as ";name=report.csv"; write it like {_EXAMPLE}')
    try:
        name = unquote(re.sub(r'^"(.*)"$', r"\1", names[0]), errors="strict")
    except UnicodeDecodeError:
        raise ValueError(f"has a name that is not UTF-8; write it like {_EXAMPLE}") from None
    require_plain_name(name)
    return name


def _content_type(kind: str, name: str) -> str:
    if not kind:
        return content_type_of(name)
    if not _MEDIA_TYPE.fullmatch(kind) or kind.lower().startswith("multipart/"):
        raise ValueError(f"has no media type that a file can have; write it like {_EXAMPLE}")
    return kind.lower()


def _content(body: str) -> bytes:
    plain = (unquote(body) if "%" in body else body).translate(_LINES)
    try:
        content = base64.b64decode(plain, validate=True)
    except ValueError:
        raise ValueError("has Base64 that is broken or cut off; encode the file again, with its padding") from None
    if len(content) > MAX_DATA:
        raise ValueError(
            f"has {len(content):,} bytes, and a data: URL may have {MAX_DATA:,}; pass the path of a larger file"
        )
    return content
