"""Content blocks that a result shows besides its data, without the SDK.

They correspond to MCP's blocks of the same names (https://modelcontextprotocol.io/specification, server/tools).
`inkbox_mcp.protocol.server` converts them into the SDK's types, `inkbox_mcp.protocol.plain` writes them like the SDK.
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
        data: the content of the file.
        media_type: such as `image/png`.
    """

    data: bytes
    media_type: str

    @property
    def base64(self) -> str:
        """The file in base64, as it is sent."""
        return b64encode(self.data).decode()


@dataclass(frozen=True, slots=True)
class Link:
    """A resource that the client may fetch.

    Attributes:
        uri: of the resource.
        name: of the resource, such as a file name.
        title: the name for people.
        description: of the resource.
        media_type: such as `application/pdf`.
        size: in bytes.
    """

    uri: str
    name: str
    title: str | None = None
    description: str | None = None
    media_type: str | None = None
    size: int | None = None


Block = Text | Image | Link


def size(block: Block) -> int:
    """Return the bytes of a block: texts in UTF-8, a picture in base64."""
    texts = sum(len(value.encode("utf-8", "surrogatepass")) for value in _texts(block).values())
    return texts + (-(-len(block.data) // 3) * 4 if isinstance(block, Image) else 0)


def without_hidden(block: Block) -> Block:
    """Remove hidden characters from a block. All strings but a text's become one line."""
    return _rewritten(block, visible if isinstance(block, Text) else one_line)


def without_key(block: Block, redaction: Redaction) -> Block:
    """Remove the API key from a block. A picture that contains it is replaced by a text that says so."""
    if isinstance(block, Image) and redaction.is_in(block.data):
        return Text("The image was left out, because it holds the API key.")
    return _rewritten(block, redaction.hide)


def _rewritten(block: Block, rewrite: Callable[[str], str]) -> Block:
    return replace(block, **{name: rewrite(value) for name, value in _texts(block).items()})


def _texts(block: Block) -> dict[str, str]:
    values = ((field.name, getattr(block, field.name)) for field in fields(block))
    return {name: value for name, value in values if isinstance(value, str)}
