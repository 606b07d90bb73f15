"""A sandbox as a process, agents that work on its file, and people who look at its page in a browser."""

import shutil
import socket
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path

import pytest
from playwright.async_api import Browser, Locator, Page, Request, async_playwright, expect

from inkbox_mcp.sandbox import Store
from tests.support.agents import Agent
from tests.support.processes import PATIENCE, Running, start, stdio_agent

ANN = "Ann Lee <ann@example.org>"
WIDTHS = {1440: 900, 834: 1112, 390: 844, 320: 640}
"""The widths of a desk, a tablet and two phones in pixels, with their heights."""

_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_OPTIONS = (
    "--no-sandbox",  # it cannot be had by root, as whom checks often run; what is opened here is ours
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


@asynccontextmanager
async def browsing() -> AsyncGenerator[Browser]:
    """Start a browser, or skip the test."""
    found = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if found is None:
        pytest.skip("NOT CHECKED: there is no chromium, so nobody has looked at the page")
    expect.set_options(timeout=PATIENCE * 1000)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=found, args=_OPTIONS)
        yield browser
        await browser.close()


@dataclass(frozen=True)
class WatchedSandbox:
    """A sandbox that runs, with its page."""

    process: Running
    url: str
    database: Path
    generation: str

    def agent(self) -> AbstractAsyncContextManager[Agent]:
        """Start a client's server on the same file."""
        home = self.database.parent
        options = ("--sandbox", "--sandbox-db", str(self.database), "--sandbox-generation", self.generation)
        return stdio_agent(*options, home=home)

    def deliver(self, *mails: EmailMessage) -> list[str]:
        """Let mails come in by another process's way, and return the ids of the messages."""
        with Store(self.database) as store:
            return [message_id for mail in mails for message_id in store.deliver(bytes(mail))[0].values()]


def mail(
    to: str,
    subject: str = "Hello",
    text: str = "How are you?",
    html: str | None = None,
    sender: str = ANN,
) -> EmailMessage:
    """Write a mail from outside."""
    written = EmailMessage()
    for name, value in {"From": sender, "To": to, "Subject": subject}.items():
        written[name] = value
    written.set_content(text)
    if html is not None:
        written.add_alternative(html, subtype="html")
    return written


def free_port() -> int:
    """Return a port that was free just now, for a server that is to come back on it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@asynccontextmanager
async def watched_sandbox(
    folder: Path, port: int = 0, generation: str = "spec", name: str = "sandbox.db"
) -> AsyncGenerator[WatchedSandbox]:
    """Start a sandbox on a file in this folder, or `:memory:`."""
    database = Path(name) if name == ":memory:" else folder / name
    options = ("--port", str(port), "--db", str(database), "--generation", generation)
    async with start("sandbox", *options, home=folder) as process:
        while "its mailboxes and their mail: " not in (line := await process.line()):
            pass
        yield WatchedSandbox(process, line.strip().partition("mail: ")[2], database, generation)


@dataclass
class Viewer:
    """A person who looks at the page.

    Attributes:
        page: the tab.
        requests: what it asked for, and what it was kept from asking for.
        answered: the URLs of what it got.
        faults: what the browser complained about, and what the script did not catch.
        expected: parts of the faults that a test causes.
    """

    page: Page
    requests: list[Request] = field(default_factory=list[Request])
    answered: list[str] = field(default_factory=list[str])
    faults: list[str] = field(default_factory=list[str])
    expected: list[str] = field(default_factory=list[str])

    def rows(self, name: str = "Mail") -> Locator:
        """Return the links of a list, by the id that it has."""
        return self.page.locator(f"#{name.lower()}-rows a")

    async def open_mailbox(self, name: str) -> None:
        """Choose a mailbox by a part of its name."""
        await self.rows("Mailbox").filter(has_text=name).click()

    async def open_message(self, subject: str) -> None:
        """Choose a message by a part of its subject, and wait until it is shown."""
        await self.rows().filter(has_text=subject).first.click()
        await self.page.locator("#message-heading").filter(has_text=subject[:20]).wait_for()

    async def choose_tab(self, name: str) -> None:
        """Choose how a message is shown."""
        await self.page.get_by_role("tab", name=name).click()


@asynccontextmanager
async def viewing(browser: Browser, width: int = 1440, scheme: str = "light") -> AsyncGenerator[Viewer]:
    """Let a person look, and check at the end that nothing went wrong in the browser."""
    context = await browser.new_context(
        viewport={"width": width, "height": WIDTHS[width]},
        color_scheme="dark" if scheme == "dark" else "light",
        reduced_motion="reduce",
    )
    context.set_default_timeout(PATIENCE * 1000)
    page = await context.new_page()
    viewer = Viewer(page)
    page.on("request", lambda request: viewer.requests.append(request))
    page.on("response", lambda response: viewer.answered.append(response.url))
    page.on("pageerror", lambda error: viewer.faults.append(str(error)))
    page.on("console", lambda said: viewer.faults.append(said.text) if said.type == "error" else None)
    yield viewer
    await context.close()
    unexpected = [fault for fault in viewer.faults if not any(part in fault for part in viewer.expected)]
    assert not unexpected, unexpected
