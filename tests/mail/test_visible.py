"""The text of a mail has only characters that a person sees, in one normal form."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inkbox_mcp.mail.visible import MAX_MARKS, visible_text

NEAR = st.text(
    st.sampled_from("ae\u0301\u0316\u0323\u200c\u200d\u200b\ufe0f\u202e\U000e0041क्ب👩 \r\n\u2028\u1100\u1161")
)


@pytest.mark.parametrize(
    ("text", "seen", "removed"),
    [
        ("plain text", "plain text", 0),
        ("a\u200bb\u202ec\U000e0041d\x00e\u00adf", "abcdef", 5),
        ("a\r\nb\rc\u2028d\x0be", "a\nb\nc\nd\ne", 0),
        ("a\u00a0b\u3000c", "a b c", 0),
        ("e\u0301", "é", 0),
        ("👩\u200d👩\u200d👧 ❤\ufe0f می\u200cخواهم क्\u200dष", "👩\u200d👩\u200d👧 ❤\ufe0f می\u200cخواهم क्\u200dष", 0),
        ("x\u200dy\ufe0f", "xy", 2),
        ("\ud800a", "a", 1),
        ("q" + "\u0316" * 30, "q" + "\u0316" * MAX_MARKS, 30 - MAX_MARKS),
    ],
)
def test_what_is_not_seen_is_removed_and_counted(text: str, seen: str, removed: int) -> None:
    """Breaks and blanks get one form; what emoji and scripts need stays."""
    assert visible_text(text) == (seen, removed)


@given(st.one_of(st.text(), NEAR))
def test_it_is_done_in_one_pass(text: str) -> None:
    """A second pass changes nothing, and the normal form is kept."""
    seen = visible_text(text).text
    assert visible_text(seen) == (seen, 0)
    assert unicodedata.is_normalized("NFC", seen)
    assert not {"\u200b", "\u202e", "\r", "\x00", "\u2028"} & set(seen)
