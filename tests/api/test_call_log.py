"""What is kept of a call: short, as JSON, and without the key."""

import json
from typing import Any

import pytest

from inkbox_mcp.api.call_log import MAX_ARGUMENTS, MAX_TEXT, MadeCall
from inkbox_mcp.api.redaction import Redaction

KEY = "ApiKey_11111111-1111-4111-8111-111111111111.top-secret-indeed"


def row(arguments: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """Return what is kept of a call."""
    usual: dict[str, Any] = {"tool": "get_mailbox", "outcome": "ok", "text": None, "seconds": 0.01234, "client": None}
    fields: dict[str, Any] = {**usual, "arguments": arguments, "redaction": Redaction(KEY), **changes}
    return MadeCall(**fields).row()


def kept(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments that are kept."""
    text = row(arguments)["arguments"]
    assert len(text.encode()) <= MAX_ARGUMENTS
    return json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def test_a_call_is_kept_as_it_was_made() -> None:
    """With its outcome."""
    arguments = {"to": ["a@example.com"], "limit": 5, "quoted": True, "subject": "Grüße \u202e\x00", "search": None}
    shown = row(arguments, client="Claude", moment=7)
    assert json.loads(shown.pop("arguments")) == arguments
    assert shown == {
        "tool": "get_mailbox",
        "outcome": "ok",
        "error_text": None,
        "duration_ms": 12.3,
        "client": "Claude",
        "created_at": 7,
    }
    assert row(None, redaction=None)["arguments"] is None


def test_long_values_are_cut_and_say_so() -> None:
    """Those of any type; others stay as they are."""
    shown = kept({"text": "é" * 5000, "to": ["a@example.com"] * 100, "subject": "Hi"})
    assert shown["text"] == "é" * 1000 + "… (5,000 characters)"
    assert shown["to"].startswith('["a@example.com", "a@')
    assert shown["to"].endswith("… (1,700 characters)")
    assert shown["subject"] == "Hi"


@pytest.mark.parametrize(
    "arguments",
    [
        {str(number): "x" * 1000 for number in range(9)},
        {f"{'n' * 5000}{number}": "é" * 5000 for number in range(500)},
        {str(number): "\U0001f600" * 5000 for number in range(20)},
        {str(number): ["\U0001f600" * 50, 5e300] for number in range(10_000)},
        {"\x01" * 64 + str(number): "\x01" * 1000 for number in range(20)},
    ],
)
def test_many_and_long_arguments_are_bounded(arguments: dict[str, Any]) -> None:
    """What is left out is counted."""
    shown = kept(arguments)
    assert len(shown) <= 21
    assert len(arguments) <= 20 or "…" in shown


@pytest.mark.parametrize(
    "value", [float("nan"), [float("inf")], {"a": [-float("inf")]}, "\ud800", ["\udfff"], {"\ud800": 1}, 10**400]
)
def test_what_is_no_json_becomes_json(value: object) -> None:
    """No reader of the page fails because of an odd argument."""
    assert "value" in kept({"value": value, "\ud83d": 1})
    json.dumps(kept({"value": value}), ensure_ascii=False, allow_nan=False).encode()


@pytest.mark.parametrize("depth", [480, 499, 2_000, 100_000])
def test_a_value_that_is_too_deep_is_left_out(depth: int) -> None:
    """As it has no text, or none in which a key would be found."""
    deep: Any = 1
    for _ in range(depth):
        deep = [deep]
    shown = kept({"value": deep, "limit": 1})
    assert shown["limit"] == 1
    assert depth == 480 or str(shown["value"])[-1] in "…)"


@pytest.mark.parametrize("before", range(0, 1100, 7))
def test_the_key_is_hidden_where_a_value_is_cut(before: int) -> None:
    """No piece of it is left."""
    secret = KEY.rpartition(".")[2]
    shown = [
        row({"text": "x" * before + f" {KEY} " + "y" * 2000})["arguments"],
        row({"list": ["x" * before, KEY, "y" * 2000]})["arguments"],
        row({KEY: 1, "short": [KEY], "deep": {KEY: {"a": KEY}}})["arguments"],
        row(text="x" * before + f" {KEY} " + "y" * 2000)["error_text"],
        row(tool=KEY)["tool"],
        row(client=f"client {KEY}")["client"],
    ]
    assert not [each for each in shown if secret[:8] in each or secret[-8:] in each]


def test_a_long_error_is_cut() -> None:
    """It is what the model was told."""
    text = row(text="x" * 5000)["error_text"]
    assert text == "x" * MAX_TEXT + "… (5,000 characters)"
    assert len(row(tool="x" * 500)["tool"]) < 100
