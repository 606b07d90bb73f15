"""Content blocks of a result: the same for every client, without the key, and limited in size."""

import base64
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.types import CallToolResult, ImageContent, ResourceLink, TextContent

from inkbox_mcp.toolkit.bounds import MAX_RESULT
from inkbox_mcp.toolkit.content import Image, Link, Text, size
from tests.support.agents import KEY
from tests.support.alike import choices
from tests.support.extra_tools import extra_stdio, in_process, offering
from tests.support.extra_tools.tools.trial import Shown, make_all, show_all
from tests.support.http_in_process import serve_service

SECRET = KEY.partition(".")[2]
NOTATIONS = [
    KEY,
    SECRET,
    SECRET.upper(),
    SECRET.encode().hex(),
    base64.b64encode(SECRET.encode()).decode(),
    SECRET.replace("-", "%2D"),
    SECRET.replace("-", "&#45;"),
    "top\u200b-secret",
]


@asynccontextmanager
async def extra_http(era: str, _: Path) -> AsyncGenerator[Client]:
    """Connect a client over HTTP."""
    async with (
        serve_service(offering(show_all, make_all, http=True)) as origin,
        Client(f"{origin}/mcp", mode=era) as it,
    ):
        yield it


async def shown(era: str, tool: str = "show_all", **arguments: Any) -> CallToolResult:
    """Call a tool that returns content blocks."""
    async with in_process(era, Path()) as client:
        return await client.call_tool(tool, arguments)


@pytest.mark.parametrize(
    "way", choices([in_process, extra_stdio, extra_http], {extra_stdio}), ids=lambda way: way.__name__
)
async def test_a_client_gets_texts_images_and_links(way: Any, era: str, tmp_path: Path) -> None:
    """The blocks follow the data, which the first block repeats as JSON text."""
    async with way(era, tmp_path) as client:
        result = await client.call_tool("show_all", {"title": "May", "size": 7})
    written, said, image, link = result.content
    assert json.loads(written.text) == result.structured_content == {"text": "seen"}
    assert said == TextContent(text="two\nlines")
    assert image == ImageContent(data=base64.b64encode(b"two\nlines").decode(), mime_type="image/png")
    assert link == ResourceLink(
        uri="https://files.example/invoice.pdf",
        name="invoice.pdf",
        title="May",
        description="May",
        mime_type="application/pdf",
        size=7,
    )


@pytest.mark.parametrize("notation", NOTATIONS)
async def test_no_block_shows_the_key(notation: str, era: str) -> None:
    """The key is removed from texts and from every field of a link, in any encoding."""
    result = await shown(era, text=f"see {notation} there", name=notation, title=notation)
    _, said, _, link = result.content
    assert said == TextContent(text="see [API key] there")
    assert isinstance(link, ResourceLink)
    assert (link.name, link.title, link.description, link.uri) == ("[API key]",) * 4


async def test_a_picture_that_holds_the_key_is_left_out(era: str) -> None:
    """A proxy may answer with an image whose metadata repeat the request."""
    _, _, image, _ = (await shown(era, text=f"see {KEY} there")).content
    assert image == TextContent(text="The image was left out, because it holds the API key.")


async def test_an_ordinary_picture_is_not_touched(era: str) -> None:
    """Images are binary, so hidden characters are not removed from them."""
    _, _, image, _ = (await shown(era, text="\x00\u200b" * 500)).content
    assert isinstance(image, ImageContent)
    assert base64.b64decode(image.data) == ("\x00\u200b" * 500).encode()


async def test_hidden_characters_are_taken_out_of_texts_and_links(era: str) -> None:
    """A link's fields become one line, while a text keeps its line breaks."""
    hidden = "a\u200b\U000e0041\u202eb\n\x07c"
    _, said, _, link = (await shown(era, text=hidden, name=hidden, title=hidden)).content
    assert said == TextContent(text="ab\nc")
    assert isinstance(link, ResourceLink)
    assert (link.name, link.title, link.description) == ("ab c",) * 3
    assert link.uri == "https://files.example/ab c"


async def test_blocks_count_towards_what_a_result_may_hold(era: str) -> None:
    """If a read is too large, the call fails; if something was made, the result omits the blocks and keeps the data."""
    much: dict[str, Any] = {"text": "x" * 4000, "times": MAX_RESULT // 8000}
    refused = await shown(era, **much)
    assert refused.is_error
    assert (refused.meta or {})["code"] == "result_too_large"
    assert len(refused.content) == 1
    made = await shown(era, "make_all", **much)
    assert made.structured_content
    assert made.structured_content["text"] == "seen"
    assert "left out" in made.structured_content["note"]
    assert len(made.content) == 1
    less = await shown(era, text="x" * 4000, times=MAX_RESULT // 12000)
    assert len(less.content) == 1 + 3 * (MAX_RESULT // 12000)


def test_what_the_api_calls_blocks_is_data() -> None:
    """The API may add a field with any name, and the field must not become content."""
    result = Shown.model_validate({"text": "seen", "blocks": ["theirs"]})
    assert result.model_dump() == {"text": "seen", "blocks": ["theirs"]}
    assert list(result.blocks()) == []


@pytest.mark.parametrize(
    ("block", "bytes_of_it"),
    [
        (Text("Ünï\n"), 6),
        (Text("\ud800"), 3),
        (Image(b"", ""), 0),
        (Image(b"1234", "image/png"), 8 + 9),
        (Link("https://a.example", "a"), 18),
        (Link("https://a.example", "a", "b", "c", "d/e", 10**9), 23),
    ],
    ids=repr,
)
def test_a_block_is_as_large_as_what_is_sent_of_it(block: Text | Image | Link, bytes_of_it: int) -> None:
    """An image counts with its base64 text, which is a third longer than its bytes."""
    assert size(block) == bytes_of_it
