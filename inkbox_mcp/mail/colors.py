"""Reads the colors of CSS and of the older attributes of HTML."""

import colorsys
import re

Color = tuple[int, int, int]
"""Red, green and blue, each from 0 to 255."""

SAME = 48
"""A distance of colors that cannot be told apart on a page."""
_HEX = re.compile(r"#[0-9a-f]{3,8}")
_NUMBER = re.compile(r"[+-]?(?:\d{1,9}(?:\.\d{0,9})?|\.\d{1,9})(?:e[+-]?\d{1,2})?(?:%|deg)?|\bnone\b")
_SHADES = re.compile(
    r"(?:rgba?|hsla?|hwb|lab|lch|oklab|oklch|color)\([^()]{0,100}\)|#[0-9a-f]{3,8}|(?<![\w(-])[a-z]{3,20}(?![\w(-])"
)
_NOT_ALL = re.compile(r"url\(|image|var\(|env\(|mix\(|light-dark\(")
_FUNCTION = re.compile(r"(?:rgba?|hsla?|hwb|(?:ok)?lab|(?:ok)?lch|color)\([^()]*\)")
_OF_NUMBERS = frozenset("rgb rgba hsl hsla hwb".split())
_LATER = frozenset("lab lch oklab oklch color color-mix light-dark device-cmyk contrast-color var env".split())
"""Functions whose colors are not all understood."""
# Of CSS Color Module Level 4, with their values in hexadecimal.
_NAMES = """
aliceblue f0f8ff antiquewhite faebd7 aqua 00ffff aquamarine 7fffd4 azure f0ffff beige f5f5dc bisque ffe4c4 black
000000 blanchedalmond ffebcd blue 0000ff blueviolet 8a2be2 brown a52a2a burlywood deb887 cadetblue 5f9ea0 chartreuse
7fff00 chocolate d2691e coral ff7f50 cornflowerblue 6495ed cornsilk fff8dc crimson dc143c cyan 00ffff darkblue
00008b darkcyan 008b8b darkgoldenrod b8860b darkgray a9a9a9 darkgreen 006400 darkgrey a9a9a9 darkkhaki bdb76b
darkmagenta 8b008b darkolivegreen 556b2f darkorange ff8c00 darkorchid 9932cc darkred 8b0000 darksalmon e9967a
darkseagreen 8fbc8f darkslateblue 483d8b darkslategray 2f4f4f darkslategrey 2f4f4f darkturquoise 00ced1 darkviolet
9400d3 deeppink ff1493 deepskyblue 00bfff dimgray 696969 dimgrey 696969 dodgerblue 1e90ff firebrick b22222
floralwhite fffaf0 forestgreen 228b22 fuchsia ff00ff gainsboro dcdcdc ghostwhite f8f8ff gold ffd700 goldenrod daa520
gray 808080 green 008000 greenyellow adff2f grey 808080 honeydew f0fff0 hotpink ff69b4 indianred cd5c5c indigo
4b0082 ivory fffff0 khaki f0e68c lavender e6e6fa lavenderblush fff0f5 lawngreen 7cfc00 lemonchiffon fffacd lightblue
add8e6 lightcoral f08080 lightcyan e0ffff lightgoldenrodyellow fafad2 lightgray d3d3d3 lightgreen 90ee90 lightgrey
d3d3d3 lightpink ffb6c1 lightsalmon ffa07a lightseagreen 20b2aa lightskyblue 87cefa lightslategray 778899
lightslategrey 778899 lightsteelblue b0c4de lightyellow ffffe0 lime 00ff00 limegreen 32cd32 linen faf0e6 magenta
ff00ff maroon 800000 mediumaquamarine 66cdaa mediumblue 0000cd mediumorchid ba55d3 mediumpurple 9370db
mediumseagreen 3cb371 mediumslateblue 7b68ee mediumspringgreen 00fa9a mediumturquoise 48d1cc mediumvioletred c71585
midnightblue 191970 mintcream f5fffa mistyrose ffe4e1 moccasin ffe4b5 navajowhite ffdead navy 000080 oldlace fdf5e6
olive 808000 olivedrab 6b8e23 orange ffa500 orangered ff4500 orchid da70d6 palegoldenrod eee8aa palegreen 98fb98
paleturquoise afeeee palevioletred db7093 papayawhip ffefd5 peachpuff ffdab9 peru cd853f pink ffc0cb plum dda0dd
powderblue b0e0e6 purple 800080 rebeccapurple 663399 red ff0000 rosybrown bc8f8f royalblue 4169e1 saddlebrown 8b4513
salmon fa8072 sandybrown f4a460 seagreen 2e8b57 seashell fff5ee sienna a0522d silver c0c0c0 skyblue 87ceeb slateblue
6a5acd slategray 708090 slategrey 708090 snow fffafa springgreen 00ff7f steelblue 4682b4 tan d2b48c teal 008080
thistle d8bfd8 tomato ff6347 turquoise 40e0d0 violet ee82ee wheat f5deb3 white ffffff whitesmoke f5f5f5 yellow
ffff00 yellowgreen 9acd32
"""
_NAMED: dict[str, Color] = {
    name: (int(digits[:2], 16), int(digits[2:4], 16), int(digits[4:], 16))
    for name, digits in zip(_NAMES.split()[::2], _NAMES.split()[1::2], strict=True)
}
_UNKNOWN = frozenset(
    "currentcolor accentcolor accentcolortext activetext buttonborder buttonface buttontext canvas canvastext field "
    "fieldtext graytext highlight highlighttext linktext mark marktext selecteditem selecteditemtext visitedtext "
    "inherit initial unset revert revert-layer".split()
)
"""Words for colors that a person's program or the elements around choose."""


def color(value: str | None) -> tuple[Color, float] | None:
    """Return a color of CSS and its opacity of 0 to 1; None if it is not understood.

    Args:
        value: in lower case.
    """
    if value is None:
        return None
    if value == "transparent":
        return (0, 0, 0), 0.0
    if value in _NAMED:
        return _NAMED[value], 1.0
    if _HEX.fullmatch(value):
        return _hex(value[1:])
    if _FUNCTION.fullmatch(value):
        return _function(value)
    return None


def is_color(value: str) -> bool:
    """Whether a program takes a value for a color, also one that is not understood here."""
    if value in _UNKNOWN or color(value) is not None:
        return True
    name, opened, inside = value.partition("(")
    return bool(opened) and value.endswith(")") and (name in _LATER or (name in _OF_NUMBERS and "(" in inside))


def old_color(value: str) -> Color | None:
    """Return the color that an attribute such as `bgcolor` has, None if it has none: browsers take nearly any text.

    Source: https://html.spec.whatwg.org/#rules-for-parsing-a-legacy-colour-value
    """
    value = value.strip().lower()
    if not value or value == "transparent":
        return None
    if value in _NAMED:
        return _NAMED[value]
    if re.fullmatch("#[0-9a-f]{3}", value):
        value = "#" + "".join(2 * digit for digit in value[1:])
    digits = re.sub("[^0-9a-f]", "0", value[:128].removeprefix("#"))
    size = max(-(-len(digits) // 3), 1)
    parts = [part[-8:] for part in (digits.ljust(3 * size, "0")[at : at + size] for at in (0, size, 2 * size))]
    while len(parts[0]) > 2 and all(part[0] == "0" for part in parts):
        parts = [part[1:] for part in parts]
    red, green, blue = (int(part[:2], 16) for part in parts)
    return red, green, blue


def one_color(picture: str) -> Color | None:
    """Return the color of a gradient whose colors look the same; None for another picture."""
    if "gradient(" not in picture or _NOT_ALL.search(picture):
        return None
    words = [found[0] for found in _SHADES.finditer(picture[:300])]
    shades = [shade for word in words if (shade := color(word)) or "(" in word or "#" in word]
    if not shades or any(shade is None or shade[1] < 1 for shade in shades):
        return None
    first, *others = [shade[0] for shade in shades if shade]
    return first if all(distance(first, other) <= SAME for other in others) else None


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
    name, _, inside = value.partition("(")
    parts = [part if part != "none" else "0" for part in _NUMBER.findall(inside[:100])]
    if len(parts) not in {3, 4}:
        return None
    opacity = _part(parts[3], 1) if len(parts) == 4 else 1.0
    first, second, third = parts[:3]
    match name:
        case "rgb" | "rgba":
            shares = [_part(part, 255) / 255 for part in parts[:3]]
        case "color":
            shares = [_part(part, 1) for part in parts[:3]]
        case "hsl" | "hsla":
            shares = colorsys.hls_to_rgb(_turn(first), _percent(third), _percent(second))
        case "hwb":
            white, black = _percent(second), _percent(third)
            scale = max(1 - white - black, 0)
            shares = [
                share * scale + white / max(white + black, 1) for share in colorsys.hsv_to_rgb(_turn(first), 1, 1)
            ]
        case _:
            return _of_lightness(name, first, second, third, opacity)
    red, green, blue = (round(255 * min(max(share, 0), 1)) for share in shares)
    return (red, green, blue), opacity


def _of_lightness(name: str, light: str, second: str, third: str, opacity: float) -> tuple[Color, float] | None:
    """Return a gray, black or white of a space of lightness; other colors of it are not understood."""
    whole = 1 if name.startswith("ok") else 100
    share = _part(light, whole) / whole
    if 0 < share < 1 and (_part(second, whole) or (name.endswith("lab") and float(third.rstrip("%deg")))):
        return None
    linear = share**3 if whole == 1 else ((100 * share + 16) / 116) ** 3 if share > 0.08 else share / 9.03
    level = round(255 * (1.055 * linear ** (1 / 2.4) - 0.055 if linear > 0.0031 else 12.92 * linear))
    return (level, level, level), opacity


def _part(text: str, whole: int) -> float:
    number = float(text[:-1]) * whole / 100 if text.endswith("%") else float(text.removesuffix("deg"))
    return min(max(number, 0), whole)


def _percent(text: str) -> float:
    return _part(text if text.endswith("%") else f"{text.removesuffix('deg')}%", 1)


def _turn(text: str) -> float:
    return float(text.removesuffix("deg").rstrip("%")) / 360 % 1
