"""Similar names are found, the most similar first, and in bounded time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inkbox_mcp.toolkit.near import LONGEST, MOST, did_you_mean, nearest

NAMES = ["sales-agent", "support-agent", "salesforce", "billing.bot", "x"]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("Sales-Agent", ["sales-agent"]),
        ("sales_agent", ["sales-agent"]),
        ("salesagent", ["sales-agent"]),
        ("sales", ["sales-agent", "salesforce"]),
        ("sales-agnet", ["sales-agent"]),
        ("agent", ["sales-agent", "support-agent"]),
        ("my billing bot", ["billing.bot"]),
        ("bill", ["billing.bot"]),
        ("zzz", []),
        ("x.", ["x"]),
        ("y", []),
        ("...", []),
        ("", []),
    ],
)
def test_the_names_that_one_may_mean_are_found(name: str, found: list[str]) -> None:
    """Spelling and separators differ, a part is left out, or letters are swapped."""
    assert nearest(name, NAMES) == found


def test_a_name_is_no_proposal_for_itself() -> None:
    """The API said that it does not exist."""
    assert "sales-agent" not in nearest("sales-agent", NAMES)


def test_a_part_of_the_names_is_compared() -> None:
    """The whole names are returned: an address of another domain is another address."""
    names = ["desk@b.example", "desk@a.example", "b@c.example"]
    assert nearest("desk@a.example", names, compared=lambda name: name[:4]) == ["desk@b.example"]


def test_a_proposal_quotes_the_names() -> None:
    """They come from strangers."""
    assert did_you_mean("sale", ["sales", 'sale"s\u202e']) == 'Did you mean "sales" or "sale\'s"?'
    assert did_you_mean("zzz", NAMES) == ""


@given(st.text(max_size=300), st.lists(st.text(max_size=300), max_size=20))
def test_any_names_are_compared(name: str, names: list[str]) -> None:
    """Never more than a few are proposed, and only names that exist."""
    found = nearest(name, names)
    assert len(found) <= MOST
    assert set(found) <= set(names)


def test_only_the_beginning_of_long_names_is_compared() -> None:
    """Comparing long names takes long, and every other call would wait for it."""
    long = "a" * LONGEST
    assert nearest(f"{long}{'b' * 200}", [f"{long}{'c' * 200}", f"b{long}"]) == [f"{long}{'c' * 200}"]


@pytest.mark.parametrize("typed", ["billing-bto", "biling-bot", "billing-boot", "bililng.bot", "xilling-bot"])
def test_a_mistyped_name_is_found_among_many(typed: str) -> None:
    """Only a part of the names is compared, and the one that is meant is in it."""
    others = [f"{word}-{number:04}" for word in ("agent", "billin", "bot", "b1ll1ng-b") for number in range(2500)]
    assert nearest(typed, [*others, "billing-bot"])[0] == "billing-bot"
