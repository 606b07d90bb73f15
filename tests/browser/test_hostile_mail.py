"""Mail that attacks who looks at it runs nothing, asks for nothing, and goes nowhere."""

import html
from collections.abc import Generator
from email.message import EmailMessage
from socket import AF_INET, SHUT_RDWR, SOCK_STREAM, socket
from threading import Thread

import pytest
from playwright.async_api import Browser, Dialog, Error, Page, expect

from tests.support.viewers import Viewer, WatchedSandbox, mail, viewing

pytestmark = [pytest.mark.slow, pytest.mark.browser, pytest.mark.linux]

SUPPORT = "support@inkboxmail.com"
RUN = "top.pwned=1;parent.pwned=1;window.pwned=1;alert(1)"
MARKUP = f"<script>{RUN}</script><img src=x onerror={RUN}><svg onload={RUN}>"
TURNED = "\u202egnp.\u2066exe\u2069\u200b"

BODY = """
<html><head><base href="{trap}/base/" target="_top"><meta http-equiv="refresh" content="0; url={trap}/refresh">
<link rel="preconnect" href="{trap}"><link rel="dns-prefetch" href="{trap}"><link rel="prefetch" href="{trap}/prefetch">
<link rel="modulepreload" href="{trap}/module"><link rel="prerender" href="{trap}/prerender">
<link rel="stylesheet" href="{trap}/sheet"><link rel="icon" href="{trap}/icon">
<link rel="manifest" href="{trap}/manifest">
<style>@import "{trap}/import"; @font-face {{ font-family: f; src: url({trap}/font) }}
body {{ font-family: f; background: url({trap}/background) }}</style>
<script>{run}</script><script src="{trap}/script"></script>
<script type="speculationrules">{{"prerender": [{{"urls": ["{trap}/rules"]}}]}}</script></head>
<body onload="{run}" background="{trap}/attribute"><h1 id="h">Hello from a stranger</h1>
<img src="{trap}/picture" srcset="{trap}/set 2x" onerror="{run}"><picture><source srcset="{trap}/source"><img></picture>
<video src="{trap}/video" poster="{trap}/poster" autoplay></video><audio src="{trap}/audio" autoplay></audio>
<object data="{trap}/object"></object><embed src="{trap}/embed"><iframe src="{trap}/frame"></iframe>
<iframe srcdoc="&lt;script&gt;{run}&lt;/script&gt;"></iframe><iframe src="javascript:{run}"></iframe>
<svg onload="{run}"><image href="{trap}/svg"/><script>{run}</script><a href="javascript:{run}"><text>x</text></a></svg>
<math><a href="javascript:{run}">m</a></math><details open ontoggle="{run}"><summary>s</summary></details>
<form id="f" action="{trap}/form" target="_top"><input autofocus onfocus="{run}">
<button>Send the form</button></form>
<button form="f" formaction="javascript:{run}">Run the form</button>
<p><a href="javascript:{run}">Run</a> <a href="javascript:{run}" target="_top">Run above</a>
<a href="{trap}/top" target="_top">Leave above</a> <a href="{trap}/parent" target="_parent">Leave the parent</a>
<a href="{trap}/blank" target="_blank">Leave in a window</a>
<a href="data:text/html,{markup}" target="_top">Leave for data</a>
<a href="{trap}/here" target="_self" ping="{trap}/ping">Leave here</a></p>
<div style="position: fixed; inset: 0; background: url({trap}/cover)"></div></body></html>
"""
"""Whatever a mail could try. `trap` is a server that must not be reached."""
BLOCKED = ("Content Security Policy", "Blocked script execution", "Unsafe attempt", "sandboxed", "BLOCKED_BY_CSP")
"""What the browser says of it."""
LINKS = ("Run", "Run above", "Leave above", "Leave the parent", "Leave in a window", "Leave for data", "Leave here")


class Trap:
    """A server elsewhere.

    Attributes:
        url: of the server.
        connections: how many were opened to it.
    """

    def __init__(self, listener: socket) -> None:
        self._listener = listener
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self.connections = 0

    def run(self) -> None:
        """Take connections until the listener is shut down."""
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            connection.close()


@pytest.fixture
def trap() -> Generator[Trap]:
    """A server elsewhere, to which nothing has opened a connection at the end."""
    with socket(AF_INET, SOCK_STREAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        trap = Trap(listener)
        thread = Thread(target=trap.run)
        thread.start()
        try:
            yield trap
        finally:
            listener.shutdown(SHUT_RDWR)
            thread.join()
    assert trap.connections == 0


@pytest.fixture
async def attacked(sandbox: WatchedSandbox, trap: Trap) -> WatchedSandbox:
    """A sandbox with hostile mail."""
    async with sandbox.agent() as agent:
        name = MARKUP[:200]
        await agent.ask(
            "create_identity", agent_handle="support-bot", mailbox_display_name=name, mailbox_local_part="support"
        )
    sandbox.deliver(hostile(trap))
    return sandbox


def hostile(trap: Trap) -> EmailMessage:
    """Write the mail."""
    body = BODY.format(trap=trap.url, run=RUN, markup=html.escape(MARKUP))
    subject = f"Attack {MARKUP} {TURNED}{'W' * 300}"
    written = mail(SUPPORT, subject, f"{MARKUP}\n{TURNED}", body, f'"{MARKUP}" <eve@evil.example>')
    written["Reply-To"] = f'"{TURNED}{MARKUP}" <eve@evil.example>'
    written.add_attachment(b"x", maintype="text", subtype="html", filename=f"{MARKUP}{TURNED}.html")
    return written


async def attack(page: Page) -> None:
    """Click on everything in the frame."""
    frame = page.frame_locator("iframe")
    # Dispatched, since one of its elements covers the others.
    for name in LINKS:
        link = frame.get_by_role("link", name=name, exact=True)
        if await link.count():
            await link.dispatch_event("click")
    for name in ("Send the form", "Run the form"):
        button = frame.get_by_role("button", name=name)
        if await button.count():
            await button.dispatch_event("click")


async def test_hostile_mail_does_nothing(attacked: WatchedSandbox, trap: Trap, viewer: Viewer) -> None:
    """In every view, and when all of its links are clicked."""
    page = viewer.page
    dialogs: list[Dialog] = []
    page.on("dialog", lambda dialog: dialogs.append(dialog))
    page.context.on("page", lambda opened: viewer.faults.append(f"opened {opened.url}"))
    viewer.expected.extend(BLOCKED)
    await page.goto(attacked.url)
    await viewer.open_message("Attack")
    for name in ("As the agent sees it", "Text", "Source"):
        await viewer.choose_tab(name)
        await expect(page.get_by_role("tabpanel")).to_contain_text("<script>" if name != "Source" else "Subject:")
    await viewer.choose_tab("HTML")
    address = page.url
    await expect(page.frame_locator("iframe").get_by_text("Hello from a stranger")).to_be_visible()
    await attack(page)
    await viewer.choose_tab("Text")
    await expect(page.get_by_role("tabpanel")).to_contain_text("<script>")
    assert page.url.removesuffix("/text") == address.removesuffix("/html")
    assert await page.evaluate("window.length") == 0  # frames
    assert page.context.pages == [page]
    assert dialogs == []
    assert await page.evaluate("[window.pwned, document.title]") == [None, f"{SUPPORT} – Inkbox sandbox"]
    assert not [url for url in viewer.answered if not url.startswith((attacked.url, "data:image/svg"))]
    await page.get_by_role("link", name="Webhooks").click()
    await page.get_by_role("link", name="Tool calls").click()
    assert await page.evaluate("window.pwned") is None


async def test_what_turns_text_is_named(attacked: WatchedSandbox, viewer: Viewer) -> None:
    """A subject or a file's name does not look like another one."""
    page = viewer.page
    await page.goto(attacked.url)
    await viewer.open_message("Attack")
    await expect(page.locator("#message-heading")).to_contain_text("[U+202E]gnp.[U+2066]exe")
    assert "\u202e" not in await page.locator("main").inner_text()
    assert await page.locator("main :is(script, img, svg)").count() == 0


@pytest.mark.parametrize(
    "write",
    [
        "document.body.innerHTML = '<b>x'",
        "document.write('<b>x')",
        "document.createElement('script').text = '1'",
    ],
)
async def test_the_browser_lets_no_script_write_html(sandbox: WatchedSandbox, viewer: Viewer, write: str) -> None:
    """Whatever is changed in the page's own scripts: the policy refuses it."""
    viewer.expected.extend(("Trusted", "trusted"))
    await viewer.page.goto(sandbox.url)
    with pytest.raises(Error, match=r"Trusted|trusted|Content Security Policy"):
        await viewer.page.evaluate(f"() => {{ {write} }}")


@pytest.mark.parametrize("width", [1440, 390, 320])
async def test_hostile_mail_does_not_widen_the_page(attacked: WatchedSandbox, browser: Browser, width: int) -> None:
    """Long words break, whatever has them."""
    async with viewing(browser, width) as viewer:
        await viewer.page.goto(f"{attacked.url}#/")
        await viewer.rows("Mailbox").click()
        await viewer.open_message("Attack")
        for name in ("Text", "Source", "As the agent sees it"):
            await viewer.choose_tab(name)
            assert await viewer.page.evaluate("document.documentElement.scrollWidth") <= width
