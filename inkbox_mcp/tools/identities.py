"""What the tools for agent identities share.

Source: https://inkbox.ai/docs/api/identities
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, TypeVar, cast

from pydantic import Field

from inkbox_mcp.api.client import InkboxAPI
from inkbox_mcp.api.generations import address_of
from inkbox_mcp.api.paths import IDENTITIES, path
from inkbox_mcp.api.responses import parse
from inkbox_mcp.errors import NotFound
from inkbox_mcp.text import MAX_ADDRESS, quoted
from inkbox_mcp.toolkit.fields import AgentHandle, SearchText
from inkbox_mcp.toolkit.near import did_you_mean, same_name
from inkbox_mcp.toolkit.operation import Args, Result
from inkbox_mcp.toolkit.rows import ListArgs, page_of

SomeIdentity = TypeVar("SomeIdentity", bound="AnyIdentity")

Handle = Annotated[AgentHandle, Field(description='Its handle, e.g. "sales-agent".')]

DELETED_IDENTITY = "No identity has this agent_handle; it may be deleted already."
NO_IDENTITY = "No identity has this agent_handle. Next: call list_identities to see those that exist."

IF_IT_IS_MEANT = "If that is the one, call again with it. Next: call list_identities to be sure."
FIND_AGENT = "to find an agent by its address or name, call list_identities with search"
HANDLE_IS_FIXED = "a handle cannot be changed"
ADDRESS_IS_FIXED = "an address cannot be changed"

# A nested mailbox repeats these of its identity; get_mailbox shows its own times.
_REPEATED = ("email_address", "status", "display_name")
_TIMES = frozenset({"created_at", "updated_at"})


BY_HANDLE: Mapping[str, str] = dict.fromkeys(("email_address", "display_name", "search"), FIND_AGENT)
"""What models try where an agent is named by its handle."""


class ListIdentities(ListArgs):
    invented: ClassVar = {
        **ListArgs.invented,
        **dict.fromkeys(("agent_handle", "email_address", "display_name"), "pass it as search"),
        "status": "search looks only at handle, name and address",
        "with_mailbox": "each row has the agent's email_address, which is null without a mailbox",
    }

    search: Annotated[
        SearchText | None,
        Field(description="Only those whose handle, name or address has all these words, or parts of words."),
    ] = None


class GetIdentity(Args):
    invented: ClassVar = {**BY_HANDLE, **dict.fromkeys(("details", "with_mailbox"), "it always shows all")}

    agent_handle: Handle


class AnyIdentity(Result):
    """An agent identity as the API returns it."""

    agent_handle: str

    @property
    def address(self) -> str | None:
        """The address of its mailbox, if it has one."""
        return address_of(self.model_dump())


async def read_identity(api: InkboxAPI, handle: str, model: type[SomeIdentity]) -> SomeIdentity:
    """Get an identity, which shows nothing twice."""
    return nothing_twice(await api.get(path(IDENTITIES, handle), model))


async def find_identity(api: InkboxAPI, handle: str, model: type[SomeIdentity]) -> SomeIdentity | None:
    """Get an identity as the API returns it; None if there is none."""
    try:
        return await api.get(path(IDENTITIES, handle), model)
    except NotFound:
        return None


def handles_by_address(identities: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the handles of identities by the addresses of their mailboxes, in lower case."""
    return {address: each.get("agent_handle") for address, each in by_address(identities).items()}


def by_address(identities: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return identities by the addresses of their mailboxes, in lower case."""
    return {address.lower(): each for each in identities if (address := address_of(each))}


def nothing_twice(identity: SomeIdentity) -> SomeIdentity:
    """Return an identity whose mailbox does not repeat the identity's fields."""
    mailbox = identity.sent("mailbox")
    if not isinstance(mailbox, dict):
        return identity
    inside, outside = cast("dict[str, Any]", mailbox), identity.model_dump(exclude_unset=True)
    address = {} if outside.get("email_address") else {"email_address": identity.address}
    outside |= address
    rest = {
        name: value
        for name, value in inside.items()
        if name not in _TIMES and not (name in _REPEATED and value == outside.get(name))
    }
    return identity.model_copy(update={**address, "mailbox": rest})


def page_of_identities(
    api: InkboxAPI,
    args: ListIdentities,
    items: list[dict[str, Any]],
    fields: tuple[str, ...],
    note: str | None = None,
) -> dict[str, Any]:
    """Return a page of identities: rows of these fields, or whole objects.

    Args:
        api: of the caller.
        args: of the call.
        items: the organization's identities, as the API returns them.
        fields: of a row.
        note: says what could not be searched or shown.
    """
    return page_of(
        "identities",
        items,
        args,
        found_by=("agent_handle", "display_name", "email_address"),
        fields=fields,
        limits=api.limits,
        note=note,
        complete=_complete,
        whole=_whole,
    )


def _complete(item: dict[str, Any]) -> None:
    item["email_address"] = address_of(item)


def _whole(item: dict[str, Any]) -> dict[str, Any]:
    return nothing_twice(parse(item, AnyIdentity)).model_dump(exclude_unset=True)


async def near_identity(api: InkboxAPI, args: Any, _: NotFound) -> str | None:
    """Propose the identities whose handles are similar to the one that does not exist."""
    return await near_handle(api, args.agent_handle)


async def deleted_identity(api: InkboxAPI, args: Any, _: NotFound) -> str | None:
    """Name the identity that a deletion of this name may have meant. A similar one may be another."""
    handles = [str(item.get("agent_handle")) for item in await api.get_list(path(IDENTITIES))]
    meant = same_name(args.agent_handle, handles)
    return f"{DELETED_IDENTITY} {if_it_was_meant(meant)}" if meant else None


def if_it_was_meant(name: str) -> str:
    """Return the question about a name that differs only in case and separators from the one to delete."""
    return f"There is {quoted(name, MAX_ADDRESS)}: ask the user whether that one was meant."


async def near_handle(api: InkboxAPI, handle: str) -> str | None:
    """Return the question whether a similar handle was meant; None if there is none."""
    handles = [str(item.get("agent_handle")) for item in await api.get_list(path(IDENTITIES))]
    meant = did_you_mean(handle, handles)
    return f"No identity has this agent_handle. {meant} {IF_IT_IS_MEANT}" if meant else None
