"""Which requests are the page's, and what each of its answers has."""

import sqlite3
import threading
from importlib.resources import files
from pathlib import Path

import pytest

from inkbox_mcp.sandbox import Store
from tests.sandbox.mail.people import Person, people
from tests.support.looking import ORIGIN, Onlooker, looking_at

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:;"
    " frame-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none';"
    " require-trusted-types-for 'script'; trusted-types 'none'"
)
GUARDS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}


async def test_every_answer_is_guarded(alice: Person, onlooker: Onlooker) -> None:
    """Also refusals, and what is not there."""
    await onlooker.write(alice.address)
    (row,) = await onlooker.rows(alice.address)
    for path in ("state", f"messages/{row['id']}", f"messages/{row['id']}/source", "nothing", "messages/1"):
        headers = (await onlooker.http.get(f"/page/{path}")).headers
        assert {name: headers[name] for name in GUARDS} == GUARDS, path
    for answer in (
        await onlooker.http.get("/", headers={"Host": "evil.example"}),
        await onlooker.http.get("/page/state", headers={"Origin": "https://evil.example"}),
        await onlooker.http.post("/page/messages"),
        await onlooker.http.delete("/page/state"),
    ):
        assert answer.status_code >= 400
        assert {name: answer.headers[name] for name in GUARDS} == GUARDS
        assert set(answer.json()) == {"detail"}


async def test_the_files_of_the_page_are_served(onlooker: Onlooker) -> None:
    """As what they are, to be asked for again each time: another release may be on this port the next time."""
    kinds = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
    served = [*(files("inkbox_mcp.commands.page") / "static").iterdir()]
    assert {Path(file.name).suffix for file in served} == kinds.keys()
    for file in served:
        answer = await onlooker.http.get("/" if file.name == "page.html" else f"/page/{file.name}")
        assert answer.content == file.read_bytes()
        assert answer.headers["content-type"] == f"{kinds[Path(file.name).suffix]}; charset=utf-8"
        assert {name: answer.headers[name] for name in GUARDS} == GUARDS


async def test_the_api_is_served_beside_the_page(alice: Person, onlooker: Onlooker) -> None:
    """With its own headers."""
    for path in ("/openapi.json", "/api/v1/mail/mailboxes", "/page", "/pages", "/sandbox/limits"):
        answer = await onlooker.http.get(path)
        beside = await alice.without_key().get(path)
        assert (answer.status_code, answer.content) == (beside.status_code, beside.content)
        assert "content-security-policy" not in answer.headers


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/"),
        ("POST", "/page/state"),
        ("GET", "/page/messages"),
        ("PUT", "/page/messages"),
        ("DELETE", "/page/events"),
    ],
)
async def test_other_methods_are_refused(onlooker: Onlooker, method: str, path: str) -> None:
    """With those that are allowed."""
    answer = await onlooker.http.request(method, path, headers={"Origin": ORIGIN})
    assert answer.status_code == 405
    assert answer.headers["allow"]
    assert answer.json()["detail"].endswith(".")


async def test_a_path_has_one_spelling(onlooker: Onlooker) -> None:
    """No redirect repeats the Host of a request."""
    for path in ("/page/state/", "/page//state", "/page/STATE", "/page/%2e%2e/state"):
        assert (await onlooker.http.get(path)).status_code == 404, path


async def test_a_database_that_is_busy_for_too_long_is_said() -> None:
    """Of `:memory:` there is one connection, which another thread may have."""
    with Store(":memory:", busy_timeout=0.05) as store:
        begun, ended = threading.Event(), threading.Event()

        def write() -> None:
            with store.transaction():
                begun.set()
                ended.wait(20)

        writer = threading.Thread(target=write)
        writer.start()
        begun.wait(20)
        async with looking_at(store) as onlooker:
            try:
                assert await onlooker.see("state", 503) == {"detail": "The database is busy; try again."}
            finally:
                ended.set()
                writer.join()
            await onlooker.see("state")


async def test_a_full_disk_is_said(tmp_path: Path) -> None:
    """In a sentence, as other reasons; what is there can still be read."""
    with Store(tmp_path / "x.db") as store:
        async with people(store, "spec", "alice") as (alice,), looking_at(store) as onlooker:
            with store.transaction() as connection:
                connection.execute("PRAGMA max_page_count = 1")
            answer = await onlooker.write(alice.address, text="x" * 1_000_000, status=500)
            assert answer == {"detail": "The sandbox's database cannot be used: database or disk is full."}
            assert await onlooker.rows(alice.address) == []


async def test_other_faults_of_the_database_are_not_hidden(store: Store) -> None:
    """They are no reason to try again."""
    with store.transaction() as connection:
        connection.execute("DROP TABLE calls")
    async with looking_at(store) as onlooker:
        with pytest.raises(sqlite3.OperationalError, match="no such table"):
            await onlooker.see("state")
