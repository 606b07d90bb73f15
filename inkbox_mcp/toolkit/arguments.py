"""The arguments of a call: their model, and the errors about bad ones, written for the model that sent them."""

import difflib
from collections.abc import Mapping, Sequence
from functools import cache, partial
from types import MappingProxyType
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_core import ErrorDetails

from inkbox_mcp.errors import About, InvalidArguments
from inkbox_mcp.toolkit.bounds import MAX_ARGUMENTS, MAX_NAME, MAX_PROBLEMS, named
from inkbox_mcp.toolkit.forms import Form, form_of, understood

INJECTED: Mapping[str, tuple[str, str]] = {
    "toolCallId": ("n8n", "https://github.com/n8n-io/n8n/issues/21500"),
    "tool": ("n8n", "https://github.com/n8n-io/n8n/issues/17264"),
    "sessionId": ("n8n", "https://github.com/CodeAlive-AI/codealive-mcp/blob/main/src/middleware/n8n_middleware.py"),
    "action": ("n8n", "https://github.com/CodeAlive-AI/codealive-mcp/blob/main/src/middleware/n8n_middleware.py"),
    "chatInput": ("n8n", "https://github.com/CodeAlive-AI/codealive-mcp/blob/main/src/middleware/n8n_middleware.py"),
    "wait_for_previous": (
        "Gemini CLI",
        "https://github.com/google-gemini/gemini-cli/blob/main/packages/core/src/tools/tools.ts",
    ),
    "task_progress": ("Cline", "https://github.com/cline/cline/issues/10426"),
    "security_context": ("CrewAI", "https://github.com/crewAIInc/crewAI/issues/4796"),
    "_placeholder": (
        "OpenCode",
        "https://github.com/NoeFabris/opencode-antigravity-auth/blob/main/src/constants.ts",
    ),
}
"""Arguments that clients add to calls by themselves, each with the client and a source.

The model cannot leave them out, so they are dropped, except by a tool that has an argument of the name. Other unknown
arguments are refused: a model that invents one believes that it does something. Add a name only with a source.
"""

_SYNONYMS = {
    **dict.fromkeys(("address", "email", "mailbox", "mailbox_id"), "email_address"),
    **dict.fromkeys(("agent", "handle", "identity", "identity_id", "agent_identity_id"), "agent_handle"),
    **dict.fromkeys(("name", "sender_name"), "display_name"),
    **dict.fromkeys(("hook", "url", "webhook"), "webhook_url"),
    "subscription_id": "webhook_id",
    **dict.fromkeys(("filter", "q", "query"), "search"),
}
"""Names that models use for arguments of ours, where the spelling is not similar."""

_TOO_LARGE = object()
"""Stands for a value that is too large. It is invalid for every type, so each such value is reported."""


class Args(BaseModel):
    """The arguments of a tool.

    An optional argument is declared `X | None = None`. None means omitted: clients that must send every argument send
    null or an empty string. Only for the names in `nullable` is null a value for the API, and not beside an argument
    that is sent as omitted: then the client fills in what the model left out. For the names in `never_empty` an empty
    string is no omission, but a mistake that the argument's type explains.

    Attributes:
        nullable: the names of arguments whose null is a value.
        never_empty: the names of optional arguments whose empty string is refused, because a call without them does
            something else than the caller may expect.
        invented: names of arguments that models invent for this tool, each with the clause that says what does it, or
            that it cannot be done. It also answers their synonyms, and is left out if it names a tool that is off.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)

    nullable: ClassVar[frozenset[str]] = frozenset()
    never_empty: ClassVar[frozenset[str]] = frozenset()
    invented: ClassVar[Mapping[str, str]] = MappingProxyType({})

    @classmethod
    def __pydantic_init_subclass__(cls, **options: Any) -> None:
        """Refuse sentences about arguments that the tool has, or that are dropped: nobody would ever read them."""
        super().__pydantic_init_subclass__(**options)
        if wrong := sorted({*cls.invented} & {*cls.model_fields, *INJECTED}):
            raise TypeError(f"{cls.__name__}: invented names {', '.join(wrong)}, which a call may have")

    @model_validator(mode="before")
    @classmethod
    def _drop_omitted(cls, data: dict[str, Any]) -> dict[str, Any]:
        left = {name: value for name, value in data.items() if not cls._is_omitted(name, value)}
        if data.keys() & cls.model_fields.keys() <= left.keys():
            return left
        return {name: value for name, value in left.items() if value is not None or name not in cls.nullable}

    @classmethod
    def _is_omitted(cls, name: str, value: object) -> bool:
        if name not in cls.model_fields:
            return name in INJECTED
        if value is None:
            return name not in cls.nullable
        # For a required argument, an empty string may be a mistake that its type explains.
        return value == "" and name not in cls.never_empty and not cls.model_fields[name].is_required()

    @field_validator("*", mode="before")
    @classmethod
    def _understand(cls, value: object, info: ValidationInfo) -> object:
        """Bring a value into the form of its type; the limits hold for what comes out, too."""
        form = _forms(cls)[str(info.field_name)]
        meant = understood(value, form)
        if meant is not value and (problem := form.excess(meant)):
            raise ValueError(problem)
        return meant

    def supplied(self, *, exclude: set[str] | None = None) -> dict[str, Any]:
        """Return the supplied arguments as a JSON body, without omitted ones."""
        return self.model_dump(exclude_unset=True, exclude=exclude)


A = TypeVar("A", bound=Args)


@cache
def _forms(model: type[Args]) -> Mapping[str, Form]:
    return {name: form_of(field.annotation, field.metadata) for name, field in model.model_fields.items()}


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
        raise InvalidArguments(partial(_too_many, model, tool, given))
    forms, other = _forms(model), Form()
    too_large = {name: problem for name, value in given.items() if (problem := forms.get(name, other).excess(value))}
    try:
        return model.model_validate({**given, **dict.fromkeys(too_large, _TOO_LARGE)})
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False)
        raise InvalidArguments(partial(_problems, model, tool, found, too_large)) from None


def _problems(
    model: type[Args], tool: str, found: Sequence[ErrorDetails], too_large: Mapping[str, str], about: About
) -> str:
    problems = [_problem(model, tool, details, too_large, about) for details in found[:MAX_PROBLEMS]]
    return f"{named(problems, len(found) - len(problems))}."


def _too_many(model: type[Args], tool: str, given: Mapping[str, Any], about: About) -> str:
    """Describe a call with more arguments than any tool takes, without reading their values."""
    known = {*model.model_fields, *INJECTED}
    unknown = [name for name in given if name not in known]
    problems = [_unknown_argument(model, tool, name, about) for name in unknown[:MAX_PROBLEMS]]
    more = named(problems, len(unknown) - len(problems))
    return f"a call takes at most {MAX_ARGUMENTS} arguments, and this one has {len(given):,}: {more}."


def _problem(model: type[Args], tool: str, details: ErrorDetails, too_large: Mapping[str, str], about: About) -> str:
    what, _, hint = details["msg"].removeprefix("Value error, ").partition("; ")
    message = "; ".join(filter(None, [what, about(hint)]))
    if details["type"] == "string_unicode" and not details["loc"]:  # a name with half of a character
        return _unknown_argument(model, tool, str(details["input"]), about)
    if not details["loc"]:
        return message
    if details["type"] == "extra_forbidden":
        return _unknown_argument(model, tool, str(details["loc"][0]), about)
    name = ".".join(map(str, details["loc"]))
    if details["type"] == "missing":
        message = "is required"
    message = too_large.get(name, message)
    return f"{name}: {message}"


def _unknown_argument(model: type[Args], tool: str, name: str, about: About) -> str:
    valid, synonym = list(model.model_fields), _SYNONYMS.get(name, "")
    known = name if name in model.invented or synonym in valid else synonym
    name = name[:MAX_NAME]
    if hint := about(model.invented.get(known, "")):
        return f"unknown argument {name!a}: {hint}"
    close = [synonym] if synonym in valid else difflib.get_close_matches(name, valid, n=1)
    meant = f" (did you mean {close[0]}?)" if close else ""
    return f"unknown argument {name!a}{meant}: {tool} takes {', '.join(valid) or 'none'}"
