"""Reads declarations of CSS as far as they decide whether a person sees a text.

Every pattern takes linear time on any text. What is not understood counts as not declared.
"""

import re

from inkbox_mcp.mail.colors import color, is_color
from inkbox_mcp.mail.lengths import length

Declarations = dict[str, str]
"""Values by property, both in lower case. A shorthand, such as `margin`, is there as the properties that it sets."""

_MOST_OF_VALUE = 300
_COMMENT = re.compile(r"/\*.*?(?:\*/|\Z)", re.DOTALL)
_STRING = re.compile(r'"[^"\n]*(?:"|\n|\Z)|' + r"'[^'\n]*(?:'|\n|\Z)")
_URL = re.compile(r"url\([^)]*(?:\)|\Z)", re.IGNORECASE)
_ESCAPE = re.compile(r"\\(?:([0-9a-fA-F]{1,6})\s?|(.))")
_IMPORTANT = re.compile(r"!\s*important\s*\Z")
_GLOBAL = frozenset({"inherit", "initial", "unset", "revert", "revert-layer"})
_DISPLAY = re.compile(
    r"(?:none|block|inline|flex|grid|table|list-item|flow|contents|ruby|run-in|math)(?![a-z])|"
    r"-(?:webkit|moz|ms)-|var\("
)
_FONT_SIZE = re.compile(
    r"(?:^|\s)([\d.]+(?:e-?\d+)?(?:px|pt|em|rem|%)|0|(?:xx?-)?(?:small|large)|medium|smaller|larger|calc\([^()]*\))(?:/\S*)?\s"
)
_PART = re.compile(r"[^\s()]*\([^()]*(?:\([^()]*\)[^()]*)*\)|[^\s()]+")
_OVERFLOW = frozenset("visible hidden clip scroll auto overlay".split())
_LENGTHS = frozenset(
    "height max-height min-height width max-width min-width left top right bottom text-indent margin-left margin-top "
    "margin-right margin-bottom letter-spacing line-height".split()
)
_SIZES = frozenset("height max-height min-height width max-width min-width line-height font-size".split())
"""Properties that are not negative."""
_WORDS: dict[str, frozenset[str]] = {
    "visibility": frozenset({"visible", "hidden", "collapse"}),
    "position": frozenset({"static", "relative", "absolute", "fixed", "sticky"}),
    "overflow-x": _OVERFLOW,
    "overflow-y": _OVERFLOW,
    "opacity": frozenset(),
    "scale": frozenset({"none"}),
    "translate": frozenset({"none"}),
    "zoom": frozenset({"normal"}),
    "font-size": frozenset(
        "xx-small x-small small medium large x-large xx-large xxx-large larger smaller math".split()
    ),
    **dict.fromkeys(_LENGTHS, frozenset("auto none normal stretch fit-content min-content max-content".split())),
}
"""The words that a property has; another word is no value."""
_FUNCTION = re.compile(
    r"(?:-\w+-)?(?:calc|min|max|clamp|var|env|fit-content|abs|round|mod|rem|sign)\(|-(?:webkit|moz)-"
)
_COLORS = frozenset({"color", "background-color", "-webkit-text-fill-color"})
_PICTURES = ("url(", "gradient(", "image(", "image-set(", "cross-fade(", "element(", "paint(")
_OF_BACKGROUND = frozenset(
    "none repeat repeat-x repeat-y no-repeat round space scroll fixed local center top left right bottom cover contain "
    "auto border-box padding-box content-box text /".split()
)
_SAME_AS = {
    "inline-size": "width",
    "block-size": "height",
    "max-inline-size": "max-width",
    "max-block-size": "max-height",
    "min-inline-size": "min-width",
    "min-block-size": "min-height",
    "margin-inline-start": "margin-left",
    "margin-block-start": "margin-top",
    "inset-inline-start": "left",
    "inset-block-start": "top",
    "inset-inline-end": "right",
    "inset-block-end": "bottom",
    "overflow-inline": "overflow-x",
    "overflow-block": "overflow-y",
    "-webkit-transform": "transform",
    "-webkit-clip-path": "clip-path",
    "-webkit-filter": "filter",
    "-webkit-background-clip": "background-clip",
}
_BOX = ("top", "right", "bottom", "left")


def without_noise(css: str) -> str:
    """Remove comments, `url(…)` and strings with special signs, and resolve escapes: signs are what they seem."""
    css = _URL.sub("url()", _STRING.sub(_harmless, _COMMENT.sub(" ", css)))
    return _ESCAPE.sub(_unescape, css) if "\\" in css else css


def declarations(css: str) -> tuple[Declarations, Declarations]:
    """Read the declarations of an inline style or a rule, of which `without_noise` was taken.

    Returns:
        The normal ones and the important ones; of several for one property, the last that a program understands.
    """
    normal, important = Declarations(), Declarations()
    for one in css.lower().split(";"):
        name, colon, value = one.partition(":")
        name = name.strip()
        if colon and (value := value.strip()):
            kept = _IMPORTANT.sub("", value[-_MOST_OF_VALUE:]) if "!" in value else None
            text = (value[:_MOST_OF_VALUE] if kept is None else kept).strip()
            longhands = _longhands(_SAME_AS.get(name, name), text)
            if all(map(_is_valid, longhands.keys(), longhands.values())):
                (normal if kept is None else important).update(longhands)
    return normal, important


def is_supported(condition: str) -> bool:
    """Whether programs understand the declarations in the condition of `@supports`; False if that is not known."""
    tests = re.findall(r"\(([^()]*(?:\([^()]*\))?[^()]*)\)", condition[:_MOST_OF_VALUE])
    understood = [normal for test in tests for normal in declarations(test) if normal]
    return (
        bool(tests) and len(understood) == len(tests) and not re.search(r"\bnot\b|selector\(|font-", condition.lower())
    )


def _longhands(name: str, value: str) -> Declarations:
    """Return the properties that a declaration sets: several for a shorthand."""
    parts = _PART.findall(value) if name in _SHORTHANDS else []
    match name:
        case "margin" | "inset" if 1 <= len(parts) <= 4:
            prefix = "margin-" if name == "margin" else ""
            return {f"{prefix}{side}": parts[at] for side, at in zip(_BOX, _SIDES[len(parts)], strict=True)}
        case "margin-inline" | "margin-block" | "inset-inline" | "inset-block" if len(parts) in {1, 2}:
            prefix = "margin-" if name.startswith("margin") else ""
            ends = ("left", "right") if name.endswith("inline") else ("top", "bottom")
            return {f"{prefix}{ends[0]}": parts[0], f"{prefix}{ends[1]}": parts[-1]}
        case "overflow" if len(parts) in {1, 2}:
            return {"overflow-x": parts[0], "overflow-y": parts[-1]}
        case "font" if value in _GLOBAL:
            return {"font-size": value}
        case "font" if found := _FONT_SIZE.search(value):
            return {"font-size": found[1]}
        case "background":
            return _of_background(value)
        case _:
            return {name: value}


_SHORTHANDS = frozenset("margin inset margin-inline margin-block inset-inline inset-block overflow".split())
_SIDES = {1: (0, 0, 0, 0), 2: (0, 1, 0, 1), 3: (0, 1, 2, 1), 4: (0, 1, 2, 3)}
"""For each number of values, the place of the value for each side of a box."""


def _of_background(value: str) -> Declarations:
    """Split the shorthand for backgrounds; what it does not name, it resets."""
    if value in _GLOBAL:
        return {"background-color": value, "background-image": value}
    shade = "transparent"
    for part in _PART.findall(value):
        word = part.strip(",/")
        if color(word) or word == "currentcolor":
            shade = word
        elif word.isalpha() and word not in _OF_BACKGROUND and not is_color(word):
            return {"background-color": word}  # no color: invalid as a whole
        elif re.fullmatch(r"#[\w-]*|[0-9a-f]{6}", word):
            return {"background-color": word}
        elif is_color(word) and "(" in word and not word.startswith(_PICTURES) and "gradient(" not in word:
            shade = word
    has_picture = any(sign in value for sign in _PICTURES)
    result = {"background-color": shade, "background-image": value if has_picture else "none"}
    return {**result, "background-clip": "text"} if re.search(r"(?<![\w(-])text(?![\w)-])", value) else result


def _is_valid(name: str, value: str) -> bool:
    """Whether a program takes a value: one that it does not know leaves what was declared before."""
    if value in _GLOBAL:
        return True
    if name == "display":
        return _DISPLAY.match(value) is not None
    if name in _COLORS:
        return is_color(value)
    if name in _LENGTHS or name == "font-size":
        size = length(value, whole=1)
        is_size = size is not None and (size >= 0 or name not in _SIZES)
        return value in _WORDS[name] or is_size or _FUNCTION.match(value) is not None
    return not value.isalpha() or name not in _WORDS or value in _WORDS[name]


def _harmless(string: re.Match[str]) -> str:
    """Keep a string, such as the value of an attribute in a selector, unless it has signs that divide rules."""
    return '""' if re.search("[{};:\n\\\\]", string[0]) else string[0]


def _unescape(found: re.Match[str]) -> str:
    if not found[1]:
        return found[2]
    code = int(found[1], 16)
    return chr(code) if 0 < code < 0x110000 and not 0xD800 <= code < 0xE000 else "\ufffd"
