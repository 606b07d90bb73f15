"""The tools for which identity a mailbox belongs to.

Source: https://inkbox.ai/docs/api/identities
"""

from typing import ClassVar

from inkbox_mcp.api.client import InkboxAPI
from inkbox_mcp.api.paths import IDENTITIES, MAILBOXES, Path, path
from inkbox_mcp.errors import Conflict, InkboxError, NotFound, OutcomeUnknown
from inkbox_mcp.text import MAX_ADDRESS, MAX_HANDLE, quoted
from inkbox_mcp.toolkit.operation import IDEMPOTENT, Also, Args, Result, operation
from inkbox_mcp.tools.identities import (
    BY_HANDLE,
    NO_IDENTITY,
    Handle,
    near_handle,
    near_identity,
    nothing_twice,
    read_identity,
)
from inkbox_mcp.tools.mailboxes import AS_ADDRESS, NO_MAILBOX, Address, near_mailbox
from inkbox_mcp.tools.spec_generation.identities import HIDDEN, Identity, holder_of
from inkbox_mcp.tools.spec_generation.mailboxes import Mailbox

INSEPARABLE = (
    "A mailbox and its identity are inseparable, so an address cannot be given to another identity: tell the user. "
    "Next: call get_identity with agent_handle to see an identity's mailbox."
)


class LinkMailbox(Args):
    invented: ClassVar = AS_ADDRESS

    agent_handle: Handle
    email_address: Address


async def _who_holds_them(api: InkboxAPI, args: LinkMailbox, _: Conflict) -> str | None:
    """Name the identity that has the mailbox, and the mailbox that the identity has."""
    mailbox = await api.get(path(MAILBOXES, args.email_address), Mailbox)
    holder = await holder_of(api, mailbox.model_dump())
    has = (await read_identity(api, args.agent_handle, Identity)).address
    handle, wanted = quoted(args.agent_handle, MAX_HANDLE), quoted(mailbox.email_address, MAX_ADDRESS)
    if holder == HIDDEN:
        return f"Nothing was changed. {HIDDEN} has the mailbox {wanted}: tell the user."
    facts, steps = list[str](), list[str]()
    if holder:
        facts.append(f"{holder} has the mailbox {wanted}")
        steps.append(holder)
    if has:
        facts.append(f"{handle} has the mailbox {quoted(has, MAX_ADDRESS)}, which it would lose")
        steps.append(handle)
    if not facts:
        return "Nothing was changed, and neither has another now. Call link_mailbox once more, or tell the user."
    unlink = " and ".join(f"call unlink_mailbox with agent_handle {each}" for each in steps)
    return f"Nothing was changed: {', and '.join(facts)}. Next: {unlink}, then call link_mailbox again."


async def _which_is_missing(api: InkboxAPI, args: LinkMailbox, error: NotFound) -> str | None:
    """Find out whether the mailbox or the identity does not exist."""
    try:
        await api.get(path(MAILBOXES, args.email_address), Mailbox)
    except NotFound:
        return await near_mailbox(api, args, error) or NO_MAILBOX
    return await near_handle(api, args.agent_handle) or NO_IDENTITY


@operation(
    IDEMPOTENT,
    moved=INSEPARABLE,
    changes=("agent_handle", "email_address"),
    lookups={Conflict: _who_holds_them, NotFound: _which_is_missing},
    advice={
        Conflict: "The mailbox or the identity is already linked to another. Next: call list_identities to see "
        "which. Then call unlink_mailbox with that agent_handle.",
        NotFound: "There is no such identity or no such mailbox. Next: call list_identities. Or call list_mailboxes.",
        OutcomeUnknown: "Next: call get_identity with agent_handle to check; repeating is safe.",
    },
)
async def link_mailbox(api: InkboxAPI, args: LinkMailbox) -> Identity:
    """Link a mailbox without an identity to an identity without a mailbox. unlink_mailbox undoes it."""
    mailbox = await api.get(path(MAILBOXES, args.email_address), Mailbox)
    try:
        link = path(IDENTITIES, args.agent_handle, Path("mailbox"))
        return nothing_twice(await api.post(link, {"mailbox_id": mailbox.id}, Identity))
    except (OutcomeUnknown, Conflict) as unclear:  # a lost request may have made the link
        try:
            linked = await read_identity(api, args.agent_handle, Identity)
        except InkboxError:
            raise unclear from None
        if linked.address != mailbox.email_address:
            raise
        return linked


class UnlinkMailbox(Args):
    invented: ClassVar = BY_HANDLE

    agent_handle: Handle


class UnlinkedMailbox(Result):
    also: ClassVar[Also] = {"reason": str}

    unlinked: bool
    agent_handle: str
    email_address: str | None


@operation(
    IDEMPOTENT,
    moved=INSEPARABLE,
    changes=("agent_handle",),
    confirm="Unlink the mailbox of the agent identity {agent_handle}? Both are kept, but it cannot use it any more.",
    lookups={NotFound: near_identity},
    advice={
        NotFound: NO_IDENTITY,
        OutcomeUnknown: "Next: call get_identity with agent_handle to check; repeating is safe.",
    },
)
async def unlink_mailbox(api: InkboxAPI, args: UnlinkMailbox) -> UnlinkedMailbox:
    """Unlink an identity's mailbox and free it for another identity. Both are kept; link_mailbox links them again."""
    owner = path(IDENTITIES, args.agent_handle)
    freed = (await read_identity(api, args.agent_handle, Identity)).address
    if freed:
        await api.delete(path(IDENTITIES, args.agent_handle, Path("mailbox")), owner=owner)
    done = UnlinkedMailbox(unlinked=bool(freed), agent_handle=args.agent_handle, email_address=freed)
    return done if freed else done.model_copy(update={"reason": "The identity has no mailbox."})
