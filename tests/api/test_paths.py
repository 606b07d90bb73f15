"""Paths of the API: a name cannot leave its segment, and the template for traces contains no name."""

from urllib.parse import unquote, urlsplit

import httpx2
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from inkbox_mcp.api.paths import MAILBOXES, Path, path


@given(st.text(), st.text())
@example("..", ".")
def test_a_name_stays_in_its_segment(address: str, message: str) -> None:
    """No character in a name can add a segment, and the template does not contain the name."""
    made = path(MAILBOXES, address, Path("messages"), message, Path("reply/all"))
    *_, first, word, second, reply, everybody = made.split("/")
    assert made.startswith(f"{MAILBOXES}/")
    assert [unquote(first, errors="strict"), word, unquote(second), reply, everybody] == [
        address, "messages", message, "reply", "all",
    ]  # fmt: skip
    assert httpx2.URL(f"https://inkbox.ai{made}").raw_path.decode() == made  # httpx2 changes nothing
    assert made.template == f"{MAILBOXES}/{{}}/messages/{{}}/reply/all"


def test_a_path_below_a_path_has_no_name_in_its_template_either() -> None:
    """Templates tell which answers are about mail, and are shown in traces."""
    messages = path(MAILBOXES, "sales", Path("messages"))
    assert (
        path(messages, "7").template == path(messages.where(limit=1), "7").template == f"{MAILBOXES}/{{}}/messages/{{}}"
    )


@pytest.mark.parametrize(
    ("query", "written"),
    [
        ({"limit": 50, "cursor": None}, "?limit=50"),
        (
            {"limit": 50, "cursor": "2026-11-26T00:00:00+00:00|a&b"},
            "?limit=50&cursor=2026-11-26T00%3A00%3A00%2B00%3A00%7Ca%26b",
        ),
        ({"unread": True, "starred": False}, "?unread=true&starred=false"),
        ({"label": ["a", "b c"]}, "?label=a&label=b+c"),
        ({"q": ""}, "?q="),
        ({"cursor": None}, ""),
        ({}, ""),
    ],
)
def test_a_query_holds_what_is_given(query: dict[str, str | int | None], written: str) -> None:
    """The query omits null values, and the template has no query."""
    found = path(MAILBOXES, "sales", Path("messages")).where(**query)
    assert found == f"{MAILBOXES}/sales/messages{written}"
    assert found.template == f"{MAILBOXES}/{{}}/messages"
    assert urlsplit(found).fragment == ""
