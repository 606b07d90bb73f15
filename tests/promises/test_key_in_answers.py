"""No result and no error shows the API key, in any notation in which an answer may repeat it."""

import json
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable
from html import escape
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp.types import CallToolResult

from inkbox_mcp.api.redaction import HIDDEN, Redaction
from tests.support.agents import connect, text

SECRET = "Zq3vK9xT-mL7wR2yB_8nP4sD6fG1hJ5c"
KEY_ID = "11111111-1111-4111-8111-111111111111"
KEY = f"ApiKey_{KEY_ID}.{SECRET}"


def percent(string: str) -> str:
    """Write every character in percent encoding."""
    return "".join(f"%{byte:02x}" for byte in string.encode())


NOTATIONS: dict[str, Callable[[str], Any]] = {
    "plain": str,
    "in a sentence": lambda key: f"X-API-Key: {key} is wrong",
    "as its secret part": lambda key: key.partition(".")[2],
    "percent-encoded": percent,
    "percent-encoded twice": lambda key: quote(percent(key)),
    "as HTML": lambda key: "".join(f"&#{ord(char)};" for char in key),
    "as hexadecimal HTML": lambda key: "".join(f"&#x{ord(char):x};" for char in key),
    "escaped in a string": lambda key: "".join(f"\\u{ord(char):04x}" for char in key),
    "escaped in a byte string": lambda key: "".join(f"\\x{ord(char):02x}" for char in key),
    "as JSON in a string": lambda key: json.dumps({"headers": {"x-api-key": key}}),
    "in capitals": str.upper,
    "in base64": lambda key: b64encode(key.encode()).decode(),
    "in base64 after one byte": lambda key: b64encode(b":" + key.encode()).decode(),
    "in base64 after two bytes": lambda key: urlsafe_b64encode(b"x:" + key.encode() + b"!").decode(),
    "in hexadecimal": lambda key: key.encode().hex(),
    "over two strings": lambda key: [key[: len(key) // 2], key[len(key) // 2 :]],
    "over two strings, inside the secret": lambda key: [key[:-16], key[-16:]],
    "over two fields": lambda key: {"a": key[:-20], "b": key[-20:]},
    "as a name": lambda key: {key: "x"},
    "deep inside": lambda key: {"request": [{"headers": [["X-API-Key", key]]}]},
    "as a URL": lambda key: f"https://inkbox.ai/?key={quote(key, safe='')}&x=1",
    "as a quoted string": lambda key: f'curl -H "X-API-Key: {escape(key)}"',
}


def shown(result: CallToolResult) -> str:
    """Return everything that a client gets."""
    return json.dumps([text(result), result.structured_content, result.meta], ensure_ascii=False)


def shows(everything: str) -> bool:
    """Whether a reader could reconstruct the secret."""
    joined = "".join(char for char in everything.lower() if char.isalnum() or char in "-_%\\&#;")
    forms = [SECRET, percent(SECRET), SECRET.encode().hex()]
    return any(form[:16].lower() in joined or form[-16:].lower() in joined for form in forms)


@pytest.mark.parametrize("status", [200, 400, 404, 422])
async def test_the_key_is_in_no_answer(era: str, status: int) -> None:
    """A result and an error that quotes the reason could both repeat it."""
    bodies: list[str] = []
    async with connect(lambda _: httpx2.Response(status, content=bodies[-1]), mode=era, api_key=KEY) as agent:
        for notation, write in NOTATIONS.items():
            echo = write(KEY)
            body = {"id": "1", "email_address": "a@inkboxmail.com", "detail": echo}
            # JSON writers may escape every character, so this answer does.
            raw = "".join(f"\\u{ord(char):04x}" if char.isalnum() else char for char in json.dumps(echo))
            escaped = json.dumps({**body, "detail": 0}).replace('"detail": 0', f'"detail": {raw}') if echo else ""
            bodies.append(escaped if notation == "plain" else json.dumps(body))
            everything = shown(await agent.call("get_mailbox", email_address="a"))
            # This error quotes nothing.
            assert HIDDEN in everything or (status != 200 and notation == "deep inside"), notation
            assert not shows(everything), notation


async def test_the_id_of_a_key_is_shown() -> None:
    """The id distinguishes keys, and `whoami` exists to show it."""
    holder = {"organization_id": "org", "key_id": KEY_ID, "label": "production-key"}
    async with connect(lambda _: httpx2.Response(200, json=holder), api_key=KEY) as agent:
        assert await agent.ask("whoami") == holder


async def test_what_only_looks_encoded_is_left_as_it_is() -> None:
    """URLs, HTML entities and Windows paths must stay unchanged."""
    mailbox = {"id": "1", "email_address": "a@b.example", "display_name": "R&amp;D 100 % \\u00e4", "x": "/a%20b?c=%2F"}
    async with connect(lambda _: httpx2.Response(200, json=mailbox), api_key=KEY) as agent:
        assert await agent.ask("get_mailbox", email_address="a") == mailbox


@given(st.text(max_size=30), st.text(max_size=30), st.integers(0, 16))
def test_any_sixteen_characters_of_the_secret_are_found(before: str, after: str, start: int) -> None:
    """They are hidden at any position in a text."""
    piece = SECRET[start : start + 16]
    assert piece not in Redaction(KEY).hide(f"{before}{piece}{after}")


@given(st.text(max_size=200))
def test_other_text_is_left_alone(other: str) -> None:
    """Random text must not be hidden by chance."""
    assert Redaction(KEY).hide(other) == other
    assert not Redaction(KEY).finds(other)
    assert not Redaction(None).finds(other)


@pytest.mark.parametrize("key", ["short", "ApiKey_x.y", "no-dot-but-long-enough-to-be-a-secret"])
def test_a_key_of_another_form_is_hidden_too(key: str) -> None:
    """A short secret is hidden only as a whole, because its parts occur in many words."""
    assert key not in Redaction(key).hide(f"the key {key} is wrong")
