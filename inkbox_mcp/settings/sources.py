"""Reads options from flags, environment variables and `~/.inkbox/config`.

A flag has priority over the environment, the environment over the file. An option that is not understood stops the
start: a misspelt safety option must never leave the server less safe than intended. The file and the prefix `INKBOX_`
are shared with all Inkbox software, so there only names that are surely meant for this server are refused.
"""

import difflib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from inkbox_mcp.settings.credentials import unfilled
from inkbox_mcp.settings.misplaced import meant_in_the_config, meant_in_the_environment
from inkbox_mcp.settings.options import ENVIRONMENT_PREFIX, SHARED_NAMES, Mark, Option, Settings, SettingsError, options

CONFIG_FILE = Path("~/.inkbox/config")

# For a Service named inkbox, Kubernetes sets INKBOX_PORT.
_OF_KUBERNETES = re.compile(r"(tcp|udp|sctp)://")


@dataclass(frozen=True)
class Source:
    """The place and the value of an option that is set.

    Attributes:
        where: such as `--port` or `INKBOX_MCP_PORT`.
        value: as written.
        is_flag: whether it is a flag, so for this start only.
    """

    where: str
    value: Any
    is_flag: bool = False


@dataclass
class Sources:
    """All options that are set.

    Attributes:
        options: by option name.
        ignored: names that other Inkbox software may read, and this server does not.
    """

    options: dict[str, Source] = field(default_factory=dict[str, Source])
    ignored: list[str] = field(default_factory=list[str])

    def places(self, settings: Settings) -> dict[str, str]:
        """Return the places of the options that have an effect, by option name."""
        idle = {where for places in self.without_effect(settings).values() for where in places}
        return {name: source.where for name, source in self.options.items() if source.where not in idle}

    def without_effect(self, settings: Settings) -> dict[str, list[str]]:
        """Return the places of options without effect, by the flag that they need."""
        off = {
            **({} if settings.http else {Mark.HTTP: "--http"}),
            **({} if settings.sandbox else {Mark.SANDBOX: "--sandbox"}),
        }
        found: dict[str, list[str]] = {}
        for option in options():
            for mark in option.marks:
                if mark in off and option.name in self.options:
                    found.setdefault(off[mark], []).append(self.options[option.name].where)
        return found

    def unused(self, settings: Settings) -> list[str]:
        """Return all places without effect, each with its reason if known."""
        needing = self.without_effect(settings).items()
        return [*(f"{where} (needs {flag})" for flag, places in needing for where in places), *self.ignored]


def load(flags: Mapping[str, Any], environment: Mapping[str, str], config_file: Path = CONFIG_FILE) -> Settings:
    """Read the options from flags, environment and file, and check them.

    Args:
        flags: option names and values from the command line, only those given.
        environment: such as `os.environ`.
        config_file: `key = value` lines; a missing file is an empty one.

    Raises:
        SettingsError: an unknown `INKBOX_MCP_…` variable, an option in the wrong place, or a value that is not allowed.
    """
    return check(gather(flags, environment, config_file))


def gather(flags: Mapping[str, Any], environment: Mapping[str, str], config_file: Path = CONFIG_FILE) -> Sources:
    """Read the options without checking values; see `load`."""
    sources = Sources()
    config = list(_read_config(config_file))
    for key, value in config:
        if key in SHARED_NAMES and value:
            sources.options[key] = Source(f"{key} in {config_file}", value)
    _take_from_environment(environment, sources)
    for name, value in flags.items():
        sources.options[name] = Source(f"--{name.replace('_', '-')}", value, is_flag=True)
    _judge_other_lines(config, config_file, sources)
    return sources


def check(sources: Sources) -> Settings:
    """Check the values of options; see `load`."""
    given = sources.options
    for source in given.values():
        # The first call explains a placeholder for the key; see `inkbox_mcp.settings.values`.
        if source is not given.get("api_key") and isinstance(source.value, str) and unfilled(source.value):
            raise SettingsError(f"{source.where}: is still a placeholder that nothing replaced, such as ${{NAME}}")
    settings = _validated(given)
    for_http = [option.name for option in options() if Mark.HTTP in option.marks and option.name in given]
    if settings.http or not for_http:
        return settings
    for name in for_http:
        if given[name].is_flag:
            raise SettingsError(f"{given[name].where}: {Mark.HTTP.value}")
    # Several servers may share an environment, so variables are not refused; `Sources.without_effect` warns of them.
    return _validated({name: source for name, source in given.items() if name not in for_http})


def exposes_key() -> bool:
    """Whether the configuration file has a key that other users of this machine can read."""
    if not dict(_read_config(CONFIG_FILE)).get("api_key"):
        return False
    return os.name == "posix" and bool(CONFIG_FILE.expanduser().stat().st_mode & 0o077)


def _validated(given: Mapping[str, Source]) -> Settings:
    try:
        return Settings.model_validate({name: source.value for name, source in given.items()})
    except ValidationError as error:
        details = error.errors(include_url=False)[0]
        message = details["msg"].removeprefix("Value error, ")
        if not details["loc"]:  # options that exclude or need each other; the message names them
            raise SettingsError(message) from None
        name = str(details["loc"][0])
        where = given[name].where if name in given else name
        raise SettingsError(f"{where}: {message}") from None


def _take_from_environment(environment: Mapping[str, str], sources: Sources) -> None:
    by_variable = {option.environment: option for option in options()}
    for variable, value in environment.items():
        if option := by_variable.get(variable):
            # MCP hosts and compose files set omitted values to nothing; an empty limit may be a mistake.
            if value.strip() or Mark.LIMIT in option.marks:
                _refuse_empty(option, value)
                sources.options[option.name] = Source(variable, value)
        elif variable.startswith(ENVIRONMENT_PREFIX):
            close = difflib.get_close_matches(variable, by_variable, n=1, cutoff=0.8)
            raise SettingsError(f"{variable}: no such option{f'; did you mean {close[0]}?' if close else ''}")
        elif (meant := meant_in_the_environment(variable)) and not _OF_KUBERNETES.match(value):
            raise SettingsError(f"{variable}: has no effect; did you mean {meant.environment}?")
        elif variable.startswith("INKBOX_"):
            sources.ignored.append(variable)


def _refuse_empty(option: Option, value: str) -> None:
    # The token's own rule has a better message.
    if not value.strip() and option.name != "token":
        raise SettingsError(f"{option.environment}: is set and empty; give it a value, or do not set it")


def _judge_other_lines(config: Iterable[tuple[str, str | None]], file: Path, sources: Sources) -> None:
    for key, value in config:
        if key in SHARED_NAMES:
            continue
        meant = None if "ApiKey_" in key else meant_in_the_config(key)
        if meant and meant.name not in SHARED_NAMES:
            places = " or ".join(filter(None, (meant.flag, meant.environment)))
            shown = key if value is not None else meant.name  # a whole line may contain a secret
            raise SettingsError(f"{shown} in {file}: has no effect there; use {places}")
        if ("ApiKey_" in key or meant) and (name := meant.name if meant else "api_key") not in sources.options:
            raise SettingsError(
                f'{file}: a line that has the {name} does not begin with "{name} = ", and has no effect'
            )
        if value is not None:
            # A text that does not look like a name may be a part of a secret, so it is not shown.
            shown = key if re.fullmatch(r"[a-z][a-z_.-]{0,40}|[A-Z][A-Z_]{0,40}", key) else "a line"
            sources.ignored.append(f"{shown} in {file}")


def _read_config(file: Path) -> Iterator[tuple[str, str | None]]:
    """Read `~/.inkbox/config`: keys and unquoted values. A line without an equals sign has the value None."""
    try:
        lines = file.expanduser().read_text(encoding="utf-8-sig").splitlines()
    except (FileNotFoundError, NotADirectoryError, RuntimeError):  # RuntimeError: no home directory
        return
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file}: cannot be read ({type(error).__name__})") from None
    for line in map(str.strip, lines):
        key, equals, value = line.partition("=")
        if line and not line.startswith(("#", ";", "[")):
            yield key.strip(), value.strip().strip("\"'") if equals else None
