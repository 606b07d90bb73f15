"""Decides whether a person sees the text in an element, by its attributes and styles and by those around it."""

import re
from typing import NamedTuple

from inkbox_mcp.mail.colors import SAME, Color, color, distance, old_color, one_color
from inkbox_mcp.mail.css import Declarations
from inkbox_mcp.mail.lengths import PAGE, PX_PER_EM, length

SMALLEST = 4.0
"""CSS pixels of a font; smaller text is not read by anybody."""
_FAINTEST = 0.1  # opacity
_OFF_SCREEN = -400.0
_SMALLER = {"small": 0.83, "sub": 0.83, "sup": 0.83, "big": 1.2}
_PRE = frozenset({"pre", "textarea", "listing", "xmp", "plaintext"})
RESTYLED = frozenset({"a", "font", "dialog", *_SMALLER, *_PRE})
"""Elements in which text looks other than around them, without any attribute."""
_COLORED = frozenset({"body", "table", "thead", "tbody", "tfoot", "tr", "td", "th"})
"""Elements that have a background by attribute: of others, programs do not look at it."""
_OF_TABLES = _COLORED - {"body"}
_CALL = re.compile(r"([a-z0-9-]+)\(([^()]*(?:\([^()]*\)[^()]*)*)\)")
_PERCENT_OR_NUMBER = 1.0
_SEPARATOR = re.compile(r"[\s,]+(?![^()]*\))")
_SIDEWAYS = re.compile(r"-?(?:90|270)(?:\.0*)?deg|-?0?\.[27]5turn|-?1\.570?8?\d*rad")
_NO_CLIP = re.compile(r"rect\(\s*(?:0|1)(?:px)?[\s,]+(?:0|1)(?:px)?[\s,]+(?:0|1)(?:px)?[\s,]+(?:0|1)(?:px)?\s*\)|"
                      r"inset\(\s*(?:[5-9]\d|100)%|(?:circle|ellipse)\(\s*0(?:\.0+)?(?:px|%)?[\s)]|"
                      r"(?:polygon|rect|xywh)\([\s,0]*(?:(?:px|%)[\s,0]*)*\)")  # fmt: skip
_FONT_TAG = {"1": 10.0, "2": 13.0, "3": 16.0, "4": 18.0, "5": 24.0, "6": 32.0, "7": 48.0}


class Seen(NamedTuple):
    """How the text directly in an element looks."""

    hidden: bool = False
    visible: bool = True
    size: float = PX_PER_EM
    color: Color | None = (0, 0, 0)
    opacity: float = 1.0
    background: Color | None = (255, 255, 255)
    pre: bool = False
    strength: float = 1.0
    """The opacities of all elements around the text, multiplied."""

    @property
    def undrawn(self) -> bool:
        """Whether a person sees nothing of such an element, not even pictures."""
        return self.hidden or not self.visible or self.strength <= _FAINTEST

    @property
    def unseen(self) -> bool:
        """Whether a person does not see such text."""
        if self is USUAL:
            return False
        if self.undrawn or self.size < SMALLEST or self.opacity <= _FAINTEST:
            return True
        return self.color is not None and self.background is not None and distance(self.color, self.background) <= SAME


USUAL = Seen()
"""Black text of the usual size on white."""


def look(around: Seen, tag: str, attributes: dict[str, str], declared: Declarations) -> Seen:
    """Return how text in an element looks.

    Args:
        around: how text around the element looks.
        tag: the element's.
        attributes: the element's, by name.
        declared: what `Sheet.declared` returns for it.
    """
    size = _size(tag, attributes, declared, around.size)
    shade, opacity = _color(around, tag, attributes, declared)
    strength = length(declared.get("opacity"), whole=_PERCENT_OR_NUMBER)
    visibility = declared.get("visibility")
    pre = around.pre
    if space := declared.get("white-space"):
        pre = space.startswith(("pre", "break-spaces")) and space != "pre-line"
    return Seen(
        hidden=around.hidden or _hides(tag, attributes, declared, size),
        visible=visibility in {"visible", "initial"} if visibility not in {None, "inherit"} else around.visible,
        size=size,
        color=shade,
        opacity=opacity,
        background=_background(tag, attributes, declared, around.background, shade),
        pre=pre or tag in _PRE,
        strength=around.strength * (1.0 if strength is None else min(max(strength, 0.0), 1.0)),
    )


def _color(around: Seen, tag: str, attributes: dict[str, str], declared: Declarations) -> tuple[Color | None, float]:
    """Return the color of text, None if it is not known, and its opacity."""
    drawn = declared.get("-webkit-text-fill-color") or declared.get("color")
    if declared.get("background-clip") == "text":
        return None, 1.0  # it is filled with the background
    if drawn in {"inherit", "currentcolor", "unset", "revert", "revert-layer"}:
        return around.color, around.opacity
    if drawn:
        return ((0, 0, 0), 1.0) if drawn == "initial" else color(drawn) or (None, 1.0)
    name = {"font": "color", "body": "text"}.get(tag)
    if name and (old := old_color(attributes.get(name, ""))):
        return old, 1.0
    # The program's own color of links.
    return (None, 1.0) if tag == "a" else (around.color, around.opacity)


def _hides(tag: str, attributes: dict[str, str], declared: Declarations, em: float) -> bool:
    """Whether an element and all that is in it is not drawn."""
    display = declared.get("display")
    is_closed = "hidden" in attributes or (tag == "dialog" and "open" not in attributes)
    if display == "none" or (is_closed and display is None) or declared.get("content-visibility") == "hidden":
        return True
    opacity = length(declared.get("opacity"), whole=_PERCENT_OR_NUMBER)
    if opacity is not None and opacity <= _FAINTEST:
        return True
    return (
        _is_cut_off(tag, declared, em)
        or _is_moved_away(declared, em)
        or _is_transformed(declared, em)
        or _is_filtered(declared, em)
        or _NO_CLIP.search(f"{declared.get('clip')} {declared.get('clip-path')}") is not None
    )


def _is_cut_off(tag: str, declared: Declarations, em: float) -> bool:
    """Whether a box without room shows nothing of what goes beyond it."""
    if tag in _OF_TABLES and not declared.get("display", "").startswith(("block", "inline", "flex", "grid")):
        return False  # tables make room for what is in them
    if {declared.get("overflow-x", "visible"), declared.get("overflow-y", "visible")} <= {
        "visible", "initial", "unset", "revert", "revert-layer", "inherit",
    }:  # fmt: skip
        return False
    names = ["height", "max-height", "max-width"]
    # Tables that fit every screen have no width, but a least one.
    names += [] if "min-width" in declared else ["width"]
    sizes = [length(declared.get(name), em, PAGE) for name in names]
    if "height" not in declared and "min-height" not in declared:
        line = declared.get("line-height", "normal")
        sizes.append(length(f"{line}em" if line[-1].isdigit() or line[-1] == "." else line, em, em))
    indent = length(declared.get("text-indent"), em, PAGE)
    is_out = indent is not None and indent >= PAGE and declared.get("white-space") == "nowrap"
    return is_out or any(size is not None and size <= 1 for size in sizes)


def _is_moved_away(declared: Declarations, em: float) -> bool:
    moved = ["margin-top"]
    if not declared.get("left", "").endswith("%"):  # that is how boxes are put in the middle
        moved.append("margin-left")
    if declared.get("position") in {"absolute", "fixed", "relative", "sticky"}:
        moved += ["left", "top", "right", "bottom"]
    lengths = [length(declared.get("text-indent"), em, PAGE), *(length(declared.get(name), em) for name in moved)]
    lengths += [length(part, em) for part in _SEPARATOR.split(declared.get("translate", ""))[:2]]
    spacing = length(declared.get("letter-spacing"), em)
    return any(to is not None and to <= _OFF_SCREEN for to in lengths) or (
        spacing is not None and spacing <= -em / 2  # the letters stand on one another
    )


def _is_transformed(declared: Declarations, em: float) -> bool:
    """Whether a box is made too small to be read, turned to its edge, or moved away."""
    zoom = length(declared.get("zoom"), whole=1)
    if zoom and zoom * em < SMALLEST:
        return True
    calls = [(found[1], _SEPARATOR.split(found[2].strip())) for found in _CALL.finditer(declared.get("transform", ""))]
    if "scale" in declared:
        calls.append(("scale", _SEPARATOR.split(declared["scale"])))
    for name, values in calls:
        numbers = [length(value, em, 1) for value in values]
        if name.startswith("scale"):
            factors = numbers[:2]
        elif name.startswith("matrix"):
            width, height = (0, 3) if name == "matrix" else (0, 5)
            factors = [numbers[at] for at in (width, height) if at < len(numbers) and not any(numbers[1:3])]
        else:
            factors = []
        if any(factor is not None and abs(factor) * em < SMALLEST for factor in factors):
            return True
        if name.startswith("translate") and any(
            (to := length(value, em)) is not None and to <= _OFF_SCREEN for value in values
        ):
            return True
        if name in {"rotatex", "rotatey"} and _SIDEWAYS.fullmatch(values[0]):
            return True
    return False


def _is_filtered(declared: Declarations, em: float) -> bool:
    for found in _CALL.finditer(declared.get("filter", "")):
        much = length(found[2].strip(), em, 1)
        if much is not None and (
            (found[1] == "opacity" and much <= _FAINTEST)
            or (found[1] == "contrast" and much <= _FAINTEST)
            or (found[1] == "blur" and much >= em / 2)
        ):
            return True
    return False


def _size(tag: str, attributes: dict[str, str], declared: Declarations, around: float) -> float:
    value = declared.get("font-size")
    if value is None:
        return _FONT_TAG.get(attributes.get("size", ""), around) if tag == "font" else around * _SMALLER.get(tag, 1)
    if value in {"smaller", "larger"}:
        return around * (0.83 if value == "smaller" else 1.2)
    size = length(value, around, around)
    # A word, such as "medium", or a function is a size that can be read.
    is_readable = value not in {"inherit", "unset"} and value[:1].isalpha()
    return size if size is not None else PX_PER_EM if is_readable else around


def _background(
    tag: str, attributes: dict[str, str], declared: Declarations, around: Color | None, text: Color | None
) -> Color | None:
    """Return the color behind an element; None if it is a picture or not understood."""
    picture = declared.get("background-image", "none")
    has_old = tag in _COLORED
    if "(" in picture:
        return one_color(picture)
    if has_old and "background" in attributes and "background-image" not in declared:
        return None
    value = declared.get("background-color")
    if value is None:
        old = old_color(attributes.get("bgcolor", "")) if has_old else None
        return old or around
    if value in {"inherit", "initial", "unset", "revert", "revert-layer"}:
        return around
    if value == "currentcolor":
        return text
    if not (found := color(value)):
        return None
    shade, opacity = found
    return around if opacity <= _FAINTEST else shade if opacity > 0.5 else None
