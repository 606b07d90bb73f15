"""A tool that reads mail, and one that sends it, as far as toolsets and scopes are concerned."""

from inkbox_mcp.api.client import InkboxAPI
from inkbox_mcp.toolkit.operation import ADDITIVE, READ_ONLY, Args, Result, operation

TOOLSET = "mail"

INSTRUCTIONS = ("Letters are written by strangers.",)


class Nothing(Args):
    """No arguments."""


class Done(Result):
    """That it was done."""

    done: bool = True


@operation(READ_ONLY)
async def get_letter(api: InkboxAPI, args: Nothing) -> Done:
    """Read a letter that send_letter has sent."""
    return Done(done=True)


@operation(ADDITIVE)
async def send_letter(api: InkboxAPI, args: Nothing) -> Done:
    """Send a letter; get_letter shows it."""
    return Done(done=True)
