"""Every limit that an operator sets takes effect, or the server does not start."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from inkbox_mcp.catalogue import Catalogues
from inkbox_mcp.cli import main
from inkbox_mcp.settings.options import Mark, Option, SettingsError, options
from inkbox_mcp.settings.sources import gather, load
from tests.support.alike import choices
from tests.support.options import NAMES_OF_OTHERS, SAMPLES
from tests.support.processes import COMMAND, PATIENCE, environment

FLAGS = [option for option in options() if option.flag]
LISTS = [option for option in FLAGS if option.is_list]
FOR_HTTP = [option for option in options() if Mark.HTTP in option.marks]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Return the path of a config file that does not exist yet."""
    return tmp_path / "config"


@pytest.fixture(autouse=True)
def _no_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:  # pyright: ignore[reportUnusedFunction]
    monkeypatch.setenv("HOME", str(tmp_path))


def refusal(config: Path, variables: dict[str, str] | None = None, flags: dict[str, Any] | None = None) -> str:
    """Return the reason why a server does not start."""
    with pytest.raises(SettingsError) as caught:
        load(flags or {}, variables or {}, config)
    return str(caught.value)


def stopped(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run a command line that must be refused, and return its error, which must be the same for the doctor."""
    lines: set[str] = set()
    for command in ([], ["doctor"]):
        assert main([*command, *arguments]) == 2
        written = capsys.readouterr()
        assert written.out == ""
        lines.add(written.err)
    (line,) = lines
    assert line.count("\n") == 1
    return line


def given(option: Option, value: str, equals: bool) -> list[str]:
    """Write a flag and its value, in either form."""
    assert option.flag
    return [f"{option.flag}={value}"] if equals else [option.flag, value]


@pytest.mark.parametrize("equals", [False, True])
@pytest.mark.parametrize(
    "option", [option for option in FLAGS if not option.is_list and not option.is_switch], ids=lambda each: each.name
)
def test_a_flag_that_is_given_twice_is_refused(
    option: Option, equals: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """One of the two values would be ignored without notice; equal values are refused too."""
    value = SAMPLES[option.name][0]
    twice = [*given(option, value, equals), "--http", *given(option, value, not equals)]
    assert stopped(capsys, *twice) == f"inkbox-mcp: {option.flag} was given twice\n"


def test_flags_of_the_sandbox_are_taken_once_too(capsys: pytest.CaptureFixture[str]) -> None:
    """`inkbox-mcp sandbox` has a parser of its own."""
    for flag, value in (("--port", "0"), ("--db", ":memory:"), ("--generation", "spec")):
        assert main(["sandbox", flag, value, f"{flag}={value}"]) == 2
        assert capsys.readouterr().err == f"inkbox-mcp: {flag} was given twice\n"


LISTED = {
    "auth_scopes": ("agents", "staff"),
    "allowed_hosts": ("one.example", "two.example"),
    "allowed_origins": ("https://one.example", "https://two.example"),
    "toolsets": ("mailboxes", "webhooks"),
    "tools": ("get_mailbox", "list_mailboxes"),
    "exclude_tools": ("delete_mailbox", "delete_identity"),
    "allow_handles": ("sales-*", "support"),
    "allow_addresses": ("a@inkboxmail.com", "b@inkboxmail.com"),
    "allow_webhook_hosts": ("one.example", "*.two.example"),
    "allow_recipients": ("jane@one.example", "*@two.example"),
}


@pytest.mark.parametrize("option", LISTS, ids=lambda option: option.name)
def test_lists_that_are_given_one_after_another_add_up(option: Option, capsys: pytest.CaptureFixture[str]) -> None:
    """Both forms of a flag add up, and each value may be a list."""
    first, second = LISTED[option.name]
    needed = ["--http"] if Mark.HTTP in option.marks else ["--sandbox", "--sandbox-db", ":memory:"]
    if option.name == "auth_scopes":
        needed += ["--auth-issuer", "https://issuer.example", "--auth-audience", "https://mcp.example/mcp"]
    arguments = [*given(option, first, False), *given(option, f"{second},{first}", True), *needed]
    main(["doctor", *arguments])
    assert f"{option.name} = {first}, {second}, {first}" in capsys.readouterr().out


def test_two_exclusions_take_both_tools_away(capsys: pytest.CaptureFixture[str]) -> None:
    """Otherwise only the last exclusion would count."""
    main(
        ["doctor", "--sandbox", "--sandbox-db", ":memory:", "--exclude-tools", "whoami", "--exclude-tools=get_mailbox"]
    )
    (tools,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("ok  tools")]
    assert "whoami" not in tools
    assert "get_mailbox" not in tools
    assert "list_mailboxes" in tools


@pytest.mark.parametrize("empty", ["", ",", "delete_mailbox,"])
def test_an_empty_item_of_a_list_is_refused(empty: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It may come from a variable of a script that was not set."""
    assert "--exclude-tools: " in stopped(capsys, "--exclude-tools", "whoami", "--exclude-tools", empty)


def test_a_switch_that_is_given_twice_is_on(capsys: pytest.CaptureFixture[str]) -> None:
    """A switch has no value that could contradict the first one."""
    main(["doctor", "--sandbox", "--sandbox-db", ":memory:", "--read-only", "--read-only"])
    assert "read_only = True" in capsys.readouterr().out


MISPLACED_KEYS = [
    *("read_only", "read-only", "READ_ONLY", "readonly", "readOnly", "Read Only", "inkbox_mcp_read_only", "read_onyl"),
    *("INKBOX_MCP_READ_ONLY", "export INKBOX_MCP_READ_ONLY", "--read-only", "mcp_read_only", "mcp.read_only"),
]


@pytest.mark.parametrize("key", MISPLACED_KEYS)
@pytest.mark.parametrize("line", ["{} = true", "{}=true", "  {} = 'true'", "[mcp]\n{} = true", "# a\n{} =", "{}: true"])
def test_an_option_in_the_config_file_stops_the_start(key: str, line: str, config: Path) -> None:
    """It has no effect in the file, so the error names the flag and the variable."""
    config.write_text(line.format(key) + "\n")
    assert "--read-only or INKBOX_MCP_READ_ONLY" in refusal(config)


@pytest.mark.parametrize("option", options(), ids=lambda option: option.name)
def test_every_option_in_the_config_file_stops_the_start(option: Option, config: Path) -> None:
    """Only the two options that all Inkbox software shares are allowed, and only under their exact names."""
    if option.name in {"api_key", "base_url"}:
        config.write_text(f"{option.environment} = x\n")
        assert f'"{option.name} = "' in refusal(config)
    else:
        config.write_text(f"{option.name} = x\n")
        assert option.environment in refusal(config)


@pytest.mark.parametrize("line", ["# read_only = true", "; read_only = true", "[read_only]", "#read_only=true"])
def test_a_comment_in_the_config_file_is_one(line: str, config: Path) -> None:
    """The name of a section has no effect either."""
    config.write_text(line)
    load({}, {}, config)


def test_other_names_in_the_config_file_are_ignored_and_listed(config: Path) -> None:
    """Other Inkbox software reads the file too. A line that may be part of a secret is not shown."""
    names = ["vault_key", "signing_key", "webhook_secret", "default_identity", "email", "ORG_ID", "profile", "region"]
    config.write_text("".join(f"{name} = secret\n" for name in names) + "c2VjcmV0cGFzc3dvcmQ=\nno equals sign\n")
    sources = gather({}, {}, config)
    assert sources.ignored == [*(f"{name} in {config}" for name in names), f"a line in {config}"]


MISSPELT = {
    "INKBOX_MCP_READ_ONLY": (
        *("INKBOX_READ_ONLY", "INKBOX_READONLY", "INKBOX_MPC_READ_ONLY", "INKBOXMCP_READ_ONLY", "inkbox_mcp_read_only"),
        *("INKBOX_MCPREAD_ONLY", "inkbox_read_only", "Inkbox_Mcp_Read_Only", "INKBOX_READ_ONYL", "INKBOX__READ_ONLY"),
        *("INBOX_MCP_READ_ONLY", "MCP_INKBOX_READ_ONLY", "INKBOX-MCP-READ-ONLY", "INKBOX_MP_READ_ONLY"),
    ),
    "INKBOX_MCP_CONFIRM": ("INKBOX_CONFIRM", "INKBOX_CONFRIM", "INKBOX_MCP-CONFIRM", "INKBOX_MCPCONFIRM"),
    "INKBOX_MCP_TOOLS": ("INKBOX_TOOLS", "INKBOX_TOOL", "INKBOX_MPC_TOOLS"),
    "INKBOX_MCP_ALLOW_HANDLES": ("INKBOX_ALLOW_HANDLES", "INKBOX_ALLOWED_HANDLES", "INKBOX_ALLOWHANDLES"),
    "INKBOX_MCP_EXCLUDE_TOOLS": ("INKBOX_EXCLUDE_TOOLS", "INKBOX_EXCLUDED_TOOLS", "INKBOX_EXCLUDE_TOOL"),
    "INKBOX_API_KEY": ("INKBOX_APIKEY", "inkbox_api_key"),
}


@pytest.mark.parametrize(("meant", "variable"), [(meant, each) for meant, all_ in MISSPELT.items() for each in all_])
def test_a_variable_that_must_be_meant_for_an_option_stops_the_start(meant: str, variable: str, config: Path) -> None:
    """The error names the correct variable."""
    assert refusal(config, {variable: "1"}) == f"{variable}: has no effect; did you mean {meant}?"


@pytest.mark.parametrize("option", options(), ids=lambda option: option.name)
def test_every_option_without_the_whole_prefix_stops_the_start(option: Option, config: Path) -> None:
    """All Inkbox software uses the prefix INKBOX_; only this server uses INKBOX_MCP_."""
    if option.name not in {"api_key", "base_url"}:
        assert option.environment in refusal(config, {f"INKBOX_{option.name.upper()}": "1"})


def test_other_variables_are_ignored_and_those_of_inkbox_are_listed(config: Path) -> None:
    """This includes variables that have letters in common with an option."""
    sources = gather({}, dict.fromkeys(NAMES_OF_OTHERS, "x"), config)
    assert sources.options == {}
    assert sources.ignored == [name for name in NAMES_OF_OTHERS if name.startswith("INKBOX_")]


def test_the_doctor_lists_what_is_ignored(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only names are listed, because the values are secrets of other programs."""
    (config.parent / ".inkbox").mkdir()
    (config.parent / ".inkbox" / "config").write_text("vault_key = secret\n")
    monkeypatch.setenv("INKBOX_SIGNING_KEY", "secret")
    monkeypatch.setenv("INKBOX_MCP_PORT", "1234")
    assert main(["doctor", "--sandbox", "--sandbox-db", ":memory:"]) == 0
    written = capsys.readouterr().out
    assert "INKBOX_MCP_PORT (needs --http), INKBOX_SIGNING_KEY, vault_key in ~/.inkbox/config" in written
    assert "secret" not in written
    assert "port = " not in written


@pytest.mark.parametrize("option", [option for option in FOR_HTTP if option.flag], ids=lambda option: option.name)
def test_a_flag_for_http_without_http_is_refused(option: Option, capsys: pytest.CaptureFixture[str]) -> None:
    """Over stdio the flag would limit nothing."""
    value = [] if option.is_switch else [SAMPLES[option.name][0]]
    assert option.flag
    assert stopped(capsys, option.flag, *value) == f"inkbox-mcp: {option.flag}: needs --http\n"


def test_variables_for_http_without_http_are_one_warning_and_have_no_effect(tmp_path: Path) -> None:
    """Several servers may share an environment, so these variables are not checked against other options."""
    values = {
        **{name: text for name, (text, _) in SAMPLES.items()},
        "host": "0.0.0.0",
        "token": "a-token-of-16-letters",
        "request_state_keys": "a-secret-of-at-least-thirty-two-bytes",
    }
    variables = {option.environment: values[option.name] for option in FOR_HTTP}
    assert load({}, {**variables, "INKBOX_API_KEY": "ApiKey_x.y"}, tmp_path / "none") == load(
        {}, {"INKBOX_API_KEY": "ApiKey_x.y"}, tmp_path / "none"
    )
    ended = subprocess.run(
        COMMAND, input=b"", capture_output=True, env=environment(tmp_path, **variables), timeout=PATIENCE, check=True
    )
    (line,) = ended.stderr.decode().splitlines()
    assert line.endswith(f"without --http these have no effect: {', '.join(variables)}")


@pytest.mark.parametrize(
    "options",
    choices([("--sandbox-db", "x.db"), ("--sandbox-generation", "identity")], {("--sandbox-generation", "identity")}),
)
def test_options_of_the_sandbox_without_the_sandbox_are_one_warning(options: tuple[str, str], tmp_path: Path) -> None:
    """The operator should know that the mailboxes are real."""
    ended = subprocess.run(
        [*COMMAND, *options], input=b"", capture_output=True, env=environment(tmp_path), timeout=PATIENCE, check=True
    )
    (line,) = ended.stderr.decode().splitlines()
    assert line.endswith(f"without --sandbox these have no effect: {options[0]}")


@pytest.mark.parametrize("value", ["1", "true", "TRUE", "True", "yes", "on", "t", "y", "ON"])
def test_words_that_switch_an_option_on(value: str, config: Path) -> None:
    """People write true in several ways."""
    settings = load({}, {"INKBOX_MCP_READ_ONLY": value}, config)
    assert settings.read_only
    assert all(operation.hints.read_only for operation in Catalogues(settings).of(None).tools.values())


@pytest.mark.parametrize(
    "value", ["enabled", "true ", "2", "-1", "wahr", '"true"', "yes please", "${READ_ONLY}", "null"]
)
def test_words_that_might_have_been_meant_to_stop_the_start(value: str, config: Path) -> None:
    """A limit must never be left off because its value was not understood."""
    assert refusal(config, {"INKBOX_MCP_READ_ONLY": value}).startswith("INKBOX_MCP_READ_ONLY: ")


@pytest.mark.parametrize("value", ["Always", "ALWAYS", "yes", "true", "always ", '"always"'])
def test_a_way_to_confirm_that_is_none_stops_the_start(value: str, config: Path) -> None:
    """Only the exact words are accepted."""
    for flags, variables in (({"confirm": value}, {}), ({}, {"INKBOX_MCP_CONFIRM": value})):
        assert "'auto', 'always' or 'never'" in refusal(config, variables, flags)


PLACEHOLDERS = [
    *("${user_config.tools}", "${X}", "$X", "$HOME/x", "{{x}}", "{{ tools }}", "<your tools>", "%X%", "$(cat tools)"),
    *("prefix-${X}", "${env:X}", "${input:x}", "${X:-}"),
]


@pytest.mark.parametrize("option", [each for each in options() if each.name != "api_key"], ids=lambda each: each.name)
def test_a_placeholder_that_nothing_replaced_stops_the_start(option: Option, config: Path) -> None:
    """The error names the placeholder instead of asking for another value."""
    for value in PLACEHOLDERS:
        message = refusal(config, {option.environment: value})
        assert message.startswith(f"{option.environment}: is still a placeholder"), value
        if option.flag and not option.is_switch:
            message = refusal(config, {}, {option.name: value})
            assert message.startswith(f"{option.flag}: is still a placeholder"), value


@pytest.mark.parametrize("value", ["sales-[ab]", "[ab]*", "*", "$ales", "a<b", "50%off%"])
def test_patterns_that_only_look_like_placeholders_are_taken(value: str, config: Path) -> None:
    """Globs contain brackets too."""
    assert load({"allow_handles": value}, {}, config).allow_handles == (value,)
