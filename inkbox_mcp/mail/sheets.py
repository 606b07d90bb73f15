"""Finds the declarations that apply to an element, in its `style` and in a mail's `<style>` elements.

Rules count with selectors of tags, classes, ids and attributes, one below another. What stands in `@media` counts only
if it is for every screen. Selectors of siblings and states are left out: mail has them for the faults of single
programs.
"""

import re
from collections import defaultdict
from typing import NamedTuple

from inkbox_mcp.mail.css import Declarations, declarations, without_noise

_MOST_RULES = 2000
_MOST_TESTS = 200_000  # of selectors on elements, in one mail
_RELEVANT = frozenset(
    "display visibility opacity font font-size color background background-color background-image height max-height "
    "width max-width min-width overflow overflow-x overflow-y position left top right bottom text-indent margin-left "
    "margin-top transform clip clip-path white-space content-visibility filter -webkit-text-fill-color".split()
)
_EVERY_SCREEN = re.compile(
    r"@media(?: (?:only )?(?:all|screen))?(?: (?:and )?\( ?min-(?:device-)?width ?: ?\d{1,3}px ?\))?",
    re.IGNORECASE,
)
_COMPOUND = re.compile(r"(\*|[a-z][\w-]*)?((?:[.#][\w-]+|\[[^\[\]]+\])*)", re.IGNORECASE)
_PARTS = re.compile(r"([.#])([\w-]+)|\[\s*([\w-]+)\s*(?:([~^$*|]?=)\s*[\"']?([^\"'\]]*)[\"']?\s*)?\]")
_NOTHING = Declarations()


class Named:
    """What a selector can ask of an element."""

    __slots__ = ("attributes", "classes", "id", "tag")

    def __init__(self, tag: str, attributes: dict[str, str]) -> None:
        self.tag = tag
        self.attributes = attributes
        self.id = attributes.get("id", "").lower()
        # Computed here and not on each test: there are many more tests than elements.
        self.classes = frozenset(attributes["class"][:1000].lower().split() if "class" in attributes else ())


class Compound(NamedTuple):
    """One step of a selector, and whether its parent must be the step before it."""

    tag: str
    id: str
    classes: frozenset[str]
    attributes: tuple[tuple[str, str, str], ...]
    is_child: bool


class Rule(NamedTuple):
    """A selector with what it declares."""

    rank: tuple[int, int, int, int]
    steps: tuple[Compound, ...]
    normal: Declarations
    important: Declarations


class Sheet:
    """The rules of a mail's `<style>` elements that can hide something."""

    def __init__(self, css: list[str]) -> None:
        self._rules: defaultdict[str, list[Rule]] = defaultdict(list)
        self._tests = _MOST_TESTS
        self._inline: dict[str, tuple[Declarations, Declarations]] = {}
        count = 0
        for selectors, body in (pair for text in css for pair in _blocks(without_noise(text))):
            normal, important = ({k: v for k, v in part.items() if k in _RELEVANT} for part in declarations(body))
            if not normal and not important:
                continue
            for selector in selectors.split(",", _MOST_RULES)[:_MOST_RULES]:
                if count < _MOST_RULES and (rule := _rule(selector, count, normal, important)):
                    self._rules[_key(rule.steps[-1])].append(rule)
                    count += 1

    def declared(self, named: Named, style: str, above: list[Named]) -> Declarations:
        """Return what applies to an element.

        Args:
            named: the element.
            style: its inline style.
            above: the elements around it, from the outermost.
        """
        if not self._rules and not style:
            return _NOTHING
        normal, important = self._of_style(style)
        if not self._rules or self._tests <= 0:
            return {**normal, **important}
        keys = [f"<{named.tag}", "*"]
        if named.attributes:
            keys += [f"#{named.id}", *named.classes]
        candidates = [rule for key in keys for rule in self._rules.get(key, ())]
        self._tests -= len(candidates)
        matched = sorted(
            (rule for rule in candidates if self._matches(rule.steps, named, above)), key=lambda rule: rule.rank
        )
        result = Declarations()
        for rule in matched:
            result |= rule.normal
        result |= normal
        for rule in matched:
            result |= rule.important
        return result | important

    def _of_style(self, style: str) -> tuple[Declarations, Declarations]:
        if style not in self._inline:
            self._inline[style] = declarations(without_noise(style))
        return self._inline[style]

    def _matches(self, steps: tuple[Compound, ...], named: Named, above: list[Named]) -> bool:
        """Whether a selector matches; the nearest element that fits a step is taken for it."""
        if not _fits(steps[-1], named):
            return False
        at = len(above) - 1
        for place in range(len(steps) - 2, -1, -1):
            while at >= 0 and self._tests > 0:
                self._tests -= 1
                if _fits(steps[place], above[at]):
                    break
                if steps[place + 1].is_child:
                    return False
                at -= 1
            else:
                return False
            at -= 1
        return True


def _blocks(css: str) -> list[tuple[str, str]]:
    """Split a sheet into selectors and declarations, leaving out what counts on some screens only."""
    found: list[tuple[str, str]] = []
    opened: list[str | None] = []  # the selectors of a rule, "" for what counts on every screen, None for the rest
    text = ""
    for part in re.split("([{}])", css):
        if part == "{":
            prelude = text.rpartition(";")[2].strip()
            at_rule = " ".join(prelude[:200].split()) if prelude.startswith("@") else ""
            if opened and opened[-1] != "":
                opened.append(None)
            elif at_rule:
                opened.append("" if _EVERY_SCREEN.fullmatch(at_rule) else None)
            else:
                opened.append(prelude or None)
        elif part == "}" and opened and (selectors := opened.pop()):
            found.append((selectors, text))
        text = part
    return found


def _rule(selector: str, order: int, normal: Declarations, important: Declarations) -> Rule | None:
    words = selector[:300].replace("<!--", " ").replace("-->", " ").replace(">", " > ").split()
    if not words or len(selector) > 300 or len(words) > 12:
        return None
    steps: list[Compound] = []
    is_child = False
    for word in words:
        if word == ">":
            is_child = True
            continue
        if not (found := _COMPOUND.fullmatch(word)):
            return None
        parts = list(_PARTS.finditer(found[2]))
        steps.append(
            Compound(
                (found[1] or "*").lower(),
                next((part[2].lower() for part in parts if part[1] == "#"), ""),
                frozenset(part[2].lower() for part in parts if part[1] == "."),
                tuple((part[3].lower(), part[4] or "", part[5] or "") for part in parts if part[3]),
                is_child,
            )
        )
        is_child = False
    if not steps:
        return None
    ids = sum(bool(step.id) for step in steps)
    classes = sum(len(step.classes) + len(step.attributes) for step in steps)
    return Rule((ids, classes, sum(step.tag != "*" for step in steps), order), tuple(steps), normal, important)


def _key(step: Compound) -> str:
    """Return by what an element is found that a step may fit."""
    if step.id:
        return f"#{step.id}"
    return min(step.classes) if step.classes else "*" if step.tag == "*" else f"<{step.tag}"


def _fits(step: Compound, named: Named) -> bool:
    if (
        (step.tag not in {"*", named.tag})
        or (step.id and step.id != named.id)
        or (step.classes and not step.classes <= named.classes)
    ):
        return False
    return all(_has(named.attributes.get(name), how, value) for name, how, value in step.attributes)


def _has(actual: str | None, how: str, value: str) -> bool:
    if actual is None:
        return False
    match how:
        case "=":
            return actual == value
        case "^=":
            return actual.startswith(value)
        case "$=":
            return actual.endswith(value)
        case "*=":
            return value in actual
        case "~=":
            return value in actual.split()
        case "|=":
            return actual == value or actual.startswith(f"{value}-")
        case _:
            return True
