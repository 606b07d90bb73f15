"""The type of an argument marks the object that it names; text without a mark cannot be declared."""

# Pyright does not expect type aliases as values.
# pyright: reportOperatorIssue=false

from collections.abc import Callable, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Generic, Literal, NewType, Optional, TypeVar

import pytest
from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints, constr, create_model
from pydantic_core import CoreSchema, core_schema
from typing_extensions import TypeAliasType, TypedDict

from inkbox_mcp.api.client import InkboxAPI
from inkbox_mcp.toolkit import fields, mail_fields
from inkbox_mcp.toolkit.fields import (
    AgentHandle,
    Boolean,
    Cursor,
    DisplayName,
    ListItem,
    LocalPart,
    MailboxAddress,
    NewMailboxOwner,
    PageSize,
    ResourceID,
    SearchText,
    Text,
    WebhookURL,
    WithMailbox,
)
from inkbox_mcp.toolkit.mail_fields import Recipient
from inkbox_mcp.toolkit.marks import Mark, marked, marks, texts
from inkbox_mcp.toolkit.operation import ADDITIVE, DESTRUCTIVE, READ_ONLY, Args, Operation, Result, operation
from tests.support.catalogue import EVERY

T = TypeVar("T")
Address = Annotated[MailboxAddress, Field(description="Its address.")]
Alias = TypeAliasType("Alias", MailboxAddress)
Unmarked = TypeAliasType("Unmarked", str)
NewTyped = NewType("NewTyped", str)


class Choice(StrEnum):
    """An enumeration of texts."""

    ONE = "one"


class Email:
    """Text with its own schema, like pydantic's EmailStr."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> CoreSchema:
        return core_schema.str_schema()


class Nested(BaseModel):
    """A model inside the arguments."""

    email_address: str


class Entry(TypedDict):
    """A typed dictionary inside the arguments."""

    email_address: str


class Forward(Args):
    """Arguments whose types are defined later in this module."""

    mailbox: "Later | None" = None
    others: "list[Later]"


Later = Annotated[MailboxAddress, Field(description="Its address.")]


class Generic1(Args, Generic[T]):
    """Generic arguments."""

    whose: T


def numbers(kinds: list[Any]) -> list[str]:
    """Return the positions as test ids, because the types' own names are long and similar."""
    return [str(place) for place in range(len(kinds))]


def arguments(kind: Any) -> type[Args]:
    """Return a model with one argument of this type."""
    return create_model("Arguments", __base__=Args, mailbox=(kind, ...))


def declare(model: type[Args], **options: Any) -> Operation[Any, Any]:
    """Declare a tool with these arguments."""

    async def get_thing(api: InkboxAPI, args: Args) -> Result:
        raise NotImplementedError

    get_thing.__annotations__["args"] = model
    return operation(options.pop("hints", READ_ONLY), **options)(get_thing)


MARKED: list[tuple[Any, Mark]] = [
    (MailboxAddress, Mark.ADDRESS),
    (Address, Mark.ADDRESS),
    (Alias, Mark.ADDRESS),
    (Alias | None, Mark.ADDRESS),
    (MailboxAddress | None, Mark.ADDRESS),
    (Optional[Address], Mark.ADDRESS),  # noqa: UP045  # as some write it
    (Annotated[MailboxAddress | None, Field(description="One, or none.")], Mark.ADDRESS),
    (Annotated[str, Mark.ADDRESS], Mark.ADDRESS),
    (Annotated[str, StringConstraints(max_length=9), Mark.ADDRESS], Mark.ADDRESS),
    (Annotated[constr(max_length=9), Mark.ADDRESS], Mark.ADDRESS),
    (list[MailboxAddress], Mark.ADDRESS),
    (Annotated[list[Address] | None, Field(max_length=20)], Mark.ADDRESS),
    (Annotated[list[str], Mark.ADDRESS], Mark.ADDRESS),
    (list[MailboxAddress | None], Mark.ADDRESS),
    (MailboxAddress | list[MailboxAddress], Mark.ADDRESS),
    (Literal["all"] | MailboxAddress, Mark.ADDRESS),
    (list[AgentHandle], Mark.HANDLE),
    (AgentHandle | None, Mark.HANDLE),
    (LocalPart | None, Mark.NEW_LOCAL_PART),
    (list[WebhookURL], Mark.WEBHOOK_URL),
    (list[Recipient], Mark.RECIPIENT),
    (Text, Mark.PLAIN),
    (list[ListItem], Mark.PLAIN),
    (DisplayName | None, Mark.PLAIN),
    (SearchText | None, Mark.PLAIN),
    (Cursor, Mark.PLAIN),
    (ResourceID, Mark.PLAIN),
]


@pytest.mark.parametrize(("kind", "mark"), MARKED, ids=numbers(MARKED))
def test_an_argument_is_found_by_the_mark_in_its_type(kind: Any, mark: Mark) -> None:
    """The mark is found under any argument name and inside unions, lists and aliases."""
    assert marks(declare(arguments(kind)).args) == {"mailbox": mark}


NO_TEXT: list[Any] = [PageSize, Boolean, Literal["a", "b"], int, float, int | None, list[int]]


@pytest.mark.parametrize("kind", NO_TEXT, ids=numbers(NO_TEXT))
def test_what_cannot_be_any_text_needs_no_mark(kind: Any) -> None:
    """Numbers, booleans and fixed words cannot name an object."""
    assert marks(declare(arguments(kind)).args) == {}


UNSEEN: list[Any] = [
    str,
    str | None,
    list[str],
    list[str] | None,
    list[str | None],
    int | str,
    Annotated[str, Field(description="Its address.")],
    Annotated[str | None, Field(max_length=320)],
    constr(max_length=320),
    list[constr(max_length=320)],  # pyright: ignore[reportInvalidTypeForm]
    MailboxAddress | str,
    Unmarked,
    NewTyped,
    Email,
    Choice,
    SecretStr,
    bytes,
    datetime,
    Any,
    object,
    list,
    list[Any],
    list[list[MailboxAddress]],
    tuple[MailboxAddress, ...],
    set[MailboxAddress],
    Sequence[MailboxAddress],
    dict[str, str],
    dict[MailboxAddress, AgentHandle],
    Nested,
    list[Nested],
    Nested | None,
    Entry,
    Annotated[str, Mark.WITH_MAILBOX],
    T,
]


@pytest.mark.parametrize("kind", UNSEEN, ids=numbers(UNSEEN))
def test_text_without_a_mark_cannot_be_declared(kind: Any) -> None:
    """Types that may contain unmarked text are refused, too; the error names the argument and the types to use."""
    with pytest.raises(TypeError, match=r"Arguments\.mailbox takes .*use AgentHandle, MailboxAddress, LocalPart"):
        declare(arguments(kind))


AMBIGUOUS: list[Any] = [
    MailboxAddress | AgentHandle,
    Text | MailboxAddress,
    list[MailboxAddress] | SearchText,
    Annotated[MailboxAddress, Mark.PLAIN],
    Annotated[list[Address] | None, Mark.PLAIN],
    Annotated[str, Mark.ADDRESS, Mark.PLAIN],
]


@pytest.mark.parametrize("kind", AMBIGUOUS, ids=numbers(AMBIGUOUS))
def test_an_argument_names_one_kind_of_thing(kind: Any) -> None:
    """A second mark must not hide the first one."""
    with pytest.raises(TypeError, match=r"Arguments\.mailbox is marked \w+ and \w+"):
        declare(arguments(kind))


def test_inherited_and_overridden_arguments_are_looked_at() -> None:
    """A subclass keeps the marks of its base, and an override without a mark is refused."""

    class Base(Args):
        mailbox: Address

    class Inherits(Base):
        title: Text = ""

    class Loses(Base):
        mailbox: str  # pyright: ignore[reportGeneralTypeIssues,reportIncompatibleVariableOverride]

    assert marks(declare(Inherits).args) == {"mailbox": Mark.ADDRESS, "title": Mark.PLAIN}
    with pytest.raises(TypeError, match=r"Loses\.mailbox takes text without a mark"):
        declare(Loses)


def test_types_that_are_named_before_they_exist_are_looked_at() -> None:
    """A tool with an undefined type cannot be declared."""
    assert marks(declare(Forward).args) == {"mailbox": Mark.ADDRESS, "others": Mark.ADDRESS}

    class Never(Args):
        mailbox: "Unknown"  # noqa: F821  # pyright: ignore[reportUndefinedVariable,reportUnknownVariableType]

    with pytest.raises(TypeError, match="Never has a type that is not defined: Unknown"):
        declare(Never)


def test_a_generic_model_is_looked_at_with_its_types() -> None:
    """Without a type, or with unmarked text, a generic model is refused."""
    assert marks(declare(Generic1[MailboxAddress]).args) == {"whose": Mark.ADDRESS}
    for model in (Generic1, Generic1[str]):
        with pytest.raises(TypeError, match=r"\.whose takes "):
            declare(model)


def test_arguments_that_are_not_declared_cannot_be_let_in() -> None:
    """The server could not check the marks of undeclared arguments."""

    class Open(Args):
        model_config = ConfigDict(extra="allow")

    class Foreign(BaseModel):
        mailbox: MailboxAddress

    for model in (Open, Foreign):
        with pytest.raises(TypeError, match='does not declare: use extra="forbid"'):
            declare(model)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("more", [{"whose": (NewMailboxOwner, ...)}, {"wanted": (WithMailbox, True)}])
def test_a_tool_that_makes_a_mailbox_takes_its_address(more: dict[str, Any]) -> None:
    """The API would choose a random address, which could break a limit on addresses."""
    with pytest.raises(TypeError, match="add a LocalPart"):
        declare(create_model("Arguments", __base__=Args, **more))
    declare(create_model("Arguments", __base__=Args, **more, start=(LocalPart | None, None)))


def test_texts_are_listed_with_their_places() -> None:
    """An error can use the place to name the text that is not allowed."""

    class Several(Args):
        first: MailboxAddress
        others: list[MailboxAddress | None] | None = None
        whose: AgentHandle = "sales-agent"

    args = Several(first="a", others=["b", None, "c"])
    assert marked(args, Mark.ADDRESS) == [("first", "a"), ("others.0", "b"), ("others.2", "c")]
    assert marked(args, Mark.HANDLE) == [("whose", "sales-agent")]
    assert texts(Several(first="a"), "others") == []


def test_every_type_of_text_is_marked() -> None:
    """Every text type in `fields` and `mail_fields` has a mark, so an argument that uses it is marked."""
    names = {**vars(fields), **vars(mail_fields)}
    shared = {name: kind for name, kind in names.items() if name[0].isupper() and hasattr(kind, "__metadata__")}
    of_text = {name: kind for name, kind in shared.items() if kind.__origin__ is str}
    assert {"AgentHandle", "MailboxAddress", "WebhookURL", "DisplayName", "Cursor", "Recipient"} <= {*of_text}
    for name, kind in of_text.items():
        model = create_model("Arguments", __base__=Args, one=(kind, ...), local_part=(LocalPart, ...))
        assert "one" in marks(model), name


@pytest.mark.parametrize("name", sorted(EVERY))
def test_no_argument_that_sounds_like_a_name_is_plain_text(name: str) -> None:
    """The operator's limits apply only to arguments with marks of addresses, handles and URLs."""
    for argument, mark in marks(EVERY[name].args).items():
        sounds = argument.endswith(("handle", "address", "local_part", "url")) or argument in {"to", "cc", "bcc"}
        assert (mark not in {Mark.PLAIN, Mark.WITH_MAILBOX}) is sounds, argument


class Two(Args):
    """Arguments for the options below."""

    mailbox: MailboxAddress
    count: PageSize = 5
    hook: WebhookURL | None = None


def _ask(args: Two) -> str:
    return "Sure?"


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"changes": ("email_address",)}, "changes names email_address, and can name mailbox, hook"),
        ({"changes": ("mailbox", "count")}, "changes names count"),
        ({"confirm": "Do it to {email_address}?"}, "confirm names email_address, and can name mailbox, count, hook"),
        ({"confirm": "Do {mailbox} and {}?"}, "confirm names "),
        ({"confirm": "Do {mailbox.__class__}?"}, "confirm names mailbox.__class__"),
        ({"confirm": "Do {mailbox[0]}?"}, r"confirm names mailbox\[0\]"),
        ({"confirm": "Do {mailbox:.3}?"}, r"shows mailbox in another form than as it is: write \{mailbox\}"),
        ({"confirm": "Do {mailbox!r}?"}, "shows mailbox in another form"),
        ({"confirm": "Do {mailbox?"}, "is no template"),
    ],
)
def test_an_option_names_only_arguments_that_there_are(options: dict[str, Any], problem: str) -> None:
    """A wrong name would fail in a call, or would not lock the object that the call changes."""
    with pytest.raises(TypeError, match=problem):
        declare(Two, hints=ADDITIVE, **options)


@pytest.mark.parametrize("confirm", ["Do {mailbox}, {count} times?", _ask, "A {{brace}}?"])
def test_options_about_arguments_are_taken(confirm: str | Callable[[Two], str]) -> None:
    """`confirm` may be a template or a function."""
    declared = declare(Two, hints=DESTRUCTIVE, changes=("mailbox", "hook"), confirm=confirm)
    assert declared.changes == ("mailbox", "hook")


def test_null_has_a_meaning_only_for_arguments_that_there_are() -> None:
    """The null of a misspelt argument would count as omitted."""

    class Misspelt(Args):
        nullable: ClassVar[frozenset[str]] = frozenset({"webhook"})
        hook: WebhookURL | None = None

    with pytest.raises(TypeError, match="nullable names webhook, and can name hook"):
        declare(Misspelt)


def test_only_arguments_that_there_are_can_be_refused_when_they_are_empty() -> None:
    """The empty string of a misspelt argument would count as omitted."""

    class Misspelt(Args):
        never_empty: ClassVar[frozenset[str]] = frozenset({"webhook"})
        hook: WebhookURL | None = None

    with pytest.raises(TypeError, match="never_empty names webhook, and can name hook"):
        declare(Misspelt)
