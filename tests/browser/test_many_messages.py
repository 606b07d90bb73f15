"""A mailbox with 1,000 messages, and bursts of mail: the page asks for little, and keeps its place."""

import signal
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, Request, expect

from tests.support.viewers import Viewer, WatchedSandbox, free_port, mail, viewing, watched_sandbox

pytestmark = [pytest.mark.slow, pytest.mark.browser, pytest.mark.linux]

SUPPORT = "support@inkboxmail.com"
MANY, PAGE = 1000, 100
MOST_ELEMENTS_OF_A_ROW = 16


class InFlight:
    """Counts the requests for JSON that are in flight at once, by what they ask for."""

    def __init__(self, viewer: Viewer) -> None:
        self._now: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.all: Counter[str] = Counter()
        viewer.page.on("request", self._begin)
        viewer.page.on("requestfinished", self._end)

    def _kind(self, request: Request) -> str:
        address = urlsplit(request.url)
        return "/older" if "cursor" in address.query else "/" + address.path.rpartition("/")[2]

    def _begin(self, request: Request) -> None:
        kind = self._kind(request)
        self.all[kind] += 1
        self._now[kind] += 1
        self.most[kind] = max(self.most[kind], self._now[kind])

    def _end(self, request: Request) -> None:
        self._now[self._kind(request)] -= 1


async def make_mailbox(sandbox: WatchedSandbox) -> None:
    """Make an agent's mailbox."""
    async with sandbox.agent() as agent:
        await agent.ask("create_identity", agent_handle="support-bot", mailbox_local_part="support")


async def subjects(viewer: Viewer) -> list[str]:
    """Return the subjects of all rows, from the top."""
    return await viewer.page.locator("#mail-rows .subject").all_text_contents()


async def scroll_to_the_end(viewer: Viewer, rows: int) -> None:
    """Scroll until so many rows are there, as a person does who looks for something old."""
    await expect(viewer.rows().first).to_be_visible()
    while (count := await viewer.rows().count()) < rows:
        await viewer.rows().last.scroll_into_view_if_needed()
        await expect(viewer.rows()).not_to_have_count(count)


async def test_a_large_mailbox_comes_by_pages(sandbox: WatchedSandbox, viewer: Viewer) -> None:
    """As they are scrolled to, in their order; then new mail takes one request, and moves nothing."""
    page = viewer.page
    await make_mailbox(sandbox)
    sandbox.deliver(*(mail(SUPPORT, f"Number {number}") for number in range(MANY)))
    await page.goto(sandbox.url)
    await expect(viewer.rows()).to_have_count(PAGE)
    elements = await page.locator("#mail-rows *").count()
    assert elements <= PAGE * MOST_ELEMENTS_OF_A_ROW
    in_flight = InFlight(viewer)
    await scroll_to_the_end(viewer, MANY)
    assert await subjects(viewer) == [f"Number {number}" for number in reversed(range(MANY))]
    assert in_flight.all == {"/older": MANY // PAGE - 1}
    assert await page.locator("#mail-rows *").count() <= MANY * MOST_ELEMENTS_OF_A_ROW

    watched = viewer.rows().filter(has_text="Number 300")
    await watched.scroll_into_view_if_needed()
    await watched.focus()
    before = await watched.bounding_box()
    sandbox.deliver(mail(SUPPORT, "New"))
    await expect(viewer.rows()).to_have_count(MANY + 1)
    assert await watched.bounding_box() == before
    await expect(watched).to_be_focused()
    assert (await subjects(viewer))[:2] == ["New", f"Number {MANY - 1}"]


async def test_bursts_lead_to_few_requests(sandbox: WatchedSandbox, viewer: Viewer) -> None:
    """Never two for the same at once; what new mail pushes out of the first page stays in its place."""
    page = viewer.page
    await make_mailbox(sandbox)
    sandbox.deliver(*(mail(SUPPORT, f"Number {number}") for number in range(150)))
    await page.goto(sandbox.url)
    await scroll_to_the_end(viewer, 150)
    in_flight = InFlight(viewer)
    for burst in range(4):
        sandbox.deliver(*(mail(SUPPORT, f"Number {150 + 60 * burst + number}") for number in range(60)))
        await expect(viewer.rows().first).to_contain_text(f"Number {209 + 60 * burst}")
    assert await subjects(viewer) == [f"Number {number}" for number in reversed(range(390))]
    assert set(in_flight.most) <= {"/state", "/messages", "/older"}
    assert set(in_flight.most.values()) == {1}
    assert in_flight.all["/messages"] <= 240 // 4


async def test_more_mail_than_a_page_leaves_no_gap(tmp_path: Path, browser: Browser) -> None:
    """As after a connection that was lost for long."""
    port = free_port()
    async with viewing(browser) as viewer:
        viewer.expected.append("ERR_")
        async with watched_sandbox(tmp_path, port) as sandbox:
            await make_mailbox(sandbox)
            sandbox.deliver(*(mail(SUPPORT, f"Number {number}") for number in range(120)))
            await viewer.page.goto(sandbox.url)
            await scroll_to_the_end(viewer, 120)
            sandbox.process.signal(signal.SIGTERM)
            await sandbox.process.end()
        sandbox.deliver(*(mail(SUPPORT, f"Number {number}") for number in range(120, 370)))
        async with watched_sandbox(tmp_path, port):
            await expect(viewer.rows().first).to_contain_text("Number 369")
            sandbox.deliver(mail(SUPPORT, "Number 370"))
            await expect(viewer.rows().first).to_contain_text("Number 370")
            await scroll_to_the_end(viewer, 371)
            assert await subjects(viewer) == [f"Number {number}" for number in reversed(range(371))]


async def test_changes_below_are_seen_where_one_looks(sandbox: WatchedSandbox, viewer: Viewer) -> None:
    """A message that is read or deleted changes, also far below the first page."""
    await make_mailbox(sandbox)
    ids = sandbox.deliver(*(mail(SUPPORT, f"Number {number}") for number in range(250)))
    await viewer.page.goto(sandbox.url)
    await scroll_to_the_end(viewer, 250)
    old = viewer.rows().filter(has_text="Number 7").last
    await old.scroll_into_view_if_needed()
    await expect(old).to_contain_text("Unread")
    async with sandbox.agent() as agent:
        await agent.ask("update_messages", email_address="support", message_ids=[ids[7]], is_read=True)
        await expect(old).not_to_contain_text("Unread")
        await agent.ask("delete_message", email_address="support", message_id=ids[8])
        await expect(viewer.rows()).to_have_count(249)
    kept = [f"Number {number}" for number in reversed(range(250)) if number != 8]
    assert await subjects(viewer) == kept


async def test_new_mail_is_at_the_top_and_one_by_one_by_keyboard(sandbox: WatchedSandbox, browser: Browser) -> None:
    """On a phone, too: what one reads stays open, and the way back leads to a list that has the new mail."""
    await make_mailbox(sandbox)
    sandbox.deliver(mail(SUPPORT, "First"))
    async with viewing(browser, 390) as viewer:
        page = viewer.page
        await page.goto(sandbox.url)
        await viewer.rows("Mailbox").click()
        await viewer.open_message("First")
        await expect(viewer.rows().first).to_be_hidden()
        sandbox.deliver(mail(SUPPORT, "Second"))
        await expect(page.locator("#announcer")).to_have_text("New mail from Ann Lee: Second")
        await expect(page.locator("#message-heading")).to_have_text("First")
        await page.get_by_role("link", name="Mail", exact=True).click()
        await expect(viewer.rows().first).to_contain_text("Second")
        await expect(viewer.rows().filter(has_text="First")).to_be_focused()
        await page.get_by_role("main").get_by_role("link", name="Mailboxes").click()
        await expect(viewer.rows("Mailbox")).to_be_focused()
