"""The tools for agent identities, which own mailboxes.

Source: https://inkbox.ai/docs/api/identities
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from inkbox_mcp.api.client import InkboxAPI
from inkbox_mcp.api.paths import IDENTITIES, MAILBOXES, path
from inkbox_mcp.api.responses import only, parse
from inkbox_mcp.errors import Conflict, InkboxError, InvalidArguments, NotAllowed, NotFound, OutcomeUnknown
from inkbox_mcp.text import MAX_ADDRESS, MAX_HANDLE, quoted
from inkbox_mcp.toolkit.fields import DisplayName, LocalPart, NewAgentHandle, WithMailbox
from inkbox_mcp.toolkit.operation import ADDITIVE, DESTRUCTIVE, IDEMPOTENT, READ_ONLY, Also, Args, Result, operation
from inkbox_mcp.toolkit.rows import ListPage
from inkbox_mcp.toolkit.sent import IDOrNull, ObjectOrNull, TextOrNull, TimeOrNull
from inkbox_mcp.tools.account import NO_API
from inkbox_mcp.tools.identities import (
    ADDRESS_IS_FIXED,
    BY_HANDLE,
    DELETED_IDENTITY,
    HANDLE_IS_FIXED,
    NO_IDENTITY,
    AnyIdentity,
    GetIdentity,
    Handle,
    ListIdentities,
    by_address,
    deleted_identity,
    find_identity,
    handles_by_address,
    near_identity,
    nothing_twice,
    page_of_identities,
    read_identity,
)
from inkbox_mcp.tools.lists import get_lists

HIDDEN = "An agent that you may not see"
OTHER_ADDRESS = "Inkbox made it with another address than you asked for. Tell the user."
NO_NAMES = "The list of mailboxes could not be read: search did not look at sender names, which are theirs."
_NAMES = only("email_address", "display_name")
RANDOM = "The address was chosen at random. It is permanent: only a new mailbox has another."


class IdentityMailbox(Result):
    """A mailbox inside its identity, without its webhook, and without what the identity shows."""

    also: ClassVar[Also] = {
        "id": IDOrNull,
        "email_address": TextOrNull,
        "display_name": TextOrNull,
        "status": TextOrNull,
    }


class Identity(AnyIdentity):
    """An agent identity as the API returns it, with its mailbox if the API sends it."""

    also: ClassVar[Also] = {
        "id": IDOrNull,
        "organization_id": TextOrNull,
        "status": TextOrNull,
        "mailbox": IdentityMailbox | None,
        "phone_number": ObjectOrNull,
        "created_at": TimeOrNull,
        "updated_at": TimeOrNull,
    }

    email_address: TextOrNull = None


class CreateIdentity(Args):
    invented: ClassVar = {
        **dict.fromkeys(
            ("email_address", "email_local_part", "local_part"), "pass the part before the @ as mailbox_local_part"
        ),
        "display_name": "the sender name is mailbox_display_name",
        "webhook_url": "when the mailbox exists, call update_mailbox with email_address and webhook_url",
        "status": "a new identity is active; call update_identity with agent_handle and status to pause it",
    }

    agent_handle: Annotated[
        NewAgentHandle, Field(description='New handle, e.g. "sales-agent": 3-63 lowercase letters, digits, hyphens.')
    ]
    with_mailbox: Annotated[WithMailbox, Field(description="Create its mailbox too. Default: true.")] = True
    mailbox_display_name: Annotated[
        DisplayName | None, Field(description="Sender name, 1-255 characters. Default: the handle.")
    ] = None
    mailbox_local_part: Annotated[
        LocalPart | None,
        Field(
            description="Permanent part before the @: 1-64 letters, digits, . _ + -. A taken one is refused. "
            "Default: random."
        ),
    ] = None


async def _which_conflict(api: InkboxAPI, args: CreateIdentity, conflict: Conflict) -> str | None:
    """Find out whether the handle or the address is taken, and by what."""
    handle, cause = quoted(args.agent_handle, MAX_HANDLE), cause_of(conflict)
    try:
        mine = await read_identity(api, args.agent_handle, Identity)
    except NotFound:
        if args.mailbox_local_part and cause != "identity":
            return f"Nothing was made. {await _who_has_the_address(api, args.mailbox_local_part)}"
        return (
            f"Nothing was made. The handle {handle} is not free, although list_identities does not show it. Next: call "
            "create_identity with another agent_handle."
        )
    except InkboxError as error:
        seen = "create_identity with another" if isinstance(error, NotAllowed) else "get_identity with"
        return {
            "identity": f"Nothing was made: the handle {handle} is taken. Next: call {seen} agent_handle.",
            "address": "Nothing was made: the address is taken. Next: call create_identity with the same agent_handle "
            "and another mailbox_local_part, or none.",
        }.get(cause or "")
    if mine.address:
        return (
            f"Nothing was made: you have this identity already, with the mailbox {quoted(mine.address, MAX_ADDRESS)}. "
            "Next: call get_identity with agent_handle, and use it."
        )
    return (
        "Nothing was made: you have this identity already, without a mailbox. Next: call create_mailbox with "
        "agent_handle."
    )


def cause_of(conflict: Conflict) -> Literal["identity", "address"] | None:
    """Return what is in the way according to the API's reason; None if it names both or neither."""
    reason = str(conflict.detail).lower()
    identity, address = re.search(r"handle|identity", reason), re.search(r"address|e-?mail|local", reason)
    if bool(identity) == bool(address):
        return None
    return "identity" if identity else "address"


async def _who_has_the_address(api: InkboxAPI, local_part: str) -> str:
    """Explain who has a taken address, and what to do."""
    another = "call create_identity with the same agent_handle and another mailbox_local_part, or none."
    mailbox = await mailbox_in_use(api, local_part)
    if mailbox is None:
        return f"The address is taken, maybe by a deleted mailbox: no mailbox that you can see has it. Next: {another}"
    address, holder = quoted(str(mailbox["email_address"]), MAX_ADDRESS), await holder_of(api, mailbox)
    if holder == HIDDEN:
        return f"{HIDDEN} has the mailbox {address}. Next: {another}"
    has = (
        f"{holder} has the mailbox {address}" if holder else f"Your mailbox {address} has this address, and no identity"
    )
    unlink = f"call unlink_mailbox with agent_handle {holder}, then " if holder else ""
    return (
        f"{has}. To use that mailbox, next: call create_identity with the same agent_handle and with_mailbox false, "
        f"then {unlink}call link_mailbox with agent_handle and email_address. To have a new mailbox, {another}"
    )


async def mailbox_in_use(api: InkboxAPI, local_part: str) -> dict[str, Any] | None:
    """Return the organization's mailbox whose address begins with this local part, if there is one."""
    for mailbox in await api.get_list(path(MAILBOXES)):
        if str(mailbox.get("email_address")).partition("@")[0].lower() == local_part.lower():
            return mailbox
    return None


async def holder_of(api: InkboxAPI, mailbox: Mapping[str, Any]) -> str | None:
    """Return the quoted handle of the identity that has a mailbox, or `HIDDEN`; None if no identity has it."""
    handles = handles_by_address(await api.get_list(path(IDENTITIES)))
    if handle := handles.get(str(mailbox.get("email_address")).lower()):
        return quoted(str(handle), MAX_HANDLE)
    return HIDDEN if mailbox.get("agent_identity_id") else None


@operation(
    ADDITIVE,
    changes=("agent_handle", "mailbox_local_part"),
    lookups={Conflict: _which_conflict},
    advice={
        Conflict: "Either the handle or the address is taken. Next: call create_identity with another agent_handle if "
        "the handle is, or with the same one and another mailbox_local_part, or none, if the address is.",
        OutcomeUnknown: "Next: call get_identity with agent_handle to see whether it worked.",
    },
)
async def create_identity(api: InkboxAPI, args: CreateIdentity) -> Identity:
    """Create an agent identity and its mailbox in one step.

    A handle that exists is refused. If the user did not give the handle, call list_identities first.
    """
    if not args.with_mailbox and (args.mailbox_display_name or args.mailbox_local_part):
        raise InvalidArguments("mailbox_display_name and mailbox_local_part need with_mailbox to be true.")
    mailbox = {"display_name": args.mailbox_display_name, "email_local_part": args.mailbox_local_part}
    given = {name: value for name, value in mailbox.items() if value is not None}
    body = {"agent_handle": args.agent_handle, **({"mailbox": given} if args.with_mailbox else {})}
    made = await api.create(path(IDENTITIES), body, Identity, find=lambda: _find_as_wanted(api, args))
    if args.with_mailbox and made.sent("mailbox") is None:
        with suppress(InkboxError):
            made = await api.get(path(IDENTITIES, made.agent_handle), Identity)  # the first answer has no mailbox
    note = _about_address(args, (made.address or "").partition("@")[0].lower())
    return nothing_twice(made).model_copy(update={"note": note} if note else {})


def _about_address(args: CreateIdentity, local_part: str) -> str | None:
    """Return what the caller must know of a new identity's address, which is empty if there is none."""
    if args.mailbox_local_part is None and args.with_mailbox:
        return RANDOM if local_part != args.agent_handle.lower() else None
    return None if local_part == (args.mailbox_local_part or "").lower() else OTHER_ADDRESS


async def _find_as_wanted(api: InkboxAPI, args: CreateIdentity) -> Identity | None:
    """Return the identity if it is like a new one with these arguments."""
    found = await find_identity(api, args.agent_handle, Identity)
    if found is None:
        return None
    local_part = (found.address or "").partition("@")[0].lower()
    wanted = args.mailbox_local_part or local_part
    as_wanted = bool(local_part) == args.with_mailbox and wanted.lower() == local_part
    return found if as_wanted else None


class ListedIdentity(Identity):
    """A row of a list, or with `details` a whole identity; in a search with the name of its mailbox."""

    also: ClassVar[Also] = {**Identity.also, "display_name": TextOrNull}


class IdentityPage(ListPage):
    identities: list[ListedIdentity]


@operation(READ_ONLY, advice={NotFound: NO_API})
async def list_identities(api: InkboxAPI, args: ListIdentities) -> IdentityPage:
    """List agent identities: address and status of each, newest first; get_identity shows all of one.

    `total` match, of all `of` that you may see.
    """
    items, note = await _identities(api, with_names=bool(args.search))
    fields = ("agent_handle", "display_name", "email_address", "status", "created_at")
    return parse(page_of_identities(api, args, items, fields, note), IdentityPage)


async def _identities(api: InkboxAPI, *, with_names: bool) -> tuple[list[dict[str, Any]], str | None]:
    """Get all identities, perhaps with the names of their mailboxes; and a note if the names cannot be read."""
    if not with_names:
        return await api.get_list(path(IDENTITIES)), None
    items, mailboxes = await get_lists(api, IDENTITIES, MAILBOXES, _NAMES)
    if mailboxes is None:
        return items, NO_NAMES
    owners = by_address(items)
    for mailbox in mailboxes:
        if owner := owners.get(str(mailbox.get("email_address")).lower()):
            owner["display_name"] = mailbox.get("display_name")
    return items, None


@operation(READ_ONLY, lookups={NotFound: near_identity}, advice={NotFound: NO_IDENTITY})
async def get_identity(api: InkboxAPI, args: GetIdentity) -> Identity:
    """Get one agent identity, with its mailbox. list_identities shows the handles."""
    return await read_identity(api, args.agent_handle, Identity)


class UpdateIdentity(Args):
    invented: ClassVar = {
        **dict.fromkeys(("new_handle", "new_agent_handle", "handle"), HANDLE_IS_FIXED),
        **dict.fromkeys(
            ("email_address", "new_email_address", "email_local_part", "mailbox_local_part"), ADDRESS_IS_FIXED
        ),
        **dict.fromkeys(
            ("display_name", "mailbox_display_name"),
            "the mailbox has the name: call update_mailbox with email_address and display_name",
        ),
        "webhook_url": "the mailbox has the webhook: call update_mailbox with email_address and webhook_url",
        **dict.fromkeys(("paused", "active"), 'pass "paused" or "active" as status'),
    }

    agent_handle: Handle
    status: Annotated[Literal["active", "paused"], Field(description="New status: active or paused.")]


@operation(
    IDEMPOTENT,
    changes=("agent_handle",),
    lookups={NotFound: near_identity},
    advice={
        NotFound: NO_IDENTITY,
        OutcomeUnknown: "Next: call get_identity with agent_handle to check; repeating is safe.",
    },
)
async def update_identity(api: InkboxAPI, args: UpdateIdentity) -> Identity:
    """Pause or activate an agent identity. get_identity shows its status."""
    return nothing_twice(await api.patch(path(IDENTITIES, args.agent_handle), {"status": args.status}, Identity))


class DeleteIdentity(Args):
    invented: ClassVar = {
        **BY_HANDLE,
        "with_mailbox": "its mailbox stays; to delete it, call delete_mailbox with email_address",
    }

    agent_handle: Handle


class DeletedIdentity(Result):
    also: ClassVar[Also] = {"mailbox_kept": str}

    deleted: bool
    agent_handle: str


@operation(
    DESTRUCTIVE,
    changes=("agent_handle",),
    confirm="Delete the agent identity {agent_handle} for good? Its mailbox stays, without an identity.",
    lookups={NotFound: deleted_identity},
    advice={
        NotFound: f"{DELETED_IDENTITY} Next: call list_identities.",
        OutcomeUnknown: "Next: call get_identity with agent_handle to see whether it exists; repeating is safe.",
    },
)
async def delete_identity(api: InkboxAPI, args: DeleteIdentity) -> DeletedIdentity:
    """Delete an agent identity for good. Its mailbox stays, without an identity; link_mailbox gives it another."""
    found = await read_identity(api, args.agent_handle, Identity)
    await api.delete(path(IDENTITIES, args.agent_handle))
    deleted = DeletedIdentity(deleted=True, agent_handle=args.agent_handle)
    return deleted.model_copy(update={"mailbox_kept": found.address} if found.address else {})
