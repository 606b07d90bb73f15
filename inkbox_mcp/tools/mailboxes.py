"""Mailboxes: the email addresses that agents send and receive mail from.

Source: https://inkbox.ai/docs/api/mail/mailboxes
"""

from typing import Annotated

from pydantic import Field

from inkbox_mcp.api import IDENTITIES, MAILBOXES, InkboxAPI, path
from inkbox_mcp.errors import Conflict, InkboxError, InvalidArguments, NotFound, OutcomeUnknown, Unavailable
from inkbox_mcp.fields import (
    AgentHandle,
    Cursor,
    DisplayName,
    LocalPart,
    MailboxAddress,
    PageSize,
    SearchText,
    WebhookURL,
)
from inkbox_mcp.operation import ADDITIVE, DESTRUCTIVE, IDEMPOTENT, READ_ONLY, Args, Result, operation
from inkbox_mcp.pages import matching, page
from inkbox_mcp.responses import parse
from inkbox_mcp.text import one_line

Address = Annotated[
    MailboxAddress,
    Field(description='Full address ("sales.team@inkboxmail.com") or its part before the @.'),
]


class Mailbox(Result):
    """A mailbox as the API returns it; ids are UUIDs, times ISO 8601."""

    id: str
    email_address: str
    display_name: str | None = None
    webhook_url: str | None = None
    status: Annotated[str, Field(description="active, paused or deleted")] = ""
    created_at: str = ""
    updated_at: str = ""


class MailboxOwner(Result):
    """As much of an agent identity as mailboxes need."""

    email_address: str | None = None


class CreateMailbox(Args):
    agent_handle: Annotated[
        AgentHandle,
        Field(description='Existing agent identity to own the mailbox, e.g. "sales-agent"; 1-255 characters.'),
    ]
    display_name: Annotated[
        DisplayName | None,
        Field(description='Sender name people see, 1-255 characters. Default: "Inkbox user".'),
    ] = None
    email_local_part: Annotated[
        LocalPart | None,
        Field(
            description='Wanted part before the @, e.g. "sales.team": 1-64 letters, digits, . _ + -. '
            "Default: a random one."
        ),
    ] = None


@operation(
    ADDITIVE,
    changes=("agent_handle", "email_local_part"),
    advice={
        NotFound: "No agent identity has this agent_handle in the organisation, and a mailbox needs one. "
        "Use the handle of an existing identity, or ask the user to create it in the Inkbox console first.",
        Conflict: "Either the identity already has a mailbox (one each: find it with list_mailboxes and use it), or "
        "the email_local_part is taken (for ever, even by a deleted mailbox; choose another, or omit it).",
        Unavailable: "No mailbox was made, because a generated address collided. Call again with the same arguments.",
        OutcomeUnknown: "Call list_mailboxes to see whether the mailbox was made.",
    },
)
async def create_mailbox(api: InkboxAPI, args: CreateMailbox) -> Mailbox:
    """Create a mailbox, an email address, for an agent identity that exists and has none yet (each has at most one).

    Returns it with the email_address that the other mailbox tools take.
    """
    try:
        return await api.create(path(MAILBOXES), args.supplied(), Mailbox, find=lambda: _find_as_wanted(api, args))
    except Conflict as conflict:
        raise await _which_conflict(api, args, conflict) from None


async def _find_as_wanted(api: InkboxAPI, args: CreateMailbox) -> Mailbox | None:
    """Find the identity's mailbox, if it is as a create with these arguments would have made it."""
    owner = await api.get(path(IDENTITIES, args.agent_handle), MailboxOwner)
    if owner.email_address is None:
        return None
    found = await api.get(path(MAILBOXES, owner.email_address), Mailbox)
    local_part, _, _ = found.email_address.partition("@")
    as_wanted = args.email_local_part in {None, local_part} or local_part == str(args.email_local_part).lower()
    return found if as_wanted and args.display_name in {None, found.display_name} else None


async def _which_conflict(api: InkboxAPI, args: CreateMailbox, conflict: Conflict) -> Conflict:
    """Say which of the two causes a 409 has, as far as that can be seen."""
    try:
        owner = await api.get(path(IDENTITIES, args.agent_handle), MailboxOwner)
    except InkboxError:
        return conflict
    if owner.email_address:
        return conflict.advised(
            f"The identity {args.agent_handle} already has the mailbox {one_line(owner.email_address)}, and can have "
            "only one. Use it: get_mailbox shows it, update_mailbox changes it."
        )
    return conflict.advised(
        f"The identity {args.agent_handle} has no mailbox yet, but the address {args.email_local_part} is taken, "
        "maybe by a deleted mailbox. Choose another email_local_part, or omit it for a random address."
    )


class ListMailboxes(Args):
    search: Annotated[
        SearchText | None,
        Field(description="Only mailboxes whose address or display name contains this, in any case."),
    ] = None
    limit: Annotated[PageSize, Field(description="Mailboxes per page, 1-200. Default: 50.")] = 50
    cursor: Annotated[Cursor | None, Field(description="next_cursor of the page before. Default: the first page.")] = (
        None
    )


class MailboxPage(Result):
    mailboxes: list[Mailbox]
    total: Annotated[int, Field(description="How many match, on all pages")]
    next_cursor: Annotated[str | None, Field(description="null on the last page")]


@operation(READ_ONLY)
async def list_mailboxes(api: InkboxAPI, args: ListMailboxes) -> MailboxPage:
    """List the organisation's active mailboxes, newest first. Start here to learn which exist.

    If next_cursor is not null, call again with it as cursor for more.
    """
    found = matching(await api.get_list(path(MAILBOXES)), args.search, ("email_address", "display_name"))
    shown, next_cursor = page(found, args.limit, args.cursor)
    return MailboxPage(mailboxes=[parse(item, Mailbox) for item in shown], total=len(found), next_cursor=next_cursor)


class GetMailbox(Args):
    email_address: Address


@operation(
    READ_ONLY,
    advice={NotFound: "No active mailbox has this address. Call list_mailboxes to see those that exist."},
)
async def get_mailbox(api: InkboxAPI, args: GetMailbox) -> Mailbox:
    """Get one mailbox by its address: display name, webhook, status, timestamps. list_mailboxes shows the addresses."""
    return await api.get(path(MAILBOXES, args.email_address), Mailbox)


class UpdateMailbox(Args):
    nullable = frozenset({"webhook_url"})

    email_address: Address
    display_name: Annotated[
        DisplayName | None,
        Field(description="New sender name, 1-255 characters. Default: unchanged. It cannot be cleared."),
    ] = None
    webhook_url: Annotated[
        WebhookURL | None,
        Field(
            description="Public https URL that Inkbox posts this mailbox's mail events to, up to 2048 characters; "
            "null unsubscribes. To keep it, leave it out or pass its current value."
        ),
    ] = None


@operation(
    IDEMPOTENT,
    changes=("email_address",),
    confirm="Send the events of all mail of {email_address} to {webhook_url}?",
    advice={
        NotFound: "No active mailbox has this address. Call list_mailboxes to see those that exist.",
        OutcomeUnknown: "Call get_mailbox to see whether the change was made; repeating this call is harmless.",
    },
)
async def update_mailbox(api: InkboxAPI, args: UpdateMailbox) -> Mailbox:
    """Change a mailbox's display name or webhook; only what is passed changes. Returns the changed mailbox.

    Call get_mailbox first to see the current values.
    """
    changes = args.supplied(exclude={"email_address"})
    if not changes:
        raise InvalidArguments(
            "there is nothing to update. Pass display_name (a new name; a name cannot be cleared) "
            "or webhook_url (an https URL, or null to unsubscribe)."
        )
    return await api.patch(path(MAILBOXES, args.email_address), changes, Mailbox)


class DeleteMailbox(Args):
    email_address: Address


class DeletedMailbox(Result):
    deleted: bool
    email_address: str


@operation(
    DESTRUCTIVE,
    changes=("email_address",),
    confirm="Delete the mailbox {email_address} for good? It will receive no more mail, and its address is lost.",
    advice={
        NotFound: "No active mailbox has this address: it is deleted already, or never existed. "
        "Call list_mailboxes to see those that exist.",
        OutcomeUnknown: "Call get_mailbox to see whether the mailbox still exists; repeating this call is harmless.",
    },
)
async def delete_mailbox(api: InkboxAPI, args: DeleteMailbox) -> DeletedMailbox:
    """Delete a mailbox for good: it receives no more mail, and its address can never be used again.

    The identity stays and can get a new mailbox with create_mailbox.
    """
    await api.delete(path(MAILBOXES, args.email_address))
    return DeletedMailbox(deleted=True, email_address=args.email_address)
