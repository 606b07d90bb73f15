"""The words of messages, for search and snippets; not what a reader would be shown."""

import re
from html import unescape

SEARCHED = 100_000
"""Characters of a body that are searched."""


def words_of(text: str) -> list[str]:
    """Return the words of a text as search compares them."""
    return re.findall(r"\w+", text.casefold())


def without_tags(html: str) -> str:
    """Return about what a reader sees of HTML, of its first 100,000 characters."""
    text = html[:SEARCHED]
    for name in ("style", "script", "head"):
        kept, rest = "", text
        while (begin := re.search(rf"<{name}\b", rest, re.IGNORECASE)) is not None:
            kept += rest[: begin.start()] + " "
            end = re.search(rf"</{name}\b", rest[begin.end() :], re.IGNORECASE)
            rest = rest[begin.end() + end.start() :] if end else ""
        text = kept + rest
    return unescape(re.sub(r"<[^<>]*>", " ", text))
