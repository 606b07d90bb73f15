"""Reads declarations of CSS as far as they decide whether a person sees a text: lengths, colors and what hides.

Every pattern takes linear time on any text. What is not understood counts as not declared.
"""

import colorsys
import re

Declarations = dict[str, str]
"""Values by property, both in lower case."""
Color = tuple[int, int, int]

PX_PER_EM = 16.0
_UNITS = {"": 1.0, "px": 1.0, "pt": 4 / 3, "pc": 16.0, "in": 96.0, "cm": 37.8, "mm": 3.78, "q": 0.945, "ex": 8.0}
_LENGTH = re.compile(r"((?:[+-]?(?:\d{1,9}(?:\.\d{0,9})?|\.\d{1,9}))(?:e[+-]?\d{1,2})?)(%|[a-z]{0,4})")
_COMMENT = re.compile(r"/\*.*?(?:\*/|\Z)", re.DOTALL)
_STRING = re.compile(r'"[^"\n]*(?:"|\n|\Z)|' + r"'[^'\n]*(?:'|\n|\Z)")
_URL = re.compile(r"url\([^)]*(?:\)|\Z)", re.IGNORECASE)
_ESCAPE = re.compile(r"\\(?:([0-9a-fA-F]{1,6})\s?|(.))")
_IMPORTANT = re.compile(r"!\s*important\s*\Z")
_HEX = re.compile(r"#[0-9a-f]{3,8}")
_NUMBER = re.compile(r"[+-]?(?:\d{1,9}(?:\.\d{0,9})?|\.\d{1,9})%?")
_GLOBAL = frozenset({"inherit", "initial", "unset", "revert", "revert-layer"})
_SIZES = frozenset({"small", "medium", "large", "larger", "smaller", "math"})
_DISPLAY = re.compile(
    r"(?:none|block|inline|flex|grid|table|list-item|flow|contents|ruby|run-in|math)(?![a-z])|"
    r"-(?:webkit|moz|ms)-|var\("
)
_NAMED: dict[str, Color] = {
    "black": (0, 0, 0), "white": (255, 255, 255), "red": (255, 0, 0), "green": (0, 128, 0), "blue": (0, 0, 255),
    "gray": (128, 128, 128), "grey": (128, 128, 128), "silver": (192, 192, 192), "yellow": (255, 255, 0),
    "lime": (0, 255, 0), "aqua": (0, 255, 255), "cyan": (0, 255, 255), "fuchsia": (255, 0, 255), "navy": (0, 0, 128),
    "magenta": (255, 0, 255), "maroon": (128, 0, 0), "olive": (128, 128, 0), "purple": (128, 0, 128),
    "teal": (0, 128, 128), "orange": (255, 165, 0), "snow": (255, 250, 250), "ivory": (255, 255, 240),
    "ghostwhite": (248, 248, 255), "floralwhite": (255, 250, 240), "mintcream": (245, 255, 250),
    "azure": (240, 255, 255), "whitesmoke": (245, 245, 245), "seashell": (255, 245, 238), "linen": (250, 240, 230),
    "honeydew": (240, 255, 240), "aliceblue": (240, 248, 255), "lavenderblush": (255, 240, 245),
    "oldlace": (253, 245, 230), "beige": (245, 245, 220), "gainsboro": (220, 220, 220), "lightgray": (211, 211, 211),
    "lightgrey": (211, 211, 211), "darkgray": (169, 169, 169), "darkgrey": (169, 169, 169), "dimgray": (105, 105, 105),
}  # fmt: skip


def without_noise(css: str) -> str:
    """Remove comments, `url(…)` and strings with special signs, and resolve escapes: signs are what they seem."""
    css = _URL.sub("url()", _STRING.sub(_harmless, _COMMENT.sub(" ", css)))
    return _ESCAPE.sub(_unescape, css) if "\\" in css else css


def declarations(css: str) -> tuple[Declarations, Declarations]:
    """Read the declarations of an inline style or a rule, of which `without_noise` was taken.

    Returns:
        The normal ones and the important ones; of several for one property, the last.
    """
    normal, important = Declarations(), Declarations()
    for one in css.lower().split(";"):
        name, colon, value = one.partition(":")
        name = name.strip()
        if colon and (value := value.strip()):
            kept = _IMPORTANT.sub("", value[-300:]) if "!" in value else None
            if not _is_valid(name, value[:300].strip() if kept is None else kept.strip()):
                continue
            if kept is None:
                normal[name] = value[:300].strip()
            else:
                important[name] = kept.strip()
    return normal, important


def _is_valid(name: str, value: str) -> bool:
    """Whether a program takes a value: one that it does not know leaves what was declared before."""
    if name == "display":
        return value in _GLOBAL or _DISPLAY.match(value) is not None
    if name == "font-size":
        return not value.isalpha() or value in _GLOBAL or value in _SIZES
    if name == "opacity":
        return not value.isalpha() or value in _GLOBAL
    return True


def length(value: str | None, em: float = PX_PER_EM, whole: float | None = None) -> float | None:
    """Return a length in CSS pixels, or None if it is none that is understood.

    Args:
        value: such as `12px`, `1.5em` or `0`.
        em: pixels of one em.
        whole: pixels of 100 %; None if percentages are not understood.
    """
    if value is not None and value.startswith("calc("):
        value = value[5:].removesuffix(")").strip()
    if value is None or not (found := _LENGTH.fullmatch(value)):
        return None
    number, unit = float(found[1]), found[2]
    if unit == "%":
        return None if whole is None else number * whole / 100
    if unit == "em":
        return number * em
    if unit == "rem":
        return number * PX_PER_EM
    if unit in {"vw", "vh", "ch"}:
        return number * 8
    return number * _UNITS[unit] if unit in _UNITS else None


def color(value: str | None) -> tuple[Color, float] | None:
    """Return a color as red, green and blue of 0 to 255, and its opacity of 0 to 1; None if it is not understood."""
    if value is None:
        return None
    if value == "transparent":
        return (0, 0, 0), 0.0
    if value in _NAMED:
        return _NAMED[value], 1.0
    if _HEX.fullmatch(value):
        return _hex(value[1:])
    if value.startswith(("rgb", "hsl")):
        return _function(value)
    return None


def distance(one: Color, other: Color) -> int:
    """Return how far two colors are from each other, from 0 to 765."""
    return sum(abs(a - b) for a, b in zip(one, other, strict=True))


def _hex(digits: str) -> tuple[Color, float] | None:
    if len(digits) in {3, 4}:
        digits = "".join(2 * digit for digit in digits)
    if len(digits) not in {6, 8}:
        return None
    red, green, blue, opacity = (int(digits[at : at + 2] or "ff", 16) for at in (0, 2, 4, 6))
    return (red, green, blue), opacity / 255


def _function(value: str) -> tuple[Color, float] | None:
    parts = _NUMBER.findall(value[:100])
    if len(parts) not in {3, 4}:
        return None
    opacity = _part(parts[3], 1) if len(parts) == 4 else 1.0
    if value.startswith("rgb"):
        red, green, blue = (round(_part(part, 255)) for part in parts[:3])
    else:
        hue, light, strong = float(parts[0].rstrip("%")) / 360 % 1, _part(parts[2], 1), _part(parts[1], 1)
        red, green, blue = (round(255 * part) for part in colorsys.hls_to_rgb(hue, light, strong))
    return (red, green, blue), opacity


def _part(text: str, whole: int) -> float:
    number = float(text[:-1]) * whole / 100 if text.endswith("%") else float(text)
    return min(max(number, 0), whole)


def _harmless(string: re.Match[str]) -> str:
    """Keep a string, such as the value of an attribute in a selector, unless it has signs that divide rules."""
    return '""' if re.search("[{};:\n\\\\]", string[0]) else string[0]


def _unescape(found: re.Match[str]) -> str:
    if not found[1]:
        return found[2]
    code = int(found[1], 16)
    return chr(code) if 0 < code < 0x110000 and not 0xD800 <= code < 0xE000 else "\ufffd"
