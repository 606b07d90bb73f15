"""Only a valid key is sent to the API, and no key or other secret is printed."""

from pathlib import Path
from typing import Any

import httpx2
import pytest

from inkbox_mcp.access.tenants import Caller, Tenants
from inkbox_mcp.cli import main
from inkbox_mcp.errors import NotConfigured
from inkbox_mcp.settings.options import SettingsError, options
from inkbox_mcp.settings.sources import load
from tests.support.agents import KEY, connect
from tests.support.processes import run

SECRET = "Hunter2!correct-horse"


@pytest.fixture(autouse=True)
def _no_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:  # pyright: ignore[reportUnusedFunction]
    monkeypatch.setenv("HOME", str(tmp_path))


COMMANDS = [(), ("doctor",), ("tools",), ("demo",), ("sandbox",)]
COMMAND_LINES = [
    *(["--tokn", SECRET], [f"--tokn={SECRET}"], [f"--tokn {SECRET}"], [f"--tokn:{SECRET}"], [f"--tokn\t{SECRET}"]),
    *(["--token", SECRET], [f"--token={SECRET}"], ["--api-key", SECRET], [f"--api-key={SECRET}"], ["--apikey", SECRET]),
    *([SECRET], ["--http", SECRET], [SECRET, SECRET], ["--", SECRET], [f"-p{SECRET}"], ["-p", SECRET]),
    *([f"--http={SECRET}"], [f"--read-only={SECRET}"], [f"--json={SECRET}"], ["--port", SECRET], [f"--port={SECRET}"]),
    *(["--max-concurrency", SECRET], ["--log-level", SECRET], ["--confirm", SECRET], ["--timeout", SECRET]),
    *(["--generation", SECRET], ["--generation", f"it's {SECRET}"], ["--sandbox-generation", SECRET]),
    *(["--base-url", f"https://user:{SECRET}@inkbox.ai"], ["--base-url", SECRET], ["--rate-limit", SECRET]),
    ["--rate-limit", "1/s", "--rate-limit-store", f"redis://:{SECRET}@"],
    ["--rate-limit", "1/s", "--rate-limit-store", f"http://:{SECRET}@redis"],
    ["--rate-limit", "1/s", "--rate-limit-store", f"redis://:{SECRET}@redis:port"],
    ["--auth-issuer", f"https://user:{SECRET}@issuer.example", "--http"],
    ["--confirm", SECRET, "--confirm", SECRET],
    ["--url", f"https://user:{SECRET}@inkbox.ai"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=str)
@pytest.mark.parametrize("secret", [SECRET, KEY], ids=["password", "key"])
def test_a_secret_on_the_command_line_is_not_repeated(
    secret: str, command: tuple[str, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    """Clients store the stderr of their servers."""
    for arguments in COMMAND_LINES:
        assert main([*command, *(each.replace(SECRET, secret) for each in arguments)]) == 2, arguments
        written = capfd.readouterr()
        assert written.err.startswith("inkbox-mcp: ")
        for part in (secret, secret[:9], secret[-9:]):
            assert part not in written.err.replace("ApiKey_…", "")


@pytest.mark.parametrize("option", options(), ids=lambda option: option.name)
def test_a_secret_in_the_wrong_variable_is_not_repeated(
    option: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """This holds for every variable, if the server starts and if it does not."""
    secret = f"{SECRET} {SECRET}"
    monkeypatch.setenv(option.environment, secret)
    try:
        load({"sandbox": True}, {option.environment: secret})
    except SettingsError:
        assert main([]) == 2
    assert SECRET not in capfd.readouterr().err


CONFIG_LINES = [
    *(KEY, f'"{KEY}"', f"export {KEY}", f"api_key: {KEY}", f"api_key {KEY}", f"apikey = {KEY}", f"key: {KEY}"),
    *(f"INKBOX_API_KEY={KEY}", f"export INKBOX_API_KEY={KEY}", f"API_KEY = {KEY}", f"{KEY}="),
]


@pytest.mark.parametrize("line", CONFIG_LINES, ids=lambda line: line.replace(KEY, "KEY"))
@pytest.mark.parametrize("command", [[], ["doctor"]], ids=str)
def test_a_key_that_stands_wrong_in_the_config_file_is_explained(
    line: str, command: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Otherwise the server would start without a key and give no reason. The error does not repeat the key."""
    (tmp_path / ".inkbox").mkdir()
    (tmp_path / ".inkbox" / "config").write_text(f"# my key\n{line}\n")
    assert main(command) == 2
    written = capfd.readouterr().err
    assert '"api_key = "' in written
    assert "~/.inkbox/config" in written
    assert "secret" not in written


def test_a_key_that_stands_wrong_in_the_config_file_and_right_elsewhere_stops_nothing(tmp_path: Path) -> None:
    """A source that is not used is not checked."""
    file = tmp_path / "config"
    file.write_text(f"{KEY}\nINKBOX_API_KEY={KEY}\n")
    settings = load({}, {"INKBOX_API_KEY": KEY}, file)
    assert settings.api_key
    assert settings.api_key.get_secret_value() == KEY


WRAPPED = [
    *(f" {KEY}", f"{KEY} ", f"{KEY}\n", f"{KEY}\r\n", f"\t{KEY}\t", f'"{KEY}"', f"'{KEY}'", f'"{KEY}",', f'" {KEY} "'),
    *(f"\u201c{KEY}\u201d", f"`{KEY}`", f'"{KEY}', f"{KEY}'", f"\u00a0{KEY}", f'"{KEY}"\n'),
]


@pytest.mark.parametrize("text", WRAPPED, ids=ascii)
def test_a_key_is_taken_out_of_what_came_along_when_it_was_copied(text: str, tmp_path: Path) -> None:
    """Blanks, line breaks and quotes around the key are removed."""
    file = tmp_path / "config"
    file.write_text(f"api_key = {text}")
    for settings in (load({}, {"INKBOX_API_KEY": text}, tmp_path / "none"), load({}, {}, file)):
        assert settings.api_key
        assert settings.api_key.get_secret_value() == KEY


NO_KEYS = [
    *(
        "${user_config.api_key}",
        "${INKBOX_API_KEY}",
        "$INKBOX_API_KEY",
        "{{api_key}}",
        "%INKBOX_API_KEY%",
        "$(cat key)",
    ),
    *("${input:inkbox-key}", "<key>", "<your-key>", "ApiKey_...", "ApiKey_\u2026", "ApiKey_", "ApiKey", "ApiKey_xxxx"),
    *("ApiKey_<uuid>.<secret>", "ApiKey_***", "ApiKey_xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx.xxxx", "ApiKey_YOUR_KEY"),
    *(
        "your-api-key",
        "YOUR_KEY",
        "YOUR_API_KEY_HERE",
        "my-api-key",
        "changeme",
        "REPLACE_ME",
        "xxx",
        "...",
        "undefined",
    ),
    *("null", "TODO", "api_key", "INKBOX_API_KEY", f"INKBOX_API_KEY={KEY}", f"api_key={KEY}", f"X-API-Key:{KEY}"),
    *(
        f"--api-key={KEY}",
        f'INKBOX_API_KEY="{KEY}"',
        "op://vault/inkbox/key",
        "@env:INKBOX_API_KEY",
        "/run/secrets/key",
        "~/key",
        '""',
    ),
    *(f"export INKBOX_API_KEY={KEY}", f"api_key = {KEY}", f"X-API-Key: {KEY}", "<your key>", "your key here"),
    *(f'"INKBOX_API_KEY": "{KEY}"', f"$env:INKBOX_API_KEY = '{KEY}'"),
]


@pytest.mark.parametrize("text", NO_KEYS, ids=lambda text: ascii(text).replace(KEY, "KEY"))
async def test_what_cannot_be_a_key_does_not_go_out_and_is_explained(text: str) -> None:
    """The first call explains it, because tools are listed without a key. It is not reported as expired."""

    def nobody(request: httpx2.Request) -> httpx2.Response:
        raise AssertionError(request)

    async with connect(nobody, api_key=text) as agent:
        assert (await agent.client.list_tools()).tools
        for tool in ("whoami", "list_mailboxes"):
            message = await agent.refused(tool)
            assert "is no key: it " in message
            assert "INKBOX_API_KEY" in message
            for wrong in ("expired", "revoked", KEY[:11], "secret"):
                assert wrong not in message


A_FEW = NO_KEYS[::48]
OTHERS = [pytest.param(text, marks=pytest.mark.slow) for text in NO_KEYS if text not in A_FEW]


@pytest.mark.parametrize("text", [*A_FEW, *OTHERS], ids=lambda text: ascii(text).replace(KEY, "KEY"))
async def test_the_doctor_explains_what_cannot_be_a_key(text: str, tmp_path: Path) -> None:
    """The doctor uses the same words as a call."""
    ended = await run("doctor", home=tmp_path, INKBOX_API_KEY=text, INKBOX_BASE_URL="http://127.0.0.1:1")
    assert ended.status == 1
    assert "BAD key       what was set is no key: it " in ended.stdout
    assert "expired" not in ended.stdout
    assert KEY not in ended.stdout


@pytest.mark.parametrize(
    "text",
    [f"Bearer {KEY}", f"Authorization: Bearer {KEY}", f"{KEY} {KEY}", f"{KEY}\n{KEY}", "schl\u00fcssel-top-secret"],
)
def test_what_cannot_go_into_a_header_stops_the_start(text: str, tmp_path: Path) -> None:
    """The error gives the reason but does not repeat the text."""
    with pytest.raises(SettingsError, match="must be the key alone, without spaces or line breaks") as caught:
        load({}, {"INKBOX_API_KEY": text}, tmp_path / "none")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "text", [text for text in NO_KEYS if text.isascii() and " " not in text], ids=lambda each: each.replace(KEY, "KEY")
)
async def test_what_cannot_be_a_key_is_not_taken_from_a_request_either(text: str, tmp_path: Path) -> None:
    """A client's configuration may contain a placeholder too."""
    settings = load({"http": True, "per_request_keys": True}, {}, tmp_path / "none")
    async with Tenants(settings) as tenants:
        with pytest.raises(NotConfigured, match="is no Inkbox API key: it ") as caught:
            tenants.api(Caller(keys=(text,)))
        assert "secret" not in str(caught.value)
        assert tenants.api(Caller(keys=(f'"{KEY}"',))) is tenants.api(Caller(keys=(KEY,)))


def test_a_sandbox_needs_no_key_and_judges_none(tmp_path: Path) -> None:
    """Users copy the example of the README with its placeholder and add --sandbox."""
    settings = load({"sandbox": True, "sandbox_db": ":memory:"}, {"INKBOX_API_KEY": "ApiKey_..."}, tmp_path / "none")
    Tenants(settings).api()
