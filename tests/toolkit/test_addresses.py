"""A mailbox's address may come in the notations of mail programs."""

import time
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inkbox_mcp.errors import InvalidArguments
from inkbox_mcp.toolkit.addresses import address_in
from tests.support.agents import connect
from tests.support.catalogue import SPEC

GET = SPEC["get_mailbox"]
ADDRESS = "sales@inkboxmail.com"


def parse(value: object) -> Any:
    """Return the address that the tool gets."""
    return GET.parse({"email_address": value}).supplied()["email_address"]


def complaint(value: object) -> str:
    """Return the error about an address."""
    with pytest.raises(InvalidArguments) as caught:
        parse(value)
    return str(caught.value)


@pytest.mark.parametrize(
    "written",
    [
        f"Sales <{ADDRESS}>", f"<{ADDRESS}>", f"mailto:{ADDRESS}", f'"Sales, Team" <{ADDRESS}>', f"MAILTO:{ADDRESS}",
        f" {ADDRESS}\n", f"\tSales Team <{ADDRESS}> ", f"<mailto:{ADDRESS}>", f"Sales<{ADDRESS}>",
        f"< {ADDRESS} >", f"{ADDRESS} <{ADDRESS}>", f'"{ADDRESS}" <{ADDRESS}>', f"Süd 営業 <{ADDRESS}>",
        f"[Sales](mailto:{ADDRESS})", f"[{ADDRESS}](mailto:{ADDRESS})", f"mailto:{ADDRESS}?subject=Hello",
        f"'Sales' <{ADDRESS}>", f'"Say \\"hi\\", all" <{ADDRESS}>',
    ],
)  # fmt: skip
def test_the_one_address_in_a_notation_is_taken(written: str) -> None:
    """People and mail programs write a name beside an address, and models copy it."""
    assert parse(written) == ADDRESS


@pytest.mark.parametrize(
    "written",
    [
        "a@x.com, b@y.com", "a@x.com b@y.com", "a@x.com;b@y.com", '"a@x.com" <b@y.com>', "a@x.com <b@y.com>",
        "A <a@x.com>, B <b@y.com>", "<a@x.com><b@y.com>", "<a@x.com, b@y.com>", "a＠x.com <b@y.com>",
        "a﹫x.com <b@y.com>", "sales, <b@y.com>", "Sales, Team <b@y.com>", "sales; <b@y.com>",
        '"Sales" , x <b@y.com>', "mailto:a@x.com,b@y.com", "mailto:a@x.com?cc=b@y.com", "[a@x.com](mailto:b@y.com)",
        "Team: <b@y.com>", f"{ADDRESS} <x{ADDRESS}>", "@acme <b@y.com>",
    ],
)  # fmt: skip
def test_a_text_with_more_than_one_address_is_refused(written: str) -> None:
    """The call could change another mailbox than the one that is meant."""
    assert "email_address: must be one address alone; this text may have more than one" in complaint(written)


@pytest.mark.parametrize(
    "written",
    ["<email_address>", "Sales <sales>", "mailto:sales", "<>", "Sales <>", "[Sales](https://x.com)", "Sales", "a@@b.c",
     "sales team", f"Sales {ADDRESS}", f"<{ADDRESS}", f"{ADDRESS}>", f"Sales <{ADDRESS}> (work)", "mailto:",
     f"Sales <{ADDRESS}.>", "<a b@x.com>", "a%40x.com"],
)  # fmt: skip
def test_what_is_no_such_notation_is_not_interpreted(written: str) -> None:
    """A placeholder in brackets, for example, is no address."""
    if written == "Sales":
        assert parse(written) == "Sales"
    else:
        assert "must be a mailbox address such as" in complaint(written)


@pytest.mark.parametrize("hidden", ["\u200b", "\u202e", "\x00", "\u00ad", "\n", "\u00a0", "\U000e0041"], ids=ascii)
def test_hidden_characters_beside_the_address_are_refused(hidden: str) -> None:
    """The name is left out, but what it hides must not go unnoticed."""
    for written in (f"Sa{hidden}les <{ADDRESS}>", f"Sales{hidden}<{ADDRESS}>", f"Sales <{hidden}{ADDRESS}>"):
        assert f"U+{ord(hidden):04X} at position" in complaint(written)


def test_a_long_text_is_refused_in_time() -> None:
    """Patterns with nested repetitions would need minutes for it."""
    begin = time.perf_counter()
    for part in ('"', '\\"', "<", "< ", " ", "a@", "[", '""', "mailto:", "a", "<a@x.com>"):
        complaint((part * 4096)[:4096] + "")
        complaint("x" + (part * 998)[:990] + "<a@b.c")
    assert time.perf_counter() - begin < 2


@given(st.text(alphabet='ab@.<>", :;[]()\\?＠', max_size=30))
def test_what_is_taken_is_the_only_address_in_the_text(written: str) -> None:
    """Whatever the notation, the text has no second one."""
    try:
        found = parse(written)
    except InvalidArguments:
        return
    rest = written.replace(found, "") if "@" in found else ""
    assert found in written
    assert "@" not in rest
    assert address_in(found) == found


async def test_the_operators_limits_see_the_address(era: str) -> None:
    """A name cannot bring another address past a limit, and the request is for the address that was compared."""
    paths: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        paths.append(request.url.path)
        return httpx2.Response(200, json={"id": "1", "email_address": ADDRESS})

    async with connect(answer, era, allow_addresses=ADDRESS) as agent:
        await agent.ask("get_mailbox", email_address=f"Boss <{ADDRESS}>")
        assert paths.pop().endswith(f"/{ADDRESS}")
        for written in ("sales <boss@inkboxmail.com>", "mailto:boss@inkboxmail.com", "<boss@inkboxmail.com>"):
            assert "email_address is outside" in await agent.refused("get_mailbox", email_address=written)
        assert "more than one" in await agent.refused("get_mailbox", email_address=f"{ADDRESS} <boss@inkboxmail.com>")
    assert paths == []
