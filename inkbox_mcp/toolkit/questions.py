r"""The question to the human before a call: what it shows, and what stands for it.

It shows values as they will be sent. Characters that are not seen, or that look like others, are written as escapes
(`sup\u200bport`), so that two values never look the same unless they are. An answer is kept under a key that is made of
the arguments themselves, so that it counts for these and for no others.
"""

import hashlib
import json
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from inkbox_mcp.text import one_line

# Quotes and what looks like them; without them nothing in a value can look like its end.
_QUOTES = frozenset("\"'`´\\ʹʺʻʼʽˈˊˋ′″‴‵‶‷⁗〃＂＇")  # noqa: RUF001  # look-alikes are what it lists
_BLANK = frozenset("\u2800\u3164\uffa0\u115f\u1160")


@dataclass(frozen=True)
class Question:
    """What the human is asked.

    Attributes:
        text: the question, complete in itself.
        key: stands for this question about these arguments, and for nothing else.
    """

    text: str
    key: str


def question(operation: str, template: str, arguments: Mapping[str, Any]) -> Question:
    """Make the question before a call.

    Args:
        operation: the tool's name.
        template: the question, with arguments in braces.
        arguments: as they will be sent, without those that are omitted.
    """
    text = template.format_map({name: escaped(str(value)) for name, value in arguments.items()})
    asked = json.dumps([operation, template, arguments], sort_keys=True, separators=(",", ":"))
    return Question(text, hashlib.sha256(asked.encode()).hexdigest())


def escaped(value: str) -> str:
    r"""Write a value so that each of its characters is seen: `des\u212a-1` for one with a Kelvin sign."""
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
