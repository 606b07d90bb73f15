"""Decides whether a person sees the text in an element, by its attributes and styles and by those around it."""

import re
from typing import NamedTuple

from inkbox_mcp.mail.css import PX_PER_EM, Color, Declarations, color, distance, length

SMALLEST = 4.0
"""CSS pixels of a font; smaller text is not read by anybody."""
_FAINTEST = 0.1  # opacity
_SAME = 48  # a distance of colors that cannot be told apart on a page
_OFF_SCREEN = -400.0
_PAGE = 600.0  # CSS pixels of its width
RESTYLED = frozenset({"a", "font", "pre", "textarea", "listing", "xmp", "plaintext"})
"""Elements in which text looks other than around them, without any attribute."""
_NO_SCALE = re.compile(r"scale[xy]?\(\s*0?\.?0*[,)]|translate[xy]?\(\s*-\d{3,}")
_NO_CLIP = re.compile(r"rect\(\s*(?:0|1)(?:px)?[\s,]+(?:0|1)(?:px)?[\s,]+(?:0|1)(?:px)?[\s,]+(?:0|1)(?:px)?|"
                      r"inset\(\s*(?:[5-9]\d|100)%|circle\(\s*0")  # fmt: skip
_FONT_SIZE = re.compile(r"(?:^|\s)([\d.]+(?:px|pt|em|rem|%)|0)(?:/\S*)?\s")
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
    def unseen(self) -> bool:
        """Whether a person does not see such text."""
        if self is USUAL:
            return False
        if self.hidden or not self.visible or self.size < SMALLEST or min(self.opacity, self.strength) <= _FAINTEST:
            return True
        return self.color is not None and self.background is not None and distance(self.color, self.background) <= _SAME


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
    background = _background(attributes, declared, around.background)
    size = _size(tag, attributes, declared, around.size)
    drawn = declared.get("-webkit-text-fill-color") or declared.get("color") or attributes.get("color")
    if not drawn and tag == "body":
        drawn = attributes.get("text")
    shade, opacity = around.color, around.opacity
    if tag == "a" and not drawn:
        shade, opacity = None, 1.0  # the program's own color of links
    if drawn and drawn not in {"inherit", "currentcolor"}:
        found = color(drawn.lower())
        shade, opacity = found or (None, 1.0)
    strength = length(declared.get("opacity"), whole=1)
    visibility = declared.get("visibility")
    pre = around.pre
    if space := declared.get("white-space"):
        pre = space.startswith(("pre", "break-spaces")) and space != "pre-line"
    return Seen(
        hidden=around.hidden or _hides(attributes, declared, size),
        visible=visibility in {"visible", "initial"} if visibility not in {None, "inherit"} else around.visible,
        size=size,
        color=shade,
        opacity=opacity,
        background=background,
        pre=pre or tag in RESTYLED - {"a", "font"},
        strength=around.strength * (1.0 if strength is None else min(max(strength, 0.0), 1.0)),
    )


def _hides(attributes: dict[str, str], declared: Declarations, em: float) -> bool:
    """Whether an element and all that is in it is not drawn."""
    display = declared.get("display")
    if (
        display == "none"
        or ("hidden" in attributes and display is None)
        or declared.get("content-visibility") == "hidden"
    ):
        return True
    opacity = length(declared.get("opacity"), whole=1)
    if opacity is not None and opacity <= _FAINTEST:
        return True
    if "hidden" in f"{declared.get('overflow')} {declared.get('overflow-x')} {declared.get('overflow-y')}" or (
        declared.get("overflow") == "clip"
    ):
        names = ["height", "max-height", "max-width"]
        # Tables that fit every screen have no width, but a least one.
        names += [] if "min-width" in declared else ["width"]
        sizes = (length(declared.get(name), em, _PAGE) for name in names)
        if any(size is not None and size <= 1 for size in sizes):
            return True
    moved = ["text-indent", "margin-top"]
    if not declared.get("left", "").endswith("%"):  # that is how boxes are put in the middle
        moved.append("margin-left")
    if declared.get("position") in {"absolute", "fixed", "relative"}:
        moved += ["left", "top", "right", "bottom"]
    if any((to := length(declared.get(name), em)) is not None and to <= _OFF_SCREEN for name in moved):
        return True
    if _NO_SCALE.search(declared.get("transform", "")) or "opacity(0)" in declared.get("filter", ""):
        return True
    return bool(_NO_CLIP.search(declared.get("clip", "") + declared.get("clip-path", "")))


def _size(tag: str, attributes: dict[str, str], declared: Declarations, around: float) -> float:
    value = declared.get("font-size")
    if value is None and (found := _FONT_SIZE.search(declared.get("font", ""))):
        value = found[1]
    if value is not None:
        size = length(value, around, around)
        # A word, such as "medium", or a function is a size that can be read.
        is_readable = value not in {"inherit", "larger", "smaller"} and (value[:1].isalpha())
        return size if size is not None else PX_PER_EM if is_readable else around
    return _FONT_TAG.get(attributes.get("size", ""), around) if tag == "font" else around


def _background(attributes: dict[str, str], declared: Declarations, around: Color | None) -> Color | None:
    """Return the color behind an element; None if it is a picture or not understood."""
    value = declared.get("background-color") or declared.get("background") or attributes.get("bgcolor", "").lower()
    pictures = declared.get("background", "") + declared.get("background-image", "")
    if "url(" in pictures or "gradient(" in pictures or "background" in attributes:
        return None
    if not value or value in {"none", "inherit", "initial", "unset"}:
        return around
    found = color(value) or next(filter(None, map(color, value.split()[:6])), None)
    if found is None:
        return None
    shade, opacity = found
    return around if opacity <= _FAINTEST else shade if opacity > 0.5 else None
