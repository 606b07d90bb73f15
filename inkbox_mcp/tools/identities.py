"""Agent identities, which own mailboxes.

Source: https://inkbox.ai/docs/api/identities
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from inkbox_mcp.api.client import InkboxAPI
from inkbox_mcp.api.generations import address_of
from inkbox_mcp.api.paths import IDENTITIES, path
from inkbox_mcp.api.responses import parse
from inkbox_mcp.errors import Conflict, InkboxError, InvalidArguments, NotFound, OperationMoved, OutcomeUnknown
from inkbox_mcp.text import MAX_ADDRESS, quoted
from inkbox_mcp.toolkit.fields import (
    AgentHandle,
    Cursor,
    DisplayName,
    LocalPart,
    NewAgentHandle,
    PageSize,
    SearchText,
    WithMailbox,
)
from inkbox_mcp.toolkit.operation import ADDITIVE, DESTRUCTIVE, IDEMPOTENT, READ_ONLY, Also, Args, Result, operation
from inkbox_mcp.toolkit.paging import matching, page
from inkbox_mcp.toolkit.sent import IDOrNull, TextOrNull, TimeOrNull
from inkbox_mcp.tools.account import NO_API

INSTRUCTIONS = (
    "First call list_identities to see what exists.",
    "create_identity makes an identity with a mailbox.",
)

Handle = Annotated[AgentHandle, Field(description='Its handle, e.g. "sales-agent".')]

NO_IDENTITY = (
    "No identity has this agent_handle. Next: call list_identities, or call create_identity with agent_handle."
)


class IdentityMailbox(Result):
    """A mailbox inside its identity, without its webhook."""

    also: ClassVar[Also] = {
        "id": IDOrNull,
        "email_address": TextOrNull,
        "display_name": TextOrNull,
        "status": TextOrNull,
        "created_at": TimeOrNull,
        "updated_at": TimeOrNull,
    }


class Identity(Result):
    """An agent identity as the API returns it, with its mailbox if the API sends it.

    The spec generation sends `status`, the identity generation `display_name`.
    """

    also: ClassVar[Also] = {
        "id": IDOrNull,
        "organization_id": TextOrNull,
        "display_name": TextOrNull,
        "status": TextOrNull,
        "mailbox": IdentityMailbox | None,
        "created_at": TimeOrNull,
        "updated_at": TimeOrNull,
    }

    agent_handle: str
    email_address: TextOrNull = None

    @property
    def address(self) -> str | None:
        """The address of its mailbox, if it has one."""
        return address_of(self.model_dump())


class CreateIdentity(Args):
    agent_handle: Annotated[
        NewAgentHandle, Field(description='New handle, e.g. "sales-agent": 3-63 lowercase letters, digits, hyphens.')
    ]
    with_mailbox: Annotated[WithMailbox, Field(description="Create its mailbox too. Default: true.")] = True
    mailbox_display_name: Annotated[
        DisplayName | None, Field(description="Sender name, 1-255 characters. Default: the handle.")
    ] = None
    mailbox_local_part: Annotated[
        LocalPart | None, Field(description="Part before the @: 1-64 letters, digits, . _ + -. Default: random.")
    ] = None


@operation(
    ADDITIVE,
    changes=("agent_handle", "mailbox_local_part"),
    advice={
        Conflict: "Either the handle or the address is taken, maybe by another organization. Next: call "
        "create_identity with another agent_handle if the handle is, or with the same one and another "
        "mailbox_local_part, or none, if the address is.",
        OutcomeUnknown: "Next: call get_identity with agent_handle to see whether it worked.",
    },
)
async def create_identity(api: InkboxAPI, args: CreateIdentity) -> Identity:
    """Create an agent identity and its mailbox in one step. First call list_identities."""
    if not args.with_mailbox and (args.mailbox_display_name or args.mailbox_local_part):
        raise InvalidArguments("mailbox_display_name and mailbox_local_part need with_mailbox to be true.")
    body = _body(args) if await api.is_on("spec") else _body_with_name(args)
    try:
        made = await api.create(path(IDENTITIES), body, Identity, find=lambda: _find_as_wanted(api, args))
    except Conflict as conflict:
        raise await _which_conflict(api, args, conflict) from None
    if made.sent("mailbox") is not None:
        return made
    try:
        # The spec generation's answer has no mailbox.
        return await api.get(path(IDENTITIES, made.agent_handle), Identity)
    except InkboxError:
        return made


def _body(args: CreateIdentity) -> dict[str, Any]:
    mailbox = {"display_name": args.mailbox_display_name, "email_local_part": args.mailbox_local_part}
    return {"agent_handle": args.agent_handle} | ({"mailbox": _given(mailbox)} if args.with_mailbox else {})


def _body_with_name(args: CreateIdentity) -> dict[str, Any]:
    """Return the body for the identity generation, in which the identity has the name, and always a mailbox."""
    if not args.with_mailbox:
        raise OperationMoved(
            "Here every identity has a mailbox. Next: call create_identity with agent_handle; leave out with_mailbox."
        )
    if args.mailbox_local_part not in {None, args.agent_handle}:
        raise OperationMoved(
            "Addresses are made from handles here. Next: call create_identity with the agent_handle that you want "
            "before the @, and without mailbox_local_part."
        )
    return _given({"agent_handle": args.agent_handle, "display_name": args.mailbox_display_name})


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


async def _find_as_wanted(api: InkboxAPI, args: CreateIdentity) -> Identity | None:
    """Return the identity if it is like a new one with these arguments."""
    try:
        found = await api.get(path(IDENTITIES, args.agent_handle), Identity)
    except NotFound:
        return None
    local_part = (found.address or "").partition("@")[0].lower()
    wanted = args.mailbox_local_part or local_part
    as_wanted = bool(local_part) == args.with_mailbox and wanted.lower() == local_part
    return found if as_wanted else None


async def _which_conflict(api: InkboxAPI, args: CreateIdentity, conflict: Conflict) -> Conflict:
    """Add advice for the cause of a 409, if it can be found."""
    try:
        mine = await api.get(path(IDENTITIES, args.agent_handle), Identity)
    except NotFound:
        if args.mailbox_local_part is None:
            return conflict.advised(
                "This handle is not free: another organization has it, or a deleted identity had it. Next: call "
                "create_identity with another agent_handle."
            )
        return conflict
    except InkboxError:
        return conflict
    if mine.address:
        return conflict.advised(
            f"You have this identity already, with the mailbox {quoted(mine.address, MAX_ADDRESS)}. "
            "Next: call get_identity with agent_handle."
        )
    return conflict.advised(
        "You have this identity already, without a mailbox. Next: call create_mailbox with agent_handle."
    )


class ListIdentities(Args):
    search: Annotated[
        SearchText | None, Field(description="Only those whose handle, name or address contains this.")
    ] = None
    limit: Annotated[PageSize, Field(description="Per page, 1-200. Default: 50.")] = 50
    cursor: Annotated[Cursor | None, Field(description="next_cursor of the page before.")] = None


class IdentityPage(Result):
    identities: list[Identity]
    total: int
    next_cursor: str | None


@operation(READ_ONLY, advice={NotFound: NO_API})
async def list_identities(api: InkboxAPI, args: ListIdentities) -> IdentityPage:
    """List agent identities with their addresses, newest first. None yet? Call create_identity."""
    items = await api.get_list(path(IDENTITIES))
    found = matching(items, args.search, ("agent_handle", "display_name", "email_address"))
    shown, next_cursor = page(found, args.limit, args.cursor)
    return IdentityPage(identities=[parse(item, Identity) for item in shown], total=len(found), next_cursor=next_cursor)


class GetIdentity(Args):
    agent_handle: Handle


@operation(READ_ONLY, advice={NotFound: NO_IDENTITY})
async def get_identity(api: InkboxAPI, args: GetIdentity) -> Identity:
    """Get one agent identity, with its mailbox. list_identities shows the handles."""
    return await api.get(path(IDENTITIES, args.agent_handle), Identity)


class UpdateIdentity(Args):
    agent_handle: Handle
    status: Annotated[
        Literal["active", "paused"] | None, Field(description="active or paused. Default: unchanged.")
    ] = None
    display_name: Annotated[
        DisplayName | None, Field(description="Sender name, 1-255 characters. Default: unchanged.")
    ] = None


@operation(
    IDEMPOTENT,
    changes=("agent_handle",),
    advice={
        NotFound: NO_IDENTITY,
        OutcomeUnknown: "Next: call get_identity with agent_handle to check; repeating is safe.",
    },
)
async def update_identity(api: InkboxAPI, args: UpdateIdentity) -> Identity:
    """Pause, activate or rename an agent identity, as the API allows. get_identity shows it."""
    changes = args.supplied(exclude={"agent_handle"})
    if not changes:
        raise InvalidArguments("there is nothing to update. Pass status or display_name.")
    if "display_name" in changes and not await api.is_on("identity"):
        raise OperationMoved(
            "Here the mailbox has the name. Next: call update_mailbox with email_address and display_name."
        )
    if "status" in changes and not await api.is_on("spec"):
        raise OperationMoved(
            "An identity cannot be paused or activated here: tell the user. To change its name, call update_identity "
            "with agent_handle and display_name."
        )
    return await api.patch(path(IDENTITIES, args.agent_handle), changes, Identity)


class DeleteIdentity(Args):
    agent_handle: Handle


class DeletedIdentity(Result):
    deleted: bool
    agent_handle: str


@operation(
    DESTRUCTIVE,
    changes=("agent_handle",),
    confirm={
        "spec": "Delete the agent identity {agent_handle} for good? Its mailbox stays, without an identity.",
        "identity": "Delete the agent identity {agent_handle} and its mailbox for good? The address will be lost.",
    },
    advice={
        NotFound: "No identity has this agent_handle; it may be deleted already. Next: call list_identities.",
        OutcomeUnknown: "Next: call get_identity with agent_handle to see whether it exists; repeating is safe.",
    },
)
async def delete_identity(api: InkboxAPI, args: DeleteIdentity) -> DeletedIdentity:
    """Delete an agent identity for good. Where delete_mailbox works, its mailbox stays; else it is deleted too."""
    await api.delete(path(IDENTITIES, args.agent_handle))
    return DeletedIdentity(deleted=True, agent_handle=args.agent_handle)
