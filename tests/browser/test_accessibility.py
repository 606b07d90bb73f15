"""Everybody can use the page: axe-core finds nothing serious, it fits a small screen, and the keyboard is enough."""

from collections.abc import AsyncGenerator
from typing import Any

import pytest
from playwright.async_api import Browser, expect

from tests.sandbox.mail.webhook_receiver import receiving
from tests.support.node import AXE, npm_folder
from tests.support.shown_mailboxes import SUPPORT, fill
from tests.support.viewers import Viewer, WatchedSandbox, viewing, watched_sandbox

pytestmark = [pytest.mark.slow, pytest.mark.browser, pytest.mark.linux]

TABS = ("As the agent sees it", "Text", "HTML", "Source")
JUDGE = """async () => {
  const judged = await axe.run(document, { iframes: false, resultTypes: ["violations"] });
  return judged.violations.map(({ id, impact, nodes }) => [impact, id, nodes.map((node) => node.html)]);
}"""
"""The frames are not judged: what is in them, strangers wrote."""


@pytest.fixture(scope="module")
def axe(pytestconfig: pytest.Config) -> str:
    """The script of axe-core, installed once in pytest's cache."""
    folder = npm_folder(pytestconfig, "npm-axe", AXE)
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
async def filled(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[WatchedSandbox]:
    """A sandbox with mailboxes; the tests only read it."""
    with receiving() as receiver:
        async with watched_sandbox(tmp_path_factory.mktemp("filled")) as sandbox, sandbox.agent() as agent:
            await fill(sandbox, agent, receiver.url)
            yield sandbox


@pytest.fixture(scope="module")
async def empty(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[WatchedSandbox]:
    """A sandbox in which nothing is."""
    async with watched_sandbox(tmp_path_factory.mktemp("empty")) as sandbox:
        yield sandbox


async def views(viewer: Viewer, filled: WatchedSandbox, empty: WatchedSandbox) -> AsyncGenerator[str]:
    """Go through all views, and yield the name of each."""
    page = viewer.page
    for name, heading in {"": "No mailbox yet", "#/webhooks": "No webhooks", "#/calls": "No tool calls yet"}.items():
        await page.goto(f"{empty.url}{name}")
        await expect(page.get_by_text(heading, exact=True)).to_be_visible()
        yield heading
    await page.goto(f"{filled.url}#/")
    await expect(viewer.rows("Mailbox")).to_have_count(3)
    yield "mailboxes"
    await viewer.open_mailbox(SUPPORT)
    await expect(viewer.rows().first).to_be_visible()
    yield "mail"
    await viewer.open_message("Your sign-in code")
    for name in TABS:
        await viewer.choose_tab(name)
        yield name
    await page.goto(f"{filled.url}#/webhooks")
    await expect(page.locator("#delivery-rows li").first).to_be_visible()
    yield "webhooks"
    await page.goto(f"{filled.url}#/calls")
    await expect(page.locator("#call-rows li").first).to_be_visible()
    yield "calls"
    await page.keyboard.press("c")
    await expect(page.get_by_role("dialog")).to_be_visible()
    yield "form"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 834, 390])
async def test_axe_finds_nothing_serious(
    filled: WatchedSandbox, empty: WatchedSandbox, browser: Browser, axe: str, width: int, scheme: str
) -> None:
    """In every view, colour scheme and width."""
    async with viewing(browser, width, scheme) as viewer:
        found: dict[str, Any] = {}
        async for name in views(viewer, filled, empty):
            await viewer.page.evaluate(axe)
            judged: list[Any] = await viewer.page.evaluate(JUDGE)
            found[name] = [violation for violation in judged if violation[0] in {"serious", "critical"}]
        assert {name: violations for name, violations in found.items() if violations} == {}


@pytest.mark.parametrize("width", [1440, 834, 390, 320])
async def test_no_view_is_wider_than_the_screen(
    filled: WatchedSandbox, empty: WatchedSandbox, browser: Browser, width: int
) -> None:
    """Nobody has to scroll sideways."""
    async with viewing(browser, width) as viewer:
        wide: list[str] = []
        async for name in views(viewer, filled, empty):
            widest: int = await viewer.page.evaluate(
                "Math.max(...[document.documentElement, ...document.querySelectorAll('.pane, .scroll, dialog[open]')]"
                ".map((each) => each.scrollWidth - each.clientWidth))"
            )
            if widest > 0:
                wide.append(f"{name}: {widest} px")
        assert wide == []


async def test_the_keyboard_is_enough(filled: WatchedSandbox, viewer: Viewer) -> None:
    """To open a mailbox and a message, to see all of its forms, to go back, and to write."""
    page = viewer.page
    press = page.keyboard.press
    focused = page.locator(":focus")
    await page.goto(f"{filled.url}#/")
    await expect(viewer.rows("Mailbox")).to_have_count(3)
    await press("Tab")
    await expect(focused).to_have_text("Skip to the content")
    await press("Enter")
    await expect(focused).to_have_id("main")
    await press("j")
    await expect(focused).to_contain_text("Support")
    await press("ArrowDown")
    await expect(focused).to_contain_text("Billing desk")
    await press("k")
    await press("Enter")
    await expect(focused).to_have_id("mail-heading")
    await expect(viewer.rows().first).to_be_visible()
    await press("j")
    await press("ArrowDown")
    await expect(focused).to_contain_text("Your sign-in code")
    await press("Enter")
    await expect(page.locator("#message-heading")).to_be_focused()
    await expect(page.locator("#message-heading")).to_have_text("Your sign-in code")
    await press("Tab")
    for name in (*TABS[1:], TABS[0]):
        await press("ArrowRight")
        await expect(focused).to_have_text(name)
        await expect(focused).to_have_attribute("aria-selected", "true")
        await expect(page.get_by_role("tabpanel", name=name)).to_be_visible()
    await press("End")
    await expect(focused).to_have_text("Source")
    await press("Tab")
    await expect(page.get_by_role("tabpanel")).to_be_focused()
    await press("Escape")
    await expect(page.locator("#mail-rows a:focus")).to_contain_text("Your sign-in code")
    await press("Escape")
    await expect(page.locator("#mailbox-rows a:focus")).to_contain_text("Support")
    await press("c")
    await expect(focused).to_have_id("from")
    await press("Escape")
    await expect(page.get_by_role("dialog")).to_be_hidden()


async def test_a_letter_is_written_by_keyboard(sandbox: WatchedSandbox, viewer: Viewer) -> None:
    """From the page that is just opened to the mail in the list."""
    page = viewer.page
    async with sandbox.agent() as agent:
        await agent.ask("create_identity", agent_handle="support-bot", mailbox_local_part="support")
    await page.goto(sandbox.url)
    await expect(viewer.rows("Mailbox")).to_have_count(1)
    await page.keyboard.press("c")
    for text in ("", "", "Order 12"):
        await page.keyboard.type(text)
        await page.keyboard.press("Tab")
    await page.keyboard.type("Where is it? j k c")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await expect(viewer.rows()).to_contain_text("Order 12")
    await expect(viewer.rows()).to_contain_text("Where is it? j k c")
