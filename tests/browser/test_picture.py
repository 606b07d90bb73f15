"""The picture of the page in the documents."""

import os
import re
import struct
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from tests.sandbox.mail.webhook_receiver import receiving
from tests.support.shown_mailboxes import SUPPORT, fill
from tests.support.viewers import WatchedSandbox, viewing

pytestmark = [pytest.mark.slow, pytest.mark.browser, pytest.mark.linux]

PICTURE = Path(__file__).parent.parent.parent / "docs" / "page.png"
SIZE = WIDTH, HEIGHT = 1340, 860
MOST_BYTES = 200_000


async def test_the_picture_shows_the_page(sandbox: WatchedSandbox, browser: Browser) -> None:
    """Run with UPDATE_SNAPSHOTS=1 to take it: a message with a code, among a conversation and a bounce."""
    with receiving() as receiver:
        async with sandbox.agent() as agent, viewing(browser) as viewer:
            await fill(sandbox, agent, receiver.url)
            await viewer.page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
            await viewer.page.goto(f"{sandbox.url}#/")
            await viewer.open_mailbox(SUPPORT)
            await viewer.open_message("Your sign-in code")
            await expect(viewer.page.get_by_role("tabpanel")).to_contain_text("482 913")
            waiting = viewer.page.locator("#activity-rows").get_by_text(re.compile("pending|sending"))
            await expect(waiting).to_have_count(0)
            await viewer.page.locator("#message-heading").blur()
            taken = await viewer.page.screenshot()
    if os.environ.get("UPDATE_SNAPSHOTS"):
        PICTURE.write_bytes(taken)
    kept = PICTURE.read_bytes()
    for picture in (taken, kept):
        assert struct.unpack(">II", picture[16:24]) == SIZE
    assert len(kept) <= MOST_BYTES
