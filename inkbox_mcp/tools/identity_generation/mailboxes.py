"""The tools for mailboxes, each of which belongs to an agent identity.

Source: https://inkbox.ai/docs/api/mail/mailboxes
"""

from typing import ClassVar

from inkbox_mcp.api.client import InkboxAPI
from inkbox_mcp.api.paths import MAILBOXES, path
from inkbox_mcp.api.responses import parse
from inkbox_mcp.errors import NotFound
from inkbox_mcp.toolkit.operation import READ_ONLY, Also, Result, operation
from inkbox_mcp.toolkit.rows import ListPage
from inkbox_mcp.toolkit.sent import (
    ID,
    BooleanOrNull,
    IDOrNull,
    NumberOrNull,
    ObjectOrNull,
    TextOrNull,
    TimeOrNull,
)
from inkbox_mcp.tools.account import NO_API
from inkbox_mcp.tools.mailboxes import NO_MAILBOX, GetMailbox, ListMailboxes, near_mailbox, page_of_mailboxes

MAILBOX_FIELDS: Also = {
    "sending_domain": TextOrNull,
    "agent_identity_id": IDOrNull,
    "filter_mode": TextOrNull,
    "inbound_filter_mode": TextOrNull,
    "outbound_filter_mode": TextOrNull,
    "filter_mode_change_notice": ObjectOrNull,
    "signature_html": TextOrNull,
    "signature_text": TextOrNull,
    "signature_enabled": BooleanOrNull,
}
"""Fields of a mailbox, also of one inside its identity."""


class Mailbox(Result):
    """A mailbox as the API returns it."""

    also: ClassVar[Also] = {
        **MAILBOX_FIELDS,
        "storage_used_bytes": NumberOrNull,
        "storage_limit_bytes": NumberOrNull,
        "created_at": TimeOrNull,
        "updated_at": TimeOrNull,
    }

    id: ID
    email_address: str


class ListedMailbox(Result):
    """A row of a list, or with `details` a whole mailbox."""

    also: ClassVar[Also] = {**Mailbox.also, "id": IDOrNull, "agent_handle": TextOrNull, "display_name": TextOrNull}

    email_address: str


class MailboxPage(ListPage):
    mailboxes: list[ListedMailbox]


@operation(READ_ONLY, advice={NotFound: NO_API})
async def list_mailboxes(api: InkboxAPI, args: ListMailboxes) -> MailboxPage:
    """List active mailboxes with their agents, newest first. The sender name is the agent's.

    get_mailbox shows all of one but the name.
    `total` match, of all `of` that you may see.
    """
    rows = await page_of_mailboxes(api, args, ("email_address", "display_name", "agent_handle", "created_at"))
    return parse(rows, MailboxPage)


@operation(READ_ONLY, lookups={NotFound: near_mailbox}, advice={NotFound: NO_MAILBOX})
async def get_mailbox(api: InkboxAPI, args: GetMailbox) -> Mailbox:
    """Get one mailbox by its address: filters, signature, storage, times. list_mailboxes shows the addresses."""
    return await api.get(path(MAILBOXES, args.email_address), Mailbox)
