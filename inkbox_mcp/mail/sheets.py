"""Finds the declarations that apply to an element, in its `style` and in a mail's `<style>` elements.

What stands in `@media` counts only if it is for every screen, what stands in `@supports` only if it is known to be
supported. Selectors of states are left out.
"""

import re
from collections import defaultdict
from typing import NamedTuple

from inkbox_mcp.mail.css import Declarations, declarations, is_supported, without_noise
from inkbox_mcp.mail.selectors import Compound, Named, read_selector, split_list

_MOST_RULES = 2000
_MOST_TESTS = 200_000  # of selectors on elements, in one mail
_RELEVANT = frozenset(
    "display visibility opacity font-size color background-color background-image background-clip height max-height "
    "width max-width min-width overflow-x overflow-y position left top right bottom text-indent margin-left margin-top "
    "margin-right margin-bottom letter-spacing line-height transform scale translate zoom clip clip-path white-space "
    "content-visibility filter -webkit-text-fill-color".split()
)
_EVERY_SCREEN = re.compile(
    r"(?:(?:only )?(?:all|screen))?(?: ?(?:and )?\( ?min-(?:device-)?width ?: ?\d{1,3}(?:px)? ?\))?", re.IGNORECASE
)
_NOTHING = Declarations()


class Rule(NamedTuple):
    """A selector with what it declares; of two that match, the one of the higher rank decides."""

    rank: tuple[tuple[int, int, int], int]
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
            for selector in split_list(selectors, _MOST_RULES):
                if count < _MOST_RULES and (steps := read_selector(selector)):
                    self._rules[steps[-1].key].append(Rule((_weight(steps), count), steps, normal, important))
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
        self._tests -= sum(rule.steps[-1].cost for rule in candidates)
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
        if not steps[-1].fits(named):
            return False
        at = len(above)
        here: Named | None = named
        for place in range(len(steps) - 2, -1, -1):
            relation = steps[place + 1].relation
            while self._tests > 0:
                self._tests -= steps[place].cost
                if relation in "+~":
                    here = here.before if here else None
                else:
                    at -= 1
                    here = above[at] if at >= 0 else None
                if here is None:
                    return False
                if steps[place].fits(here):
                    break
                if relation in ">+":
                    return False
            else:
                return False
        return True


def _weight(steps: tuple[Compound, ...]) -> tuple[int, int, int]:
    ids, classes, tags = (sum(parts) for parts in zip(*(step.weight for step in steps), strict=True))
    return ids, classes, tags


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
                opened.append("" if _counts(at_rule) else None)
            else:
                opened.append(prelude or None)
        elif part == "}" and opened and (selectors := opened.pop()):
            found.append((selectors, text))
        text = part
    return found


def is_for_every_screen(media: str) -> bool:
    """Whether a list of media, as in `@media` and the attribute `media`, has all screens in it."""
    return any(_EVERY_SCREEN.fullmatch(" ".join(one.split())) for one in media[:200].split(","))


def _counts(at_rule: str) -> bool:
    """Whether what stands in an at-rule counts in every program."""
    name, _, condition = at_rule[1:].partition(" ")
    match name.lower():
        case "media":
            return is_for_every_screen(condition)
        case "supports":
            return is_supported(condition)
        case "layer":
            return True
        case _:
            return False
