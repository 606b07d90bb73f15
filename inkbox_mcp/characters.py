"""Finds the characters of a text that are hidden from a person, and those among them that a script needs.

A model reads characters that a person does not see, so hidden characters can carry instructions. Hidden are:

- the general categories control, format, surrogate, private use, unassigned, line separator and paragraph separator,
- Unicode's Default_Ignorable_Code_Point (DerivedCoreProperties.txt),
- the format controls and blanks of Egyptian hieroglyphs, and other characters that are drawn as a blank.

A few of them are needed, each only in its place: styles and joiners of emoji, joiners in scripts whose letters change
shape, and direction marks beside letters that are written from right to left. Their number is limited, so that they
cannot spell a message.
"""

import re
import unicodedata
from functools import cache

LAYOUT = frozenset("\t\n\r")
"""Control characters of a text with several lines."""

_SEEN = LAYOUT | frozenset(map(chr, range(0x20, 0x7F)))

IGNORABLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
    "\u2800\U00013430-\U0001343f\U00013441\U00013442\U00016fe4\U0001d159]"
)
"""Default_Ignorable_Code_Point of Unicode 18, then characters drawn as a blank or only arranging their neighbours."""

_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})

# Hexadecimal ranges of code points. Prepended_Concatenation_Mark: format characters that are drawn, such as U+06DD.
_DRAWN = "600-605 6DD 70F 890-891 8E2 110BD 110CD"
# Assigned by Unicode 15 to 18. Not every supported Python knows them, so this table makes the results the same.
_NEWER = """
58B-58C 5C8-5C9 88F 897 B53-B54 C5C CDC CF3 ECE 1ACF-1AF0 1B4E-1B4F 1B7F 1C89-1C8A 208F 209D-209F 20C1-20C4 2427-2429
2B96 2E60-2E63 2FFC-2FFF 31E4-31E5 31EF A7CB-A7CF A7D2 A7D4 A7DA-A7DD A7E2 A7F1 AB6C-AB6D FBC3-FBD2 FD90-FD91 FDC8-FDCE
105C0-105F3 107BB-107BF 10940-10959 10D40-10D65 10D69-10D85 10D8E-10D8F 10EC2-10EC7 10EC9-10EEE 10EF0-10EFF 1123F-11241
11380-11389 1138B 1138E 11390-113B5 113B7-113C0 113C2 113C5 113C7-113CA 113CC-113D5 113D7-113D8 113E1-113E2 116D0-116E3
11B00-11B0A 11B60-11B67 11BC0-11BE1 11BF0-11BF9 11DB0-11DDB 11DE0-11DE9 11DF0-11DF1 11F00-11F10 11F12-11F3A 11F3E-11F5A
1246F 12475-1247F 12550-12686 1342F 13440-13455 13460-143FA 16100-16139 16D40-16D79 16EA0-16EB8 16EBB-16ED3 16FF2-16FF6
187F8-187FF 18CD6-18CDA 18CFF 18D09-18D20 18D80-18DF2 18E00-19191 191A0-191D2 1B123-1B128 1B132 1B155 1B168 1CC00-1CCFC
1CD00-1CEB3 1CEBA-1CED0 1CED2-1CED4 1CEDD-1CEFD 1D127-1D128 1D1EB-1D1FF 1D250-1D281 1D2C0-1D2D3 1D6A6 1DB00-1DB1C
1DF1F-1DF81 1DF90-1DF96 1DFCD-1DFFF 1E030-1E06D 1E08F 1E4D0-1E4F9 1E5D0-1E5FA 1E5FF 1E6C0-1E6DE 1E6E0-1E6F5 1E6FE-1E6FF
1F1AE 1F6D8-1F6D9 1F6DC 1F774-1F77F 1F7D9-1F7DB 1F7F1-1F7FF 1F8B2-1F8BB 1F8C0-1F8C1 1F8D0-1F8D8 1FA54-1FA57 1FA75-1FA77
1FA87-1FA8F 1FAAD-1FAAF 1FABB-1FABF 1FAC6 1FAC8 1FACC-1FACF 1FADA-1FADD 1FADF 1FAE8-1FAEB 1FAEF 1FAF7-1FAFA 1FBCB-1FBEF
1FBFA 2B739-2B73F 2B81E 2CEA2-2CEAD 2EBF0-2EE5D 31350-33479 3D000-3FC3F
"""
# Emoji that a style changes: those with text presentation, and the oldest of the others (emoji-data.txt).
_STYLED = """
A9 AE 203C 2049 2122 2139 2194-2199 21A9-21AA 231A-231B 2328 23CF 23E9-23F3 23F8-23FA 24C2 25AA-25AB 25B6 25C0 25FB-25FE
2600-2604 260E 2611 2614-2615 2618 261D 2620 2622-2623 2626 262A 262E-262F 2638-263A 2640 2642 2648-2653 265F-2660 2663
2665-2666 2668 267B 267E-267F 2692-2697 2699 269B-269C 26A0-26A1 26A7 26AA-26AB 26B0-26B1 26BD-26BE 26C4-26C5 26C8
26CE-26CF 26D1 26D3-26D4 26E9-26EA 26F0-26F5 26F7-26FA 26FD 2702 2705 2708-270D 270F 2712 2714 2716 271D 2721 2728
2733-2734 2744 2747 274C 274E 2753-2755 2757 2763-2764 2795-2797 27A1 27B0 27BF 2934-2935 2B05-2B07 2B1B-2B1C 2B50 2B55
3030 303D 3297 3299 1F170-1F171 1F17E-1F17F 1F202 1F237 1F321 1F324-1F32C 1F336 1F37D 1F396-1F397 1F399-1F39B
1F39E-1F39F 1F3CB-1F3CE 1F3D4-1F3DF 1F3F3 1F3F5 1F3F7 1F43F 1F441 1F4FD 1F549-1F54A 1F56F-1F570 1F573-1F579 1F587
1F58A-1F58D 1F590 1F5A5 1F5A8 1F5B1-1F5B2 1F5BC 1F5C2-1F5C4 1F5D1-1F5D3 1F5DC-1F5DE 1F5E1 1F5E3 1F5E8 1F5EF 1F5F3 1F5FA
1F6CB 1F6CD-1F6CF 1F6E0-1F6E5 1F6E9 1F6F0 1F6F3
"""
# Characters before and after a joiner in emoji-zwj-sequences.txt.
_JOINED_BEFORE = """
2640 2642 26D3 26F9 2764 1F344 1F34B 1F3C3-1F3C4 1F3CA-1F3CC 1F3F3-1F3F4 1F3FB-1F3FF 1F408 1F415 1F426 1F430 1F43B 1F441
1F466-1F469 1F46E-1F471 1F473 1F477 1F481-1F482 1F486-1F487 1F48B 1F575 1F62E 1F635-1F636 1F642 1F645-1F647 1F64B
1F64D-1F64E 1F6A3 1F6B4-1F6B6 1F91D 1F926 1F935 1F937-1F939 1F93C-1F93E 1F9AF 1F9B8-1F9B9 1F9BC-1F9BD 1F9CD-1F9CF
1F9D1-1F9D2 1F9D4 1F9D6-1F9DF 1FAEF 1FAF1
"""
_JOINED_AFTER = """
2194-2195 2620 2640 2642 2695-2696 26A7 2708 2744 2764 27A1 2B1B 1F308 1F32B 1F33E 1F373 1F37C 1F384 1F393 1F3A4 1F3A8
1F3EB 1F3ED 1F430 1F466-1F469 1F48B 1F4A5 1F4A8 1F4AB 1F4BB-1F4BC 1F525 1F527 1F52C 1F5E8 1F680 1F692 1F7E9 1F7EB 1F91D
1F9AF-1F9B3 1F9BA 1F9BC-1F9BD 1F9D1-1F9D2 1FA70 1FA79 1FAEF 1FAF2
"""
# Joining_Type of cursive letters (ArabicShaping.txt): D joins both neighbours, R only the one before it.
_DUAL_JOINING = """
620 626 628 62A-62E 633-63F 641-647 649-64A 66E-66F 678-687 69A-6BF 6C1-6C2 6CC 6CE 6D0-6D1 6FA-6FC 6FF 712-714 71A-71D
71F-727 729 72B 72D-72E 74E-758 75C-76A 76D-770 772 775-777 77A-77F 7CA-7EA 841-845 848 84A-853 855 860 862-865 868 886
889-88D 8A0-8A9 8AF-8B0 8B3-8B8 8BA-8C8
"""
_RIGHT_JOINING = """
622-625 627 629 62F-632 648 671-673 675-677 688-699 6C0 6C3-6CB 6CD 6CF 6D2-6D3 6D5 6EE-6EF 710 715-719 71E 728 72A 72C
72F 74D 759-75B 76B-76C 771 773-774 778-779 840 846-847 849 854 856-858 867 869-86A 870-882 88E 8AA-8AC 8AE 8B1-8B2 8B9
"""

_MARKS = re.compile("[\u061c\u200c-\u200f\ufe0e\ufe0f\U000e0020-\U000e007f]+")
_NON_JOINER, _JOINER, _EMOJI_STYLE = "\u200c", "\u200d", "\ufe0f"
_STYLES = frozenset("\ufe0e\ufe0f")
_DIRECTIONS = frozenset("\u061c\u200e\u200f")
_KEYCAP = "\u20e3"
_VIRAMA = 9  # a combining class
_MOST_COMBINED = 8  # marks on one letter; no script has so many
# England, Scotland and Wales, the only flags with tags (emoji-sequences.txt).
_FLAGS = frozenset(
    "".join(chr(0xE0000 + ord(letter)) for letter in region) + "\U000e007f" for region in ("gbeng", "gbsct", "gbwls")
)


def hidden_characters(text: str) -> set[str]:
    """Return the hidden characters of a text that no script needs anywhere."""
    return {char for char in set(text) - _SEEN if _is_hidden(char) and not _MARKS.match(char)}


def unneeded_marks(text: str) -> dict[int, str]:
    """Return the joiners, styles, direction marks and tags that a text does not need, by their positions.

    At most eight, plus one for every twelve visible characters, can be needed: no script has more, and more could carry
    a message.
    """
    runs = list(_MARKS.finditer(text))
    enough = 8 + (len(text) - sum(len(run[0]) for run in runs)) // 12
    unneeded = [run for run in runs[:enough] if not _is_needed(text, run)] + runs[enough:]
    return {run.start(): run[0] for run in unneeded}


def _is_hidden(char: str) -> bool:
    if IGNORABLE.match(char):
        return True
    return unicodedata.category(char) in _CATEGORIES and not (_among(char, _NEWER) or _among(char, _DRAWN))


def _is_needed(text: str, run: re.Match[str]) -> bool:
    """Whether a script needs this run of marks in this place."""
    mark, before, after = run[0], text[run.start() - 1 : run.start()], text[run.end() : run.end() + 1]
    if mark in _STYLES and (before.isascii() or after == _KEYCAP):
        return after == _KEYCAP and before in set("0123456789#*")
    if mark in _STYLES:
        return _among(before, _STYLED)
    if mark in {_JOINER, _EMOJI_STYLE + _JOINER} and _among(before, _JOINED_BEFORE):
        return _among(after, _JOINED_AFTER) and (mark == _JOINER or _among(before, _STYLED))
    if mark in {_JOINER, _NON_JOINER}:
        return _shapes(text, run)
    if mark in _DIRECTIONS:
        return _directs(text, run)
    return before == "\U0001f3f4" and mark in _FLAGS


def _shapes(text: str, run: re.Match[str]) -> bool:
    """Whether a joiner or non-joiner separates or shapes the letters beside it (compare RFC 5892, appendix A)."""
    before, after = text[run.start() - 1 : run.start()], text[run.end() : run.end() + 1]
    if before and unicodedata.combining(before) == _VIRAMA:
        return True
    if run[0] == _JOINER and before.isalpha() and after and unicodedata.combining(after) == _VIRAMA:
        return True  # the older spelling of some conjuncts of Bengali and Kannada
    left, right = _bases(text, run)
    if run[0] == _NON_JOINER:
        return _is_cursive(left) and _is_cursive(right)
    return _among(left, _DUAL_JOINING) and not (right.isalpha() or _MARKS.match(right))  # an abbreviation


def _is_cursive(char: str) -> bool:
    return _among(char, _DUAL_JOINING) or _among(char, _RIGHT_JOINING)


def _directs(text: str, run: re.Match[str]) -> bool:
    """Whether a direction mark is at the begin or end of a word, or of the space or sign beside it."""
    left, right = _bases(text, run)
    if _MARKS.match(left) or _MARKS.match(right) or (_is_right_to_left(left) and _is_right_to_left(right)):
        return False  # between two such letters it has no effect
    near = [left, right]
    if not left.isalpha() and run.start() > 1:
        near.append(text[run.start() - 2])
    if not right.isalpha():
        near.append(text[run.end() + 1 : run.end() + 2])
    return any(map(_is_right_to_left, near))


def _is_right_to_left(char: str) -> bool:
    return char.isalpha() and unicodedata.bidirectional(char) in {"R", "AL"}


def _bases(text: str, run: re.Match[str]) -> tuple[str, str]:
    """Return the characters on both sides of a run, skipping combining marks; empty at the ends of the text."""
    start, end = run.span()
    while start and run.start() - start < _MOST_COMBINED and _combines(text[start - 1]):
        start -= 1
    while end < len(text) and end - run.end() < _MOST_COMBINED and _combines(text[end]):
        end += 1
    return text[start - 1 : start], text[end : end + 1]


def _combines(char: str) -> bool:
    return unicodedata.category(char) == "Mn" and not _MARKS.match(char)


def _among(char: str, ranges: str) -> bool:
    return _pattern(ranges).fullmatch(char) is not None


@cache
def _pattern(ranges: str) -> re.Pattern[str]:
    """Compile a table on its first use: most texts need none."""
    ends = (one.partition("-") for one in ranges.split())
    return re.compile("".join(["[", *(rf"\U{int(a, 16):08x}-\U{int(b or a, 16):08x}" for a, _, b in ends), "]"]))
