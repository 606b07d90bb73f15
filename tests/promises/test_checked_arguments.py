"""Every argument is checked before it is sent: hidden characters are refused and named, never removed or sent."""

import re
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inkbox_mcp.characters import IGNORABLE
from inkbox_mcp.errors import InvalidArguments
from inkbox_mcp.text import one_line, visible
from tests.support.catalogue import EVERY

OPERATIONS = EVERY
UUID = "123e4567-e89b-42d3-a456-426614174000"
URL = "https://hooks.example.com/inkbox"

HIDDEN = [
    *"\x00\x07\x1b\x7f\x85\u00ad\u034f\u061c\u06dd\u070f\u115f\u1160\u17b4\u17b5\u180b\u180e\u180f\u200b\u200c\u200d",
    *"\u200e\u200f\u2028\u2029\u202a\u202e\u2060\u2063\u2066\u2069\u206a\u2800\u3164\ud800\udfff\ue000\uf8ff\ufdd0",
    *"\ufe00\ufe0e\ufe0f\ufeff\uffa0\ufff0\ufff9\ufffb\uffff\u0378\U0001d159\U0001d173\U00013430\U00013438\U0001343f",
    *"\U0001bca0\U000e0001\U000e0041\U000e007f\U000e0100\U000e0fff\U000f0000\U0010fffd\U0010ffff",
]
DRAWN = "\u06dd\u070f"  # visible format characters: allowed in a name but not in an identifier
BLANKS = [*"\t\n\r\v\f\u00a0\u1680\u2000\u2003\u2009\u202f\u205f\u3000"]

ONE_LINE: dict[str, tuple[str, str, dict[str, str]]] = {
    "agent_handle": ("get_identity", "sup{}port", {}),
    "email_address": ("get_mailbox", "sa{}les", {}),
    "email_address's domain": ("get_mailbox", "sales@ink{}boxmail.com", {}),
    "email_local_part": ("create_mailbox", "sa{}les", {"agent_handle": "a"}),
    "mailbox_local_part": ("create_identity", "sa{}les", {"agent_handle": "a"}),
    "search": ("list_mailboxes", "sa{}les", {}),
    "cursor": ("list_identities", "1_{}a", {}),
    "webhook_url": ("update_mailbox", "https://hooks.example.com/in{}box", {"email_address": "a"}),
    "webhook_url's host": ("update_mailbox", "https://hooks.exam{}ple.com/", {"email_address": "a"}),
    "webhook_id": ("delete_webhook", UUID[:9] + "{}" + UUID[9:], {"email_address": "a"}),
}


def parse(tool: str, **arguments: Any) -> dict[str, Any]:
    """Check arguments as a call does, and return the checked arguments."""
    return OPERATIONS[tool].parse(arguments).supplied()


def complaint(tool: str, **arguments: Any) -> str:
    """Return the error message about bad arguments."""
    with pytest.raises(InvalidArguments) as caught:
        OPERATIONS[tool].parse(arguments)
    return OPERATIONS[tool].explain(caught.value)


def accepts_name(name: str) -> bool:
    """Whether a name may be a mailbox's display name; an accepted name must stay unchanged."""
    try:
        return parse("update_mailbox", email_address="a", display_name=name).get("display_name") == name
    except InvalidArguments:
        return False


@pytest.mark.parametrize("argument", ONE_LINE)
def test_what_hides_in_a_line_is_refused_by_its_number_and_position(argument: str) -> None:
    """This holds for every one-line argument and each position of the character; only blanks around it are dropped."""
    tool, template, others = ONE_LINE[argument]
    name, position = argument.partition("'")[0], template.index("{}")
    plain = template.format("")
    for hidden in [*HIDDEN, *BLANKS]:
        message = complaint(tool, **others, **{name: template.format(hidden)})
        assert f"(U+{ord(hidden):04X} at position {position})" in message
        assert message.isprintable()
        assert f"{name}: " in complaint(tool, **others, **{name: template.format(hidden * 3)})
        for around in (hidden + plain, plain + hidden, f" {hidden}\n{plain}{hidden * 2} "):
            if hidden in BLANKS:
                assert parse(tool, **others, **{name: around}) == parse(tool, **others, **{name: plain})
            else:
                assert f"{name}: " in complaint(tool, **others, **{name: around}), ascii(hidden)


@given(st.text(st.characters(exclude_categories=["L", "N", "P", "S", "M"]), min_size=1, max_size=3))
def test_no_handle_holds_what_is_neither_letter_nor_sign(hidden: str) -> None:
    """Unicode calls these characters control, format, separator, private, unassigned or surrogate."""
    assert "agent_handle: " in complaint("delete_identity", agent_handle=f"sup{hidden}port")


@given(st.text(max_size=20))
def test_what_is_accepted_is_seen_as_it_is_sent(anything: str) -> None:
    """Results must show every character of an accepted argument."""
    for tool, argument in (("get_identity", "agent_handle"), ("list_mailboxes", "search")):
        try:
            sent = parse(tool, **{argument: anything})
        except InvalidArguments:
            continue
        for value in sent.values():
            assert visible(value) == one_line(f"[{value}]")[1:-1] or " " in value
            assert value in anything
    if accepts_name(anything):
        assert visible(anything) == anything


NAMED_BY_STRANGERS = {("get_attachment", "filename")}
"""Names that exist, whatever a stranger put into them; they are looked up and stay in one segment of a URL."""
BODIES = {"text", "html"}
"""What a mail says. Its writer may use any character that has a form or joins others."""


def test_no_argument_of_any_tool_takes_what_hides() -> None:
    """This covers future tools too: a text argument must be checked or have few values."""
    for tool, operation in OPERATIONS.items():
        for name, field in operation.input_schema["properties"].items():
            kinds = [arm.get("type") for arm in [field, *field.get("anyOf", [])]]
            if "string" in kinds and (tool, name) not in NAMED_BY_STRANGERS and name not in BODIES:
                for hidden in ("\u200b", "\u2800", "\ue000", "\U000e0041"):
                    assert f"{name}: " in complaint(tool, **{name: f"a{hidden}b"})


def test_a_handle_may_still_be_written_in_any_script() -> None:
    """The checks must refuse only hidden characters."""
    for handle in ("Süd", "поддержка", "営業", "sales✉", "DESK-1"):
        assert parse("get_identity", agent_handle=handle) == {"agent_handle": handle}


def test_every_list_has_items_that_are_short_lines() -> None:
    """An item of a list gets the same checks as an argument."""
    lists = [
        (operation.name, name)
        for operation in OPERATIONS.values()
        for name, field in operation.args.model_fields.items()
        if "list[" in str(field.annotation)
    ]
    sending = {("send_message", name) for name in ("to", "cc", "bcc", "attachments")}
    sending |= {("reply_to_message", "attachments"), ("forward_message", "to")}
    assert set(lists) == {("create_webhook", "event_types"), ("update_messages", "message_ids")} | sending
    for tool, name in sending:
        # Files have names in the folder already, and these are checked again when they leave.
        hidden = "\x00\x07\x1b\x7f\x85\ud800" if name == "attachments" else HIDDEN
        for item in [*hidden, "a@example.com\nb@example.com", ""]:
            where = name if "\ud800" <= item <= "\udfff" else f"{name}.0"
            assert f"{where}: " in complaint(tool, **{name: [item]}), ascii(item)
    known = {"email_address": "a", "webhook_url": URL}
    for tool, name in [("create_webhook", "event_types")]:
        for item in [*HIDDEN, "x\ny", "x" * 101, "", "x\u200b"]:
            where = name if "\ud800" <= item <= "\udfff" else f"{name}.1"
            assert f"{where}: " in complaint(tool, **{**known, name: ["message.sent", item]})
        assert parse(tool, **{**known, name: ["x" * 100]})[name] == ["x" * 100]


def test_an_id_is_written_in_one_way() -> None:
    """Python's own UUID parser also accepts digits of other scripts, underscores, braces and prefixes."""
    assert parse("delete_webhook", email_address="a", webhook_id=UUID.upper())["webhook_id"] == UUID
    for other in ("urn:uuid:" + UUID, "{" + UUID + "}", UUID.replace("1", "１"), "1_" * 16, UUID + "-", "-" * 4):
        assert "webhook_id: must be a UUID" in complaint("delete_webhook", email_address="a", webhook_id=other)


# Names.

WRITTEN = [
    "Jane O'Neil & Söhne — Newsletter ✉", 'Dwayne "The Rock" Johnson', "Sales @ Acme", "@acme", "Jane (@jane)",
    "I <3 mail", "A > B", "株式会社\u3000山田", "1\ufe0f⃣ First", "#\ufe0f⃣ Tags", "❤\ufe0f Love", "⚡\ufe0f Flash",
    "☎\ufe0e Phone", "🇩🇪 Berlin", "🐻\u200d❄\ufe0f", "👩🏽\u200d💻 Dev", "👨\u200d👩\u200d👧\u200d👦 The Smiths",
    "🏳\ufe0f\u200d🌈 Pride", "❤\ufe0f\u200d🔥", "🕵🏾\u200d♂\ufe0f", "👁\ufe0f\u200d🗨\ufe0f", "Lily \U0001fa77",
    "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", "می\u200cخواهم", "کتاب\u200cها",
    "خانه\u200cای", "ش\u200cا", "روز\u200cهای", "مادر\u200cبزرگ", "क्\u200dष", "ශ්\u200dරී ලංකා", "র\u200d্যাম",
    "ക്\u200c", "שלום\u200f עולם", "שלום!\u200f", "\u200fשלום", "C++\u200f שלום", "مرحبا\u200f (1)", "ה\u200e A",
    "a, b; c: d", "=1+1=?",
]  # fmt: skip
UNWRITTEN = [
    "x\u200dé\u200dé", "a\ufe0f", "é\ufe0e", "1\ufe0f", "x\ufe0f\u20e3", "A\u200cB", "ب\u200cA", "日\u200d本",
    "日\ufe00", "日\U000e0100", "م\u200d\u200cم", "م\u200d\u200dم", "ב\u200dב", "א\u200fב", "a\u200eb", "a\u200fb",
    "א\u200f\u200f ", "\u200f \u200f", "🔥\u200d🔥", "👨\u200dx", "🏴\U000e0041\U000e007f", "🏴\U000e0067\U000e0062",
    "🚀\U000e0067\U000e007f", "a\u00a0b", "a\u2003b", "क\u200dx", "x\u200c", "\u200dx", "🔥\ufe0f\ufe0f",
    "❤\ufe0f\u200d", "a\u2800b", *(f"Sales{hidden}Team" for hidden in HIDDEN if hidden not in DRAWN),
    *(f"Sales{blank}Team" for blank in BLANKS if blank != "\u3000"),
]  # fmt: skip
NOTHING = ["   ", "\u3000", "\t\n\r", "\u00a0", "\u2003\u205f", "\u0301", " \u0301\u0302 ", "\u20dd", "\u3000\u0301"]


@pytest.mark.parametrize("name", WRITTEN, ids=ascii)
def test_a_name_may_have_what_its_writing_needs(name: str) -> None:
    """Emoji and some scripts need invisible characters; quotes and apostrophes are common in names."""
    assert accepts_name(name)
    assert visible(name) == name


@pytest.mark.parametrize("name", UNWRITTEN, ids=ascii)
def test_a_name_may_not_have_what_only_hides(name: str) -> None:
    """The same characters are refused where they change nothing visible."""
    message = complaint("create_mailbox", agent_handle="a", display_name=name)
    assert "display_name: " in message
    assert message.isprintable()


@pytest.mark.parametrize("name", NOTHING, ids=ascii)
def test_a_name_has_something_to_see(name: str) -> None:
    """Blanks and combining marks alone do not make a name."""
    for tool, argument in (
        ("update_identity (identity)", "display_name"),
        ("update_mailbox", "display_name"),
        ("create_mailbox", "display_name"),
        ("create_identity", "mailbox_display_name"),
    ):
        others = {"email_address": "a"} if tool == "update_mailbox" else {"agent_handle": "a"}
        assert f"{argument}: must have a letter, a digit or a sign that can be seen" in complaint(
            tool, **others, **{argument: name}
        )


@pytest.mark.slow
def test_no_single_character_that_is_invisible_makes_a_name() -> None:
    """This covers the assigned planes of Unicode: blanks, controls, marks, fillers, and halves of characters."""
    for char in map(chr, [*range(0x3400), *range(0xA000, 0x20000), *range(0xE0000, 0xE0200)]):
        if char.isspace() or unicodedata.category(char)[0] in "CZM" or IGNORABLE.match(char):
            assert not accepts_name(char), ascii(char)


@pytest.mark.parametrize(
    "name",
    [
        'CEO" <ceo@bank.example>, "x', "a <b@c>", "a <b @ c>", "＜ceo＠bank.example＞", "a 〈b @ c〉", "a ‹b@c›",
        "ceo@bank.example", "x, ceo@bank.example", "x; ceo@bank.example", "Team: ceo@bank.example;",
        "(ceo@bank.example)", "[ceo@bank.example]", "«ceo @ bank»", "⟨ceo @ bank⟩", "ceo@[1.2.3.4]",
        '"ceo"@bank.example', "ceo@bänk.example", "ｃｅｏ＠ｂａｎｋ", "ceo﹫bank.example", "ceo+x@bank。example",
        "<@a,@b:c@d>", "ceo!@bank.example", "﹤ceo @ bank﹥", "ᐸceo @ bankᐳ", "ceo @ bank.example",
        "x, ceo @bank.example", "ceo@ bank.example",
    ],
)  # fmt: skip
def test_a_name_holds_no_address(name: str) -> None:
    """Readers see the name instead of the address, so they would take an address in it for the sender's."""
    for tool, others in (
        ("update_mailbox", {"email_address": "a"}),
        ("update_identity (identity)", {"agent_handle": "a"}),
    ):
        assert "must not contain an email address" in complaint(tool, display_name=name, **others)
    assert "mailbox_display_name: must not" in complaint("create_identity", agent_handle="a", mailbox_display_name=name)


@pytest.mark.parametrize(
    "name",
    [
        "=?utf-8?q?=43EO?=",
        "x =?UTF-8?B?Q0VP?= y",
        "＝？utf-8？q？x？＝",
        "= ?utf-8?q?x? =",
        "=?iso-8859-1?Q?ceo",
        "=?x?y?=",
    ],
)
def test_a_name_is_no_encoded_word(name: str) -> None:
    """A mail program would decode it and show another name."""
    assert "encoded word" in complaint("update_mailbox", email_address="a", display_name=name)


carriers = st.sampled_from([*"aé日אبدक्❤🔥👨👧🏴1 "])
marks = st.sampled_from(["", *"\u200c\u200d\u200e\u200f\u061c\ufe0e\ufe0f", "\ufe0f\u200d", "\U000e0067", "\U000e007f"])


@given(st.lists(st.tuples(carriers, marks), min_size=1, max_size=127))
def test_a_name_cannot_carry_a_message(pairs: list[tuple[str, str]]) -> None:
    """Each visible character may have one hidden mark, and a name may have only a few marks."""
    name = "".join(carrier + mark for carrier, mark in pairs)
    for shown in {visible(name), *([name] if accepts_name(name) else [])}:
        runs = re.findall("[\u061c\u200c-\u200f\ufe0e\ufe0f\U000e0020-\U000e007f]+", shown)
        assert len(runs) <= 8 + len(shown) // 12
        assert all(len(run) == 1 or run == "\ufe0f\u200d" for run in runs)
        assert not any(unicodedata.category(char) == "Cf" for char in shown if char not in "".join(runs))


def test_a_hidden_bit_in_each_place_does_not_fit_into_a_name() -> None:
    """Even characters that need hidden marks cannot carry a message, because a name may have only a few marks."""
    for carrier in ("ب\u200cب ", "א\u200f ", "❤\ufe0f", "क्\u200d", "👨\u200d👧"):
        assert accepts_name(carrier.strip() or carrier)
        assert not accepts_name((carrier * 60)[:255])
        assert visible(carrier * 60) != carrier * 60
