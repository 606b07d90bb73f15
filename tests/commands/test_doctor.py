"""The doctor command: the problems that it finds, and the fixes that it suggests."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream

from inkbox_mcp.commands.checks import Check, as_json, as_text
from inkbox_mcp.commands.doctor import examine
from inkbox_mcp.settings.options import Settings
from tests.support.agents import KEY
from tests.support.alike import BOTH
from tests.support.faults import Fault, faulty_inkbox, refusal
from tests.support.processes import run

pytestmark = pytest.mark.posix


async def found(settings: dict[str, object], sources: dict[str, str] | None = None) -> dict[str, Check]:
    """Run the checks and return them by name."""
    return {check.name: check for check in await examine(Settings.model_validate(settings), sources or {})}


@BOTH
async def test_a_sound_set_up_is_told_in_full(generation: str) -> None:
    """The report covers versions, options, organization, expiry, generation and tools."""
    checks = await found({"sandbox": True, "sandbox_db": ":memory:", "sandbox_generation": generation})
    assert all(check.ok for check in checks.values())
    assert set(checks) == {"versions", "options", "API", "organization", "expiry", "generation", "tools"}
    assert "admin_scoped" in checks["organization"].found
    assert checks["generation"].found.startswith(generation)
    assert as_text(list(checks.values())).endswith("All checks passed.\n")


async def test_every_step_on_the_way_to_the_api_is_timed() -> None:
    """The report times DNS and TCP first, then a request to the API."""
    async with faulty_inkbox() as inkbox:
        checks = await found({"api_key": KEY, "base_url": inkbox.url.replace("127.0.0.1", "localhost")})
    assert all(check.ok for check in checks.values())
    for name in ("DNS", "TCP", "API"):
        assert checks[name].found.endswith(" ms")


@pytest.mark.parametrize(
    ("settings", "name", "fix"),
    [
        ({}, "key", "INKBOX_API_KEY"),
        ({"api_key": "sk-123"}, "key", "create a key in the Inkbox console"),
        (
            {"api_key": KEY, "base_url": "https://no-such-host.invalid"},
            "DNS",
            "check the spelling of no-such-host.invalid",
        ),
        ({"api_key": KEY, "base_url": "http://127.0.0.1:1"}, "TCP", "firewall"),
        ({"sandbox": True, "sandbox_db": "/dev/null/x"}, "API", "--sandbox-db"),
        (
            {"sandbox": True, "sandbox_db": ":memory:", "tools": "get_mailbox", "exclude_tools": "get_mailbox"},
            "tools",
            "--tools",
        ),
    ],
)
async def test_what_is_wrong_is_named_with_its_fix(settings: dict[str, object], name: str, fix: str) -> None:
    """Each failed check gets one line with its fix."""
    checks = await found(settings)
    assert not checks[name].ok
    assert fix in checks[name].fix
    assert f"→ {checks[name].fix}" in as_text(list(checks.values()))


async def test_a_server_without_tls_is_told_from_one_that_is_down() -> None:
    """A server without TLS accepts the TCP connection, but the TLS handshake fails."""

    async def hang_up(stream: SocketStream) -> None:
        async with stream:
            await stream.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, hang_up)
        port = listener.extra(SocketAttribute.local_port)
        checks = await found({"api_key": KEY, "base_url": f"https://127.0.0.1:{port}"})
        assert checks["TCP"].ok
        assert not checks["TLS"].ok
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("status", "says"), [(401, "valid key"), (403, "organization"), (404, "INKBOX_BASE_URL"), (503, "try again")]
)
async def test_a_refusal_of_the_api_is_explained(status: int, says: str) -> None:
    """The reader is the user, so the text must not contain "tell the user"."""
    async with faulty_inkbox() as inkbox:
        inkbox.fails(*[Fault(answers=refusal(status))] * 3)
        checks = await found({"api_key": KEY, "base_url": inkbox.url})
    assert not checks["API"].ok
    assert says in checks["API"].fix
    assert "ell the user" not in checks["API"].fix


@pytest.mark.parametrize("iso", [False, True])
@pytest.mark.parametrize(("seconds", "ok"), [(3600, True), (-3600, False)])
async def test_an_expired_key_is_red(seconds: int, ok: bool, iso: bool) -> None:
    """The API writes the time as a number or as ISO 8601, depending on its generation; both are shown as a date."""
    at = time.time() + seconds
    expires_at = datetime.fromtimestamp(at, UTC).isoformat() if iso else at
    body = json.dumps({"organization_id": "org_1", "expires_at": expires_at}).encode()
    async with faulty_inkbox() as inkbox:
        inkbox.fails(Fault(answers=refusal(200, body=body)))
        checks = await found({"api_key": KEY, "base_url": inkbox.url})
    assert checks["expiry"].ok is ok
    assert "UTC" in checks["expiry"].found


UNREADABLE = [
    *("1e400", "-1e400", "1e18", "-1e18", "true", "false", "[]", "[1]", "{}", '""', '"soon"', '"10000-01-01"'),
    *('"+99999-01-01T00:00Z"', '"0000-00-00"', '"1900000000"', '"9999-12-31T23:59:59-14:00"'),
]


@pytest.mark.parametrize("expires_at", UNREADABLE)
async def test_a_time_that_is_none_is_unreadable_and_no_more(expires_at: str) -> None:
    """An unreadable time must not hide the rest of the answer."""
    body = f'{{"organization_id": "org_1", "expires_at": {expires_at}}}'.encode()
    async with faulty_inkbox() as inkbox:
        inkbox.fails(Fault(answers=refusal(200, body=body)))
        checks = await found({"api_key": KEY, "base_url": inkbox.url})
    assert not checks["expiry"].ok
    assert checks["expiry"].found.startswith("unreadable: ")
    assert checks["organization"].found.startswith("org_1")
    assert as_text(list(checks.values()))


@pytest.mark.parametrize(
    "expires_at", ["4102444800", "4102444800.5", '"2100-01-01"', '"2100-01-01T00:00:00"', '"2100-01-01T00:00:00Z"']
)
async def test_a_time_without_a_zone_is_utc(expires_at: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The result does not depend on the machine's own time zone."""
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    time.tzset()
    try:
        body = f'{{"organization_id": "org_1", "expires_at": {expires_at}}}'.encode()
        async with faulty_inkbox() as inkbox:
            inkbox.fails(Fault(answers=refusal(200, body=body)))
            checks = await found({"api_key": KEY, "base_url": inkbox.url})
    finally:
        monkeypatch.undo()
        time.tzset()
    assert checks["expiry"] == Check("expiry", True, "2100-01-01 00:00 UTC", checks["expiry"].fix)


ESCAPES = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e\r\nok  everything  fine\u2028\x00"


@pytest.mark.parametrize("field", ["organization_id", "auth_subtype", "expires_at"])
async def test_what_an_answer_says_to_a_terminal_is_not_passed_on(field: str) -> None:
    """Escape sequences and line breaks in an answer must not reach the terminal."""
    body = json.dumps({"organization_id": "org_1", field: f"a{ESCAPES}z"}).encode()
    async with faulty_inkbox() as inkbox:
        inkbox.fails(Fault(answers=refusal(200, body=body)))
        checks = list((await found({"api_key": KEY, "base_url": inkbox.url})).values())
    plain = as_text(checks)
    assert plain.replace("\n", "").isprintable()
    assert not any(line.startswith("ok  everything") for line in plain.splitlines())
    assert all(check["found"].replace("\n", "").isprintable() for check in json.loads(as_json(checks))["checks"])


async def test_what_an_option_says_to_a_terminal_is_not_passed_on(tmp_path: Path) -> None:
    """The environment may come from a file that other people wrote."""
    handle = f"a{ESCAPES}z".replace("\x00", "")
    written = as_text(
        list((await found({"sandbox": True, "sandbox_db": ":memory:", "allow_handles": handle})).values())
    )
    assert written.replace("\n", "").isprintable()
    ended = await run("doctor", f"--{handle}", home=tmp_path)
    assert ended.stderr.replace("\n", "").isprintable()
    assert ended.stderr.count("\n") == 1


async def test_options_are_shown_with_their_source_and_the_key_only_by_its_beginning() -> None:
    """The beginning of a key is enough to distinguish it from another one."""
    checks = await found(
        {"api_key": KEY, "timeout": 5, "sandbox": True, "sandbox_db": ":memory:"},
        {"api_key": "X", "timeout": "--timeout"},
    )
    assert "timeout = 5.0  (--timeout)" in checks["options"].found
    assert f"api_key = {KEY[:11]}…  (X)" in checks["options"].found
    for rendered in (as_text(list(checks.values())), as_json(list(checks.values()))):
        assert KEY not in rendered
        assert KEY[7:20] not in rendered


async def test_behind_a_proxy_only_the_whole_way_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the proxy may be able to resolve and reach the API, so the single steps would fail."""
    monkeypatch.setenv("HTTPS_PROXY", "http://user:secret@proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", "")
    checks = await found({"api_key": KEY, "base_url": "https://inkbox.example", "timeout": 2})
    assert checks["network"].found == "through the proxy proxy.example"
    assert "DNS" not in checks


async def test_what_is_no_proxy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The report names the problem without showing the proxy's password."""
    monkeypatch.setenv("HTTPS_PROXY", "ftp://user:secret@proxy.example")
    monkeypatch.setenv("NO_PROXY", "")
    checks = await found({"api_key": KEY, "base_url": "https://inkbox.example", "timeout": 2})
    assert not checks["network"].ok
    assert "is not the URL of a proxy" in checks["network"].found
    assert "environment" in checks["network"].fix
    assert "secret" not in repr(checks)


async def test_certificates_that_cannot_be_read_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The doctor reports them before a call fails because of them."""
    monkeypatch.setenv("SSL_CERT_FILE", "/no/such/file")
    checks = await found({"api_key": KEY, "base_url": "http://localhost:1", "timeout": 2})
    assert not checks["network"].ok
    assert "the certificates that SSL_CERT_FILE names cannot be read" in checks["network"].found


@pytest.mark.parametrize(
    ("arguments", "status"),
    [(["--sandbox", "--sandbox-db", ":memory:"], 0), pytest.param([], 1, marks=pytest.mark.slow)],
)
async def test_the_command_prints_one_screen_or_json(tmp_path: Path, arguments: list[str], status: int) -> None:
    """The exit status tells scripts whether all checks passed."""
    offline = "http://127.0.0.1:1"
    ended = await run("doctor", *arguments, home=tmp_path, INKBOX_BASE_URL=offline)
    assert ended.status == status
    assert len(ended.stdout.splitlines()) < 20
    ended = await run("doctor", "--json", *arguments, home=tmp_path, INKBOX_BASE_URL=offline)
    assert (ended.status, json.loads(ended.stdout)["ok"]) == (status, not status)


async def test_a_config_file_that_others_can_read_is_warned_about_once(tmp_path: Path) -> None:
    """Anyone who can read the file can read the key in it."""
    folder = tmp_path / ".inkbox"
    folder.mkdir()
    config = folder / "config"
    config.write_text(f"api_key = {KEY}\n")
    for mode, warnings in ((0o644, 1), (0o600, 0)):
        config.chmod(mode)
        ended = await run(home=tmp_path)
        assert ended.stderr.count("can be read by others") == warnings
        assert KEY not in ended.stderr


async def test_the_secrets_of_questions_are_counted_but_not_shown() -> None:
    """The report shows no part of a secret, except the beginning of the API key."""
    keys = ",".join(letter * 32 for letter in "ab")
    settings: dict[str, object] = {"sandbox": True, "sandbox_db": ":memory:", "request_state_keys": keys}
    checks = await found(settings, {"request_state_keys": "INKBOX_MCP_REQUEST_STATE_KEYS"})
    assert "request_state_keys = …, …  (INKBOX_MCP_REQUEST_STATE_KEYS)" in checks["options"].found
