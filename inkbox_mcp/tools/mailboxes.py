"""Mailboxes, from which agents send and in which they receive mail.

Source: https://inkbox.ai/docs/api/mail/mailboxes
"""

from typing import Annotated, ClassVar

from pydantic import Field

from inkbox_mcp.api.client import InkboxAPI
from inkbox_mcp.api.paths import IDENTITIES, MAILBOXES, Path, path
from inkbox_mcp.api.responses import parse
from inkbox_mcp.errors import Conflict, InkboxError, InvalidArguments, NotFound, OutcomeUnknown, Unavailable
from inkbox_mcp.text import MAX_ADDRESS, MAX_HANDLE, quoted, same
from inkbox_mcp.toolkit.fields import (
    Cursor,
    DisplayName,
    LocalPart,
    MailboxAddress,
    NewMailboxOwner,
    PageSize,
    SearchText,
    WebhookURL,
)
from inkbox_mcp.toolkit.operation import ADDITIVE, DESTRUCTIVE, IDEMPOTENT, READ_ONLY, Also, Args, Result, operation
from inkbox_mcp.toolkit.paging import matching, page
from inkbox_mcp.toolkit.sent import ID, IDOrNull, TextOrNull, TimeOrNull
from inkbox_mcp.tools.account import NO_API
from inkbox_mcp.tools.identities import NO_IDENTITY, Handle, Identity

INSTRUCTIONS = (
    "create_mailbox adds a mailbox to an identity without one.",
    "get_mailbox shows a mailbox by its email_address.",
    "update_mailbox and delete_mailbox take the email_address of a mailbox.",
)

Address = Annotated[
    MailboxAddress,
    Field(description="Its full address, or the part before the @."),
]


class Mailbox(Result):
    """A mailbox as the API returns it. The identity generation sends no name, webhook or status."""

    also: ClassVar[Also] = {"agent_identity_id": IDOrNull, "created_at": TimeOrNull, "updated_at": TimeOrNull}

    id: ID
    email_address: str
    display_name: TextOrNull = None
    webhook_url: TextOrNull = None
    status: TextOrNull = None


NO_MAILBOX = (
    "No active mailbox has this address. Next: call list_mailboxes to see those that exist, or call get_identity with "
    "agent_handle to see an agent's."
)
WITH_ITS_IDENTITY = "A mailbox and its identity are inseparable here. Next: call get_identity with agent_handle."


class CreateMailbox(Args):
    agent_handle: Annotated[
        NewMailboxOwner,
        Field(description='Existing identity to own it, e.g. "sales-agent"; 1-255 characters.'),
    ]
    display_name: Annotated[
        DisplayName | None,
        Field(description='Sender name people see, 1-255 characters. Default: "Inkbox user".'),
    ] = None
    email_local_part: Annotated[
        LocalPart | None,
        Field(description='Part before the @, e.g. "sales.team": 1-64 letters, digits, . _ + -. Default: random.'),
    ] = None


@operation(
    ADDITIVE,
    changes=("agent_handle", "email_local_part"),
    only="spec",
    moved="A mailbox is created with its identity here. Next: call create_identity with agent_handle, or call "
    "get_identity with agent_handle to see the mailbox of one that exists.",
    advice={
        NotFound: "No identity has this agent_handle, and a mailbox needs one. Next: call create_identity with "
        "agent_handle, which makes the mailbox too, or call list_identities to see those that exist.",
        Conflict: "Either the identity already has a mailbox, or a mailbox (maybe deleted) has that email_local_part. "
        "Next: call get_identity with agent_handle, or call create_mailbox with another email_local_part.",
        Unavailable: "No mailbox was made: the generated address was taken. Next: call create_mailbox again.",
        OutcomeUnknown: "Next: call get_identity with agent_handle to see whether the mailbox was made.",
    },
)
async def create_mailbox(api: InkboxAPI, args: CreateMailbox) -> Mailbox:
    """Create a mailbox, an email address, for an agent identity that exists and has none yet (see list_identities).

    The other mailbox tools take its email_address.
    """
    try:
        return await api.create(path(MAILBOXES), args.supplied(), Mailbox, find=lambda: _find_as_wanted(api, args))
    except Conflict as conflict:
        raise await _which_conflict(api, args, conflict) from None


async def _find_as_wanted(api: InkboxAPI, args: CreateMailbox) -> Mailbox | None:
    """Return the identity's mailbox if it is like a new one with these arguments."""
    try:
        owner = await api.get(path(IDENTITIES, args.agent_handle), Identity)
    except NotFound:
        return None
    if owner.address is None:
        return None
    found = await api.get(path(MAILBOXES, owner.address), Mailbox)
    local_part = found.email_address.partition("@")[0].lower()
    as_wanted = args.email_local_part is None or local_part == args.email_local_part.lower()
    return found if as_wanted and (args.display_name is None or same(args.display_name, found.display_name)) else None


async def _which_conflict(api: InkboxAPI, args: CreateMailbox, conflict: Conflict) -> Conflict:
    """Add advice for the cause of a 409, if it can be found."""
    try:
        owner = await api.get(path(IDENTITIES, args.agent_handle), Identity)
    except InkboxError:
        return conflict
    handle = quoted(args.agent_handle, MAX_HANDLE)
    if owner.address:
        return conflict.advised(
            f"The identity {handle} already has the mailbox {quoted(owner.address, MAX_ADDRESS)}, and can have only "
            "one. Next: call get_mailbox with email_address to see it, and use it."
        )
    if args.email_local_part is None:
        return conflict.advised(
            f"The identity {handle} had a mailbox a moment ago and has none now. Next: call create_mailbox again."
        )
    return conflict.advised(
        f"The identity {handle} has no mailbox yet, but the address {args.email_local_part} is taken, "
        "maybe by a deleted mailbox. Next: call create_mailbox with another email_local_part, or without one."
    )


class ListMailboxes(Args):
    search: Annotated[
        SearchText | None,
        Field(description="Only those whose address or name contains this."),
    ] = None
    limit: Annotated[PageSize, Field(description="Per page, 1-200. Default: 50.")] = 50
    cursor: Annotated[Cursor | None, Field(description="next_cursor of the page before.")] = None


class MailboxPage(Result):
    mailboxes: list[Mailbox]
    total: int
    next_cursor: str | None


@operation(READ_ONLY, advice={NotFound: NO_API})
async def list_mailboxes(api: InkboxAPI, args: ListMailboxes) -> MailboxPage:
    """List active mailboxes, newest first; create_mailbox makes one. next_cursor, if not null, leads to more."""
    found = matching(await api.get_list(path(MAILBOXES)), args.search, ("email_address", "display_name"))
    shown, next_cursor = page(found, args.limit, args.cursor)
    return MailboxPage(mailboxes=[parse(item, Mailbox) for item in shown], total=len(found), next_cursor=next_cursor)


class GetMailbox(Args):
    email_address: Address


@operation(
    READ_ONLY,
    advice={NotFound: NO_MAILBOX},
)
async def get_mailbox(api: InkboxAPI, args: GetMailbox) -> Mailbox:
    """Get one mailbox by its address: name, webhook, status, times. list_mailboxes shows the addresses."""
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
            description="Public https URL for its mail events, up to 2048 characters; null unsubscribes. "
            "To keep it, leave it out or pass its current value."
        ),
    ] = None


def _webhook_question(args: UpdateMailbox) -> str | None:
    if "webhook_url" not in args.model_fields_set:
        return None
    if args.webhook_url is None:
        return "Stop sending the mail events of {email_address} to its webhook?"
    return "Send all mail events of {email_address} to {webhook_url}?"


@operation(
    IDEMPOTENT,
    changes=("email_address",),
    only="spec",
    moved="Here the identity has the name: call update_identity with agent_handle and display_name. Webhooks are "
    "subscriptions: call create_webhook with email_address and webhook_url, or call list_webhooks with email_address.",
    confirm=_webhook_question,
    advice={
        NotFound: NO_MAILBOX,
        OutcomeUnknown: "Next: call get_mailbox with email_address to see whether it worked; repeating is safe.",
    },
)
async def update_mailbox(api: InkboxAPI, args: UpdateMailbox) -> Mailbox:
    """Change a mailbox's display name or webhook; only what is passed changes. get_mailbox shows what it is now."""
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
    only="spec",
    moved="A mailbox is deleted only together with its identity here. To delete both, call delete_identity "
    "with agent_handle. To keep the identity, keep its mailbox; call list_identities to see whose it is.",
    confirm="Delete the mailbox {email_address} for good? It will receive no more mail, and its address is lost.",
    advice={
        NotFound: "No active mailbox has this address; it may be deleted already. Next: call list_mailboxes.",
        OutcomeUnknown: "Next: call get_mailbox with email_address to see whether it exists; repeating is safe.",
    },
)
async def delete_mailbox(api: InkboxAPI, args: DeleteMailbox) -> DeletedMailbox:
    """Delete a mailbox for good: it gets no more mail, and its address is never free again.

    Its identity can get a new one with create_mailbox.
    """
    await api.delete(path(MAILBOXES, args.email_address))
    return DeletedMailbox(deleted=True, email_address=args.email_address)


class LinkMailbox(Args):
    agent_handle: Handle
    email_address: Address


@operation(
    IDEMPOTENT,
    only="spec",
    moved=WITH_ITS_IDENTITY,
    changes=("agent_handle", "email_address"),
    advice={
        Conflict: "The mailbox or the identity is already linked to another. Next: call list_identities to see "
        "which, and call unlink_mailbox with that agent_handle if that is allowed.",
        NotFound: "There is no such identity or no such mailbox. Next: call list_identities, or call list_mailboxes.",
        OutcomeUnknown: "Next: call get_identity with agent_handle to check; repeating is safe.",
    },
)
async def link_mailbox(api: InkboxAPI, args: LinkMailbox) -> Identity:
    """Link a mailbox without an identity to an identity without a mailbox. unlink_mailbox undoes it."""
    mailbox = await api.get(path(MAILBOXES, args.email_address), Mailbox)
    try:
        link = path(IDENTITIES, args.agent_handle, Path("mailbox"))
        return await api.post(link, {"mailbox_id": mailbox.id}, Identity)
    except (OutcomeUnknown, Conflict) as unclear:  # a lost request may have made the link
        try:
            linked = await api.get(path(IDENTITIES, args.agent_handle), Identity)
        except InkboxError:
            raise unclear from None
        if linked.address != mailbox.email_address:
            raise
        return linked


class UnlinkMailbox(Args):
    agent_handle: Handle


class UnlinkedMailbox(Result):
    unlinked: bool
    agent_handle: str


@operation(
    IDEMPOTENT,
    only="spec",
    moved=WITH_ITS_IDENTITY,
    changes=("agent_handle",),
    confirm="Unlink the mailbox of the agent identity {agent_handle}? Both are kept, but it cannot use it any more.",
    advice={
        NotFound: NO_IDENTITY,
        OutcomeUnknown: "Next: call get_identity with agent_handle to check; repeating is safe.",
    },
)
async def unlink_mailbox(api: InkboxAPI, args: UnlinkMailbox) -> UnlinkedMailbox:
    """Unlink an identity's mailbox. Both are kept; link_mailbox links them again."""
    identity = path(IDENTITIES, args.agent_handle)
    await api.delete(path(IDENTITIES, args.agent_handle, Path("mailbox")), owner=identity)
    return UnlinkedMailbox(unlinked=True, agent_handle=args.agent_handle)
