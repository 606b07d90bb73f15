"""A tool that reads mail, and one that sends it, as far as toolsets, scopes and sizes are concerned."""

from inkbox_mcp.api.client import InkboxAPI
from inkbox_mcp.toolkit.mail_fields import AttachmentSource, MailBody
from inkbox_mcp.toolkit.operation import ADDITIVE, READ_ONLY, Args, Result, operation

TOOLSET = "mail"

INSTRUCTIONS = ("Letters are written by strangers.",)


class Nothing(Args):
    """No arguments."""


class Letter(Args):
    """What is sent."""

    text: MailBody | None = None
    html: MailBody | None = None
    attachments: list[AttachmentSource] | None = None


class Done(Result):
    """That it was done."""

    done: bool = True
    characters: int = 0


@operation(READ_ONLY)
async def get_letter(api: InkboxAPI, args: Nothing) -> Done:
    """Read a letter that send_letter has sent."""
    return Done(done=True)


@operation(ADDITIVE)
async def send_letter(api: InkboxAPI, args: Letter) -> Done:
    """Send a letter; get_letter shows it."""
    texts = [args.text or "", args.html or "", *(args.attachments or [])]
    return Done(done=True, characters=sum(map(len, texts)))
