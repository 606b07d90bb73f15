"""Arguments that clients add, models invent or leave out."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar

import pytest
from pydantic import Field, create_model

from inkbox_mcp.errors import InvalidArguments
from inkbox_mcp.toolkit.arguments import INJECTED, Args, checked
from inkbox_mcp.toolkit.bounds import MAX_ARGUMENTS
from inkbox_mcp.toolkit.fields import AgentHandle, Boolean, MailboxAddress, PageSize, Text, WebhookURLOrNone
from tests.support.agents import connect
from tests.support.catalogue import EVERY

README = Path(__file__).parent.parent.parent / "README.md"


class Change(Args):
    """Arguments of a tool that changes an address."""

    invented: ClassVar[Mapping[str, str]] = {"new_email_address": "an address cannot be changed; create a mailbox"}
    nullable: ClassVar[frozenset[str]] = frozenset({"hook"})

    email_address: MailboxAddress
    count: PageSize = 5
    sure: Boolean = False
    hook: WebhookURLOrNone | None = None


def parse(arguments: Mapping[str, Any], model: type[Args] = Change) -> dict[str, Any]:
    """Return the arguments that the tool gets."""
    return checked(model, "change_thing", arguments).supplied()


def complaint(arguments: Mapping[str, Any], model: type[Args] = Change) -> str:
    """Return the error about arguments."""
    with pytest.raises(InvalidArguments) as caught:
        parse(arguments, model)
    return str(caught.value)


ADDED: list[Any] = ["x", "", None, True, 5, {"agent_fingerprint": {}}, ["x"], "\ud83d", "x" * 100_000, float("nan")]


@pytest.mark.parametrize("name", INJECTED)
@pytest.mark.parametrize("value", ADDED, ids=lambda value: repr(value)[:20])
def test_what_clients_add_is_dropped(name: str, value: object) -> None:
    """The model cannot leave these arguments out, whatever their values are."""
    assert parse({"email_address": "a", name: value}) == {"email_address": "a"}


async def test_what_clients_add_changes_no_call_of_any_tool(era: str) -> None:
    """All tools take them, also a tool without arguments."""
    async with connect(mode=era, sandbox=True, sandbox_db=":memory:") as agent:
        assert not (await agent.client.call_tool("whoami", dict.fromkeys(INJECTED, "x"))).is_error
    for operation in EVERY.values():
        assert not {*operation.args.model_fields} & {*INJECTED}


def test_each_added_name_has_its_client_and_a_source() -> None:
    """Without a source, a name that a model invented could get into the list. The README names the clients."""
    sentence = re.search(r"Arguments that clients add.*?\.", README.read_text(encoding="utf-8"), re.DOTALL)
    assert sentence
    for client, source in INJECTED.values():
        assert source.startswith("https://")
        assert client in sentence[0]


def test_a_tools_own_argument_is_never_dropped() -> None:
    """A tool may have an argument of the same name."""
    model = create_model("Acting", __base__=Args, action=(Text, ...), tool=(Text | None, None))
    assert parse({"action": "x", "tool": "y", "sessionId": "z"}, model) == {"action": "x", "tool": "y"}
    assert "action: is required" in complaint({"sessionId": "z"}, model)


@pytest.mark.parametrize("name", ["sessionid", "session_id", "Action", "taskProgress", "_meta", "x" * 300, "\ud83d"])
def test_what_a_model_made_up_is_refused(name: str) -> None:
    """It would believe that the argument does something."""
    message = complaint({"email_address": "a", name: 1})
    assert "unknown argument " in message
    assert "change_thing takes email_address, count, sure, hook" in message
    assert message.isascii()


def test_an_invented_argument_is_answered_with_its_own_sentence() -> None:
    """A tool knows better than a comparison of names what such an argument is about."""
    message = complaint({"email_address": "a", "new_email_address": "b", "sur": True})
    assert "unknown argument 'new_email_address': an address cannot be changed; create a" in message
    assert "unknown argument 'sur' (did you mean sure?)" in message
    many = complaint({"new_email_address": "b", **{f"x{number}": 1 for number in range(MAX_ARGUMENTS)}})
    assert "unknown argument 'new_email_address': an address cannot be changed" in many


@pytest.mark.parametrize("name", ["mailbox", "toolCallId"])
def test_a_sentence_that_nobody_would_read_cannot_be_declared(name: str) -> None:
    """The name is an argument of the tool, or is dropped."""

    class Told(Args):
        mailbox: MailboxAddress

    with pytest.raises(TypeError, match=f"Wrong: invented names {name}, which a call may have"):
        type("Wrong", (Told,), {"invented": {name: "it is not there"}})


def test_null_for_a_required_argument_says_that_it_is_required() -> None:
    """The model must learn that there is no default."""
    assert "email_address: is required" in complaint({"email_address": None})
    model = create_model("Many", __base__=Args, who=(AgentHandle, ...), all=(list[Text], ...), page=(PageSize, ...))
    assert complaint(dict.fromkeys(("who", "all", "page")), model) == (
        "who: is required; all: is required; page: is required."
    )


def test_an_empty_string_for_an_optional_argument_means_omitted() -> None:
    """Also where null is a value."""
    assert parse({"email_address": "a", "count": "", "sure": "", "hook": ""}) == {"email_address": "a"}
    assert "email_address: " in complaint({"email_address": ""})


@pytest.mark.parametrize("unset", [None, ""])
def test_null_is_a_value_only_where_nothing_else_is_sent_as_omitted(unset: str | None) -> None:
    """A client that fills in one argument fills in the others too. Arguments that clients add prove nothing."""
    assert parse({"email_address": "a", "hook": None}) == {"email_address": "a", "hook": None}
    assert parse({"email_address": "a", "count": 7, "hook": None, "toolCallId": unset}) == {
        "email_address": "a",
        "count": 7,
        "hook": None,
    }
    assert parse({"email_address": "a", "count": unset, "hook": None}) == {"email_address": "a"}
    assert parse({"hook": None, "sure": unset, "count": 7, "email_address": "a"}) == {"email_address": "a", "count": 7}
    assert "unknown argument 'x'" in complaint({"email_address": "a", "count": unset, "hook": None, "x": None})


def test_the_published_schema_is_that_of_the_type() -> None:
    """What is understood beyond it is not advertised: models should write the usual form."""
    described = Annotated[MailboxAddress, Field(description="Its address.")]
    model = create_model("Published", __base__=Args, mailbox=(described, ...))
    assert model.model_json_schema()["properties"]["mailbox"]["type"] == "string"
