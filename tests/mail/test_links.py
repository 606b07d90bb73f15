"""Links say where they lead, come in the order of their use, and are whole."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inkbox_mcp.mail.html import read_html
from inkbox_mcp.mail.links import MAX_LINKS, MAX_URL, Anchor, Link, find_links


def only(text: str, *anchors: Anchor) -> Link:
    """Return the only link of a mail."""
    links = find_links(text, anchors)
    assert (len(links.found), links.left_out) == (1, 0)
    return links.found[0]


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("See https://e.com/a.", "https://e.com/a"),
        ("(https://e.com/a_(b)).", "https://e.com/a_(b)"),
        ("<https://e.com/a\nbc?d=e>", "https://e.com/abc?d=e"),
        ("HTTPS://E.COM/Path", "https://e.com/Path"),
        ("https://e.com/a?x=1&y=%20#z!", "https://e.com/a?x=1&y=%20#z"),
        ("请访问 https://e.com/a。谢谢", "https://e.com/a"),
        ("https://e.com:8443/a", "https://e.com:8443/a"),
        ("https://bücher.example/a", "https://xn--bcher-kva.example/a"),
        ("https://[2001:db8::1]/a", "https://[2001:db8::1]/a"),
        ("https://e.com/" + "x" * 2000, "https://e.com/" + "x" * 2000),
    ],
)
def test_a_url_in_text_is_whole_and_nothing_more(text: str, url: str) -> None:
    """Punctuation around it does not belong to it; a line break in angle brackets neither."""
    assert only(text).url == url


@pytest.mark.parametrize(
    "href",
    [
        "javascript:alert(1)",
        "data:text/html,x",
        "mailto:a@b.c",
        "tel:1",
        "ftp://e.com",
        "//e.com",
        "#a",
        "https://",
        "https:// /",
        "https://1.2.3.256/",
        "https://1.2.3.4.5/",
        "https://09/",
        "https://a b/",
        "",
    ],
)
def test_only_websites_are_links(href: str) -> None:
    """What a browser would not open as a website is left out."""
    assert find_links("", [Anchor("x", href)]).found == ()


@pytest.mark.parametrize(
    ("href", "host"),
    [
        ("https://bank.com@evil.example/", "evil.example"),
        ("https://bank.com:443@evil.example/", "evil.example"),
        ("https://evil.example\\@bank.com/", "evil.example"),
        ("https:\\\\evil.example\\bank.com", "evil.example"),
        ("https:/evil.example/", "evil.example"),
        ("ht\ntps://ev\til.example/", "evil.example"),
        ("https://EVIL.example./", "evil.example"),
        ("https://ev%69l.example/", "evil.example"),
        ("https://ｅvil．example/", "evil.example"),
        ("https://evil.example?@bank.com", "evil.example"),
        ("https://evil.example#@bank.com", "evil.example"),
        ("https://аpple.com/", "xn--pple-43d.com"),
        ("https://3405803783/", "203.0.113.7"),
        ("https://0xcb.0.0x7107/", "203.0.113.7"),
        ("https://0313.0.0161.7/", "203.0.113.7"),
    ],
)
def test_the_host_is_the_one_that_a_browser_asks(href: str, host: str) -> None:
    """Whatever stands before it, and however it is written."""
    assert only("", Anchor("x", href)).host == host


@pytest.mark.parametrize(
    ("text", "href", "misleading"),
    [
        ("www.bank.com", "https://evil.example/", True),
        ("Log in at https://bank.com/login", "https://evil.example/bank.com", True),
        ("bank.com", "https://bank.com.evil.example/", True),
        ("аpple.com", "https://apple.com/", True),
        ("a.github.io", "https://b.github.io/", True),
        ("shop.co.uk", "https://evil.co.uk/", True),
        ("bank\uff0ecom", "https://evil.example/", True),
        ("bank\u2024com", "https://evil.example/", True),
        ("https://bank.md/login", "https://evil.example/", True),
        ("bank\u3002com", "https://evil.example/", True),
        ("bank.com\u3002\u8c22\u8c22", "https://bank.com/", False),
        ("README.md", "https://bank.com/", False),
        ("Log in", "https://bank.com@evil.example/", True),
        ("bank.com", "https://click.bank.com/x", False),
        ("www.bank.com", "https://bank.com/", False),
        ("Log in", "https://evil.example/", False),
        ("invoice.pdf", "https://bank.com/", False),
        ("help@mail.com", "https://bank.com/", False),
        ("Save 20.50 today...now", "https://bank.com/", False),
        ("203.0.113.7", "https://evil.example/", True),
        ("203.0.113.7:8080", "https://203.9.113.7:8080/", True),
        ("http://203.0.113.7/login", "https://evil.example/", True),
        ("Log in at 203.0.113.7", "https://evil.example/", True),
        ("https://[2001:db8::1]/", "https://[2001:db8::2]/", True),
        ("https://3405803783/", "https://203.0.113.7/", False),
        ("203.0.113.7", "https://203.0.113.7/login", False),
        ("Version 10.0.1.2 is here", "https://e.com/", False),
        ("Chapter 1.2.3.4.5", "https://e.com/", False),
        ("https://bank.com@evil.example/", "https://evil.example/", True),
        ("https://bank.com\u3002\u8c22\u8c22", "https://bank.com/", False),
        ("PayPal.com", "https://evil.example/", True),
        ("BANK.DE", "https://evil.example/", True),
        ("Bank.Com", "https://evil.example/", True),
        ("bank.support", "https://evil.example/", True),
        ("Go to bank.support/login", "https://evil.example/", True),
        ("Go to www.bank.support", "https://evil.example/", True),
        ("Go to bank.example now", "https://evil.example/", True),
        ("Go to acme.io", "https://evil.example/", True),
        ("Mr.Smith", "https://e.com/", False),
        ("Write to Dr.No", "https://e.com/", False),
        ("see v2.beta", "https://e.com/", False),
        ("v2.beta", "https://e.com/", False),
        ("J.R.Tolkien", "https://e.com/", False),
        ("Read more.Click here", "https://e.com/", False),
        ("read more.click here", "https://e.com/", False),
    ],
)
def test_a_text_that_names_another_host_is_misleading(text: str, href: str, misleading: bool) -> None:
    """Hosts of one owner are the same."""
    assert only("", Anchor(text, href)).misleading is misleading


def test_a_name_before_a_url_in_brackets_is_its_text() -> None:
    """Programs write links into plain text in this way."""
    link = only("Please visit bank.com <https://evil.example/x>")
    assert (link.text, link.misleading) == ("Please visit bank.com", True)


def test_a_url_before_a_url_in_brackets_is_its_text() -> None:
    """A reader takes the first for the place where the second leads."""
    shown, link = find_links("https://bank.com/login <https://evil.example/x>").found
    assert (shown.misleading, link.text, link.misleading) == (False, "https://bank.com/login", True)


def test_a_url_as_the_text_of_a_markdown_link_is_its_text() -> None:
    """It is not the beginning of where the link leads."""
    link = only("[https://bank.com/login](https://evil.example/x)")
    assert (link.url, link.text, link.misleading) == ("https://evil.example/x", "https://bank.com/login", True)


@pytest.mark.parametrize(
    ("text", "path", "kind"),
    [
        ("Verify your email", "", "verify"),
        ("E-Mail bestätigen", "", "confirm"),
        ("Activer mon compte", "", "activate"),
        ("Restablecer contraseña", "", "reset"),
        ("ログイン", "", "sign_in"),
        ("Click here", "auth/magic?x=1", "sign_in"),
        ("Click here", "verify/abc", "verify"),
        ("退订", "", "unsubscribe"),
        ("Confirm that you want to unsubscribe", "", "unsubscribe"),
        ("Our blog", "posts/1", "other"),
    ],
)
def test_the_kind_is_read_from_text_and_path(text: str, path: str, kind: str) -> None:
    """In the languages of mail."""
    assert only("", Anchor(text, f"https://e.com/{path}")).kind == kind


def test_what_a_mail_was_sent_for_comes_first() -> None:
    """The link to unsubscribe comes last, and of many links the others are counted."""
    words = ["Unsubscribe", *(f"Story {n}" for n in range(12)), "Sign in", "Verify"]
    links = find_links("", [Anchor(text, f"https://e.com/{n}") for n, text in enumerate(words)])
    assert [link.text for link in links.found[:3]] == ["Verify", "Sign in", "Story 0"]
    assert (len(links.found), links.left_out) == (MAX_LINKS, 5)


def test_a_link_is_listed_once_and_with_its_text() -> None:
    """The same link is often around a picture, a text and in the plain text."""
    url = "https://e.com/verify"
    link = only(f"Or open {url}", Anchor("", url), Anchor("Verify", url))
    assert link.text == "Verify"


def test_a_url_that_is_too_long_is_counted_and_not_cut() -> None:
    """A part of it would lead elsewhere."""
    url = "https://e.com/" + "x" * MAX_URL
    links = find_links(url, [Anchor("x", url)])
    assert (links.found, links.left_out) == ((), 1) or links.left_out == 2


@given(st.text(), st.text(st.sampled_from("htps:/\\@.a-[]%?#\u3002 é\ud800")))
def test_any_link_can_be_read(label: str, href: str) -> None:
    """A link that is found has a host in ASCII and a whole URL."""
    links = find_links(f"{label} http://{href}", [Anchor(label, href), Anchor(label, f"https://{href}")])
    for link in links.found:
        assert link.host.isascii()
        assert link.url.startswith(("http://", "https://"))
        assert link.host in link.url
        assert link.text.isprintable()


def test_links_of_html_have_the_text_that_is_seen() -> None:
    """Hidden words in a link are not its text."""
    page = read_html('<a href="https://evil.example"><span style="display:none">evil.example</span>bank.com</a>')
    link = only(page.text, *page.anchors)
    assert (link.text, link.misleading) == ("bank.com", True)
