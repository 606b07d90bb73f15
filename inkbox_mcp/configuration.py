"""Where options come from: flags, environment variables and `~/.inkbox/config`.

A flag wins over the environment, the environment over the file. Whatever is not understood stops the start: a misspelt
safety option must never leave the server less safe than it was meant to be.
"""

import difflib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from inkbox_mcp.settings import ENVIRONMENT_PREFIX, SHARED_NAMES, Settings, SettingsError, options

CONFIG_FILE = Path("~/.inkbox/config")

Sources = dict[str, tuple[str, Any]]
"""By option name: where it was set, and to what."""


def load(flags: Mapping[str, Any], environment: Mapping[str, str], config_file: Path = CONFIG_FILE) -> Settings:
    """Gather the options from flags, environment and file, and check them.

    Args:
        flags: option names and values from the command line, only those given.
        environment: such as `os.environ`.
        config_file: `key = value` lines; a missing file is an empty one.

    Raises:
        SettingsError: an unknown `INKBOX_MCP_…` variable, or a value that is not allowed.
    """
    return check(gather(flags, environment, config_file))


def gather(flags: Mapping[str, Any], environment: Mapping[str, str], config_file: Path = CONFIG_FILE) -> Sources:
    """Find the options that are set, and where; see `load`."""
    sources: Sources = {}
    for name, value in _read_config(config_file):
        sources[name] = (f"{name} in {config_file}", value)
    sources |= _from_environment(environment)
    for name, value in flags.items():
        sources[name] = (f"--{name.replace('_', '-')}", value)
    return sources


def check(sources: Sources) -> Settings:
    """Check the options that are set; see `load`."""
    try:
        return Settings.model_validate({name: value for name, (_, value) in sources.items()})
    except ValidationError as error:
        details = error.errors(include_url=False)[0]
        message = details["msg"].removeprefix("Value error, ")
        if not details["loc"]:  # options that do not fit together; the message names them
            raise SettingsError(message) from None
        name = str(details["loc"][0])
        where = sources[name][0] if name in sources else name
        raise SettingsError(f"{where}: {message}") from None


def exposes_key(config_file: Path = CONFIG_FILE) -> bool:
    """Whether the file holds a key that other users of this machine can read."""
    if "api_key" not in dict(_read_config(config_file)):
        return False
    return os.name == "posix" and bool(config_file.expanduser().stat().st_mode & 0o077)


def _from_environment(environment: Mapping[str, str]) -> Sources:
    by_variable = {option.environment: option.name for option in options()}
    found: Sources = {}
    for variable, value in environment.items():
        if variable in by_variable:
            # The variables that all Inkbox software shares count as unset when empty, as its SDKs have it.
            if value or variable.startswith(ENVIRONMENT_PREFIX):
                found[by_variable[variable]] = (variable, value)
        elif variable.startswith(ENVIRONMENT_PREFIX):
            close = difflib.get_close_matches(variable, by_variable, n=1, cutoff=0.8)
            raise SettingsError(f"{variable}: no such option{f'; did you mean {close[0]}?' if close else ''}")
    return found


def _read_config(file: Path) -> Iterator[tuple[str, str]]:
    """Read `~/.inkbox/config`: comments, blank lines and other programs' keys are passed over."""
    try:
        lines = file.expanduser().read_text(encoding="utf-8-sig").splitlines()
    except (FileNotFoundError, NotADirectoryError, RuntimeError):  # the last: there is no home directory
        return
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file}: cannot be read ({type(error).__name__})") from None
    for line in lines:
        key, equals, value = line.partition("=")
        if equals and key.strip() in SHARED_NAMES and (value := value.strip().strip("\"'")):
            yield key.strip(), value
