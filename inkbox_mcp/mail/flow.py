"""Writes words, breaks and blocks as lines of plain text."""

import re

_BLANKS = re.compile(r"[ \t\n\r\f]+")
_MANY_BREAKS = re.compile(r"\n{3,}")
_QUOTE_LEVELS = 8
_WIDE_CELL = 2000


class Flow:
    """Lines of text of one box: the body, a quotation, a table's row or a cell.

    A break that comes before any text, or after the last, is left out; so is a second blank line.
    """

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._breaks = 0
        self._space = False
        self._mark = ""

    def text(self, data: str, *, pre: bool = False) -> None:
        """Add text within the line; runs of blanks become one space, unless it is preformatted."""
        if pre:
            words = data.replace("\r\n", "\n").replace("\r", "\n")
        else:
            words = _BLANKS.sub(" ", data)
            if words.startswith(" "):
                self._space, words = True, words[1:]
            if not words:
                return
        self._begin(words)
        self._space = not pre and words.endswith(" ")
        self._parts.append(words[:-1] if self._space else words)

    def line_break(self) -> None:
        """End the line, or add a blank one."""
        if self._parts or self._mark:
            self._breaks = min(self._breaks + 1, 2)
        self._space = False

    def block(self, lines: int = 1) -> None:
        """End the line; with `lines=2` a blank one follows."""
        if self._parts:
            self._breaks = max(self._breaks, lines)
        self._space = False

    def mark(self, mark: str) -> None:
        """Begin a line with a mark, such as "- ", if text follows."""
        self.block()
        self._mark = mark

    def box(self, text: str, lines: int = 1) -> None:
        """Add finished lines as a block."""
        if text:
            self.block(lines)
            self._begin(text)
            self._parts.append(text)
            self.block(lines)

    def finish(self) -> str:
        """Return the lines."""
        return _MANY_BREAKS.sub("\n\n", "".join(self._parts)).strip("\n ")

    def _begin(self, text: str) -> None:
        if self._mark:
            self._breaks = max(self._breaks, 1) if self._parts else 0
            self._parts += ["\n" * self._breaks, self._mark]
        elif self._breaks and self._parts:
            self._parts.append("\n" * self._breaks)
        elif self._space and self._parts and text:
            self._parts.append(" ")
        self._breaks, self._space, self._mark = 0, False, ""


def quoted_lines(text: str, level: int) -> str:
    """Put "> " before each line, in the outer levels of quotations."""
    if level > _QUOTE_LEVELS or not text:
        return text
    return "\n".join(f"> {line}" if line else ">" for line in text.split("\n"))


def row_of(cells: list[str]) -> str:
    """Join the cells of a table's row.

    Cells of one line become one line: with " | " between them, or with a space if each is a single character, such as
    the digits of a code. Cells of several lines are layout, and follow one another.
    """
    cells = [cell for cell in cells if cell]
    if any("\n" in cell or len(cell) > _WIDE_CELL for cell in cells):
        return "\n\n".join(cells)
    if all(len(cell) == 1 for cell in cells):
        return " ".join(cells)
    return " | ".join(cells)
