"""Content blocks: what a result holds for a model's eyes besides its data, without the SDK.

They mean what MCP's blocks of the same names mean (https://modelcontextprotocol.io/specification, server/tools).
`inkbox_mcp.protocol.server` turns them into the SDK's types, and `inkbox_mcp.stdio.direct` writes them as the SDK does.
"""

from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, fields, replace

from inkbox_mcp.api.redaction import Redaction
from inkbox_mcp.text import one_line, visible


@dataclass(frozen=True, slots=True)
class Text:
    """A text to read, of one or several lines."""

    text: str


@dataclass(frozen=True, slots=True)
class Image:
    """A picture.

    Attributes:
        data: the file, as it is.
        media_type: such as `image/png`.
    """

    data: bytes
    media_type: str

    @property
    def base64(self) -> str:
        """The file as it is sent."""
        return b64encode(self.data).decode()


@dataclass(frozen=True, slots=True)
class Link:
    """A resource that the client may fetch.

    Attributes:
        uri: where it is.
        name: of the resource, such as a file's.
        title: the name for people.
        description: what it is.
        media_type: such as `application/pdf`.
        size: its bytes.
    """

    uri: str
    name: str
    title: str | None = None
    description: str | None = None
    media_type: str | None = None
    size: int | None = None


Block = Text | Image | Link


def size(block: Block) -> int:
    """Count the bytes of a block: its texts in UTF-8, and a picture as base64."""
    texts = sum(len(value.encode("utf-8", "surrogatepass")) for value in _texts(block).values())
    return texts + (-(-len(block.data) // 3) * 4 if isinstance(block, Image) else 0)


def without_hidden(block: Block) -> Block:
    """Take hidden characters out of a block; all but a text is one line."""
    return _rewritten(block, visible if isinstance(block, Text) else one_line)


def without_key(block: Block, redaction: Redaction) -> Block:
    """Take the API key out of a block; a picture that holds it is replaced by a text that says so."""
    if isinstance(block, Image) and redaction.is_in(block.data):
        return Text("The image was left out, because it holds the API key.")
    return _rewritten(block, redaction.hide)


def _rewritten(block: Block, rewrite: Callable[[str], str]) -> Block:
    return replace(block, **{name: rewrite(value) for name, value in _texts(block).items()})


def _texts(block: Block) -> dict[str, str]:
    values = ((field.name, getattr(block, field.name)) for field in fields(block))
    return {name: value for name, value in values if isinstance(value, str)}
