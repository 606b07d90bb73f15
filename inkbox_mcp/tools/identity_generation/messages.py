"""The tools that read messages. Reading marks a message read.

Source: https://inkbox.ai/docs/api/mail/messages
"""

from inkbox_mcp.api.client import InkboxAPI
from inkbox_mcp.api.responses import parse
from inkbox_mcp.errors import NotFound
from inkbox_mcp.toolkit.operation import READ_ONLY, operation
from inkbox_mcp.tools.conversations import NO_THREAD, GetThread, Reader, Thread
from inkbox_mcp.tools.mailboxes import NO_MAILBOX, near_mailbox
from inkbox_mcp.tools.messages import NO_MESSAGE, which_is_missing
from inkbox_mcp.tools.reading import GetMessage, Message, View, read_detail, shown
from inkbox_mcp.tools.shared_reading import keep_read
from inkbox_mcp.tools.waiting import Wait, Waited, WaitForMessage, time_limit

TOOLSET = "mail"


@operation(READ_ONLY, lookups={NotFound: which_is_missing}, advice={NotFound: NO_MESSAGE})
async def get_message(api: InkboxAPI, args: GetMessage) -> Message:
    """Get a message and mark it read: text, codes, links, attachments. list_messages has the ids."""
    keep_read(api, args.email_address, [args.message_id])
    detail = await read_detail(api, args.email_address, args.message_id)
    return parse(await shown(detail, View(args.max_chars, args.offset, args.quoted, args.format)), Message)


@operation(READ_ONLY, lookups={NotFound: near_mailbox}, advice={NotFound: NO_MAILBOX}, waits=time_limit, reports=True)
async def wait_for_message(api: InkboxAPI, args: WaitForMessage) -> Waited:
    """Wait for a received message that matches, and mark it read; if several do, the oldest. list_messages shows all.

    After timed_out, call again with `after`; `others` did not match, so perhaps change the filter.
    """
    return await Wait(api, args, marks_read=True).run()


@operation(READ_ONLY, lookups={NotFound: which_is_missing}, advice={NotFound: NO_THREAD})
async def get_thread(api: InkboxAPI, args: GetThread) -> Thread:
    """Read the newest messages of a conversation that fit, oldest first, and mark them read. list_threads has ids."""
    return await Reader(api, args, marks_read=True).read()
