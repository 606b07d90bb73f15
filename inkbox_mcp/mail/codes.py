"""Finds what may be a code to sign in or to verify with, and says how likely each is.

A candidate has the form of a code. What speaks for it and against it is in the words near it, and in its form.
"""

import re
import unicodedata
from dataclasses import dataclass
from itertools import islice

from inkbox_mcp.mail.code_words import CODE, ENTER, OTHER_NUMBER, PROMOTION, PURPOSE, SHOP, TO, USE

MAX_CODES = 5
MAX_LOOKED_AT = 100_000
"""Characters of the text, and 1,000 of the subject, in which codes are looked for."""
_LEAST = 30  # points of what is shown
_AIMED = 8  # points for what the mail as a whole is about, at most
_MOST_CANDIDATES = 1000
_MAX_LINE = 200
_NEAR = 100  # characters on a line
_REPLACED = re.compile(r"(?:https?://|www\.)[^\s<>\"]+|[\w.+-]{1,64}@[\w-]{1,63}\.[\w.-]{1,255}", re.IGNORECASE)
# Chinese, Japanese, Thai, Lao, Burmese and Khmer have no blanks between a word and a number.
_LETTER = "[0-9A-Za-z\u00aa-\u02ff\u0370-\u0dff\u0f00-\u0fff\u10a0-\u177f\u1800-\u1fff\uac00-\ud7a3]"
_PARTICLE = "(?:입니다|이며|이고|이에요|을|를|으로)"  # what Korean writes directly behind a code
_WORD_OR_AMOUNT = (
    r"(?:[A-Za-z]{4,8}\d{1,2}|"
    r"\d{1,5}(?:min\w{0,6}|se[ck]\w{0,6}|hrs?|hours?|days?|[kmgt]b|px|eur|usd|th|am|pm|uhr|std))"
)
_FORM = re.compile(
    rf"(?<!{_LETTER})(?<![/@&%$€£¥₹№+-])(?<!(?<!is )#)(?<!(?<![Cc]ode)=)(?<!\d[.,: -])"
    r"(?<![$€£¥₹№#][ ])(?<!\*\*\*)(?<!\*\*\*[ ])(?:"
    r"(?P<google>[A-Z]-\d{6})|"
    r"(?P<long>\d{3}-\d{3}-\d{3}|\d{3}[ ]\d{3}[ ]\d{3})(?![ -]\d)|"
    r"(?P<group>\d{3}[ -]\d{3,4}|\d{4}[ -]\d{4}|\d{2}[ -]\d{2}[ -]\d{2})|"
    r"(?P<single>\d(?:[ ]{1,2}\d){3,7})|"
    r"(?P<digits>\d{4,8})|"
    r"(?P<pair>[A-Z0-9]{3,5}-[A-Z0-9]{3,5})|"
    r"(?P<mixed>(?=[A-Z]{0,8}\d)(?=\d{0,8}[A-Z])[A-Z0-9]{5,9})(?![a-z])|"
    rf"(?P<loose>(?!{_WORD_OR_AMOUNT}(?!{_LETTER}))"
    r"(?:(?=[A-Za-z]{0,8}\d)(?=\d{0,8}[A-Za-z])[A-Za-z0-9]{4,9}|"
    r"(?=[A-Za-z]{0,5}-?[A-Za-z]{0,5}\d)[A-Za-z0-9]{3,5}-[A-Za-z0-9]{3,5}))"
    rf")(?!(?!{_PARTICLE}){_LETTER})(?![:/@%=-]{_LETTER})(?![.]{_LETTER}(?<![A-Z]))"
    r"(?!,\d(?!\d?[ ]?[分小时時]))(?![ ]?[%€£¥₹$°])(?![ -]\d)"
)
_UNIT = re.compile(
    r"[ ]?(?:eur|usd|gbp|chf|jpy|rub|brl|円|元|руб|р\.|dollars?|euros?|km|kg|mb|gb|px|cm|mm|kcal|people|users|points|"
    r"punkte|reviews?|followers|likes|years?|jahre|hours?|items?|pieces?|stück|点|人|年|월|명|ポイント)\b",
    re.IGNORECASE,
)
_STATE = re.compile(r"\b[A-Z]{2}[ ]$")  # before a ZIP code
# After words such as "Your code for order 4711", this says that the code follows.
_IS_WORDS = r"lautet|is|ist|est|es|è|é|är|jest|este|є|είναι|là|adalah|ialah|هو|הוא"
_IS = re.compile(rf"(?:\b(?:{_IS_WORDS})|คือ|है|[是为為は])[\W]{{0,4}}$", re.IGNORECASE)
_IS_AFTER = re.compile(rf"\W{{0,4}}(?:{_IS_WORDS})\b|[\W]{{0,4}}(?:คือ|[是为為は])", re.IGNORECASE)
# What may stand between the word for a code and a code that has the form of a year or of a word.
_NAMES = re.compile(
    rf"[^.!?。！？:：=]{{0,60}}(?:[:：=]|[ ]-[ ]|\b(?:{_IS_WORDS})\b|คือ|[是为為は])\W{{0,6}}", re.IGNORECASE
)
_QUALIFIED = re.compile(rf"(?:[\w-]|(?:{PURPOSE.pattern}|security|secret)\w{{0,12}}[ ])$", re.IGNORECASE)
_SENTENCE = re.compile(r"[.!?][ ]|[。！？]")
_MONTH = re.compile(
    r"(?:jan|feb|m[aä]r|apr|ma[iy]|jun|jul|aug|sep|o[ck]t|nov|de[cz]|january|enero|janvier|gennaio|"
    r"янв|фев|мар|апр|ма[йя]|июн|июл|авг|сен|окт|ноя|дек)\w{0,9}\.?[ ](?:de[ ])?(?:\d{1,2},?[ ])?$",
    re.IGNORECASE,
)
_AROUND = " .:*_-|\"'[](){}<>=~#`「」【】"  # a code that is alone on its line
_POINTS = {"google": 35, "group": 18, "long": 8, "single": 18, "digits": 8, "pair": 6, "mixed": 6, "loose": 6}
_LIKE_OTHERS = frozenset({"long", "loose"})  # forms that a text has for many things: a code must be named


@dataclass(frozen=True, slots=True)
class Code:
    """What may be a code.

    Attributes:
        value: as it is to be entered: letters as they are, decimal digits in ASCII, without the blanks or hyphens of
            groups of digits.
        score: from 1 to 100.
        line: the line that it is in, at most 200 characters; "Subject: …" if it is in the subject.
    """

    value: str
    score: int
    line: str


@dataclass(frozen=True, slots=True)
class _Line:
    """A line with what is near it.

    Attributes:
        plain: the line at the same length, with digits and letters in ASCII where they have such a form.
    """

    shown: str
    plain: str
    above: str = ""
    below: str = ""
    is_subject: bool = False


def find_codes(text: str, subject: str = "") -> tuple[Code, ...]:
    """Find codes in a mail; at most five, the likeliest first. None is sure: the reader decides by the line.

    Args:
        text: the visible text, with quotations; its first 100,000 characters are read.
        subject: the mail's; its first 1,000 characters.
    """
    lines = _lines(text, subject)
    aim = _aim(lines)
    best: dict[str, Code] = {}
    found = ((line, form) for line in lines for form in _FORM.finditer(line.plain))
    for line, form in islice(found, _MOST_CANDIDATES):
        score = min(_score(line, form) + aim, 100)
        value = _value(form)
        if value in best and best[value].score >= score:
            continue
        best[value] = Code(value, score, _shown(line, form.start()))
    likely = [code for code in best.values() if code.score >= _LEAST]
    return tuple(sorted(likely, key=lambda code: -code.score)[:MAX_CODES])


def _lines(text: str, subject: str) -> list[_Line]:
    subject = " ".join(subject[:1000].split())
    shown = [line.strip() for line in text[:MAX_LOOKED_AT].split("\n")]
    shown = [line for line in shown if line]
    plain = [_plain(line) for line in shown]
    lines = [_Line(subject, _plain(subject), is_subject=True)] if subject else []
    for at, line in enumerate(shown):
        above = plain[at - 1] if at else ""
        lines.append(_Line(line, plain[at], above, plain[at + 1] if at + 1 < len(plain) else ""))
    return lines


def _plain(line: str) -> str:
    """Write digits, full-width letters and hyphens in ASCII, URLs and addresses as blanks, at the same length."""
    if not line.isascii():
        line = "".join(map(_ascii, line))
    return _REPLACED.sub(lambda found: " " * len(found[0]), line)


def _ascii(char: str) -> str:
    if char < "\u0100":
        return char
    digit = unicodedata.decimal(char, None)
    if digit is not None:
        return str(digit)
    if "\uff21" <= char <= "\uff5a" and char.isalpha():
        return chr(ord(char) - 0xFEE0)
    return "-" if "\u2010" <= char <= "\u2015" or char in "\u2212\uff0d" else char


def _aim(lines: list[_Line]) -> int:
    """Return points for what the mail as a whole is about."""
    beginning = " ".join(line.plain[:300] for line in lines[:40])[:4000]
    return (_AIMED if PURPOSE.search(beginning) else 0) - (
        12 if PROMOTION.search(beginning) or SHOP.search(beginning) else 0
    )


def _score(line: _Line, form: re.Match[str]) -> int:
    kind, value = form.lastgroup or "", _value(form)
    before, after = line.plain[max(form.start() - _NEAR, 0) : form.start()], line.plain[form.end() : form.end() + _NEAR]
    score = _POINTS[kind] + (10 if len(value) == 6 else 0)
    alone = len(line.plain) < len(form[0]) + 40 and not line.plain.replace(form[0], "", 1).strip(_AROUND)
    score += 22 if alone else 0
    score += _words_for(line, before, after, alone=alone)
    if score + _AIMED < _LEAST:  # most numbers of a text: the slower half need not be asked
        return score
    score -= _words_against(line, before, after, value, alone=alone)
    is_year = len(value) == 4 and value.isdigit() and 1900 <= int(value) <= 2099
    if (is_year or kind in _LIKE_OTHERS) and not _is_named(line, before, after, alone=alone):
        score -= 25 if is_year else 100
    if kind == "digits" and len(value) == 5 and _STATE.search(before):
        score -= 40
    if _UNIT.match(after) or _MONTH.search(before) or (kind == "pair" and value.isdigit()):
        score -= 40
    return score


def _words_for(line: _Line, before: str, after: str, *, alone: bool) -> int:
    """Return points for words that name a code or ask to enter it: before it, after it, or on the lines around."""
    sentence, rest = _SENTENCE.split(before)[-1], _SENTENCE.split(after)[0]
    above = line.above[-150:]
    if CODE.search(sentence) or _is_to_use(sentence, rest):
        return 45
    if CODE.search(rest):
        return 45 if _IS_AFTER.match(rest) else 35
    points = 25 if ENTER.search(sentence) or (alone and ENTER.search(above)) else 0
    if CODE.search(before):
        points += 20
    elif CODE.search(above):
        points += 40 if alone else 20
    elif CODE.search(line.below[:150]):
        points += 25 if alone else 10
    elif PURPOSE.search(before + after) or (alone and PURPOSE.search(above)):
        points += 12
    return min(points, 45)


def _is_named(line: _Line, before: str, after: str, *, alone: bool) -> bool:
    """Whether a mail says outright that something is the code, as in "PIN: 2024" and "k7f2 is your code"."""
    *_, sentence = _SENTENCE.split(before)
    rest, *_ = _SENTENCE.split(after)
    *_, word = (None, *CODE.finditer(sentence))
    if word:
        between = sentence[word.end() :]
        # "Code 2024" may be a name, "verification code 2024" and "passcode 2024" are none.
        is_whole = len(word[0]) > 5 or _QUALIFIED.search(sentence[: word.start()]) is not None
        return _NAMES.fullmatch(between) is not None or (is_whole and not between.strip(_AROUND))
    if alone and CODE.search(line.above[-150:]):
        return True
    return _is_to_use(sentence, rest) or (_IS_AFTER.match(rest) and CODE.search(rest[:40])) is not None


def _is_to_use(before: str, after: str) -> bool:
    """Whether a sentence asks to use something for what codes are for, as in "Use 4821 to finish signing in"."""
    return TO.match(after) is not None and USE.search(before) is not None and PURPOSE.search(after) is not None


def _words_against(line: _Line, before: str, after: str, value: str, *, alone: bool) -> int:
    """Return points against it for words that name another number, or speak of a promotion."""
    against = 0
    near = line.above[-80:] if alone else before
    other = list(OTHER_NUMBER.finditer(near))
    code = list(CODE.finditer(near))
    if other:
        # The nearer word decides.
        asked = alone and bool(code) and near.endswith((":", "："))
        is_named = code and (other[-1].end() < code[-1].start() or asked or _IS.search(before))
        against += 15 if is_named else 60
    if not alone and OTHER_NUMBER.search(after[:20]):
        against += 10
    sentence, rest = _SENTENCE.split(before)[-1], _SENTENCE.split(after)[0]
    around = line.above[-80:] + line.below[:80] if alone else ""
    is_code = CODE.search(sentence) is not None or _is_to_use(sentence, rest)
    # A payment, too, is confirmed at a checkout: by digits, while codes of offers are mostly words.
    is_for_shop = SHOP.search(f"{sentence}{rest} {around}") is not None and not (is_code and value.isdigit())
    if is_for_shop or PROMOTION.search(f"{sentence}{rest} {around}"):
        # Mail with a code can go on with an offer.
        against += 27 if is_code else 55
    return against


def _value(form: re.Match[str]) -> str:
    if form.lastgroup in {"group", "long", "single"}:
        return re.sub("[ -]", "", form[0])
    return form[0]


def _shown(line: _Line, at: int) -> str:
    start = max(min(at - _MAX_LINE // 2, len(line.shown) - _MAX_LINE), 0)
    cut = line.shown[start : start + _MAX_LINE]
    return f"Subject: {cut}" if line.is_subject else cut
