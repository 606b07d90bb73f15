"""Rows whose texts are shortened."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import to_json

from inkbox_mcp.mail.shortening import FEW, ROW, shortened

TEXTS = ("from", "to", "subject", "snippet")
WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), max_size=200)
ROWS = st.lists(
    st.dictionaries(st.sampled_from(TEXTS), WORDS).map(lambda texts: {"id": "1" * 36, **texts}), max_size=40
)


def cut(**long: str) -> dict[str, Any]:
    """Return a row of a page that is too large."""
    rows = shortened([{"id": "1", "snippet": "x" * 400, **long}] * FEW, *TEXTS)
    assert all(row == rows[0] for row in rows)
    return rows[0]


@given(ROWS)
def test_a_page_has_room_for_each_row(rows: list[dict[str, Any]]) -> None:
    """Whatever is in it; what was cut is a beginning with an ellipsis, and no short page is changed."""
    found = shortened(rows, *TEXTS)
    assert sum(len(to_json(row)) + 1 for row in found) <= ROW * max(len(rows), FEW)
    for row, before in zip(found, rows, strict=True):
        assert (row.keys(), row["id"]) == (before.keys(), before["id"])
        assert all(row[name] == before[name] or "…" in row[name] for name in row)
    if len(to_json(rows)) < ROW * FEW:
        assert found == rows


def test_the_longest_texts_are_cut_first() -> None:
    """A short one stays whole beside them."""
    row = cut(subject="Hello", to="y" * 300)
    assert row["subject"] == "Hello"
    assert abs(len(row["snippet"]) - len(row["to"])) <= 1


@pytest.mark.parametrize("tail", [" <ann@example.org>", " and 12 more"])
def test_an_address_and_a_number_stay_behind_a_name_that_is_cut(tail: str) -> None:
    """They say more than the rest of a name."""
    assert cut(**{"from": "n" * 300 + tail})["from"].endswith("n…" + tail)


def test_an_address_that_does_not_fit_is_shown_without_a_name() -> None:
    """Its beginning is."""
    assert cut(**{"from": f"Ann <{'a' * 500}>"})["from"].startswith("<aaa")


def test_only_named_texts_are_cut() -> None:
    """A long id stays whole."""
    assert cut(thread_id="t" * 600)["thread_id"] == "t" * 600
