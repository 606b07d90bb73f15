"""Marks in the types of arguments, which say what a text names. The operator's limits use them.

`inkbox_mcp.toolkit.fields` and `mail_fields` have the types. Limits find an argument by its mark, whatever its name,
alone, optional or in a list. An argument with text and without a mark cannot be declared, so no tool can bypass the
limits.
"""

from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from functools import cache
from types import MappingProxyType, NoneType, UnionType
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

from pydantic import BaseModel
from pydantic.errors import PydanticUndefinedAnnotation

_WHAT_TO_USE = (
    "use AgentHandle, MailboxAddress, LocalPart or WebhookURL of inkbox_mcp.toolkit.fields, or Recipient of "
    "inkbox_mcp.toolkit.mail_fields, for what the operator's limits are about; for text that names none of these, use "
    "another type of these modules, such as Text, or Annotated[str, Mark.PLAIN]"
)


class Mark(Enum):
    """What the text in an argument names. Put it into the metadata of `Annotated`."""

    HANDLE = "an agent identity that exists: its mailbox is at an address that is allowed"
    NEW_HANDLE = "an agent identity that the call makes, perhaps with a mailbox"
    NEW_OWNER = "an agent identity that exists, has no mailbox and gets the one that the call makes"
    ADDRESS = "a mailbox that exists; sent in the form that was compared"
    NEW_LOCAL_PART = "the address of a mailbox that the call makes; None for a random one"
    WEBHOOK_URL = "where mail events go"
    RECIPIENT = "whom mail goes to"
    PLAIN = "nothing that the operator limits"
    WITH_MAILBOX = "not text: a switch that is on if the call makes a mailbox"


@cache
def marks(model: type[BaseModel]) -> Mapping[str, Mark]:
    """Return the marks of a tool's arguments.

    Args:
        model: the arguments.

    Returns:
        The mark of every argument that may be text, and of the switches, in the order of declaration.

    Raises:
        TypeError: an argument may contain text without a mark.
    """
    if model.model_config.get("extra") != "forbid":
        raise TypeError(f'{model.__name__} takes arguments that it does not declare: use extra="forbid"')
    try:
        model.model_rebuild()
    except PydanticUndefinedAnnotation as error:
        raise TypeError(f"{model.__name__} has a type that is not defined: {error.name}") from None
    found: dict[str, Mark] = {}
    for name, field in model.model_fields.items():
        argument = f"{model.__name__}.{name}"
        of_argument = set[Mark]().union(*_leaves(argument, field.annotation, _given(field.metadata)))
        if len(of_argument) > 1:
            kinds = " and ".join(sorted(mark.name for mark in of_argument))
            raise TypeError(f"{argument} is marked {kinds}: an argument names one kind of thing")
        if of_argument:
            found[name] = of_argument.pop()
    kinds = set(found.values())
    if kinds & {Mark.NEW_OWNER, Mark.WITH_MAILBOX} and Mark.NEW_LOCAL_PART not in kinds:
        raise TypeError(f"{model.__name__} makes a mailbox at an address that nobody can choose: add a LocalPart")
    return MappingProxyType(found)


def marked(args: BaseModel, *wanted: Mark) -> list[tuple[str, str]]:
    """List the texts of a call that have one of these marks.

    Args:
        args: checked arguments.
        wanted: the marks.

    Returns:
        What `texts` returns, for all these arguments.
    """
    return [found for name, mark in marks(type(args)).items() if mark in wanted for found in texts(args, name)]


def texts(args: BaseModel, name: str) -> list[tuple[str, str]]:
    """List the texts in an argument: none if it is omitted, several if it is a list.

    Returns:
        The argument's name, or for an item its place, such as `handles.0`; and the text.
    """
    value = getattr(args, name)
    if isinstance(value, list):
        items = enumerate(cast("list[object]", value))
        return [(f"{name}.{place}", item) for place, item in items if isinstance(item, str)]
    return [(name, value)] if isinstance(value, str) else []


def _leaves(argument: str, kind: Any, given: frozenset[Mark], *, in_list: bool = False) -> Iterator[frozenset[Mark]]:
    """Yield the marks of each scalar type that an argument may have.

    Args:
        argument: for errors.
        kind: its type, or a part of it.
        given: the marks around this part.
        in_list: whether the part is of a list's items.

    Raises:
        TypeError: a part may be text without a mark, or contain such text.
    """
    kind = getattr(kind, "__value__", kind)  # resolves a `type` statement
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Annotated:
        yield from _leaves(argument, parts[0], given | _given(parts[1:]), in_list=in_list)
    elif origin in {Union, UnionType}:
        for part in parts:
            yield from _leaves(argument, part, given, in_list=in_list)
    elif origin is list and not in_list:
        yield from _leaves(argument, parts[0], given, in_list=True)
    elif kind is str:
        if not given - {Mark.WITH_MAILBOX}:
            raise TypeError(f"{argument} takes text without a mark: {_WHAT_TO_USE}")
        yield given
    elif origin is Literal or kind in {bool, int, float, NoneType}:
        yield given
    else:
        name = getattr(kind, "__name__", kind)
        raise TypeError(f"{argument} takes {name}: arguments are scalars, or lists of scalars; for text {_WHAT_TO_USE}")


def _given(metadata: Iterable[object]) -> frozenset[Mark]:
    return frozenset(mark for mark in metadata if isinstance(mark, Mark))
