"""A tool that shows all kinds of content, one that reports progress, and one that waits."""

from collections.abc import Sequence
from typing import Annotated

import anyio
from pydantic import PrivateAttr

from inkbox_mcp.api.client import InkboxAPI
from inkbox_mcp.calls import current
from inkbox_mcp.toolkit.content import Block, Image, Link, Text
from inkbox_mcp.toolkit.marks import Mark
from inkbox_mcp.toolkit.operation import ADDITIVE, READ_ONLY, Args, Result, operation

Plain = Annotated[str, Mark.PLAIN]


class Showing(Args):
    """What is shown."""

    text: Plain = "two\nlines"
    name: Plain = "invoice.pdf"
    title: Plain | None = None
    size: int | None = None
    times: int = 1


class Shown(Result):
    """Data, and content beside it."""

    text: str = ""
    _blocks: list[Block] = PrivateAttr(default_factory=list[Block])

    def blocks(self) -> Sequence[Block]:
        """Return what the tool put there."""
        return self._blocks

    @classmethod
    def of(cls, args: Showing) -> "Shown":
        """Show every kind of block."""
        shown = cls(text="seen")
        link = Link(
            uri=f"https://files.example/{args.name}",
            name=args.name,
            title=args.title,
            description=args.title,
            media_type="application/pdf" if args.size else None,
            size=args.size,
        )
        shown._blocks += [Text(args.text), Image(args.text.encode(), "image/png"), link] * args.times
        return shown


@operation(READ_ONLY)
async def show_all(api: InkboxAPI, args: Showing) -> Shown:
    """Show a text, an image and a link."""
    return Shown.of(args)


@operation(ADDITIVE)
async def make_all(api: InkboxAPI, args: Showing) -> Shown:
    """Make something, and show the same."""
    return Shown.of(args)


class Counting(Args):
    """How far to count."""

    steps: int = 3
    message: Plain = "step"


class Counted(Result):
    """How far it came."""

    steps: int


@operation(READ_ONLY, reports=True)
async def count_steps(api: InkboxAPI, args: Counting) -> Counted:
    """Count, and report each step."""
    for step in range(1, args.steps + 1):
        await current().report(step, args.steps, f"{args.message} {step}")
    return Counted(steps=args.steps)


class Waiting(Args):
    """How long to wait."""

    seconds: float = 0.0
    stubborn: bool = False


class Waited(Result):
    """What came of it."""

    ended_early: bool
    looks: int


@operation(READ_ONLY, waits=lambda args: args.seconds, reports=True)
async def wait_for_nothing(api: InkboxAPI, args: Waiting) -> Waited:
    """Look again and again for what never happens."""
    call, looks = current(), 1
    await call.report(looks, message="looked")
    while await call.pause(0.02):
        looks += 1
        await call.report(looks, message="looked")
    if args.stubborn:
        await anyio.sleep_forever()
    return Waited(ended_early=call.remaining > 0, looks=looks)
