"""The tools for agent identities, each with its mailbox.

Source: https://inkbox.ai/docs/api/identities
"""

from typing import Annotated, ClassVar

from pydantic import Field

from inkbox_mcp.api.client import InkboxAPI
from inkbox_mcp.api.paths import IDENTITIES, path
from inkbox_mcp.api.responses import parse
from inkbox_mcp.errors import Conflict, NotFound, OutcomeUnknown
from inkbox_mcp.text import MAX_ADDRESS, quoted
from inkbox_mcp.toolkit.fields import DisplayName, NewAgentHandle
from inkbox_mcp.toolkit.operation import ADDITIVE, DESTRUCTIVE, IDEMPOTENT, READ_ONLY, Also, Args, Result, operation
from inkbox_mcp.toolkit.rows import ListPage
from inkbox_mcp.toolkit.sent import BooleanOrNull, IDOrNull, ObjectOrNull, TextOrNull, TimeOrNull
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
    deleted_identity,
    find_identity,
    near_identity,
    nothing_twice,
    page_of_identities,
    read_identity,
)
from inkbox_mcp.tools.identity_generation.mailboxes import MAILBOX_FIELDS

A_SUBSCRIPTION = "when the mailbox exists, call create_webhook with email_address and webhook_url"
NO_STATUS = "an identity can be neither paused nor activated: tell the user"
FROM_HANDLE = "the address is made of agent_handle: choose the handle that you want before the @"


class IdentityMailbox(Result):
    """A mailbox inside its identity, without what the identity shows."""

    also: ClassVar[Also] = {"id": IDOrNull, "email_address": TextOrNull, **MAILBOX_FIELDS}


class Identity(AnyIdentity):
    """An agent identity as the API returns it, with its mailbox."""

    also: ClassVar[Also] = {
        "id": IDOrNull,
        "organization_id": TextOrNull,
        "display_name": TextOrNull,
        "description": TextOrNull,
        "mailbox": IdentityMailbox | None,
        "phone_number": ObjectOrNull,
        "imessage_number": ObjectOrNull,
        "tunnel": ObjectOrNull,
        "imessage_enabled": BooleanOrNull,
        "mail_filter_mode": TextOrNull,
        "mail_inbound_filter_mode": TextOrNull,
        "mail_outbound_filter_mode": TextOrNull,
        "phone_filter_mode": TextOrNull,
        "imessage_filter_mode": TextOrNull,
        "signing_key_configured": BooleanOrNull,
        "signing_key_created_at": TimeOrNull,
        "created_at": TimeOrNull,
        "updated_at": TimeOrNull,
    }

    email_address: TextOrNull = None


class CreateIdentity(Args):
    invented: ClassVar = {
        **dict.fromkeys(("mailbox_local_part", "email_local_part", "email_address", "local_part"), FROM_HANDLE),
        "mailbox_display_name": "the name is display_name",
        "with_mailbox": "every identity has a mailbox",
        "webhook_url": A_SUBSCRIPTION,
        "status": NO_STATUS,
    }

    agent_handle: Annotated[
        NewAgentHandle,
        Field(description='New handle, e.g. "sales-agent": 3-63 lowercase letters, digits, hyphens. Permanent.'),
    ]
    display_name: Annotated[
        DisplayName | None, Field(description="Sender name people see, 1-255 characters. Default: the handle.")
    ] = None


async def _which_conflict(api: InkboxAPI, args: CreateIdentity, _: Conflict) -> str | None:
    """Find out whether the organization itself has the handle."""
    try:
        mine = await read_identity(api, args.agent_handle, Identity)
    except NotFound:
        return (
            "Nothing was made: another organization has this handle, or a deleted identity had it. Next: call "
            "create_identity with another agent_handle."
        )
    with_mailbox = f", with the mailbox {quoted(mine.address, MAX_ADDRESS)}" if mine.address else ""
    return (
        f"Nothing was made: you have this identity already{with_mailbox}. Next: call get_identity with agent_handle, "
        "and use it."
    )


@operation(
    ADDITIVE,
    changes=("agent_handle",),
    lookups={Conflict: _which_conflict},
    advice={
        Conflict: "Nothing was made: the handle is taken. Next: call create_identity with another agent_handle.",
        OutcomeUnknown: "Next: call get_identity with agent_handle to see whether it worked.",
    },
)
async def create_identity(api: InkboxAPI, args: CreateIdentity) -> Identity:
    """Create an agent identity and its mailbox, whose address begins with the handle.

    A handle that exists is refused. If the user did not give the handle, call list_identities first.
    """
    return nothing_twice(
        await api.create(
            path(IDENTITIES), args.supplied(), Identity, find=lambda: find_identity(api, args.agent_handle, Identity)
        )
    )


class ListedIdentity(Identity):
    """A row of a list, or with `details` a whole identity."""


class IdentityPage(ListPage):
    identities: list[ListedIdentity]


@operation(READ_ONLY, advice={NotFound: NO_API})
async def list_identities(api: InkboxAPI, args: ListIdentities) -> IdentityPage:
    """List agent identities: name and address of each, newest first; get_identity shows all of one.

    `total` match, of all `of` that you may see.
    """
    items = await api.get_list(path(IDENTITIES))
    fields = ("agent_handle", "display_name", "email_address", "created_at")
    return parse(page_of_identities(api, args, items, fields), IdentityPage)


@operation(READ_ONLY, lookups={NotFound: near_identity}, advice={NotFound: NO_IDENTITY})
async def get_identity(api: InkboxAPI, args: GetIdentity) -> Identity:
    """Get one agent identity: name, address, settings. list_identities shows the handles."""
    return await read_identity(api, args.agent_handle, Identity)


class UpdateIdentity(Args):
    invented: ClassVar = {
        **dict.fromkeys(("new_handle", "new_agent_handle", "handle"), HANDLE_IS_FIXED),
        **dict.fromkeys(
            ("email_address", "new_email_address", "email_local_part", "mailbox_local_part"),
            f"{ADDRESS_IS_FIXED}: only a new identity has another",
        ),
        "mailbox_display_name": "the name is display_name",
        **dict.fromkeys(("status", "paused", "active"), NO_STATUS),
        "webhook_url": A_SUBSCRIPTION,
    }

    agent_handle: Handle
    display_name: Annotated[DisplayName, Field(description="New sender name, 1-255 characters.")]


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
    """Rename an agent identity: people see the name as the sender of its mail. Its handle and address are permanent.

    get_identity shows it.
    """
    changes = {"display_name": args.display_name}
    return nothing_twice(await api.patch(path(IDENTITIES, args.agent_handle), changes, Identity))


class DeleteIdentity(Args):
    invented: ClassVar = {
        **BY_HANDLE,
        "with_mailbox": "its mailbox is always deleted with it",
    }

    agent_handle: Handle


class DeletedIdentity(Result):
    also: ClassVar[Also] = {"mailbox_deleted": str}

    deleted: bool
    agent_handle: str


@operation(
    DESTRUCTIVE,
    changes=("agent_handle",),
    confirm="Delete the agent identity {agent_handle} and its mailbox for good? The address will be lost.",
    lookups={NotFound: deleted_identity},
    advice={
        NotFound: f"{DELETED_IDENTITY} Next: call list_identities.",
        OutcomeUnknown: "Next: call get_identity with agent_handle to see whether it exists; repeating is safe.",
    },
)
async def delete_identity(api: InkboxAPI, args: DeleteIdentity) -> DeletedIdentity:
    """Delete an agent identity and its mailbox for good: the address is lost. list_identities shows the handles."""
    found = await read_identity(api, args.agent_handle, Identity)
    await api.delete(path(IDENTITIES, args.agent_handle))
    deleted = DeletedIdentity(deleted=True, agent_handle=args.agent_handle)
    return deleted.model_copy(update={"mailbox_deleted": found.address} if found.address else {})
