"""The tools for mailboxes, from which agents send and in which they receive mail.

Source: https://inkbox.ai/docs/api/mail/mailboxes
"""

from typing import Annotated, ClassVar

from pydantic import Field

from inkbox_mcp.api.client import InkboxAPI
from inkbox_mcp.api.paths import MAILBOXES, path
from inkbox_mcp.api.responses import parse
from inkbox_mcp.errors import Conflict, InkboxError, InvalidArguments, NotFound, OutcomeUnknown, Unavailable
from inkbox_mcp.text import MAX_ADDRESS, MAX_HANDLE, MAX_URL, quoted, same
from inkbox_mcp.toolkit.fields import DisplayName, LocalPart, NewMailboxOwner, WebhookURLOrNone
from inkbox_mcp.toolkit.operation import ADDITIVE, DESTRUCTIVE, IDEMPOTENT, READ_ONLY, Also, Args, Result, operation
from inkbox_mcp.toolkit.rows import ListPage
from inkbox_mcp.toolkit.sent import ID, IDOrNull, ObjectOrNull, TextOrNull, TimeOrNull
from inkbox_mcp.toolkit.webhook_guard import NO_WEBHOOK
from inkbox_mcp.tools.account import NO_API
from inkbox_mcp.tools.identities import ADDRESS_IS_FIXED, HANDLE_IS_FIXED, find_identity, near_handle, read_identity
from inkbox_mcp.tools.mailboxes import (
    BY_ADDRESS,
    DELETED_MAILBOX,
    NO_MAILBOX,
    Address,
    GetMailbox,
    ListMailboxes,
    deleted_mailbox,
    near_mailbox,
    page_of_mailboxes,
)
from inkbox_mcp.tools.spec_generation.identities import HIDDEN, RANDOM, Identity, cause_of, holder_of, mailbox_in_use


class Mailbox(Result):
    """A mailbox as the API returns it."""

    also: ClassVar[Also] = {
        "agent_handle": TextOrNull,
        "filter_mode": TextOrNull,
        "filter_mode_change_notice": ObjectOrNull,
        "agent_identity_id": IDOrNull,
        "sending_domain": TextOrNull,
        "created_at": TimeOrNull,
        "updated_at": TimeOrNull,
    }

    id: ID
    email_address: str
    display_name: TextOrNull = None
    webhook_url: TextOrNull = None
    status: TextOrNull = None


class CreateMailbox(Args):
    invented: ClassVar = {
        "email_address": "the address is made of email_local_part: pass the part before the @",
        "webhook_url": "when the mailbox exists, call update_mailbox with email_address and webhook_url",
        "status": "the agent has the status: call update_identity with agent_handle and status",
    }

    agent_handle: Annotated[
        NewMailboxOwner, Field(description='Existing identity to own it, e.g. "sales-agent"; 1-255 characters.')
    ]
    display_name: Annotated[
        DisplayName | None, Field(description='Sender name people see, 1-255 characters. Default: "Inkbox user".')
    ] = None
    email_local_part: Annotated[
        LocalPart | None,
        Field(
            description='Permanent part before the @, e.g. "sales.team": 1-64 letters, digits, . _ + -. Default: a '
            "random address."
        ),
    ] = None


async def _near_owner(api: InkboxAPI, args: CreateMailbox, _: NotFound) -> str | None:
    return await near_handle(api, args.agent_handle)


async def _which_conflict(api: InkboxAPI, args: CreateMailbox, conflict: Conflict) -> str | None:
    """Find out whether the identity has a mailbox, or who has the address."""
    handle = quoted(args.agent_handle, MAX_HANDLE)
    try:
        owner = await read_identity(api, args.agent_handle, Identity)
    except InkboxError:
        return {
            "identity": f"The identity {handle} already has a mailbox. Next: call get_identity with agent_handle.",
            "address": "Nothing was made: the address is taken. Next: call create_mailbox with another "
            "email_local_part, or without one.",
        }.get(cause_of(conflict) or "")
    if owner.address:
        return (
            f"The identity {handle} already has the mailbox {quoted(owner.address, MAX_ADDRESS)}, and can have only "
            "one. Next: call get_mailbox with email_address to see it, and use it."
        )
    if args.email_local_part is None:
        return f"The identity {handle} had a mailbox a moment ago and has none now. Next: call create_mailbox again."
    another = "call create_mailbox with another email_local_part, or without one."
    mailbox = await mailbox_in_use(api, args.email_local_part)
    if mailbox is None:
        return (
            "Nothing was made: the address is taken, maybe by a deleted mailbox: no mailbox that you can see has it. "
            f"Next: {another}"
        )
    address, holder = quoted(str(mailbox["email_address"]), MAX_ADDRESS), await holder_of(api, mailbox)
    if holder is None:
        return (
            f"Nothing was made: your mailbox {address} has this address, and no identity. Next: "
            f"call link_mailbox with agent_handle and email_address, which gives it to {handle}."
        )
    if holder == HIDDEN:
        return f"Nothing was made. {HIDDEN} has the mailbox {address}. Next: {another}"
    return (
        f"Nothing was made: {holder} has the mailbox {address}. Next: {another} Or, if the user wants to move that "
        f"mailbox, call unlink_mailbox with agent_handle {holder}, then call link_mailbox for {handle}."
    )


@operation(
    ADDITIVE,
    changes=("agent_handle", "email_local_part"),
    moved="A mailbox is created with its identity. Next: call create_identity with agent_handle. Or call get_identity "
    "with agent_handle to see the mailbox of one that exists. An address cannot be changed: only a new identity has "
    "another.",
    lookups={NotFound: _near_owner, Conflict: _which_conflict},
    advice={
        NotFound: "No identity has this agent_handle, and a mailbox needs one. Next: call list_identities to see those "
        "that exist. If the user wants a new one, call create_identity with agent_handle, which makes the mailbox too.",
        Conflict: "Either the identity already has a mailbox, or a mailbox (maybe deleted) has that email_local_part. "
        "Next: call get_identity with agent_handle.",
        Unavailable: "No mailbox was made: the generated address was taken. Next: call create_mailbox again.",
        OutcomeUnknown: "Next: call get_identity with agent_handle to see whether the mailbox was made.",
    },
)
async def create_mailbox(api: InkboxAPI, args: CreateMailbox) -> Mailbox:
    """Create a mailbox, an email address, for an agent identity that has none yet; list_identities shows them.

    The other mailbox tools take its email_address.
    """
    made = await api.create(path(MAILBOXES), args.supplied(), Mailbox, find=lambda: _find_as_wanted(api, args))
    note = {} if args.email_local_part else {"note": RANDOM}
    return made.model_copy(update={"agent_handle": args.agent_handle, **note})


async def _find_as_wanted(api: InkboxAPI, args: CreateMailbox) -> Mailbox | None:
    """Return the identity's mailbox if it is like a new one with these arguments."""
    owner = await find_identity(api, args.agent_handle, Identity)
    if owner is None or owner.address is None:
        return None
    found = await api.get(path(MAILBOXES, owner.address), Mailbox)
    local_part = found.email_address.partition("@")[0].lower()
    as_wanted = args.email_local_part is None or local_part == args.email_local_part.lower()
    return found if as_wanted and (args.display_name is None or same(args.display_name, found.display_name)) else None


class ListedMailbox(Result):
    """A row of a list, or with `details` a whole mailbox."""

    also: ClassVar[Also] = {
        **Mailbox.also,
        "id": IDOrNull,
        "display_name": TextOrNull,
        "status": TextOrNull,
        "webhook_url": TextOrNull,
    }

    email_address: str


class MailboxPage(ListPage):
    mailboxes: list[ListedMailbox]


ROW = ("email_address", "display_name", "agent_handle", "status", "webhook_url", "created_at")


@operation(READ_ONLY, advice={NotFound: NO_API})
async def list_mailboxes(api: InkboxAPI, args: ListMailboxes) -> MailboxPage:
    """List active mailboxes: sender name, agent, status and webhook (null: none) of each, newest first.

    `total` match, of all `of` that you may see; to count, search with limit 1. get_mailbox shows all of one.
    """
    return parse(await page_of_mailboxes(api, args, ROW), MailboxPage)


@operation(READ_ONLY, lookups={NotFound: near_mailbox}, advice={NotFound: NO_MAILBOX})
async def get_mailbox(api: InkboxAPI, args: GetMailbox) -> Mailbox:
    """Get one mailbox by its address: name, webhook, status, times. list_mailboxes shows the addresses."""
    return await api.get(path(MAILBOXES, args.email_address), Mailbox)


class UpdateMailbox(Args):
    nullable = frozenset({"webhook_url"})
    invented: ClassVar = {
        **dict.fromkeys(
            ("new_email_address", "email_local_part", "mailbox_local_part", "new_address"), ADDRESS_IS_FIXED
        ),
        **dict.fromkeys(("new_handle", "new_agent_handle"), HANDLE_IS_FIXED),
        "agent_handle": "to give the mailbox to an agent, call link_mailbox with agent_handle and email_address",
        "status": "the agent has the status: call update_identity with agent_handle and status",
        "event_types": "a webhook gets all mail events",
    }

    email_address: Address
    display_name: Annotated[
        DisplayName | None,
        Field(description="New sender name, 1-255 characters. Default: unchanged. It cannot be cleared."),
    ] = None
    webhook_url: Annotated[
        WebhookURLOrNone | None,
        Field(
            description="Public https URL for its mail events, up to 2048 characters. "
            '"none" unsubscribes, as does null if display_name is not sent. Default: unchanged.'
        ),
    ] = None


def _webhook_question(args: UpdateMailbox) -> str | None:
    if "webhook_url" not in args.model_fields_set:
        return None
    if args.webhook_url == NO_WEBHOOK or (args.webhook_url is None and args.display_name is None):
        return "Stop sending the mail events of {email_address} to its webhook?"
    return "Send all mail events of {email_address} to {webhook_url}?" if args.webhook_url else None


@operation(
    IDEMPOTENT,
    changes=("email_address",),
    moved="The name of a mailbox is that of its identity: call update_identity with agent_handle and display_name. "
    "Webhooks are subscriptions: call create_webhook with email_address and webhook_url. Or call list_webhooks with "
    "email_address.",
    confirm=_webhook_question,
    lookups={NotFound: near_mailbox},
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
            "there is nothing to update. To rename it, call update_mailbox with email_address and display_name (a name "
            "cannot be cleared). To set its webhook, call update_mailbox with email_address and webhook_url. "
            f'To unsubscribe, call update_mailbox with email_address and webhook_url "{NO_WEBHOOK}".'
        )
    if args.webhook_url == NO_WEBHOOK:
        changes["webhook_url"] = None
    elif len(changes) > 1 and args.webhook_url is None:
        await _require_no_webhook(api, args)
        del changes["webhook_url"]
    return await api.patch(path(MAILBOXES, args.email_address), changes, Mailbox)


async def _require_no_webhook(api: InkboxAPI, args: UpdateMailbox) -> None:
    """Refuse to unsubscribe by a null beside another change: several clients fill in null for omitted arguments."""
    mailbox = await api.get(path(MAILBOXES, args.email_address), Mailbox)
    if mailbox.webhook_url:
        call = "call update_mailbox with email_address, display_name and webhook_url"
        raise InvalidArguments(
            "webhook_url is null beside another change, and that mailbox has a webhook. "
            f"To keep the webhook, {call} {quoted(mailbox.webhook_url, MAX_URL)}. "
            f'To unsubscribe too, {call} "{NO_WEBHOOK}".'
        )


class DeleteMailbox(Args):
    invented: ClassVar = BY_ADDRESS

    email_address: Address


class DeletedMailbox(Result):
    deleted: bool
    email_address: str


@operation(
    DESTRUCTIVE,
    changes=("email_address",),
    moved="A mailbox is deleted only together with its identity. To delete both, call delete_identity "
    "with agent_handle. To keep the identity, keep its mailbox; call list_identities to see whose it is.",
    confirm="Delete the mailbox {email_address} for good? It will receive no more mail, and its address is lost.",
    lookups={NotFound: deleted_mailbox},
    advice={
        NotFound: f"{DELETED_MAILBOX} Next: call list_mailboxes.",
        OutcomeUnknown: "Next: call get_mailbox with email_address to see whether it exists; repeating is safe.",
    },
)
async def delete_mailbox(api: InkboxAPI, args: DeleteMailbox) -> DeletedMailbox:
    """Delete a mailbox for good: it gets no more mail, and its address is never free again.

    Its identity can get a new one with create_mailbox.
    """
    await api.delete(path(MAILBOXES, args.email_address))
    return DeletedMailbox(deleted=True, email_address=args.email_address)
