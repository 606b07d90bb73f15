"""The arguments of a call: their model, and the errors about bad ones, written for the model that sent them."""

import difflib
from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import ErrorDetails

from inkbox_mcp.errors import InvalidArguments
from inkbox_mcp.toolkit.bounds import MAX_ARGUMENTS, MAX_NAME, MAX_PROBLEMS, excess, named

# Some clients add their own arguments to every call (n8n: github.com/n8n-io/n8n/issues/37308).
_INJECTED = frozenset({"toolCallId", "sessionId"})

_TOO_LARGE = object()
"""Stands for a value that is too large. It is invalid for every type, so each such value is reported."""


class Args(BaseModel):
    """The arguments of a tool.

    An optional argument is declared `X | None = None`. None means omitted: clients that must send every argument send
    null or an empty string. Only for the names in `nullable` is null a value for the API.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)

    nullable: ClassVar[frozenset[str]] = frozenset()

    @model_validator(mode="before")
    @classmethod
    def _drop_omitted(cls, data: dict[str, Any]) -> dict[str, Any]:
        omitted = {name for name, field in cls.model_fields.items() if not field.is_required()} - cls.nullable
        return {
            name: value
            for name, value in data.items()
            if name not in _INJECTED and not (value in (None, "") and name in omitted)
        }

    def supplied(self, *, exclude: set[str] | None = None) -> dict[str, Any]:
        """Return the supplied arguments as a JSON body, without omitted ones."""
        return self.model_dump(exclude_unset=True, exclude=exclude)


A = TypeVar("A", bound=Args)


def checked(model: type[A], tool: str, given: Mapping[str, Any]) -> A:
    """Check a call's arguments.

    Args:
        model: of the tool's arguments.
        tool: its name, for errors.
        given: the arguments as they were sent.

    Raises:
        InvalidArguments: names all bad arguments.
    """
    if len(given) > MAX_ARGUMENTS:
        raise InvalidArguments(_too_many(model, tool, given))
    too_large = {name: problem for name, value in given.items() if (problem := excess(value))}
    try:
        return model.model_validate({**given, **dict.fromkeys(too_large, _TOO_LARGE)})
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False)
        problems = [_problem(model, tool, details, too_large) for details in found[:MAX_PROBLEMS]]
        raise InvalidArguments(f"{named(problems, len(found) - len(problems))}.") from None


def _too_many(model: type[Args], tool: str, given: Mapping[str, Any]) -> str:
    """Describe a call with more arguments than any tool takes, without reading their values."""
    known = {*model.model_fields, *_INJECTED}
    unknown = [name for name in given if name not in known]
    problems = [_unknown_argument(model, tool, name) for name in unknown[:MAX_PROBLEMS]]
    more = named(problems, len(unknown) - len(problems))
    return f"a call takes at most {MAX_ARGUMENTS} arguments, and this one has {len(given):,}: {more}."


def _problem(model: type[Args], tool: str, details: ErrorDetails, too_large: Mapping[str, str]) -> str:
    message = details["msg"].removeprefix("Value error, ")
    if not details["loc"]:
        return message
    if details["type"] == "extra_forbidden":
        return _unknown_argument(model, tool, str(details["loc"][0]))
    name = ".".join(map(str, details["loc"]))
    if details["type"] == "missing":
        message = "is required"
    message = too_large.get(name, message)
    return f"{name}: {message}"


def _unknown_argument(model: type[Args], tool: str, name: str) -> str:
    valid, name = list(model.model_fields), name[:MAX_NAME]
    close = difflib.get_close_matches(name, valid, n=1)
    meant = f" (did you mean {close[0]}?)" if close else ""
    return f"unknown argument {name!a}{meant}: {tool} takes {', '.join(valid) or 'none'}"
