"""What the tools for mailboxes share.

Source: https://inkbox.ai/docs/api/mail/mailboxes
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field

from inkbox_mcp.api.client import InkboxAPI
from inkbox_mcp.api.paths import IDENTITIES, MAILBOXES, path
from inkbox_mcp.api.responses import only
from inkbox_mcp.errors import NotFound
from inkbox_mcp.toolkit.fields import MailboxAddress, SearchText
from inkbox_mcp.toolkit.near import did_you_mean, same_name
from inkbox_mcp.toolkit.operation import Args
from inkbox_mcp.toolkit.rows import ListArgs, page_of
from inkbox_mcp.tools.identities import by_address, if_it_was_meant
from inkbox_mcp.tools.lists import get_lists

Address = Annotated[MailboxAddress, Field(description="Address, or its part before the @.")]

DELETED_MAILBOX = "No active mailbox has this address; it may be deleted already."
NO_MAILBOX = "No active mailbox has this address. Next: call list_mailboxes to see those that exist."

IF_IT_IS_MEANT = "If that is the one, call again with it. Next: call list_mailboxes to be sure."

NO_AGENTS = "The list of agents could not be read: who has these mailboxes is not shown, and search did not look at it."

_OWNERS = only("agent_handle", "display_name", "email_address", "mailbox")

FIND_MAILBOX = "to find an agent's mailbox, call get_identity with agent_handle"
AS_ADDRESS: Mapping[str, str] = dict.fromkeys(
    ("email_local_part", "mailbox_local_part", "local_part"), "pass it as email_address"
)
BY_ADDRESS: Mapping[str, str] = {
    **AS_ADDRESS,
    "agent_handle": FIND_MAILBOX,
    **dict.fromkeys(("display_name", "search"), "to find a mailbox by a name, call list_mailboxes with search"),
}
"""What models try where a mailbox is named by its address."""


class ListMailboxes(ListArgs):
    invented: ClassVar = {
        **ListArgs.invented,
        **dict.fromkeys(("agent_handle", "email_address", "display_name"), "pass it as search"),
        **dict.fromkeys(("status", "webhook_url"), "search looks only at address, name and agent"),
    }

    search: Annotated[
        SearchText | None,
        Field(description="Only those whose address, name or agent has all these words, or parts of words."),
    ] = None


class GetMailbox(Args):
    invented: ClassVar = {**BY_ADDRESS, "details": "it always shows all"}

    email_address: Address


async def page_of_mailboxes(api: InkboxAPI, args: ListMailboxes, fields: tuple[str, ...]) -> dict[str, Any]:
    """Return a page of the organization's mailboxes: rows of these fields, or whole objects.

    Each has the handle of its identity, and the identity's name if it has none itself, if the identities can be read.
    """
    items, identities = await get_lists(api, MAILBOXES, IDENTITIES, _OWNERS)
    owners = by_address(identities or [])

    def complete(item: dict[str, Any]) -> None:
        if identities is None:
            return
        owner = owners.get(str(item.get("email_address")).lower(), {})
        if owner or not item.get("agent_identity_id"):  # an agent that is not shown is not none
            item["agent_handle"] = owner.get("agent_handle")
        if item.get("display_name") is None and "display_name" in owner:
            item["display_name"] = owner["display_name"]

    return page_of(
        "mailboxes",
        items,
        args,
        found_by=("email_address", "display_name", "agent_handle"),
        fields=fields,
        limits=api.limits,
        note=NO_AGENTS if identities is None else None,
        complete=complete,
    )


async def deleted_mailbox(api: InkboxAPI, args: Any, _: NotFound) -> str | None:
    """Name the mailbox that a deletion of this address may have meant. A similar one may be another."""
    addresses = [str(item.get("email_address")) for item in await api.get_list(path(MAILBOXES))]
    meant = same_name(args.email_address, addresses, compared=_local_part)
    return f"{DELETED_MAILBOX} {if_it_was_meant(meant)}" if meant else None


async def near_mailbox(api: InkboxAPI, args: Any, _: NotFound) -> str | None:
    """Propose the mailboxes whose addresses are similar to the one that does not exist."""
    addresses = [str(item.get("email_address")) for item in await api.get_list(path(MAILBOXES))]
    meant = did_you_mean(args.email_address, addresses, compared=_local_part)
    return f"No active mailbox has this address. {meant} {IF_IT_IS_MEANT}" if meant else None


def _local_part(address: str) -> str:
    return address.partition("@")[0]
