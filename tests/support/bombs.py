"""Bodies of the maximum size that are made to take long: `python -m tests.support.bombs [SIZE]` reads each of them."""

import sys
from collections.abc import Iterator

from inkbox_mcp.mail.body import MAX_TEXT, read_body
from inkbox_mcp.mail.fence import fenced
from inkbox_mcp.mail.quotes import split_quotes

HTML_UNITS = """
<div>|<b>|<b |<a>|<a href=x>|<b><p>|<b><i><u><s><a x=1>|<a><b></a></b>|<p><b>x</p>|<h1>|<li>|<dd><dt>|<select><option>|
<ruby><rt>|<nobr>|&amp;|&a|&#|&#x1F600;|&notin|<!--|<!--->|<!|</|<|<?|<![CDATA[|<table>|<table><tr><td>|<table><tr>|<tr>|
<table><p>|<table>x<b>|<table><caption>|<table><col>|<svg>|<math><mi>|<svg><foreignObject>|<svg><p>|<template>|<frameset>|
<form>|<br>|<img alt=x src=y>|<hr>|<ul><li>|<blockquote>|<blockquote>x<br>|<pre>|</p>|</x>|<style>p{color:red}</style>|
<p style=color:red>x|<td style="display:block">|<font color=white>x|<title>|<textarea>|<script>|<style>|<plaintext>|x\0|
\ud800|<p \ud800=x>
"""
TEXT_UNITS = """
code 123456 |1|1 |12 |1.|A1|A|A-|order |a@|a.|.a|@|http://|<http://a@|https://a.b/c |www.|e\u0301|\u0301\u0316|\u0316|
\u200b|क्\u200d|ب\u200c|👩\u200d|验证码|<|< |\uff1c\u0338|(|http://a(((|http://a)))|läuft |\uff11|
\u1100\u1161|\U000e0041|code: |code.com |minuten läuft |xn--|a:@|http://[|http://é.|١
"""
LINE_UNITS = """
> a|a:|On 1|From:|To:|On 1 wrote:|On 1:|--|- -|On a@b wrote:\n> a|a\n> b|2026年1月1日:|x 写道：|*From:*\nTo:|___
"""
MANY = range(60_000)


def bombs(size: int = MAX_TEXT) -> Iterator[tuple[str, str]]:
    """Yield bodies of at most about this size, with their names."""
    for name, bomb in _of_the_maximum():
        yield name, bomb if size == MAX_TEXT else _smaller(bomb, size)


def _smaller(bomb: str, size: int) -> str:
    """Leave out most of both halves, so that what is repeated before the middle and after it stays."""
    return bomb[: size // 2] + bomb[len(bomb) // 2 :][: size // 2] if len(bomb) > size else bomb


def _of_the_maximum() -> Iterator[tuple[str, str]]:
    for unit in (unit.strip("\n") for units in (HTML_UNITS, TEXT_UNITS) for unit in units.split("|")):
        yield f"{unit!a}", _filled(unit)
    for unit in (unit.strip("\n") for unit in LINE_UNITS.split("|")):
        yield f"{unit!a} as a line", _filled(f"{unit}\n")
    attributes = "".join(f" a{n}=1" for n in MANY)
    colors = "".join(f"<font color=c{n}><p>" for n in MANY)
    rules = "".join(f"div[a=b{n}] p{{display:none}}" for n in range(8_000))
    yield "one element with many attributes", f"<p{attributes}>x"
    yield "two bodies with many attributes", f"<body{attributes[:250_000]}><body{attributes[250_000:].upper()}>"
    yield "many bodies", "".join(f"<body a{n}=1>" for n in MANY)
    yield "many roots", "".join(f"<html a{n}=1>" for n in MANY)
    yield "formatting that goes on in every paragraph", colors
    yield "formatting and attributes", "".join(f"<b a{n}=1><p>" for n in MANY)
    yield "many closed wrongly", "<b>" * 30_000 + "<p>" * 30_000 + "</b>" * 60_000
    yield "many rules and elements", f"<style>{rules}</style>" + "<div><p>" * 30_000
    yield "many rules of one class", "<style>" + ".a.b{color:red}" * 15_000 + "</style>" + "<p class=a>" * 20_000
    yield (
        "rules of long ancestry",
        "<style>" + "div div div x div div{color:red}" * 5_000 + "</style>" + "<div>" * 60_000,
    )
    yield "long selectors", f"<style>{'a,' * 120_000}b{{color:red}}</style>" + "<a>x</a>" * 20_000
    for selector in ("i~b~u~p", "i+p", "i~p:not(.x)", ":nth-child(7n+1)", ":not(:not(:not(p)))"):
        yield (
            f"many elements and {selector}",
            f"<style>{f'{selector}{{color:red}}' * 2_000}</style>" + "<i></i><p>" * 30_000,
        )
    for opened in (":not(", "[a", "p:is(a,", "(a)", "i~"):
        yield f"a selector of {opened}", f"<style>{_filled(opened)}{{color:red}}</style><p>x"
        yield f"selectors of {opened}", f"<style>{f'{opened * 40},' * 3_000}{{color:red}}</style><p>x"
    yield "a long at-rule", f"<style>@media{' ' * 400_000}x{{}}</style>"
    yield "braces", f"<style>{'{' * 500_000}"
    yield "media in media", f"<style>{'@media{' * 70_000}"
    yield "open strings and comments", f"<style>{'a{b:' + chr(34) + '/*' + chr(39)}" + "a{b:\"'/*url(" * 40_000
    for css in (
        "color:red;",
        ";",
        "a:url(",
        "/*",
        '"',
        "'",
        "\\",
        "!important",
        "font:1px ",
        "rgb(",
        "-",
        "calc(",
        "(1)",
        "1 ",
    ):
        yield f"a style of {css}", f"<p style='{_filled(css)}'>x"
        for name in ("transform", "font-size", "background", "margin"):
            yield f"a long {name} of {css}", f"<p style='{name}:{_filled(css)}'>x"
    yield "a class of many", f"<p class='{_filled('x ')}'>x"


def _filled(unit: str) -> str:
    return unit * (MAX_TEXT // len(unit))


def main() -> None:
    """Read each bomb in every way, and write its name."""
    size = int(sys.argv[1]) if len(sys.argv) > 1 else MAX_TEXT
    for name, bomb in bombs(size):
        text = read_body(bomb, None, bomb).text
        read_body(None, bomb, None)
        split_quotes(text)
        fenced(text, {"Subject": bomb}, "a1b2c3d4")
        sys.stdout.write(f"{name}\n")


if __name__ == "__main__":
    main()
