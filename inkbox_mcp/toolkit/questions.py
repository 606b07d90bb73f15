r"""The question to the human before a call: its text, and the key of its answer.

The text shows values exactly as they will be sent. Hidden characters, and those that look like others, are shown as
escapes (`sup\u200bport`), so that different values never look the same. The key is made from the arguments, so that an
answer counts for no others.
"""

import hashlib
import json
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from string import Formatter
from typing import Any, Self

from inkbox_mcp.text import one_line

# Quotes and characters that look like them. They are escaped, so that nothing in a value looks like its end.
_QUOTES = frozenset("\"'`´\\ʹʺʻʼʽˈˊˋ′″‴‵‶‷⁗〃＂＇")  # noqa: RUF001  # look-alikes are what it lists
_BLANK = frozenset("\u2800\u3164\uffa0\u115f\u1160")


class Lines(str):
    """Whole lines of a question, which it shows as people write them, with their quotation marks."""

    __slots__ = ()

    @classmethod
    def of(cls, *lines: str) -> Self:
        """Make lines; what would break one, or cannot be seen, is removed from it."""
        return cls("\n".join(map(one_line, lines)))


@dataclass(frozen=True)
class Question:
    """A question to the human.

    Attributes:
        text: the complete question.
        key: identifies this question about these arguments.
    """

    text: str
    key: str


def question(operation: str, template: str, arguments: Mapping[str, Any]) -> Question:
    """Make the question before a call.

    Args:
        operation: the tool's name.
        template: the question, with arguments in braces.
        arguments: as they will be sent, without omitted ones.
    """
    text = template.format_map({name: _shown(value) for name, value in arguments.items()})
    asked = json.dumps([operation, template, arguments], sort_keys=True, separators=(",", ":"))
    return Question(text, hashlib.sha256(asked.encode()).hexdigest())


def _shown(value: object) -> str:
    return value if isinstance(value, Lines) else escaped(str(value))


def arguments_in(template: str) -> set[str]:
    """Find the arguments that a question shows.

    Raises:
        TypeError: it shows one in another form than as it is, or is no template.
    """
    try:
        fields = [field for _, *field in Formatter().parse(template) if field[0] is not None]
    except ValueError as error:
        raise TypeError(f"the question {template!r} is no template: {error}") from None
    for name, specification, conversion in fields:
        if specification or conversion:
            raise TypeError(f"the question {template!r} shows {name} in another form than as it is: write {{{name}}}")
    return {str(name) for name, *_ in fields}


def escaped(value: str) -> str:
    r"""Return a value in which every character is visible, such as `des\u212a-1` for one with a Kelvin sign."""
    composed = unicodedata.is_normalized("NFC", value)
    return "".join(char if _is_seen(char, composed) else _escape(char) for char in value)


def _is_seen(char: str, composed: bool) -> bool:
    if char.isascii():
        return char.isprintable() and char not in _QUOTES
    return (
        char.isprintable()
        and one_line(char) == char
        and char not in _QUOTES | _BLANK
        and unicodedata.normalize("NFKC", char) == char
        and unicodedata.category(char) not in {"Pi", "Pf"}
        and (composed or not unicodedata.combining(char))
    )


def _escape(char: str) -> str:
    return f"\\u{ord(char):04x}" if ord(char) <= 0xFFFF else f"\\U{ord(char):08x}"
