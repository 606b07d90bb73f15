"""The sandbox's page is for the people at this machine: other web pages neither read nor write, and no key is shown."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

from inkbox_mcp.sandbox import Generation, Store, create_app
from inkbox_mcp.settings.credentials import SANDBOX_KEY
from tests.sandbox.mail.people import Person, people
from tests.support.looking import ORIGIN, Onlooker, looking_at

PATHS = ("/", "/page/page.js", "/page/state", "/page/events", "/page/messages/x", "/page/nothing")
OURS = ("127.0.0.1:8800", "localhost:8800", "LOCALHOST:8800", "localhost.:8800", "[::1]:8800", "localhost")


@asynccontextmanager
async def alice_seen(store: Store, generation: Generation) -> AsyncGenerator[tuple[Person, Onlooker]]:
    """Make a mailbox, and look at it."""
    async with people(store, generation, "alice") as (alice,), looking_at(store, generation) as onlooker:
        yield alice, onlooker


@pytest.mark.parametrize(
    "host",
    [
        "evil.example", "127.0.0.1.evil.example", "evil.example:8800", "localhost@evil.example", "", "127.0.0.1:8800:1",
        "192.168.0.1", "0.0.0.0", "inkbox.internal", "localhost:8800, evil.example", "http://localhost", "2130706433",
    ],
)  # fmt: skip
async def test_a_name_that_was_rebound_to_this_machine_reads_nothing(host: str, store: Store) -> None:
    """On no path of the page, whatever the method."""
    async with looking_at(store) as onlooker:
        for path in PATHS:
            for method in ("GET", "POST"):
                answer = await onlooker.http.request(method, path, headers={"Host": host})
                assert answer.status_code == 421, (path, answer.text)
                assert answer.json() == {"detail": "Invalid Host header"}


@pytest.mark.parametrize("host", OURS)
async def test_this_machine_may_be_called_by_its_names(host: str, store: Store) -> None:
    """Whatever the port: it may be forwarded."""
    async with looking_at(store) as onlooker:
        for headers in ({"Host": host}, {"Host": host, "Origin": f"http://{host}"}):
            assert (await onlooker.http.get("/page/state", headers=headers)).status_code == 200


FOREIGN = (
    "https://evil.example", "null", "", "http://localhost", "http://127.0.0.1", "http://127.0.0.1:8801",
    "http://localhost:8800", "https://127.0.0.1:8800", "http://127.0.0.1:8800.evil.example", "http://127.0.0.1:8800/",
    "http://evil@127.0.0.1:8800", "file://", "chrome-extension://x",
)  # fmt: skip


@pytest.mark.parametrize("origin", FOREIGN)
async def test_pages_of_other_origins_neither_read_nor_write(origin: str, store: Store) -> None:
    """Also one of this machine on another port, or by another name."""
    async with alice_seen(store, "spec") as (alice, onlooker):
        form = {"from": "x@example.com", "to": [alice.address]}
        answer = await onlooker.http.post("/page/messages", json=form, headers={"Origin": origin})
        assert answer.status_code == 403
        for path in PATHS:
            answer = await onlooker.http.get(path, headers={"Origin": origin})
            assert answer.status_code == 403, path
        both = [("Origin", ORIGIN), ("Origin", origin)]
        assert (await onlooker.http.post("/page/messages", json=form, headers=both)).status_code == 403
        assert await alice.list() == []


async def test_a_form_without_an_origin_is_refused(store: Store) -> None:
    """Every browser names it; programs have `inkbox-mcp sandbox deliver`."""
    async with alice_seen(store, "spec") as (alice, onlooker):
        answer = await onlooker.http.post("/page/messages", json={"from": "x@example.com", "to": [alice.address]})
        assert answer.status_code == 403
        assert await alice.list() == []


@pytest.mark.parametrize("site", ["cross-site", "same-site", "nonsense"])
async def test_other_pages_cannot_use_what_they_cannot_read(site: str, store: Store) -> None:
    """As pictures and scripts, which browsers ask for without an Origin: each would hold a stream of events."""
    async with looking_at(store) as onlooker:
        for path in PATHS[1:]:
            assert (await onlooker.http.get(path, headers={"Sec-Fetch-Site": site})).status_code == 403, path
        for own in ("same-origin", "none"):
            assert (await onlooker.http.get("/page/state", headers={"Sec-Fetch-Site": own})).status_code == 200


@pytest.mark.parametrize("headers", [{"Host": "evil.example"}, {"Origin": "https://evil.example"}])
async def test_the_api_behind_it_refuses_web_pages_of_others_too(store: Store, headers: dict[str, str]) -> None:
    """Everybody knows a key that works, so that a page whose name leads to this machine could read mail with it."""
    async with alice_seen(store, "spec") as (alice, onlooker):
        key = {"X-API-Key": alice.client.headers["X-API-Key"]}
        for path in ("/api/v1/mail/mailboxes", "/sandbox/limits"):
            assert (await onlooker.http.get(path, headers=key)).status_code == 200
            assert (await onlooker.http.get(path, headers=key | headers)).status_code in {403, 421}


async def all_answers(onlooker: Onlooker, address: str) -> list[str]:
    """Return all that the page shows of a mailbox."""
    rows = await onlooker.rows(address)
    paths = ["/page/state", f"/page/mailboxes/{(await onlooker.mailbox(address))['id']}/messages"]
    for row in rows:
        message = f"/page/messages/{row['id']}"
        paths += [message, f"{message}/html", f"{message}/source", f"/page/threads/{row['thread_id']}"]
    return [(await onlooker.http.get(path)).text for path in paths]


async def test_no_answer_shows_a_key(store: Store) -> None:
    """Neither that of an organization nor one that signs what webhooks get, nor the secret of the attachments."""
    async with alice_seen(store, "identity") as (alice, onlooker):
        mailbox = await alice.ask("GET", "")
        body: dict[str, Any] = {"mailbox_id": mailbox["id"], "url": "https://example.com/hook"}
        body["event_types"] = ["message.received", "message.sent"]
        signing = (await alice.client.post("/api/v1/webhooks/subscriptions", json=body)).json()["signing_key"]
        await onlooker.write(alice.address, html="<p>Hello</p>")
        await alice.send("x@example.com")
        store.finish_deliveries()
        with store.reading() as connection:
            secret = connection.execute("SELECT secret FROM attachment_urls").fetchone()["secret"]
        shown = await all_answers(onlooker, alice.address)
    key = alice.client.headers["X-API-Key"]
    assert len(shown) == 10
    assert "https://example.com/hook" in shown[0]
    for hidden in (key, key.rpartition(".")[2], signing, signing.removeprefix("whsec_"), secret):
        assert len(hidden) > 10
        assert not [each for each in shown if hidden in each]


async def test_an_agent_is_shown_no_key_and_so_is_the_page(store: Store) -> None:
    """The sandbox's own key, in a mail, is replaced in what the agent sees."""
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=create_app(store)),
        base_url="http://sandbox",
        headers={"X-API-Key": SANDBOX_KEY},
    ) as client:
        body = {"agent_handle": "sales-agent", "email_local_part": "alice", "display_name": "Alice"}
        assert (await client.post("/api/v1/mail/mailboxes", json=body)).status_code == 201
    async with looking_at(store) as onlooker:
        receipt = await onlooker.write("alice@inkboxmail.com", text=f"Your key is {SANDBOX_KEY}.")
        message = await onlooker.see(f"messages/{receipt['delivered']['alice@inkboxmail.com']}")
    assert SANDBOX_KEY not in json.dumps(message["shown"])
    assert "[API key]" in message["shown"]["text"]


async def test_what_strangers_wrote_is_text_in_every_answer(store: Store) -> None:
    """JSON or plain text that no browser takes for a page; only the HTML of a mail is HTML, in a sandbox of its own."""
    evil = "</script><script>alert(1)</script><img src=https://evil.example/x>"
    async with alice_seen(store, "spec") as (alice, onlooker):
        form: dict[str, Any] = {"from": f'"{evil}" <a@example.com>', "subject": evil, "text": evil, "html": evil}
        await onlooker.write(alice.address, **form)
        (row,) = await onlooker.rows(alice.address)
        assert (row["subject"], row["from"]) == (evil, f"{evil} <a@example.com>")
        message = f"/page/messages/{row['id']}"
        for path in (message, f"{message}/source", f"{message}/html", f"/page/threads/{row['thread_id']}"):
            answer = await onlooker.http.get(path)
            kind, policy = answer.headers["content-type"], answer.headers["content-security-policy"]
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert "default-src 'none'" in policy
            assert "script-src" not in policy or "script-src 'self';" in policy
            assert kind.startswith("text/html") == path.endswith("/html")
            assert policy.startswith("sandbox;") == path.endswith("/html")
