"""Reads selectors of CSS, and says which elements they match.

Tags, classes, ids, attributes and places among siblings are asked for. A selector of a state, such as `:hover`, is not
read at all.
"""

import re
from typing import NamedTuple, Self

_MOST_CHARS = 300
_MOST_STEPS = 12
_MOST_NESTED = 3
_SIMPLE = re.compile(
    r"(?P<tag>\*|[a-z][\w-]*)|(?P<kind>[.#])(?P<name>[\w-]+)|"
    r"\[\s*(?P<attribute>[\w-]+)\s*(?:(?P<how>[~^$*|]?=)\s*(?:\"(?P<double>[^\"]*)\"|'(?P<single>[^']*)'|(?P<bare>[^\s\"'\]]*))"
    r"\s*(?P<case>[is]?)\s*)?\]|"
    r":(?P<pseudo>[a-z-]+)",
    re.IGNORECASE,
)
_COMBINATOR = re.compile(r"\s*([>+~])\s*|\s+")
_NTH = re.compile(
    r"\s*(?:(?P<word>odd|even)|(?P<step>[+-]?\d{0,4})n\s*(?P<plus>[+-]\s*\d{1,4})?|(?P<only>[+-]?\d{1,4}))\s*"
)


class Named:
    """What a selector can ask of an element.

    Attributes:
        before: the element before it, in the same one.
        place: its number among the elements of the same one, from 1.
    """

    __slots__ = ("attributes", "before", "classes", "id", "place", "tag")

    def __init__(self, tag: str, attributes: dict[str, str], before: "Named | None" = None) -> None:
        self.tag = tag
        self.attributes = attributes
        self.before = before
        self.place = before.place + 1 if before else 1
        self.id = attributes.get("id", "").lower()
        # Computed here and not on each test: there are many more tests than elements.
        self.classes = frozenset(attributes["class"][:1000].lower().split() if "class" in attributes else ())


class Compound(NamedTuple):
    """One step of a selector.

    Attributes:
        attributes: of each its name, how it is compared, and with what.
        places: numbers a and b of `:nth-child(an+b)`.
        groups: for `:not()` and `:is()`, whether one of the steps must match, and these.
        relation: to the step before it: " " for somewhere in it, ">", "+" or "~".
        cost: of testing an element, where a selector without brackets costs 1.
    """

    tag: str = "*"
    id: str = ""
    classes: frozenset[str] = frozenset()
    attributes: tuple[tuple[str, str, str], ...] = ()
    places: tuple[tuple[int, int], ...] = ()
    groups: tuple[tuple[bool, tuple[Self, ...]], ...] = ()
    relation: str = " "
    cost: int = 1

    @property
    def key(self) -> str:
        """By what an element is found that may fit."""
        if self.id:
            return f"#{self.id}"
        return min(self.classes) if self.classes else "*" if self.tag == "*" else f"<{self.tag}"

    @property
    def weight(self) -> tuple[int, int, int]:
        """How specific it is: ids, classes, tags."""
        own = (bool(self.id), len(self.classes) + len(self.attributes) + len(self.places), self.tag != "*")
        most = [max(step.weight for step in steps) for _, steps in self.groups]
        first, second, third = (sum(parts) for parts in zip(own, *most, strict=True))
        return first, second, third

    def fits(self, named: Named) -> bool:
        """Whether an element is as it says, wherever it stands."""
        if (
            (self.tag not in {"*", named.tag})
            or (self.id and self.id != named.id)
            or (self.classes and not self.classes <= named.classes)
        ):
            return False
        return (
            all(_has(named.attributes.get(name), how, value) for name, how, value in self.attributes)
            and all(_is_at(named.place, step, first) for step, first in self.places)
            and all(any(step.fits(named) for step in steps) is wanted for wanted, steps in self.groups)
        )


def split_list(selectors: str, most: int) -> list[str]:
    """Split a list of selectors at the commas that stand in no brackets; at most so many are returned."""
    found = [""]
    depth = 0
    for part in re.split(r"([,()\[\]])", selectors):
        if part == "," and not depth:
            if len(found) == most:
                return found
            found.append("")
            continue
        depth = max(depth + (part in {"(", "["}) - (part in {")", "]"}), 0)
        if len(found[-1]) <= _MOST_CHARS:
            found[-1] += part
    return found


def read_selector(selector: str) -> tuple[Compound, ...] | None:
    """Return the steps of a selector from the outermost; None if it is long, or not understood."""
    text = selector[: _MOST_CHARS + 1].replace("<!--", " ").replace("-->", " ").strip()
    if not text or len(selector) > _MOST_CHARS:
        return None
    steps: list[Compound] = []
    relation, at = " ", 0
    while at < len(text):
        if not (read := _compound(text, at, relation)) or len(steps) == _MOST_STEPS:
            return None
        step, at = read
        steps.append(step)
        if at < len(text):
            if not (found := _COMBINATOR.match(text, at)):
                return None
            relation, at = found[1] or " ", found.end()
            if at == len(text):
                return None
    return tuple(steps)


def _compound(text: str, at: int, relation: str = " ", nested: int = 0) -> tuple[Compound, int] | None:
    """Read one step, and return it with where it ends; None if it is not understood."""
    tag, name, start = "*", "", at
    classes: list[str] = []
    attributes: list[tuple[str, str, str]] = []
    places: list[tuple[int, int]] = []
    groups: list[tuple[bool, tuple[Compound, ...]]] = []
    while found := _SIMPLE.match(text, at):
        at = found.end()
        if found["tag"]:
            if found.start() != start:
                return None
            tag = found["tag"].lower()
        elif found["kind"] == "#":
            name = found["name"].lower()
        elif found["kind"]:
            classes.append(found["name"].lower())
        elif found["attribute"]:
            value = found["double"] or found["single"] or found["bare"] or ""
            how = f"{found['how'] or ''}{(found['case'] or '').lower()}"
            attributes.append((found["attribute"].lower(), how, value.lower() if how.endswith("i") else value))
        else:
            inside, at = _argument(text, at)
            if not _add_pseudo(found["pseudo"].lower(), inside, (attributes, places, groups), nested):
                return None
    if at == start:
        return None
    cost = 1 + sum(1 + 2 * sum(step.cost for step in steps) for _, steps in groups)
    step = Compound(tag, name, frozenset(classes), tuple(attributes), tuple(places), tuple(groups), relation, cost)
    return step, at


def _add_pseudo(
    name: str,
    inside: str | None,
    parts: tuple[list[tuple[str, str, str]], list[tuple[int, int]], list[tuple[bool, tuple[Compound, ...]]]],
    nested: int,
) -> bool:
    """Add what a pseudo-class asks for; False if it is not understood."""
    attributes, places, groups = parts
    match name, inside:
        case "first-child", None:
            places.append((0, 1))
        case (("link" | "any-link"), None):
            attributes.append(("href", "", ""))
        case "nth-child", str() if numbers := _nth(inside):
            places.append(numbers)
        case (("not" | "is" | "where" | "matches" | "-webkit-any" | "-moz-any"), str()) if nested < _MOST_NESTED:
            read = [_compound(one.strip(), 0, nested=nested + 1) for one in split_list(inside, _MOST_STEPS)]
            ends = [one.strip() for one in split_list(inside, _MOST_STEPS)]
            steps = [each[0] for each, text in zip(read, ends, strict=True) if each and each[1] == len(text)]
            if len(steps) < len(ends):
                return False
            groups.append((name != "not", tuple(steps)))
        case _:
            return False
    return True


def _argument(text: str, at: int) -> tuple[str | None, int]:
    """Return what stands in the brackets that open here, and where they end; None if none open."""
    if text[at : at + 1] != "(":
        return None, at
    depth = 0
    for place in range(at, len(text)):
        depth += (text[place] == "(") - (text[place] == ")")
        if not depth:
            return text[at + 1 : place], place + 1
    return text[at + 1 :], len(text)


def _nth(text: str) -> tuple[int, int] | None:
    found = _NTH.fullmatch(text.lower())
    if not found:
        return None
    if found["only"]:
        return 0, int(found["only"])
    if found["word"]:
        return 2, int(found["word"] == "odd")
    step = found["step"]
    return int(f"{step}1" if step in {"", "+", "-"} else step), int("".join((found["plus"] or "0").split()))


def _is_at(place: int, step: int, first: int) -> bool:
    if not step:
        return place == first
    return (place - first) % step == 0 and (place - first) // step >= 0


def _has(actual: str | None, how: str, value: str) -> bool:
    if actual is None:
        return False
    if how.endswith("i"):
        actual = actual.lower()
    match how.rstrip("is"):
        case "=":
            return actual == value
        case "^=":
            return bool(value) and actual.startswith(value)
        case "$=":
            return bool(value) and actual.endswith(value)
        case "*=":
            return bool(value) and value in actual
        case "~=":
            return value in actual.split()
        case "|=":
            return actual == value or actual.startswith(f"{value}-")
        case _:
            return True
