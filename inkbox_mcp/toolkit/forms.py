"""Understands the forms in which models and clients write one value: a list as text, a word in capitals, "5" for 5.

Only the form may differ. A value that could mean something else stays as it is, and its type refuses it.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

from pydantic.fields import FieldInfo

from inkbox_mcp.toolkit.bounds import MAX_ITEMS, MAX_STRING, MaxBytes, excess

_BLANKS = "\t\n\v\f\r \xa0\u1680\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
"""Spaces of all scripts, and what moves to another place on a page. The others of `str.strip` are hidden characters."""

_HALF = re.compile("[\ud800-\udfff]")
_INTEGER = re.compile(r"([+-]?[0-9]{1,18})(\.0+)?")


class Separable(Enum):
    """How a text can contain several values of a type. Put it into the metadata of `Annotated`."""

    BY_COMMAS = "no useful value has a comma, a line break, a bracket or a quote"


@dataclass(frozen=True)
class Form:
    """What the type of an argument says about how its value may be written.

    Attributes:
        words: the values of an argument that takes these words only, such as "active".
        items: the form of the items of an argument that takes a list, and no text beside it.
        separable: whether one text can contain several values of the type.
        most_bytes: of a text, or of each item of a list.
        most_items: of a list.
    """

    words: tuple[str, ...] = ()
    items: "Form | None" = None
    separable: bool = False
    most_bytes: int = MAX_STRING
    most_items: int = MAX_ITEMS

    def excess(self, value: object) -> str | None:
        """Explain why a value is too large; return None if it is not."""
        return excess(value, self.most_bytes, self.most_items)


def form_of(kind: Any, metadata: Iterable[object] = ()) -> Form:
    """Return the form of an argument's type.

    Args:
        kind: the type.
        metadata: what pydantic took out of the `Annotated` around it.
    """
    arms = [arm for arm in _arms(kind, (*metadata,)) if arm[0] is not NoneType]
    if arms and all(get_origin(arm) is Literal for arm, _ in arms):
        words = [word for arm, _ in arms for word in get_args(arm) if word is not None]
        return Form(words=tuple(words) if all(isinstance(word, str) for word in words) else ())
    if len(arms) != 1:
        return Form()
    ((arm, found),) = arms
    if get_origin(arm) is list and get_args(arm):
        items = form_of(get_args(arm)[0])
        return Form(items=items, most_bytes=items.most_bytes, most_items=_most_items(found))
    most = next((bound.most for bound in found if isinstance(bound, MaxBytes)), MAX_STRING)
    return Form(separable=Separable.BY_COMMAS in found, most_bytes=most)


def _most_items(metadata: Iterable[object]) -> int:
    """Return the `max_length` of a list's type."""
    bounds = (bound for part in metadata for bound in (part.metadata if isinstance(part, FieldInfo) else [part]))
    return next((most for bound in bounds if (most := getattr(bound, "max_length", None)) is not None), MAX_ITEMS)


def understood(value: object, form: Form) -> object:
    """Return a value in the form that its type takes; unchanged if its form says nothing.

    Raises:
        ValueError: a text is broken, or looks like a list and is none.
    """
    _refuse_half(value)
    if isinstance(value, str) and form.items:
        value = _listed(value, form.items)
    if not isinstance(value, list):
        return _word(value, form.words)
    items = cast("list[object]", value)
    for item in items:
        _refuse_half(item)
    return [_word(item, form.items.words) for item in items] if form.items and form.items.words else items


def trimmed(value: object) -> object:
    """Remove blanks and line breaks around a text."""
    return value.strip(_BLANKS) if isinstance(value, str) else value


def whole_number(value: object) -> object:
    """Accept 5, 5.0 and "5", which models all send; pydantic refuses other values."""
    if isinstance(value, str) and (found := _INTEGER.fullmatch(value.strip(_BLANKS))):
        return int(found[1])
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def boolean(value: object) -> object:
    """Accept true and "true", which models both send; pydantic refuses other values."""
    said = value.strip(_BLANKS).lower() if isinstance(value, str) else ""
    return {"true": True, "false": False}.get(said, value)


def _word(value: object, words: tuple[str, ...]) -> object:
    """Return the word that a text is, whatever its case and the blanks around it."""
    said = value.strip(_BLANKS).casefold() if isinstance(value, str) else None
    return next((word for word in words if word.casefold() == said), value)


def _listed(text: str, items: Form) -> list[object]:
    """Return the list that a text is: JSON, or values between commas, or one value.

    Commas separate only what cannot contain one: in `Sales, Team <a@b.c>` they would make a mailbox of a name.
    """
    text = text.strip(_BLANKS)
    if not text.startswith(("[", "{")):
        return _separated(text) if items.separable else [text]
    found = _json_list(text)
    if found is None and items.separable and text[0] + text[-1] == "[]":
        found = _separated(text[1:-1])  # as Python or YAML write it
    if found is None:
        raise ValueError('must be a list, such as ["one", "two"]; this text begins like JSON and is no list')
    return found


def _json_list(text: str) -> list[object] | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return cast("list[object]", found) if isinstance(found, list) else None


def _separated(text: str) -> list[object]:
    parts = [part.strip(_BLANKS) for part in re.split("[,\n]", text)]
    return [re.sub(r"""^(["'])(.*)\1$""", r"\2", part) for part in parts if part] or [""]


def _refuse_half(text: object) -> None:
    if isinstance(text, str) and not text.isascii() and (found := _HALF.search(text)):
        raise ValueError(
            f"has half of a character, such as of an emoji (U+{ord(found[0]):04X} at position {found.start()}); "
            "write the whole character, or leave it out"
        )


def _arms(kind: Any, metadata: tuple[object, ...]) -> Iterator[tuple[Any, tuple[object, ...]]]:
    """Yield the types that a union consists of, with the metadata around them."""
    kind = getattr(kind, "__value__", kind)  # resolves a `type` statement
    if get_origin(kind) is Annotated:
        yield from _arms(get_args(kind)[0], (*metadata, *kind.__metadata__))
    elif get_origin(kind) in {Union, UnionType}:
        for part in get_args(kind):
            yield from _arms(part, metadata)
    else:
        yield kind, metadata
