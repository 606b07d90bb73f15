"""Reads HTML as a person would see it: its text in lines, its links, and how much of it was hidden."""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass

from turbohtml import Document, Element, IncrementalParser, Node, Text

from inkbox_mcp.mail.css import Declarations
from inkbox_mcp.mail.flow import Flow, quoted_lines, row_of
from inkbox_mcp.mail.lengths import PAGE, length
from inkbox_mcp.mail.links import Anchor
from inkbox_mcp.mail.selectors import Named
from inkbox_mcp.mail.sheets import Sheet, is_for_every_screen
from inkbox_mcp.mail.styles import RESTYLED, USUAL, Seen, look

MAX_HTML = 512_000
"""Characters of HTML that are read."""
_PIECE = 2048  # characters that the parser gets at once: other threads can run in between
_PARSER_SECONDS = 0.1  # of processor time; sound HTML of the maximum size takes 0.03 at most
MAX_SECONDS = 10.0
"""For the walk through the tree, by the clock. It takes less than one, but other threads can take turns from it."""
_NODES_AT_ONCE = 500  # between two looks at the clock
_MOST_NODES = 60_000
_MOST_ANCHORS = 2_000
_MOST_ALT = 200
_MOST_SHEETS = 20
# A second one gives its attributes to the first, in a time that grows with the square of their number.
_ROOTS = re.compile(r"<(?=(?:body|html)[\s/>])", re.IGNORECASE)
_SURROGATES = re.compile("[\ud800-\udfff]")  # the parser has UTF-8 inside
_UNREAD = frozenset(
    "head script style title template noembed noframes iframe object audio video canvas datalist meta link base param "
    "source track col colgroup".split()
)
_PARAGRAPHS = frozenset("p h1 h2 h3 h4 h5 h6 ul ol dl pre table blockquote figure fieldset hr".split())
_BLOCKS = frozenset(
    "address article aside body caption center dd details dialog dir div dt figcaption footer form header html legend "
    "li main menu nav optgroup option section select summary tbody tfoot thead".split()
)
_BOXES = frozenset({"blockquote", "tr", "td", "th"})
_BLOCK_DISPLAYS = frozenset({"block", "flex", "grid", "table", "list-item", "table-row"})
_NOTHING: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class Page:
    """What a person sees of HTML.

    Attributes:
        text: lines; paragraphs have a blank line between them, quotations "> " before each line.
        anchors: the visible links, in their order; at most 2,000.
        hidden: characters of text, blanks not counted, that were left out because a person does not see them.
        unread: characters of the HTML, at its end, that were not read, because it is too long or too entangled.
    """

    text: str
    anchors: tuple[Anchor, ...] = ()
    hidden: int = 0
    unread: int = 0


@dataclass(slots=True)
class _Frame:
    """An element that is being read."""

    children: Iterator[Node]
    seen: Seen
    flow: Flow
    """Where its text goes."""
    tag: str = ""
    quotes: int = 0
    """How many quotations are around it, itself included."""
    cells: list[str] | None = None
    """Of the table's row that it is or is in."""
    anchor: tuple[str, list[str]] | None = None
    """Of the link that it is or is in: where it leads, and its text so far."""
    item: int | None = None
    """The number of the next item, in an ordered list."""
    breaks: int = 0
    """Line breaks after it, at least."""
    latest: Named | None = None
    """The last element in it so far."""


def read_html(html: str, *, seconds: float = MAX_SECONDS) -> Page:
    """Read HTML as a person would see it, with no regard to its correctness.

    The work is bounded: of HTML that is longer or more entangled than any real mail, the end is not read.

    Args:
        html: a document or a part of one.
        seconds: that its tree may take; what is not read by then is left out.
    """
    document, unread = _parse(html[:MAX_HTML])
    reader = _Reader(document)
    unread += reader.read(seconds) + max(len(html) - MAX_HTML, 0)
    return Page(reader.text, tuple(reader.anchors), reader.hidden, unread)


def _parse(html: str) -> tuple[Document, int]:
    """Build the tree of HTML, and return it with the number of characters that were left out at the end."""
    first = True

    def only_one(found: re.Match[str]) -> str:
        nonlocal first
        first, was_first = False, first
        return found[0] if was_first else "<x-"

    html = _ROOTS.sub(only_one, _SURROGATES.sub("\ufffd", html))
    parser = IncrementalParser(positions=False)
    deadline = time.thread_time() + _PARSER_SECONDS
    read = 0
    while read < len(html) and time.thread_time() < deadline:
        parser.feed(html[read : read + _PIECE])
        read += _PIECE
    return parser.close(), max(len(html) - read, 0)


class _Reader:
    """Walks through a document, without recursion, and writes what is seen."""

    def __init__(self, document: Document) -> None:
        self.anchors: list[Anchor] = []
        self.hidden = 0
        self._document = document
        self._sheet = Sheet([each.text for each in document.find_all("style", limit=_MOST_SHEETS) if _counts(each)])
        self._flow = Flow()
        self._frames = [_Frame(iter(document), USUAL, self._flow)]
        self._above: list[Named] = []

    @property
    def text(self) -> str:
        return self._flow.finish()

    def read(self, seconds: float) -> int:
        """Walk to the end, and return how many characters of text were not reached."""
        deadline = time.monotonic() + seconds
        nodes = reached = 0
        while self._frames:
            frame = self._frames[-1]
            node = next(frame.children, None)
            if node is None:
                self._leave(self._frames.pop())
                del self._above[-1:]
                continue
            nodes += 1
            if nodes > _MOST_NODES or (nodes % _NODES_AT_ONCE == 0 and time.monotonic() >= deadline):
                while self._frames:
                    self._leave(self._frames.pop())
                return max(len(self._document.text) - reached, 1)
            if isinstance(node, Text):
                reached += len(node.data)
                self._write(frame, node.data)
            elif isinstance(node, Element):
                self._enter(frame, node)
        return 0

    def _write(self, frame: _Frame, data: str) -> None:
        if frame.seen.unseen:
            self.hidden += sum(map(len, data.split()))
            return
        frame.flow.text(data, pre=frame.seen.pre)
        if frame.anchor:
            frame.anchor[1].append(data)

    def _enter(self, around: _Frame, element: Element) -> None:
        tag = element.tag
        if tag == "br":
            around.flow.line_break()
        if tag == "br" or tag in _UNREAD:
            around.latest = Named(tag, _NOTHING, around.latest)
            return
        attributes = dict(map(_attribute, element.attrs.items())) if element.attrs else _NOTHING
        named = around.latest = Named(tag, attributes, around.latest)
        declared = self._sheet.declared(named, attributes.get("style", ""), self._above)
        plain = not attributes and not declared and tag not in RESTYLED
        seen = around.seen if plain else look(around.seen, tag, attributes, declared)
        if tag == "img":
            self._write_image(around, seen, attributes, declared)
            return
        frame = _Frame(iter(element), seen, around.flow, tag, around.quotes, around.cells, around.anchor)
        self._open(frame, attributes, declared)
        self._frames.append(frame)
        self._above.append(named)

    def _open(self, frame: _Frame, attributes: dict[str, str], declared: Declarations) -> None:
        """Begin the line, box, mark or link that an element stands for."""
        tag = frame.tag
        if tag == "a" and (href := attributes.get("href", "").strip()):
            frame.anchor = (href, [])
        if tag in _BOXES:
            frame.flow, frame.cells = Flow(), [] if tag == "tr" else frame.cells
            frame.quotes += tag == "blockquote"
        elif tag == "li":
            items = self._frames[-1]
            number, items.item = items.item, items.item + 1 if items.item is not None else None
            frame.flow.mark(f"{number}. " if number is not None else "- ")
            frame.breaks = 1
        elif tag in _PARAGRAPHS or tag in _BLOCKS or declared.get("display") in _BLOCK_DISPLAYS:
            frame.breaks = 2 if tag in _PARAGRAPHS else 1
            frame.flow.block(frame.breaks)
            frame.item = 1 if tag == "ol" else None

    def _leave(self, frame: _Frame) -> None:
        tag = frame.tag
        around = self._frames[-1] if self._frames else None
        if around is None:
            return
        if tag in {"td", "th"}:
            if around.cells is None:
                around.flow.box(frame.flow.finish())
            else:
                around.cells.append(frame.flow.finish())
        elif tag == "tr":
            around.flow.box(row_of([*(frame.cells or ()), frame.flow.finish()]))
        elif tag == "blockquote":
            around.flow.box(quoted_lines(frame.flow.finish(), frame.quotes), 2)
        elif frame.breaks:
            frame.flow.block(frame.breaks)
        if frame.anchor and frame.anchor is not around.anchor and len(self.anchors) < _MOST_ANCHORS:
            href, words = frame.anchor
            if not frame.seen.unseen or words:
                self.anchors.append(Anchor(" ".join("".join(words).split()), href))

    def _write_image(self, around: _Frame, seen: Seen, attributes: dict[str, str], declared: Declarations) -> None:
        """Write what an image says instead of itself, as a program does that loads none."""
        words = " ".join(attributes.get("alt", "")[:_MOST_ALT].split())
        sides = [length(declared.get(name), whole=PAGE) for name in ("width", "height", "max-width", "max-height")]
        sides += [length(attributes.get(name, "").strip(), whole=PAGE) for name in ("width", "height")]
        if not words or any(side is not None and side <= 1 for side in sides):
            return
        # The size and the color of text are not those of a picture. Without one, its words are text.
        is_picture = attributes.get("src", "").strip().lower().startswith(("http:", "https:", "cid:", "//"))
        if seen.undrawn or (not is_picture and seen.unseen):
            self.hidden += len(words.replace(" ", ""))
            return
        around.flow.text(f"[{words}]")
        if around.anchor:
            around.anchor[1].append(words)


def _counts(style: Element) -> bool:
    """Whether a `<style>` is read by every program, on every screen."""
    attributes = dict(map(_attribute, style.attrs.items()))
    return is_for_every_screen(attributes.get("media", "")) and (
        attributes.get("type", "").strip().lower() in {"", "text/css"}
    )


def _attribute(pair: tuple[str, str | list[str] | None]) -> tuple[str, str]:
    name, value = pair
    return name, " ".join(value) if isinstance(value, list) else value or ""
