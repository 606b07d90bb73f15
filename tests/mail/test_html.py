"""HTML is read as a person sees it: hidden text is left out and counted, and lines, lists and tables are readable."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inkbox_mcp.mail.html import MAX_HTML, read_html
from inkbox_mcp.mail.links import Anchor

HIDING = [
    '<div style="display:none">{}</div>',
    '<div style="DISPLAY : NONE !important">{}</div>',
    '<div style="color:red;display:/* x */none">{}</div>',
    '<div style="d\\69splay:none">{}</div>',
    "<div style='background:url(\";display:block;\");display:none'>{}</div>",
    "<div style=\"display:none;x:';display:block;'\">{}</div>",
    "<div hidden>{}</div>",
    '<div style="visibility:hidden"><p>{}</p></div>',
    '<div style="opacity:0">{}</div>',
    '<div style="opacity:0.01">{}</div>',
    '<div style="filter:opacity(0)">{}</div>',
    '<div style="display:none;display:nonsense">{}</div>',
    '<div style="font-size:0;font-size:nonsense">{}</div>',
    '<div style="opacity:0;opacity:nonsense">{}</div>',
    '<div style="opacity:5e-9">{}</div>',
    '<div style="opacity:.3"><p style="opacity:.3">{}</p></div>',
    '<div style="font-size:16e-9px">{}</div>',
    '<div style="font-size:calc(0px)">{}</div>',
    '<div style="font:0/0 a">{}</div>',
    '<div style="font-size:0">{}</div>',
    '<div style="font-size:1px">{}</div>',
    '<div style="font-size:20px"><span style="font-size:.1em">{}</span></div>',
    '<div style="font:1px/1 Arial">{}</div>',
    '<div style="color:#fff">{}</div>',
    '<div style="color:rgb(254, 254, 254)">{}</div>',
    '<div style="color:hsl(0, 0%, 100%)">{}</div>',
    '<div style="color:transparent">{}</div>',
    '<div style="color:rgba(0,0,0,0)">{}</div>',
    '<font color="white">{}</font>',
    '<font color="#FFFFFE" size="1">{}</font>',
    '<table bgcolor="#000000"><tr><td>{}</td></tr></table>',
    '<div style="background:#123456"><b style="color:#123457">{}</b></div>',
    '<div style="max-height:0;overflow:hidden">{}</div>',
    '<div style="height:1px;overflow:hidden">{}</div>',
    '<div style="position:absolute;left:-9999px">{}</div>',
    '<div style="text-indent:-9999px">{}</div>',
    '<div style="position:absolute;clip:rect(0,0,0,0)">{}</div>',
    '<div style="clip-path:inset(100%)">{}</div>',
    '<div style="transform:scale(0)">{}</div>',
    "<style>.x{{display:none}}</style><div class='a x'>{}</div>",
    "<style>#x{{display:none}}</style><div id=x>{}</div>",
    "<style>td.x > span, i{{font-size:0}}</style><table><tr><td class=x><span>{}</span></table>",
    "<style>@media screen{{.x{{visibility:hidden}}}}</style><div class=x><b>{}</b></div>",
    "<style>.x{{display:none!important}}</style><div class=x style='display:block'>{}</div>",
    '<style>div[class="x"]{{display:none}}</style><div class=x>{}</div>',
    "<style>/* }} */ .x{{color:#fff}}</style><div class=x>{}</div>",
    "<div hidden><table></div>{}</table></div>",
    "<p><font color=white>a</p><p>{}</font></p>",
]


@pytest.mark.parametrize("hiding", HIDING)
def test_hidden_text_is_left_out_and_counted(hiding: str) -> None:
    """Every way counts, by attribute, inline style or rule, also where elements overlap as they must not."""
    page = read_html(f"<p>Hello</p>{hiding.format('se cret')}<p>Bye</p>")
    assert page.text in {"Hello\n\nBye", "Hello\n\n\nBye"}
    assert page.hidden >= len("secret")


@pytest.mark.parametrize(
    "seen",
    [
        "<div style='font-size:0'><span style='font-size:14px'>{}</span></div>",
        "<div style='visibility:hidden'><span style='visibility:visible'>{}</span></div>",
        "<div style='background:#000'><span style='color:#fff'>{}</span></div>",
        "<table bgcolor='#000000'><tr><td style='color:white'>{}</td></tr></table>",
        "<div style='background:url(x.png)'><span style='color:#fff'>{}</span></div>",
        "<div style='background:linear-gradient(#000,#111);color:#fff'>{}</div>",
        "<div style='background-color:rgba(0,0,0,0)'>{}</div>",
        "<style>@media (max-width:600px){{.x{{display:none}}}}</style><div class=x>{}</div>",
        "<style>@media print{{.x{{display:none}}}}</style><div class=x>{}</div>",
        "<style>.x{{display:none}}</style><div class=x style='display:block'>{}</div>",
        "<style>.x a{{display:none}}</style><div class=y>{}</div>",
        "<style>.x:hover{{display:none}}</style><div class=x>{}</div>",
        "<div style='background-image:linear-gradient(#000,#111);color:#fff'>{}</div>",
        "<body bgcolor=#000000 text=#ffffff>{}</body>",
        "<div style='width:5%;overflow:hidden'>{}</div>",
        "<div style='width:0;min-width:100%;overflow:hidden'>{}</div>",
        "<div style='font-size:0'><span style='font-size:x-large'>{}</span></div>",
        "<div style='font-size:0'><span style='font-size:clamp(14px,2vw,18px)'>{}</span></div>",
        "<div style='font-size:0'><span style='font-size:calc(14px + 1vw)'>{}</span></div>",
        "<div style='position:absolute;left:50%;margin-left:-400px'>{}</div>",
        "<div style='font-size:medium'>{}</div>",
        "<div style='font-size:nonsense;color:nonsense;opacity:x'>{}</div>",
        "<div style='margin-left:-10px;left:-9999px'>{}</div>",
        "<div style='height:0'>{}</div>",
        "<style>.btn{{background-color:#0a66c2}}</style><a class=btn style='color:#fff' href=x>{}</a>",
        "<noscript>{}</noscript>",
    ],
)
def test_visible_text_stays(seen: str) -> None:
    """A wrong guess would lose what the mail was sent for."""
    page = read_html(seen.format("481516"))
    assert (page.text, page.hidden) == ("481516", 0)


@pytest.mark.parametrize(
    "silent",
    [
        "<!-- {} -->",
        "<script>{}</script>",
        "<title>{}</title>",
        "<style>{}</style>",
        "<template>{}</template>",
        "<object>{}</object>",
    ],
)
def test_what_is_never_shown_is_no_text(silent: str) -> None:
    """Nor is it counted: every mail has some of it."""
    page = read_html(f"<p>Hello</p>{silent.format('x')}")
    assert (page.text, page.hidden) == ("Hello", 0)


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("a<br>b", "a\nb"),
        ("a<br><br><br><br>b", "a\n\nb"),
        ("<p>a</p>\n\n<p>b</p>", "a\n\nb"),
        ("<div>a</div><div>b</div>", "a\nb"),
        ("a <b>b</b>  <i>c</i>d", "a b cd"),
        ("<span>4</span><span>8</span><b>1</b>", "481"),
        ("<ul><li>a<li>b</ul><ol><li>c</li><li>d</li></ol>", "- a\n- b\n\n1. c\n2. d"),
        ("<table><tr><th>Item<th>Price<tr><td>Pen<td>1.20</table>", "Item | Price\nPen | 1.20"),
        ("<table><tr><td><table><tr><td><p>a</p><p>b</p></td></tr></table></td><td></td></tr></table>", "a\n\nb"),
        ("<table><tr><td>4</td><td>8</td><td>1</td></tr></table>", "4 8 1"),
        ("a<span style='display:block'>b</span>c", "a\nb\nc"),
        ("<pre>a  b\n  c</pre>", "a  b\n  c"),
        ("<blockquote>a<br>b<blockquote>c</blockquote></blockquote>d", "> a\n> b\n>\n> > c\n\nd"),
        ('<img src=x alt="Acme  logo"><img src=x width=1 alt=pixel>', "[Acme logo]"),
        ("&lt;b&gt; &amp; &eacute; &#x1F600;", "<b> & é 😀"),
        ("<html><body>a</body></html><html><body>b</body></html>", "ab"),
        ("", ""),
        ("<", "<"),
        ("plain", "plain"),
    ],
)
def test_the_structure_is_readable(html: str, text: str) -> None:
    """Blocks are lines, cells of data stay apart, and tables that only lay out leave no trace."""
    assert read_html(html).text == text


def test_visible_links_are_listed_with_their_text() -> None:
    """A link in hidden text is not offered; one around a picture has the picture's words."""
    html = (
        '<a href="https://a.example/?x=1&amp;y=2">Verify <b>now</b></a><a name=x>y</a>'
        '<div style="display:none"><a href="https://hidden.example">z</a></div>'
        '<a href=" https://b.example "><img alt=Logo></a>'
    )
    assert read_html(html).anchors == (
        Anchor("Verify now", "https://a.example/?x=1&y=2"),
        Anchor("Logo", "https://b.example"),
    )


def test_what_is_no_character_is_read_as_its_replacement() -> None:
    """JSON can have lone surrogates, which are in no encoding."""
    page = read_html(
        '<p \ud800="\udfff" class="\ud800" style="\ud800:\ud800">a\ud800</p><a href="https://e.com/\ud800">b</a>'
    )
    assert page.text == "a\ufffd\n\nb"
    assert page.anchors == (Anchor("b", "https://e.com/\ufffd"),)


def test_what_is_not_read_is_said() -> None:
    """HTML beyond the limit is left out, but not silently."""
    page = read_html("<p>a" + "x" * MAX_HTML)
    assert page.unread == 4
    assert len(page.text) == MAX_HTML - 3


PIECES = [*"<>/=\"'&;#ab -!\n\0\ud800{}", "<table>", "<td>", "</p>", "<b style=", "<style>", "<li>", "<blockquote>"]


@given(st.lists(st.sampled_from(PIECES)).map("".join))
def test_any_text_can_be_read_as_html(html: str) -> None:
    """Broken HTML has as little text as it has characters, apart from marks of lists and quotations."""
    page = read_html(html)
    assert len(page.text) <= 4 * len(html) + 4
    assert page.unread == 0
