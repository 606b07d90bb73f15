"""A search finds what its writer means, however the text and the search are written."""

import re
import time
import unicodedata
from collections.abc import Callable
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inkbox_mcp.toolkit.paging import Item, matching
from tests.support.alike import choices

FIELDS = ("email_address", "display_name")
ITEMS: list[Item] = [
    {"email_address": "load_test.7@inkboxmail.com", "display_name": "First"},
    {"email_address": "a@inkboxmail.com", "display_name": "Load Test 003"},
    {"email_address": "test@inkboxmail.com", "display_name": "Load"},
    {"email_address": "sales-1@inkboxmail.com", "display_name": "Stra\u00dfe B\u00fcro"},
    {"email_address": "sales-21@inkboxmail.com", "display_name": None},
]

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30) | st.text(
    "aB \u00e9\u0131\u00df-_.@ e\u0301\0\n"
)
SEPARATORS = " -_."


def found(search: str | None) -> list[int]:
    """Return the numbers of the items that a search finds."""
    return [ITEMS.index(item) for item in matching(ITEMS, search, FIELDS)]


@pytest.mark.parametrize(
    ("search", "numbers"),
    [
        ("load-test", [0, 1, 2]),
        ("load test", [0, 1, 2]),
        ("LOAD__test", [0, 1, 2]),
        ("  test.load ", [0, 1, 2]),
        ("load - test", [0, 1, 2]),
        ("load-test 003", [1]),
        ("loadtest", []),
        ("load paris", []),
        ("oad es", [0, 1, 2]),
        ("STRASSE b\u00fcro", [3]),
        ("bu\u0308ro", [3]),
        ("B\u00dcRO sales", [3]),
        ("load-test-7@inkboxmail.com", [0]),
        ("Load Test.7@inkboxmail-com", [0]),
        ("sales-1@inkboxmail.com", [3]),
        ("@inkboxmail.com 7", [0]),
        ("a@inkboxmail", [1]),
        ("@", [0, 1, 2, 3, 4]),
        ("None", []),
        ("xmail.com First", [0]),
    ],
)
def test_every_word_must_be_somewhere(search: str, numbers: list[int]) -> None:
    """The words may be in different fields and in any order, and be parts of words."""
    assert found(search) == numbers


@pytest.mark.parametrize("search", [None, "", " ", "-", "_", ".", " - _.", "\t"])
def test_a_search_without_a_word_finds_everything(search: str | None) -> None:
    """A separator is like a blank, and blanks are trimmed."""
    assert found(search) == [0, 1, 2, 3, 4]


def test_words_do_not_reach_from_one_field_to_the_next() -> None:
    """No field ends in what the next one begins with."""
    assert matching([{"a": "sal", "b": "es"}], "sales", ("a", "b")) == []
    assert matching([{"a": "x@", "b": "y.com"}], "x@y.com", ("a", "b")) == []
    assert matching([{"a": "x@y", "b": "com"}], "x@y.com", ("a", "b")) == []


@pytest.mark.parametrize("two", [*permutations(SEPARATORS, 2)])
def test_words_are_found_alike_whatever_is_between_them(two: tuple[str, str]) -> None:
    """Otherwise a search would find more or less than the same one written in another way."""
    items = [{"a": text} for text in ("x-y", "y_x", "x", "x.z.y", "y", "xy")]
    one, other = two
    assert matching(items, f"x{one}y", ("a",)) == matching(items, f"x{other}y", ("a",)) != []


WAYS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "upper case": lambda text: unicodedata.normalize("NFC", text).upper(),
    "lower case": lambda text: unicodedata.normalize("NFC", text).lower(),
    "case folded": lambda text: unicodedata.normalize("NFC", text).casefold(),
    "composed": lambda text: unicodedata.normalize("NFC", text),
    "decomposed": lambda text: unicodedata.normalize("NFD", text),
    "with blanks around": lambda text: f"  {text} ",
    "with blanks": lambda text: re.sub("[-_. ]", " ", text),
    "with hyphens": lambda text: re.sub("[-_. ]", "-", text),
    "with longer separators": lambda text: re.sub("[-_. ]", "_.", text),
    "without some separators": lambda text: re.sub("[-_. ]+", " ", text),
}


@pytest.mark.parametrize("way", WAYS)
@given(text=TEXTS, other=TEXTS)
def test_a_text_is_found_however_it_is_written(way: str, text: str, other: str) -> None:
    """This holds in each field, and beside other items."""
    items: list[Item] = [{"a": text, "b": other}, {"a": None}, {"b": text}, {"a": other}]
    written = WAYS[way](text)
    assert [item for item in matching(items, written, ("a", "b")) if text in item.values()] == [
        item for item in items if text in item.values()
    ]


@given(
    text=TEXTS, words=st.lists(st.text("aBc1\u00e9", min_size=1, max_size=3), min_size=1, max_size=4), data=st.data()
)
def test_a_search_without_an_address_is_the_set_of_its_words(text: str, words: list[str], data: st.DataObject) -> None:
    """Their order and separators do not count."""
    between = st.sampled_from([*SEPARATORS, " - "])
    search = "".join(word + data.draw(between) for word in data.draw(st.permutations(words)))
    each = all(matching([{"a": text}], word, ("a",)) for word in words)
    assert bool(matching([{"a": text}], search, ("a",))) is each


def test_every_character_is_found_by_its_upper_case() -> None:
    """Some upper cases have more letters, and that of the dotless i is another letter's."""
    for number in range(0x110000):
        char = chr(number)
        if not "\ud800" <= char <= "\udfff" and char.upper() != char:
            assert matching([{"a": f"x{char}"}], char.upper(), ("a",)), ascii(char)


def test_a_value_that_is_no_text_is_searched_as_text() -> None:
    """The API may send anything; a half of a character is no reason to stop."""
    items: list[Item] = [{"a": 12}, {"a": ["x"]}, {"a": "\ud83d"}, {}]
    assert matching(items, "12", ("a",)) == items[:1]
    assert matching(items, "\ud83d", ("a",)) == items[2:3]
    assert matching([], "x", ("a",)) == []


def _seconds(run: Callable[[], object]) -> float:
    started = time.process_time()
    run()
    return time.process_time() - started


@pytest.mark.parametrize("name", ["Load Test", "L\u00f6ad T\u00e9st"], ids=ascii)
@pytest.mark.parametrize(
    "search", choices(["nothing", "load-test", "load-test-7@inkboxmail.com", "x " * 160], {"nothing", "load-test"})
)
def test_a_search_costs_about_as_much_as_one_look_at_every_field(name: str, search: str) -> None:
    """All calls share one event loop, and a search reads all items."""
    items: list[dict[str, Any]] = [
        {"email_address": f"load-test-{number}@inkboxmail.com", "display_name": f"{name} {number}"}
        for number in range(10_000)
    ]

    def look() -> list[Item]:
        return [item for item in items if any("nothing" in str(item.get(at) or "").casefold() for at in FIELDS)]

    # By turns, and the best of each, because other processes slow this one down.
    times = [(_seconds(lambda: matching(items, search, FIELDS)), _seconds(look)) for _ in range(9)]
    searched, looked = map(min, zip(*times, strict=True))
    assert searched < 3 * looked
