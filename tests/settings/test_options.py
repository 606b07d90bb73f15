"""The options: their sources, the order of precedence, and the values that are refused."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from inkbox_mcp.settings.options import Option, Settings, SettingsError, options
from inkbox_mcp.settings.sources import load
from tests.support.agents import KEY
from tests.support.options import NAMES_OF_OTHERS, SAMPLES

TOKEN = "a-token-of-many-characters"


OAUTH = {"http": "true", "auth_issuer": "https://issuer.test", "auth_audience": "https://mcp.test/mcp"}

# The other options that an option needs.
NEEDED: dict[str, dict[str, str]] = {
    **{name: {"http": "true"} for name in ("host", "allowed_hosts", "allowed_origins", "port", "drain_timeout")},
    "per_request_keys": {"http": "true"},
    "auth_issuer": OAUTH,
    "auth_audience": OAUTH,
    "auth_scopes": OAUTH,
    "stateless": {"http": "true"},
    "metrics": {"http": "true"},
}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Return the path of a config file that does not exist yet."""
    return tmp_path / "config"


def refusal(config: Path, flags: dict[str, Any] | None = None, environment: dict[str, str] | None = None) -> str:
    """Load options that must be refused and return the error, which is one line."""
    with pytest.raises(SettingsError) as caught:
        load(flags or {}, environment or {}, config)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


@pytest.mark.parametrize("option", [option for option in options() if option.flag], ids=lambda option: option.name)
def test_every_option_is_a_flag_and_an_environment_variable(option: Option, config: Path) -> None:
    """A flag and a variable with the same text give the same setting, which differs from the default."""
    text, value = SAMPLES[option.name]
    needed = {name: needed for name, needed in NEEDED.get(option.name, {}).items() if name != option.name}
    variables = {f"INKBOX_MCP_{name.upper()}": needed for name, needed in needed.items()}
    assert getattr(load({**needed, option.name: text}, {}, config), option.name) == value
    assert getattr(load({}, {**variables, option.environment: text}, config), option.name) == value
    assert getattr(load({}, {}, config), option.name) != value
    if needed:
        refusal(config, {option.name: text})


def test_secrets_have_no_flag(config: Path) -> None:
    """Every process of the machine can read command lines."""
    assert [option.name for option in options() if option.flag is None] == ["api_key", "token", "request_state_keys"]
    environment = {"INKBOX_MCP_TOKEN": TOKEN, "INKBOX_MCP_HTTP": "1"}
    assert load({}, environment, config).token == SecretStr(TOKEN)


@pytest.mark.parametrize(
    "token", ["", "short", "fifteen-letters", "with a space in between", "Schlüssel-und-noch-mehr", TOKEN + "\n"]
)
def test_a_token_that_could_be_guessed_or_misread_is_refused(token: str, config: Path) -> None:
    """The refusal must not repeat the token."""
    message = refusal(config, environment={"INKBOX_MCP_TOKEN": token})
    assert message == "INKBOX_MCP_TOKEN: must be at least 16 characters, without spaces or line breaks"


@pytest.mark.parametrize("timeout", ["0", "-1", "3601", "inf", "nan", "soon"])
def test_a_question_waits_for_a_time_that_has_an_end(timeout: str, config: Path) -> None:
    """The server waits an hour at most, so that an unanswered question cannot stay open forever."""
    assert "INKBOX_MCP_CONFIRM_TIMEOUT: " in refusal(config, environment={"INKBOX_MCP_CONFIRM_TIMEOUT": timeout})


OLD, NEW = "0" * 32, "ü" * 16


@pytest.mark.parametrize(
    "keys", ["short", "x" * 31, f"{OLD},", f"{OLD},short", f"{OLD},{OLD}", f"{OLD}, {OLD} ", ","], ids=ascii
)
def test_keys_of_questions_that_could_be_guessed_are_refused(keys: str, config: Path) -> None:
    """The server also refuses repeated secrets, and the error must not repeat any of them."""
    message = refusal(config, environment={"INKBOX_MCP_REQUEST_STATE_KEYS": keys})
    assert message == (
        "INKBOX_MCP_REQUEST_STATE_KEYS: must be different secrets of at least 32 bytes, separated by commas"
    )


def test_keys_of_questions_are_a_list_and_secret(config: Path) -> None:
    """Values that are read from files often end with a line break, which is not part of the secret."""
    settings = load({}, {"INKBOX_MCP_HTTP": "1", "INKBOX_MCP_REQUEST_STATE_KEYS": f" {OLD}, {NEW}\n"}, config)
    assert settings.request_state_keys == (SecretStr(OLD), SecretStr(NEW))
    assert OLD not in repr(settings)


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "192.168.1.2", "localhost.evil.com", "LOCALHOST", "127.0.0.2", "mcp"]
)
def test_beyond_this_machine_it_must_know_who_is_calling(host: str, config: Path) -> None:
    """The refusal names three ways to authenticate callers, and each of them is enough."""
    message = refusal(config, {"host": host, "http": "true"})
    assert message.startswith(f"--host {host}: whoever reaches the server can use its mailboxes")
    for named in ("INKBOX_MCP_TOKEN", "--per-request-keys", "--auth-issuer with --auth-audience"):
        assert named in message
    assert load({"host": host, "http": "true"}, {"INKBOX_MCP_TOKEN": TOKEN}, config).host == host
    keys = {"host": host, "http": "true", "per_request_keys": "true"}
    assert "anybody could use up the sessions" in refusal(config, keys)
    assert load({**keys, "stateless": "true"}, {}, config).host == host
    assert load(keys, {"INKBOX_MCP_TOKEN": TOKEN}, config).host == host
    assert load({"host": host, **OAUTH}, {}, config).host == host


@pytest.mark.parametrize("host", ["", "*", "a b", "http://0.0.0.0", "0.0.0.0/0", "host\n"])
def test_a_host_that_is_no_address_is_refused(host: str, config: Path) -> None:
    """The error comes before the server opens a socket."""
    assert refusal(config, {"host": host}).startswith("--host: must be an address of this machine")


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (
            {"auth_issuer": "https://issuer.example", "http": "1"},
            "--auth-issuer and --auth-audience need each other",
        ),
        ({"auth_audience": "https://mcp.example/mcp", "http": "1"}, "--auth-issuer and --auth-audience"),
        ({"auth_scopes": "staff", "http": "1"}, "--auth-scopes needs --auth-issuer"),
        ({"token": TOKEN, **OAUTH}, "INKBOX_MCP_TOKEN and --auth-issuer"),
        ({"api_key": KEY, "per_request_keys": "1", "http": "1"}, "must not have an Inkbox key of its own"),
    ],
)
def test_options_that_do_not_fit_together_are_refused(flags: dict[str, str], named: str, config: Path) -> None:
    """The one line names both options, and must not show a secret value."""
    message = refusal(config, flags)
    assert named in message
    assert "secret" not in message


@pytest.mark.parametrize(
    "rate", ["", "10", "0/s", "-1/s", "10/x", "10/", "/s", "1e3/s", "10 /s", "10/0s", "99999999/s"]
)
def test_a_rate_that_is_none_is_refused(rate: str, config: Path) -> None:
    """The error contains an example of a valid rate."""
    assert refusal(config, {"rate_limit": rate}).startswith("--rate-limit: must be a call rate, such as")


@pytest.mark.parametrize("url", ["", "redis", "http://redis", "redis://", "memory://"])
def test_a_store_that_is_no_redis_is_refused_without_its_password(url: str, config: Path) -> None:
    """With a wrong store, replicas would not share their limit."""
    assert refusal(config, {"rate_limit": "1/s", "rate_limit_store": url}).startswith(
        "--rate-limit-store: must be a URL such as redis"
    )
    settings = load({"rate_limit": "1/s", "rate_limit_store": "redis://:top-secret@redis"}, {}, config)
    assert "secret" not in repr(settings)


def test_a_store_counts_recipients_also_without_a_rate_limit(config: Path) -> None:
    """Replicas share the limit of recipients, which every server has."""
    assert load({"rate_limit_store": "redis://redis"}, {}, config).rate_limit is None


@pytest.mark.parametrize("number", ["0", "-1", "1.5", "1000001", "", "many"])
def test_a_number_of_recipients_that_is_none_is_refused(number: str, config: Path) -> None:
    """It is no way to allow any number: a server that may send nothing has no such tools."""
    assert refusal(config, {"max_recipients_per_hour": number}).startswith("--max-recipients-per-hour: ")
    assert load({}, {}, config).max_recipients_per_hour == 100


def test_a_flag_wins_over_the_environment_and_the_environment_over_the_file(config: Path) -> None:
    """The source that is closest to the command wins."""
    config.write_text("base_url = https://file.example\n")
    environment = {"INKBOX_BASE_URL": "https://environment.example"}
    flags = {"base_url": "https://flag.example"}
    assert load({}, {}, config).base_url == "https://file.example"
    assert load({}, environment, config).base_url == "https://environment.example"
    assert load(flags, environment, config).base_url == "https://flag.example"


def test_a_source_that_loses_is_not_judged(config: Path) -> None:
    """An overridden value has no effect, so the server does not check it."""
    config.write_text("base_url = ftp://wrong\n")
    environment = {"INKBOX_BASE_URL": "https://environment.example"}
    assert load({}, environment, config).base_url == "https://environment.example"


def test_without_any_source_the_server_starts_safe(config: Path) -> None:
    """By default the server has no key, uses the real API, and serves stdio only."""
    settings = load({}, {}, config)
    assert settings.api_key is None
    assert (settings.base_url, settings.sandbox, settings.http) == ("https://inkbox.ai", False, False)
    assert settings.host == "127.0.0.1"


@pytest.mark.parametrize(
    ("misspelt", "meant"),
    [
        ("INKBOX_MCP_PORTT", "INKBOX_MCP_PORT"),
        ("INKBOX_MCP_SANDBOXDB", "INKBOX_MCP_SANDBOX_DB"),
        ("INKBOX_MCP_LOGLEVEL", "INKBOX_MCP_LOG_LEVEL"),
        ("INKBOX_MCP_API_KEY", "INKBOX_API_KEY"),
        ("INKBOX_MCP_BASE_URL", "INKBOX_BASE_URL"),
    ],
)
def test_a_misspelt_variable_stops_the_start_and_names_the_nearest(misspelt: str, meant: str, config: Path) -> None:
    """If the server ignored a misspelt option, it could be less safe than the operator intended."""
    assert refusal(config, environment={misspelt: "x"}) == f"{misspelt}: no such option; did you mean {meant}?"


def test_an_unlike_variable_gets_no_suggestion(config: Path) -> None:
    """An unlikely suggestion would mislead the user."""
    assert refusal(config, environment={"INKBOX_MCP_QQ": ""}) == "INKBOX_MCP_QQ: no such option"


def test_variables_of_other_programs_are_passed_over(config: Path) -> None:
    """Only the prefix INKBOX_MCP_ belongs to this project alone."""
    environment = dict.fromkeys(NAMES_OF_OTHERS, "x")
    assert load({}, environment, config) == load({}, {}, config)


def test_what_kubernetes_makes_of_a_service_named_inkbox_is_passed_over(config: Path) -> None:
    """Kubernetes sets this variable to a URL; a plain port number is a user's mistake."""
    assert load({}, {"INKBOX_PORT": "tcp://10.0.0.1:80"}, config) == load({}, {}, config)
    assert "INKBOX_MCP_PORT" in refusal(config, environment={"INKBOX_PORT": "8000"})


@pytest.mark.parametrize("variable", ["INKBOX_API_KEY", "INKBOX_BASE_URL"])
def test_an_empty_variable_of_the_ecosystem_counts_as_unset(variable: str, config: Path) -> None:
    """Inkbox's SDKs do the same; the value of the config file is used instead."""
    config.write_text(f"api_key = {KEY}\nbase_url = https://file.example\n")
    settings = load({}, {variable: ""}, config)
    assert settings.base_url == "https://file.example"
    assert settings.api_key
    assert settings.api_key.get_secret_value() == KEY


@pytest.mark.parametrize("value", ["", " ", "\t\n"])
@pytest.mark.parametrize("option", options(), ids=lambda option: option.name)
def test_an_empty_variable_is_unset_where_it_cannot_have_been_a_limit(option: Option, value: str, config: Path) -> None:
    """Compose files set omitted variables to empty text, but an empty limit may be a template that was not filled."""
    environment = {option.environment: value}
    if option.name.startswith(("tools", "exclude_tools", "allow_", "allowed_hosts", "token", "auth_")):
        assert refusal(config, environment=environment).startswith(f"{option.environment}: ")
    else:
        assert load({}, environment, config) == load({}, {}, config)


def test_a_refusal_names_the_source_that_was_used(config: Path) -> None:
    """The user must know where to correct the value."""
    wrong = "http://wrong.example"
    config.write_text(f"base_url = {wrong}\n")
    assert refusal(config).startswith(f"base_url in {config}: must start with https://")
    assert refusal(config, environment={"INKBOX_BASE_URL": wrong}).startswith("INKBOX_BASE_URL: ")
    assert refusal(config, {"base_url": wrong}, {"INKBOX_BASE_URL": wrong}).startswith("--base-url: ")
    config.unlink()
    assert refusal(config, {"sandbox_db": ""}).startswith("--sandbox-db: ")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", "65536"),
        ("port", "-1"),
        ("port", "http"),
        ("port", ""),
        ("sandbox", "maybe"),
        ("http", "2"),
        ("log_level", "loud"),
        ("log_level", ""),
    ],
)
def test_values_outside_an_options_rule_are_refused(name: str, value: str, config: Path) -> None:
    """The one line begins with the name of the flag or the variable."""
    variable = f"INKBOX_MCP_{name.upper()}"
    assert refusal(config, {name: value}).startswith(f"--{name.replace('_', '-')}: ")
    if value:
        assert refusal(config, environment={variable: value}).startswith(f"{variable}: ")


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("https://inkbox.ai", "https://inkbox.ai"),
        ("https://inkbox.ai/", "https://inkbox.ai"),
        ("https://inkbox.example:8443/proxy/", "https://inkbox.example:8443/proxy"),
        ("https://[::1]:8800", "https://[::1]:8800"),
        ("http://localhost", "http://localhost"),
        ("http://localhost:8800/", "http://localhost:8800"),
        ("http://127.0.0.1:8800", "http://127.0.0.1:8800"),
        ("HTTP://LOCALHOST:8800", "HTTP://LOCALHOST:8800"),
    ],
)
def test_base_urls_that_keep_the_key_safe_are_accepted(given: str, used: str, config: Path) -> None:
    """The key may be sent by https to any host, and by http only to this machine."""
    assert load({"base_url": given}, {}, config).base_url == used


@pytest.mark.parametrize(
    "url",
    [
        "http://inkbox.ai",
        "http://localhost.evil.com",
        "http://127.0.0.1.evil.com",
        "http://127.0.0.1@evil.com",
        "http://127.0.0.1:80@evil.com",
        "http://127.0.0.1\\@evil.com",
        "http://evil.com\\@127.0.0.1",
        "http://evil.com#@127.0.0.1",
        "http://evil.com?@127.0.0.1",
        "http://localhost\t.evil.com",
        "http://local\nhost",
        "http://127.0.0.2",
        "https://256.1.1.1",
        "http://127.1",
        "http://2130706433",
        "http://0.0.0.0",
        "http://[::1]",
        "http://localhost.",
        "http://ｌocalhost",
        "http://127。0.0.1",
        "https://user@inkbox.ai",
        "https://user:secret@inkbox.ai",
        "https://@inkbox.ai",
        "https://inkbox.ai?key=1",
        "https://inkbox.ai?",
        "https://inkbox.ai#top",
        "https://inkbox.ai#",
        "https://inkbox.ai:port",
        "https://inkbox.ai:99999",
        "https://[::1",
        "https://ink box.ai",
        " https://inkbox.ai",
        "https://",
        "https:inkbox.ai",
        "//inkbox.ai",
        "inkbox.ai",
        "ftp://inkbox.ai",
        "file:///etc/passwd",
        "",
    ],
)
def test_base_urls_that_could_give_the_key_away_are_refused(url: str, config: Path) -> None:
    """The list holds plain http to other hosts, names that only look local, and URLs that parsers read differently."""
    assert refusal(config, {"base_url": url}).startswith("--base-url: ")


@pytest.mark.parametrize("key", [f"{KEY}\r\nX-Evil: 1", f"Bearer {KEY}", "schlüssel-top-secret"])
def test_a_key_that_is_no_header_value_is_refused_without_showing_it(key: str, config: Path) -> None:
    """A header value must be visible ASCII, and the error must not show the key."""
    message = refusal(config, environment={"INKBOX_API_KEY": key})
    assert message == "INKBOX_API_KEY: must be the key alone, without spaces or line breaks"
    config.write_text(f"base_url = http://wrong\napi_key = '{KEY} {KEY}'\n")
    assert "secret" not in refusal(config)


def test_the_key_is_in_no_representation_and_in_no_other_options_refusal(config: Path) -> None:
    """Settings may be logged, so their text must not contain the key."""
    environment = {"INKBOX_API_KEY": KEY}
    settings = load({}, environment, config)
    for text in (repr(settings), str(settings), settings.model_dump_json(), str(settings.model_dump())):
        assert "secret" not in text
    for flags in ({"port": "x"}, {"base_url": f"https://{KEY}@inkbox.ai"}, {"base_url": f"https://x/?key={KEY}"}):
        assert "secret" not in refusal(config, flags, environment)


def test_the_config_file_is_read_as_people_write_it(config: Path) -> None:
    """Users write comments, blank lines, quotes, spaces, a byte order mark, and the keys of other programs."""
    config.write_text(
        f'\ufeffapi_key="{KEY}"\n\n# base_url = https://comment.example\n[default]\nvault_key = 1\nprofile = maybe\n'
        "  base_url  =  'https://file.example'  \nsigning_key = x=y\nno equals sign\n",
        encoding="utf-8",
    )
    settings = load({}, {}, config)
    assert settings.api_key
    assert settings.api_key.get_secret_value() == KEY
    assert settings.base_url == "https://file.example"


@pytest.mark.parametrize("text", ["", "api_key =\nbase_url=''\n", "api_key\n"])
def test_empty_values_in_the_config_file_are_none(text: str, config: Path) -> None:
    """A template that was not filled in counts as a missing file."""
    config.write_text(text)
    assert load({}, {}, config) == load({}, {}, config.with_name("missing"))


def test_a_config_file_that_cannot_be_read_stops_the_start(tmp_path: Path) -> None:
    """Otherwise the user's key would be missing without an explanation."""
    binary = tmp_path / "binary"
    binary.write_bytes(b"api_key = \xff\xfe\n")
    assert refusal(binary) == f"{binary}: cannot be read (UnicodeDecodeError)"
    assert refusal(tmp_path) == f"{tmp_path}: cannot be read (IsADirectoryError)"


def test_a_config_file_that_cannot_exist_is_a_missing_one() -> None:
    """A service account may have a home directory such as /dev/null."""
    assert load({}, {}, Path("/dev/null/.inkbox/config")).api_key is None
    assert load({}, {}, Path("~no-such-user/.inkbox/config")).api_key is None


def test_the_config_file_is_below_the_home_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All Inkbox software reads the same file."""
    (tmp_path / ".inkbox").mkdir()
    (tmp_path / ".inkbox" / "config").write_text("base_url = https://home.example")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load({}, {}).base_url == "https://home.example"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_http_is_served_on_loopback(host: str, config: Path) -> None:
    """All names of the loopback interface are allowed."""
    assert load({"host": host, "http": "1"}, {}, config).host == host


def test_the_sandbox_database_may_be_below_the_home_directory(
    tmp_path: Path, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The JSON configuration of a client passes no shell that would expand the ~."""
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load({}, {}, config).sandbox_db == str(tmp_path / ".inkbox" / "sandbox.db")
    assert load({"sandbox_db": "~/x.db"}, {}, config).sandbox_db == str(tmp_path / "x.db")
    assert load({"sandbox_db": "a ~/x.db"}, {}, config).sandbox_db == "a ~/x.db"
    assert load({"sandbox_db": ":memory:"}, {}, config).sandbox_db == ":memory:"


@pytest.mark.parametrize("path", ["", "~no-such-user/x.db"])
def test_a_sandbox_database_that_is_nowhere_is_refused(path: str, config: Path) -> None:
    """SQLite treats an empty name as a temporary database, which loses its data."""
    assert refusal(config, {"sandbox_db": path}).startswith("--sandbox-db: ")


def test_settings_cannot_be_changed_or_extended() -> None:
    """Settings must not change after their validation."""
    with pytest.raises(ValueError, match="frozen"):
        setattr(Settings(), "port", 1)  # noqa: B010 - pyright knows that it is frozen
    with pytest.raises(ValueError, match="not permitted"):
        Settings.model_validate({"prot": 1})
