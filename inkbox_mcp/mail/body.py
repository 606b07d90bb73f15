"""Reads the body of a mail: its text, and the codes and links in it."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from inkbox_mcp.mail.codes import Code, find_codes
from inkbox_mcp.mail.links import Links, find_links
from inkbox_mcp.mail.visible import visible_text

if TYPE_CHECKING:
    from inkbox_mcp.mail.html import Page

MAX_TEXT = 512_000
"""Characters of a text that are read."""
_ENOUGH = 0.4  # of the characters that the HTML shows
_SHORT = 200
_STUB = re.compile(
    r"view (?:this|it|the) (?:e-?mail|message|newsletter)? ?(?:in|on|online)|"
    r"view (?:in|on) (?:your |a )?(?:web )?browser|view online|"
    r"(?:does|do) not (?:support|display) html|html[ -](?:capable|enabled|e-?mail|version|client|viewer)|"
    r"im browser (?:an|öffnen|lesen)|online[- ]?version|dans (?:votre|le) navigateur|version en ligne|version html|"
    r"en (?:tu|su|el) navegador|nel browser|no (?:seu )?navegador|in (?:je|uw) browser|в браузере|"
    r"浏览器|瀏覽器|ブラウザ|html(?:メール|形式)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Body:
    """What a mail says.

    Attributes:
        text: the visible text, with quotations.
        source: which of the two bodies the text is from; "none" if the mail has no text.
        hidden: characters of the HTML, blanks not counted, that a person does not see; they are left out.
        invisible: characters that have no shape, such as zero-width ones; they are left out.
        unread: characters at the end that were not read, because the body is too long or too entangled.
        codes: what may be a code to sign in or to verify with, the likeliest first.
        links: where the mail leads to.
    """

    text: str
    source: Literal["text", "html", "none"]
    hidden: int
    invisible: int
    unread: int
    codes: tuple[Code, ...]
    links: Links


def read_body(body_text: str | None, body_html: str | None, subject: str | None = None) -> Body:
    """Read the body of a mail. The plain text is preferred, unless it only says that the mail is in HTML.

    Reading takes less than a second of processor time, whatever the mail; other threads run meanwhile.

    Args:
        body_text: the body in plain text; at most 512,000 characters are read.
        body_html: the body in HTML; likewise.
        subject: looked through for codes, too.
    """
    plain = visible_text((body_text or "")[:MAX_TEXT])
    page = _read_html(body_html) if body_html else None
    shown = visible_text(page.text if page else "")
    use_plain = not _is_stub(plain.text, shown.text)
    text, other = (plain.text, shown.text) if use_plain else (shown.text, plain.text)
    text = text.strip("\n ")
    beyond = max(len(body_text or "") - MAX_TEXT, 0)
    return Body(
        text=text,
        source=("text" if use_plain else "html") if text else "none",
        hidden=page.hidden if page else 0,
        invisible=(plain if use_plain else shown).removed,
        unread=page.unread if page and not (use_plain and text) else beyond,
        codes=find_codes(text, subject or "") or find_codes(other, subject or ""),
        links=find_links(text, page.anchors if page else ()),
    )


def _read_html(html: str) -> "Page":
    from inkbox_mcp.mail.html import read_html  # a parser that a server without mail in HTML need not load

    return read_html(html)


def _is_stub(plain: str, shown: str) -> bool:
    """Whether a plain text says less than the HTML beside it."""
    size, whole = len("".join(plain.split())), len("".join(shown.split()))
    if not whole or not size:
        return bool(whole)
    if size < 2 * _SHORT and whole > size and _STUB.search(plain):
        return True
    return whole > _SHORT and size < _ENOUGH * whole
