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
    "<font color=ffffff>{}</font>",
    "<font color=chucknorris><table bgcolor=c00000><tr><td><font color=bf0000>{}</font></td></table></font>",
    "<table bgcolor=000><tr><td>{}</td></tr></table>",
    "<div bgcolor=black style='color:white'>{}</div>",
    "<div color=red style='color:white'>{}</div>",
    "<div style='background:papayawhip;color:blanchedalmond'>{}</div>",
    "<div style='color:hwb(0 100% 0%)'>{}</div>",
    "<div style='color:color(srgb 1 1 1)'>{}</div>",
    "<div style='color:oklch(1 0 0)'>{}</div>",
    "<div style='color:lab(100% 0 0)'>{}</div>",
    "<div style='background:#000;background:#fff;color:#fff'>{}</div>",
    "<div style='background-color:#000;background:#fff;color:#fff'>{}</div>",
    "<div style='background:#fff;background-color:#000;color:#000'>{}</div>",
    "<div style='background-color:#000;background:none;color:#fff'>{}</div>",
    "<div style='background:url(x.png);background:#fff;color:#fff'>{}</div>",
    "<div style='background:#fff;background:nonsense;color:#fff'>{}</div>",
    "<div style='background:linear-gradient(#fff,white);color:#fff'>{}</div>",
    "<div style='background-image:radial-gradient(circle at top,#fff 0%,rgb(250,250,250) 100%);color:#fff'>{}</div>",
    "<div style='color:currentcolor;background:currentcolor'>{}</div>",
    "<div style='color:#fff;color:nonsense'>{}</div>",
    "<div style='color:#fff;color:#ggg'>{}</div>",
    "<div style='color:#fff;color:red blue'>{}</div>",
    "<div style='color:#fff;color:nonsense(1)'>{}</div>",
    "<div style='visibility:hidden;visibility:nonsense'>{}</div>",
    "<div style='height:0;height:5nonsense;overflow:hidden;overflow:nonsense'>{}</div>",
    "<div style='margin:-9999px 0 0 0'>{}</div>",
    "<div style='margin:0 0 0 -9999px'>{}</div>",
    "<div style='margin-inline:-9999px 0'>{}</div>",
    "<div style='margin-block-start:-9999px'>{}</div>",
    "<div style='position:absolute;inset:-9999px auto auto auto'>{}</div>",
    "<div style='height:0;overflow:auto'>{}</div>",
    "<div style='line-height:0;overflow:hidden'>{}</div>",
    "<div style='text-indent:100%;white-space:nowrap;overflow:hidden'>{}</div>",
    "<div style='text-indent:-100%'>{}</div>",
    "<style type=text/css media=screen>.x{{display:none}}</style><div class=x>{}</div>",
    "<table style='display:block;height:0;overflow:hidden'><tr><td>{}</td></tr></table>",
    "<div style='height:0;overflow-y:scroll'>{}</div>",
    "<div style='block-size:0;overflow:clip'>{}</div>",
    "<div style='scale:0'>{}</div>",
    "<div style='scale:1 0'>{}</div>",
    "<div style='transform:scale(0.01)'>{}</div>",
    "<div style='transform:rotate(1deg) scaleY(calc(1 - 1))'>{}</div>",
    "<div style='transform:scale3d(0,0,1)'>{}</div>",
    "<div style='transform:matrix(0,0,0,0,0,0)'>{}</div>",
    "<div style='transform:rotateX(90deg)'>{}</div>",
    "<div style='transform:translateX(-9999px)'>{}</div>",
    "<div style='translate:0 -9999px'>{}</div>",
    "<div style='-webkit-transform:scale(0)'>{}</div>",
    "<div style='zoom:.01'>{}</div>",
    "<div style='filter:blur(20px) opacity(1)'>{}</div>",
    "<div style='filter:opacity(1%)'>{}</div>",
    "<div style='letter-spacing:-1em'>{}</div>",
    "<div style='clip-path:polygon(0 0, 0 0, 0 0)'>{}</div>",
    "<div style='font-size:calc(0px + 0px)'>{}</div>",
    "<div style='font-size:calc(16px * (1 - 1))'>{}</div>",
    "<div style='font-size:min(0px, 5vw)'>{}</div>",
    "<div style='font-size:clamp(0px, 1px, 2px)'>{}</div>",
    "<div style='max-height:calc(1em - 16px);overflow:hidden'>{}</div>",
    "<div style='opacity:calc(1 - 1)'>{}</div>",
    "<div style='font:0px/1 Arial;'>{}</div>",
    "<div style='font-size:20px;font:1px Arial'>{}</div>",
    f"{'<small>' * 9}{{}}{'</small>' * 9}",
    "<dialog>{}</dialog>",
    "<style>div:not(.y){{display:none}}</style><div class=x>{}</div>",
    "<style>div:not(.y,#z):not([lang]){{display:none}}</style><div class=x>{}</div>",
    "<style>:is(.x,.y){{display:none}}</style><div class=x>{}</div>",
    "<style>i+b{{display:none}}</style><i></i><b>{}</b>",
    "<style>i~b{{display:none}}</style><i></i><u></u><b>{}</b>",
    "<style>div>i+b u{{display:none}}</style><div><i></i><b><u>{}</u></b></div>",
    "<style>b:first-child{{display:none}}</style><div><b>{}</b></div>",
    "<style>b:nth-child(2n){{display:none}}</style><div><i></i><b>{}</b></div>",
    "<style>a:link{{display:none}}</style><a href=x>{}</a>",
    '<style>[class="X" i]{{display:none}}</style><div class=x>{}</div>',
    "<style>@supports (display:grid){{.x{{display:none}}}}</style><div class=x>{}</div>",
    "<style>@supports (color:red) and (opacity:0){{@media all{{.x{{display:none}}}}}}</style><div class=x>{}</div>",
    "<style>@layer a{{.x{{display:none}}}}</style><div class=x>{}</div>",
    "<style>@media print, screen{{.x{{display:none}}}}</style><div class=x>{}</div>",
    "<style>.x{{background:#000}}.x{{background:none}}</style><div class=x style='color:#fff'>{}</div>",
    "<div style='opacity:.3'><img src='https://e.com/a' style='opacity:.3' alt='{}'></div>",
    "<div style='font-size:0'><img alt='{}'></div>",
    "<div style='color:#fff'><img src='' alt='{}'></div>",
    "<div hidden><img src='https://e.com/a' alt='{}'></div>",
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
        "<font color=000000>{}</font>",
        "<table bgcolor=000080><tr><td><font color=ffffff>{}</font></td></tr></table>",
        "<div style='background-color:#fff;background:#000;color:#fff'>{}</div>",
        "<div style='background:#fff;background-color:#000;color:#fff'>{}</div>",
        "<div style='background:#000 none no-repeat;color:#fff'>{}</div>",
        "<div style='background:no-repeat center/cover rgb(0, 0, 0);color:#fff'>{}</div>",
        "<div style='background-color:#000;background:nonsense;color:#fff'>{}</div>",
        "<div style='background:linear-gradient(white,#000);color:#fff'>{}</div>",
        "<div style='background:linear-gradient(red,blue);background-clip:text;color:transparent'>{}</div>",
        "<div style='color:var(--x)'>{}</div>",
        "<div style='color:#fff;color:initial'>{}</div>",
        "<div style='height:0;height:auto;overflow:hidden'>{}</div>",
        "<div style='height:40px;overflow:auto'>{}</div>",
        "<div style='margin:0 -9999px -9999px 0'>{}</div>",
        "<div style='margin:-12px auto'>{}</div>",
        "<div style='scale:1.2;zoom:1;transform:scale(.9) translate(-50%,-50%) rotate(90deg)'>{}</div>",
        "<div style='transform:matrix(0,1,-1,0,0,0)'>{}</div>",
        "<div style='filter:blur(0) grayscale(1)'>{}</div>",
        "<div style='letter-spacing:-.5px'>{}</div>",
        "<div style='clip-path:circle(50%)'>{}</div>",
        "<div style='font-size:0'><span style='font-size:calc(10px + .5em)'>{}</span></div>",
        "<div style='font-size:0'><span style='font:14px Arial'>{}</span></div>",
        "<small><small>{}</small></small>",
        "<div style='line-height:1;overflow:hidden'>{}</div>",
        "<div style='line-height:0;height:20px;overflow:hidden'>{}</div>",
        "<div style='font-size:16px;font-size:-1px'>{}</div>",
        "<div style='text-indent:-10%;margin-left:-100%'>{}</div>",
        "<style media='screen and (max-width:600px)'>.x{{display:none}}</style><div class=x>{}</div>",
        "<style media=print>.x{{display:none}}</style><div class=x>{}</div>",
        "<style type=text/x>.x{{display:none}}</style><div class=x>{}</div>",
        "<table style='height:0;overflow:hidden'><tr><td style='max-width:0;width:100%;overflow:hidden'>{}</table>",
        "<div style='background:linear-gradient(var(--x),#fff);color:#fff'>{}</div>",
        "<dialog open>{}</dialog>",
        "<style>div:not(.x){{display:none}}</style><div class=x>{}</div>",
        "<style>i+b{{display:none}}</style><b>{}</b>",
        "<style>i+b{{display:none}}</style><i></i><br><b>{}</b>",
        "<style>b:nth-child(2){{display:none}}</style><b>{}</b>",
        "<style>.x:checked~b,.x:last-child{{display:none}}</style><b class=x>{}</b>",
        '<style>[class="y" i]{{display:none}}</style><div class=x>{}</div>',
        "<style>@supports not (display:grid){{.x{{display:none}}}}</style><div class=x>{}</div>",
        "<style>@supports (display:nonsense){{.x{{display:none}}}}</style><div class=x>{}</div>",
        "<style>@media screen and (max-width:600px), print{{.x{{display:none}}}}</style><div class=x>{}</div>",
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
        (
            "<td style='font-size:0'><img src=https://e.com/a alt=Verify><img style='height:1px' alt=pixel></td>",
            "[Verify]",
        ),
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
