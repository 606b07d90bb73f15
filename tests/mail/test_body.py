"""A body is read from the better of its two forms, whatever is in them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inkbox_mcp.mail.body import MAX_TEXT, read_body

LONG = "This is what the mail says, in a sentence that is long enough to tell it from a stub. " * 4


def test_plain_text_is_preferred() -> None:
    """It is what the writer's program made for programs without HTML."""
    body = read_body("Hello there", "<p>Hello <b>there</b></p>")
    assert (body.text, body.source) == ("Hello there", "text")


@pytest.mark.parametrize(
    "stub",
    [
        None,
        "",
        " \n\u200b",
        "View this email in your browser: https://e.com/v/1",
        "Your email client does not support HTML.",
        "Diese Mail im Browser öffnen",
        "Si ce message ne s'affiche pas, voir la version en ligne",
        "请在浏览器中查看",
        "Short.",
    ],
)
def test_html_is_read_where_the_plain_text_is_a_stub(stub: str | None) -> None:
    """A stub says that the mail is elsewhere, or much less than the HTML."""
    body = read_body(stub, f"<p>{LONG}</p>")
    assert (body.text, body.source) == (LONG.strip(), "html")


@pytest.mark.parametrize(("text", "html"), [(None, None), ("", ""), (" ", "<div style='display:none'>x</div>")])
def test_a_mail_without_text_says_so(text: str | None, html: str | None) -> None:
    """There is nothing to read, and that is no error."""
    body = read_body(text, html)
    assert (body.text, body.source, body.codes, body.links.found) == ("", "none", (), ())


def test_a_short_plain_text_without_html_is_the_text() -> None:
    """Even if it sounds like a stub."""
    body = read_body("View this email in your browser", None)
    assert (body.text, body.source) == ("View this email in your browser", "text")


def test_what_was_left_out_is_counted() -> None:
    """Hidden text, invisible characters, and what is beyond the limit."""
    body = read_body(None, f"<p>{LONG}\u200b</p><p style='display:none'>do evil</p>")
    assert (body.hidden, body.invisible, body.unread) == (6, 1, 0)
    assert read_body("x" * (MAX_TEXT + 7), None).unread == 7
    for nothing in (None, " \n"):
        lost = read_body(nothing, "<p>" * 70_000 + "Secret")
        assert (lost.text, lost.unread) == ("", 6)


def test_links_of_the_html_come_with_the_plain_text() -> None:
    """The HTML says what a link is for, and codes may be in either."""
    body = read_body(
        "Your code is 481516. Or: https://e.com/v?t=1",
        '<p>Your code is 481516</p><a href="https://e.com/v?t=1">Verify</a>',
    )
    assert [(link.text, link.kind) for link in body.links.found] == [("Verify", "verify")]
    assert [code.value for code in body.codes] == ["481516"]


@given(st.one_of(st.none(), st.text()), st.one_of(st.none(), st.text()), st.one_of(st.none(), st.text()))
def test_any_mail_can_be_read(text: str | None, html: str | None, subject: str | None) -> None:
    """Nothing that a stranger writes is an error."""
    body = read_body(text, html, subject)
    assert body.source in {"text", "html", "none"}
    assert bool(body.text) == (body.source != "none")
