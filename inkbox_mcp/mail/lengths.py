"""Computes lengths of CSS, also those of `calc()` and its kind, in CSS pixels."""

import re

PX_PER_EM = 16.0
PAGE = 600.0
"""CSS pixels of the width of a page."""
_UNITS = {"": 1.0, "px": 1.0, "pt": 4 / 3, "pc": 16.0, "in": 96.0, "cm": 37.8, "mm": 3.78, "q": 0.945}
_OF_FONT = {"em": 1.0, "ex": 0.5, "ch": 0.5, "cap": 0.7, "ic": 1.0, "lh": 1.2}
_OF_ROOT = {"rem": 1.0, "rex": 0.5, "rch": 0.5, "rlh": 1.2}
_OF_SCREEN = re.compile(r"[sld]?v(?:w|h|i|b|min|max)|cq(?:w|h|i|b|min|max)")
_LENGTH = re.compile(r"((?:[+-]?(?:\d{1,9}(?:\.\d{0,9})?|\.\d{1,9}))(?:e[+-]?\d{1,2})?)(%|[a-z]{0,5})")
_MOST_FUNCTIONS = 20


def length(value: str | None, em: float = PX_PER_EM, whole: float | None = None) -> float | None:
    """Return a length in CSS pixels, or None if it is none that is understood.

    Args:
        value: such as `12px`, `1.5em`, `0` or `calc(1em - 16px)`.
        em: pixels of one em.
        whole: pixels of 100 %; None if percentages are not understood.
    """
    if value is None:
        return None
    if found := _LENGTH.fullmatch(value):
        return _pixels(found, em, whole)
    if not value.endswith(")"):
        return None
    try:
        return _Expression(value, em, whole).result()
    except (ValueError, ZeroDivisionError, OverflowError):
        return None


def _pixels(found: re.Match[str], em: float, whole: float | None) -> float | None:
    number, unit = float(found[1]), found[2]
    if unit == "%":
        return None if whole is None else number * whole / 100
    if unit in _OF_FONT:
        return number * em * _OF_FONT[unit]
    if unit in _OF_ROOT:
        return number * PX_PER_EM * _OF_ROOT[unit]
    if _OF_SCREEN.fullmatch(unit):
        return number * 8
    return number * _UNITS[unit] if unit in _UNITS else None


class _Expression:
    """A function of lengths and numbers, read from left to right once.

    Raises:
        ValueError: it is not understood.
    """

    def __init__(self, text: str, em: float, whole: float | None) -> None:
        self._text = text
        self._em = em
        self._whole = whole
        self._at = 0
        self._functions = 0

    def result(self) -> float:
        value = self._term()
        if self._rest():
            raise ValueError
        return value

    def _rest(self) -> str:
        """Skip blanks, and return the next sign, "" at the end."""
        while self._text[self._at : self._at + 1].isspace():
            self._at += 1
        return self._text[self._at : self._at + 1]

    def _take(self, signs: str) -> str:
        """Return the next sign if it is one of these, and go on after it; otherwise ""."""
        sign = self._rest()
        if not sign or sign not in signs:
            return ""
        self._at += 1
        return sign

    def _sum(self) -> float:
        value = self._product()
        while sign := self._take("+-"):
            value += self._product() if sign == "+" else -self._product()
        return value

    def _product(self) -> float:
        value = self._term()
        while sign := self._take("*/"):
            value = value * self._term() if sign == "*" else value / self._term()
        return value

    def _term(self) -> float:
        self._rest()
        if found := _LENGTH.match(self._text, self._at):
            self._at = found.end()
            if (pixels := _pixels(found, self._em, self._whole)) is None:
                raise ValueError
            return pixels
        start = self._at
        while self._text[self._at : self._at + 1].isalpha() or self._text.startswith("-", self._at):
            self._at += 1
        name = self._text[start : self._at]
        self._functions += 1
        if not self._take("(") or self._functions > _MOST_FUNCTIONS:
            raise ValueError
        values = [self._sum()]
        while self._take(","):
            values.append(self._sum())
        if not self._take(")"):
            raise ValueError
        return _called(name, values)


def _called(name: str, values: list[float]) -> float:
    match name, values:
        case (("" | "calc" | "-webkit-calc" | "-moz-calc"), [value]):
            return value
        case "abs", [value]:
            return abs(value)
        case "min", [_, *_]:
            return min(values)
        case "max", [_, *_]:
            return max(values)
        case "clamp", [least, value, most]:
            return max(least, min(value, most))
        case _:
            raise ValueError
