"""The arguments that tools accept, and the errors for the others."""

import re
from typing import Any, ClassVar
from urllib.parse import unquote

import httpx2
import jsonschema
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from mcp import Client

from inkbox_mcp.errors import InvalidArguments
from inkbox_mcp.protocol.server import build_server
from inkbox_mcp.settings.options import Settings
from inkbox_mcp.toolkit.arguments import Args, checked
from inkbox_mcp.toolkit.fields import WebhookURLOrNone
from tests.support.agents import KEY, text
from tests.support.catalogue import EVERY, generation_of

OPERATIONS = EVERY

OUTSIDE = [
    "",
    ".",
    "..",
    "../x",
    "a/b",
    "a\\b",
    "%2f",
    "a%2e",
    "a?b",
    "a#b",
    "a b",
    "a\tb",
    "a\u00a0b",
]
CONTROL = ["a\r\nBcc: x@y.z", "a\nb", "a\x00b", "a\x7fb", "a\x85b", "a\u2028b", "a\ud800b"]


def parse(tool: str, **arguments: Any) -> Args:
    """Validate arguments as a call does."""
    return OPERATIONS[tool].parse(arguments)


def complaint(tool: str, **arguments: Any) -> str:
    """Return the error of a call with bad arguments."""
    with pytest.raises(InvalidArguments) as caught:
        parse(tool, **arguments)
    return OPERATIONS[tool].explain(caught.value)


@pytest.mark.parametrize(
    "value", [*OUTSIDE, *CONTROL, "a..b", ".a", "a@", "@b.c", "a@b", "ä", "a" * 321, 5, True, {}], ids=repr
)
@pytest.mark.parametrize("tool", ["get_mailbox", "update_mailbox", "delete_mailbox"])
def test_an_address_that_could_leave_its_path_segment_is_refused(tool: str, value: object) -> None:
    """Only a valid address may become part of a path."""
    assert "email_address: " in complaint(tool, email_address=value, **({"display_name": "x"} if "upd" in tool else {}))


@pytest.mark.parametrize("value", ["a", "sales.team@inkboxmail.com", "A_b+c-1@mail.example.co", "x.y.z"], ids=repr)
def test_an_address_may_be_full_or_its_local_part(value: str) -> None:
    """The API accepts both forms, so the tools do, too."""
    assert parse("get_mailbox", email_address=value).supplied() == {"email_address": value}


@pytest.mark.parametrize(
    "value", [*OUTSIDE, *CONTROL, "@", "@@a", "a@inkboxmail.com", "a..b", "a" * 256, 7, []], ids=repr
)
def test_a_handle_that_could_leave_its_path_segment_is_refused(value: object) -> None:
    """Handles become path segments, too."""
    assert "agent_handle: " in complaint("create_mailbox", agent_handle=value)


@pytest.mark.parametrize(("value", "handle"), [("@sales", "sales"), ("Süd", "Süd"), ("a" * 255, "a" * 255)])
def test_a_handle_loses_its_leading_at_sign(value: str, handle: str) -> None:
    """People write a handle with an @, so agents may do the same."""
    assert parse("create_mailbox", agent_handle=value).supplied() == {"agent_handle": handle}


def test_a_full_address_as_local_part_is_told_which_part_to_pass() -> None:
    """The most common mistake gets an error that contains the right value."""
    message = complaint("create_mailbox", agent_handle="a", email_local_part="sales@inkboxmail.com")
    assert 'email_local_part: must be only the part before the @, here "sales"' in message


@pytest.mark.parametrize("value", [*CONTROL, "x" * 256, 1, ["x"]], ids=repr)
def test_a_display_name_cannot_split_a_mail_header(value: object) -> None:
    """The tool refuses control characters and long names."""
    assert "display_name: " in complaint("update_mailbox", email_address="a", display_name=value)


@pytest.mark.parametrize(
    "value",
    [
        *CONTROL, " ", "http://example.com", "ftp://example.com", "https://", "https:///x", "https://user@example.com",
        "https://user:pw@example.com", "https://example.com/#part", "https://example.com#", "https://exa mple.com",
        "https://example.com\\@evil.com", "https://example.com:99999", "https://[::1", "//example.com", "example.com",
        "https://example.com/" + "x" * 2048, "https://@example.com", "https://:443/", 5, False,
    ],
    ids=repr,
)  # fmt: skip
def test_a_webhook_url_is_https_to_a_host_and_nothing_else(value: object) -> None:
    """The tool refuses other schemes, credentials, fragments, missing hosts and long URLs."""
    assert "webhook_url: " in complaint("update_mailbox", email_address="a", webhook_url=value)


@pytest.mark.parametrize("value", [5, "5", 5.0, "005", " 5 ", "5\n", "5.0", "+5"], ids=repr)
def test_a_whole_number_may_come_as_digits(value: object) -> None:
    """Models often send numbers as strings."""
    assert parse("list_mailboxes", limit=value).supplied() == {"limit": 5}


@pytest.mark.parametrize(
    "value",
    [
        True, False, 1.5, "1.5", "five", "0", "5 0", "0x5", "5e0", "٥", "\x1f5", 0, 201, -1, "9" * 500, 1e300,
        float("nan"), [], {},
    ],
    ids=repr,
)  # fmt: skip
def test_what_is_no_whole_number_in_range_is_refused(value: object) -> None:
    """The tool does not round or clamp a number, and does not convert other types."""
    assert "limit: " in complaint("list_mailboxes", limit=value)


def test_the_string_null_is_a_string() -> None:
    """Strings are not parsed as JSON, except for a list."""
    assert parse("update_mailbox", email_address="a", display_name="null").supplied(exclude={"email_address"}) == {
        "display_name": "null"
    }
    assert "webhook_url: " in complaint("update_mailbox", email_address="a", webhook_url="null")


@pytest.mark.parametrize("value", ["x", "1", "_", "1_" + "y" * 200, "99999999999999999999_a", "1_\na"], ids=repr)
def test_a_cursor_that_no_page_gave_is_refused(value: str) -> None:
    """An invented cursor is an error instead of an empty page."""
    assert "cursor: " in complaint("list_mailboxes", cursor=value)


def test_every_bad_argument_is_named_in_one_answer() -> None:
    """The model learns all its mistakes from one call."""
    message = complaint("create_mailbox", display_name="\n", email_local_part="a b", agent_hande="x", evil=1)
    for part in ("agent_handle: is required", "display_name: ", "email_local_part: ", "'agent_hande'", "'evil'"):
        assert part in message
    assert "unknown argument 'agent_hande' (did you mean agent_handle?)" in message
    assert "agent_handle, display_name, email_local_part" in message
    assert "Nothing was sent" in message


def test_arguments_of_a_tool_that_takes_none_are_refused() -> None:
    """The error must be a complete sentence even if there is no valid name to list."""
    assert "unknown argument 'x': whoami takes none. Nothing was sent" in complaint("whoami", x=1)


def test_a_bad_item_of_a_list_is_named_by_its_place() -> None:
    """The other items of the list are valid."""
    message = complaint("create_webhook", email_address="a", webhook_url="https://e.com", event_types=["x", 1])
    assert "event_types.1: " in message


class Hooked(Args):
    """A webhook that can be removed."""

    nullable: ClassVar[frozenset[str]] = frozenset({"hook"})
    hook: WebhookURLOrNone | None = None


@pytest.mark.parametrize("written", ["none", "None", " NONE\n"])
def test_the_word_none_is_a_value_beside_null(written: str) -> None:
    """A tool must be able to tell the word from null, which some clients fill in."""
    assert checked(Hooked, "update_thing", {"hook": written}).supplied() == {"hook": "none"}
    assert checked(Hooked, "update_thing", {"hook": None}).supplied() == {"hook": None}
    assert checked(Hooked, "update_thing", {"hook": ""}).supplied() == {}
    assert checked(Hooked, "update_thing", {"hook": "https://e.com"}).supplied() == {"hook": "https://e.com"}


@pytest.mark.parametrize("written", ["null", "NULL", " undefined", "unsubscribe"])
def test_who_means_null_and_quotes_it_is_told_the_word(written: str) -> None:
    """Models often write null as a string."""
    with pytest.raises(InvalidArguments, match='hook: must be an https URL or, to unsubscribe, "none"; "'):
        checked(Hooked, "update_thing", {"hook": written})


def test_only_an_argument_that_can_be_removed_takes_the_word_none() -> None:
    """A new webhook needs a URL."""
    for word in ("none", "null"):
        message = complaint("create_webhook", email_address="a", webhook_url=word)
        assert 'webhook_url: must start with "https://"' in message


@pytest.mark.parametrize(("written", "meant"), [("true", True), ("False", False), (True, True), (" TRUE\n", True)])
def test_true_and_false_may_be_quoted(written: object, meant: bool) -> None:
    """Models often send booleans as strings."""
    assert parse("create_identity", agent_handle="a", with_mailbox=written).model_dump()["with_mailbox"] is meant


@pytest.mark.parametrize("wrong", ["yes", 1, 0, "1", [True]], ids=repr)
def test_what_may_mean_true_does_not(wrong: object) -> None:
    """Values such as "yes" or 1 are ambiguous."""
    assert "with_mailbox: " in complaint("create_identity", agent_handle="a", with_mailbox=wrong)


def test_an_address_in_place_of_a_handle_is_answered_with_where_both_are() -> None:
    """This is the most likely mistake with a handle."""
    message = complaint("get_identity", agent_handle="sales@inkboxmail.com")
    assert "not an address; list_identities shows both" in message


def test_an_error_never_repeats_a_long_or_unprintable_name() -> None:
    """Text from a stranger may suggest such a name, so the error quotes it in ASCII and shortens it."""
    message = complaint("get_mailbox", email_address="a", **{"x\u202e\n" + "y" * 10_000: 1})
    assert len(message) < 1_000
    assert message.isprintable()


@pytest.mark.parametrize("nothing", [None, ""])
def test_what_strict_clients_must_send_counts_as_omitted(nothing: str | None) -> None:
    """A strict mode makes the model send every argument: null, or an empty string where the schema allows no null."""
    arguments = dict.fromkeys(["search", "limit", "cursor"], nothing)
    assert parse("list_mailboxes", **arguments).supplied() == {}
    assert parse("create_mailbox", agent_handle="a", display_name=nothing, email_local_part=nothing).supplied() == {
        "agent_handle": "a"
    }
    assert "agent_handle: String should have at least 1 character" in complaint("create_mailbox", agent_handle="")


def test_an_empty_url_is_omitted_where_null_is_a_value() -> None:
    """An empty string never unsubscribes."""
    assert parse("update_mailbox", email_address="a", webhook_url="").supplied() == {"email_address": "a"}


@pytest.mark.parametrize(
    ("written", "suggested"),
    [
        ("newsletter bot", "newsletter-bot"), ("Sales Agent", "sales-agent"), ("Sales_Agent EU", "sales-agent-eu"),
        ("Süd / Büro", "sud-buro"), ("sales.agent #1", "sales-agent-1"), ("sales@inkboxmail.com", "sales"),
        ("a..b", "a-b"), ("@Sales Agent", "sales-agent"), ("sales 🚀", "sales"), ("a b\\c", "a-b-c"),
    ],
)  # fmt: skip
def test_a_new_handle_in_another_form_is_answered_with_the_form(written: str, suggested: str) -> None:
    """The suggestion is a handle that both generations of the API take."""
    message = complaint("create_identity", agent_handle=written)
    assert f'must be a new handle of 3-63 lowercase letters, digits and hyphens, such as "{suggested}"' in message
    assert parse("create_identity", agent_handle=suggested).supplied() == {"agent_handle": suggested}


@pytest.mark.parametrize("written", ["営業 部", "? ?", "x " * 40, "a b\\", "@"])
def test_what_would_make_no_valid_handle_is_not_suggested(written: str) -> None:
    """The error then has an example."""
    short = {"a b\\": "a-b"}.get(written, "sales-agent")
    assert f'hyphens, such as "{short}"' in complaint("create_identity", agent_handle=written)


@pytest.mark.parametrize("handle", ["sales_agent", "Sales-Agent", "sales.agent", "营业", "ab"])
def test_the_api_decides_about_other_forms_of_a_new_handle(handle: str) -> None:
    """Its first generation takes up to 255 characters of any script."""
    assert parse("create_identity", agent_handle=handle).supplied() == {"agent_handle": handle}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=300),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=5,
)
nasty_text = st.text(alphabet="ab@./%?#\\:0\n\u202e é", max_size=12) | st.sampled_from([*OUTSIDE, *CONTROL])
values = nasty_text | json_values | st.sampled_from(["https://example.com", "sales@inkboxmail.com", "5"])
names = st.sampled_from(sorted({name for operation in OPERATIONS.values() for name in operation.args.model_fields}))
arguments = st.dictionaries(names | st.text(max_size=8), values, max_size=5)


def whole(request: httpx2.Request) -> httpx2.Response:
    """Answer as an API of the spec generation in which every object exists."""
    mailbox = {"id": "1", "email_address": "a@inkboxmail.com", "status": "active"}
    identity = {"agent_handle": "a", "status": "active", "mailbox": mailbox}
    if request.method == "DELETE":
        return httpx2.Response(204)
    *_, parent, last = request.url.path.split("/")
    if parent == "webhooks":
        return httpx2.Response(404, json={"detail": "Not Found"})
    if last == "status":
        return httpx2.Response(200, json={"restrictions": {"max_sends_per_day": 5, "allowed_recipients": []}})
    if last == "whoami":
        return httpx2.Response(200, json={"organization_id": "org_1"})
    if request.method == "GET" and last in {"mailboxes", "identities"}:
        return httpx2.Response(200, json=[mailbox if last == "mailboxes" else identity])
    return httpx2.Response(200, json=mailbox if "mailboxes" in {parent, last} else identity)


@given(key=st.sampled_from(sorted(OPERATIONS)), arguments=arguments)
@example(key="list_webhooks", arguments={"email_address": "sales@inkboxmail.com"})
@example(key="create_identity", arguments={"agent_handle": "5"})
async def test_any_arguments_end_in_a_valid_result_or_an_error(key: str, arguments: dict[str, Any]) -> None:
    """No arguments may crash the server or reach other paths of the API, and every result must fit its schema."""
    tool = OPERATIONS[key].name
    requests: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        requests.append(request)
        return whole(request)

    settings = Settings.model_validate({"api_key": KEY, "api_generation": generation_of(key)})
    async with Client(build_server(settings, transport=lambda: httpx2.MockTransport(answer))) as client:
        result = await client.call_tool(tool, arguments)
    if result.is_error:
        assert (result.meta or {})["code"] in {"invalid_arguments", "operation_moved"}
        assert text(result).startswith(f"{tool} failed: ")
    else:
        assert requests
        jsonschema.validate(result.structured_content, OPERATIONS[key].output_schema)
    for request in requests:
        raw_path = request.url.raw_path.decode()
        name = r"[A-Za-z0-9._~%-]+"
        assert re.fullmatch(
            rf"/api/(whoami|v1/agent-signup/status|v1/(mail/mailboxes|identities)(/{name})?|v1/identities/{name}/mailbox)"
            r"|/api/v1/webhooks/subscriptions(\?mailbox_id=1)?",
            raw_path,
        )
        segments = [unquote(segment) for segment in raw_path.partition("?")[0].split("/")[1:]]
        assert not {".", "..", ""} & set(segments)
        assert not any("/" in segment for segment in segments)
        assert request.url.host == "inkbox.ai"
