"""The forms in which one value may be written: lists as text, words in capitals, halves of characters."""

import json
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, create_model

from inkbox_mcp.errors import InvalidArguments
from inkbox_mcp.toolkit.arguments import Args, checked
from inkbox_mcp.toolkit.fields import AgentHandle, ListItem, MailboxAddress, ResourceID, Text, WebhookURL
from inkbox_mcp.toolkit.marks import Mark
from tests.support.catalogue import EVERY

UUID = "123e4567-e89b-42d3-a456-426614174000"
ITEMS: Any = Annotated[list[ListItem] | None, Field(max_length=20)]
WORDS: Any = Literal["active", "paused"] | None


KINDS: list[Any] = [ITEMS, list[ListItem], list[ListItem | None]]
WORDED: list[Any] = [WORDS, Literal["paused"], Literal["active", "paused"]]


def numbers(kinds: list[Any]) -> list[str]:
    """Return the positions as test ids, because the types' own names are long and similar."""
    return [str(place) for place in range(len(kinds))]


def parse(kind: Any, value: object) -> Any:
    """Return a value of an argument of this type, as a tool gets it."""
    model = create_model("Arguments", __base__=Args, one=(kind, ...))
    return checked(model, "get_thing", {"one": value}).model_dump()["one"]


def complaint(kind: Any, value: object) -> str:
    """Return the error about a value of an argument of this type."""
    with pytest.raises(InvalidArguments) as caught:
        parse(kind, value)
    return str(caught.value)


@pytest.mark.parametrize(
    "written",
    [
        ["a.b", "c"], '["a.b", "c"]', ' ["a.b","c"]\n', '["a.b",\n "c"]', "a.b, c", "a.b,c,", "a.b\nc", "[a.b, c]",
        "['a.b', 'c']", '["a.b", "c",]', '"a.b", "c"', [" a.b", "c\n"],
    ],
    ids=repr,
)  # fmt: skip
@pytest.mark.parametrize("kind", KINDS, ids=numbers(KINDS))
def test_a_list_may_come_as_text(kind: Any, written: object) -> None:
    """Models write lists as JSON, as Python, or with commas, whatever the argument is called."""
    assert parse(kind, written) == ["a.b", "c"]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (list[ListItem], "message.sent"), (list[AgentHandle], "sales-agent"), (list[MailboxAddress], "a@b.co"),
        (list[WebhookURL], "https://e.com/?x=1,2"), (list[ResourceID], UUID), (list[Text], "a, b"),
        (list[Literal["a", "b"]], "a"),
    ],
)  # fmt: skip
def test_a_lone_value_is_a_list_of_it(kind: Any, value: str) -> None:
    """A list of one is the most common list."""
    assert parse(kind, value) == [value]
    assert parse(kind, json.dumps([value, value])) == [value, value]


def test_commas_separate_only_what_cannot_have_one() -> None:
    """In `Sales, Team <a@b.co>` they would make a mailbox of a name."""
    assert parse(list[ResourceID], f"{UUID},{UUID}") == [UUID, UUID]
    assert parse(list[ListItem], ["a,b"]) == ["a,b"]
    assert "one.0: must be one address alone" in complaint(list[MailboxAddress], "Sales, Team <a@b.co>")
    assert "one.0: must be one address alone" in complaint(list[MailboxAddress], "a@b.co, c@d.co")
    assert parse(list[MailboxAddress], ['"Sales, Team" <a@b.co>', "c"]) == ["a@b.co", "c"]


def test_a_text_beside_a_list_stays_a_text() -> None:
    """The type says which one is meant."""
    assert parse(MailboxAddress | list[MailboxAddress], "a@b.co") == "a@b.co"
    assert parse(Text, '["a"]') == '["a"]'


LIMITS: list[Any] = [
    (ITEMS, json.dumps(["x"] * 21), "one: must have at most 20 items, not 21"),
    (ITEMS, "x," * 21, "one: must have at most 20 items, not 21"),
    (ITEMS, json.dumps(["x"] * 65), "one: must have at most 20 items, not 65"),
    (ITEMS, "x," * 2000, "one: must have at most 20 items, not 2,000"),
    (ITEMS | None, ["x"] * 65, "one: must have at most 20 items, not 65"),
    (list[ListItem], ["x"] * 65, "one: must have at most 64 items, not 65"),
    (ITEMS, json.dumps(["x" * 101]), "one.0: must have 1 to 100 characters"),
    (ITEMS, "x" * 101, "one.0: must have 1 to 100 characters"),
    (ITEMS, "x" * 5_000_000, "one: must be at most 4,096 bytes"),
    (ITEMS, json.dumps(["x"] * 1_000_000), "one: must be at most 4,096 bytes"),
    (ITEMS, "[" * 4000, "one: must be a list, such as"),
    (ITEMS, "[" * 2000 + "]" * 2000, "one.0: must have 1 to 100 characters"),
    (ITEMS, "[[]]", "one.0: Input should be a valid string"),
    (ITEMS, '["a", 1, null]', "one.1: Input should be a valid string; one.2: Input should be a valid string"),
    (ITEMS, '["a\\u200b"]', "one.0: hidden characters"),
    (ITEMS, '["\\ud83d"]', "U+D83D at position 0"),
    (ITEMS, " ", "one.0: must have 1 to 100 characters"),
    (ITEMS, ",\n,", "one.0: must have 1 to 100 characters"),
    (ITEMS, {"a": 1}, "one: Input should be a valid list"),
    (list[AgentHandle], "[sales-agent", "one: must be a list, such as"),
    (ITEMS, '{"0": "a"}', "one: must be a list, such as"),
    (ITEMS, "{a, b}", "one: must be a list, such as"),
    (list[AgentHandle], "[sales-agent]", "one: must be a list, such as"),
    (list[AgentHandle], "[" * 4000, "one: must be a list, such as"),
]


@pytest.mark.parametrize(("kind", "written", "problem"), LIMITS, ids=numbers(LIMITS))
def test_the_limits_of_a_list_hold_for_its_text(kind: Any, written: object, problem: str) -> None:
    """Parsing is bounded, and the items are checked like those of a real list."""
    assert problem in complaint(kind, written)


@given(st.text(alphabet='[]{}",\\\n a1\ud83d:', max_size=60))
def test_any_text_for_a_list_is_a_list_of_lines_or_an_error(written: str) -> None:
    """No text may crash the parser or bring a wrong item into the list."""
    try:
        found = parse(list[ListItem], written)
    except InvalidArguments:
        return
    assert found == [] or all(item == item.strip() and "\n" not in item for item in found)


def test_every_list_of_every_tool_takes_text() -> None:
    """Tools get this by the type of the argument."""
    uuid = "aaaa1111-2222-4333-8444-000000000000"
    known = {"email_address": "a", "webhook_url": "https://e.com", "agent_handle": "a", "message_id": uuid}
    known |= {"to": "jane@example.com", "subject": "Hello"}
    items = {"message_ids": uuid, "event_types": "message.sent", "attachments": "a.txt"}
    for operation in EVERY.values():
        for name, field in operation.input_schema["properties"].items():
            if field.get("type") == "array":
                given = {key: value for key, value in known.items() if key in operation.args.model_fields}
                item = items.get(name, "jane@example.com")
                for written in (item, f'["{item}"]'):
                    assert operation.parse({**given, name: written}).supplied()[name] == [item]


@pytest.mark.parametrize("written", ["paused", "Paused", "PAUSED ", "\npaused", "\u00a0paused"], ids=ascii)
@pytest.mark.parametrize("kind", WORDED, ids=numbers(WORDED))
def test_a_word_may_have_capitals_and_blanks_around_it(kind: Any, written: str) -> None:
    """The tool gets the word that the schema lists."""
    assert parse(kind, written) == "paused"
    assert parse(list[kind], f'["{written.strip()}"]') == ["paused"]


@pytest.mark.parametrize("written", ["pause", "", "paused.", "act ive", "paused\u200b", 1, ["paused"]], ids=ascii)
def test_another_word_is_refused(written: object) -> None:
    """Nothing is guessed."""
    assert "one: Input should be 'active' or 'paused'" in complaint(WORDS, written)


def test_numbers_among_fixed_values_are_not_words() -> None:
    """A text is none of them."""
    assert parse(Literal[1, 2], 1) == 1
    assert "one: Input should be 1 or 2" in complaint(Literal[1, 2], "1")


PLAIN: Any = Annotated[str, Mark.PLAIN]
TEXTS: list[Any] = [
    MailboxAddress, AgentHandle, WebhookURL, ResourceID, Text, WORDS, PLAIN, list[ListItem], list[PLAIN], int, bool,
    MailboxAddress | list[MailboxAddress],
]  # fmt: skip


@pytest.mark.parametrize("half", ["\ud83d", "a\ud83d", "\ud83d\ud83d"], ids=ascii)
@pytest.mark.parametrize("kind", TEXTS, ids=numbers(TEXTS))
def test_half_a_character_is_refused_by_its_number(kind: Any, half: str) -> None:
    """It can be neither encoded nor stored. A valid text contains whole characters only."""
    for value in (half, [half], ["a", half]) if "list" in str(kind) else (half,):
        message = complaint(kind, value)
        assert "(U+D83D at position " in message
        assert message.isascii()
    assert parse(Text, "😀") == "😀"
