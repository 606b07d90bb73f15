"""Every option once: its flag, environment name, default and rule.

An option is a field of `Settings`. `read_only` is the flag `--read-only` and the environment variable
`INKBOX_MCP_READ_ONLY`; the API key and the base URL keep the names that all Inkbox software shares, and are also read
from `~/.inkbox/config`. A flag wins over the environment, the environment over the file. Whatever is not understood
stops the start: a misspelt safety option must never leave the server less safe than it was meant to be.
"""

import difflib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError

from inkbox_mcp.generations import Generation

CONFIG_FILE = Path("~/.inkbox/config")

_PREFIX = "INKBOX_MCP_"
_ECOSYSTEM = {"api_key": "INKBOX_API_KEY", "base_url": "INKBOX_BASE_URL"}


class SettingsError(Exception):
    """An option is unknown or its value is not allowed; the message is one line that names it."""


def _key(key: SecretStr | None) -> SecretStr | None:
    if key and not re.fullmatch(r"[\x21-\x7e]+", key.get_secret_value()):
        raise ValueError("must be the key alone, without spaces or line breaks")
    return key


def _base_url(text: str) -> str:
    # Printable ASCII only, and no backslash: there URL parsers differ, and the one that connects is not this one.
    if not re.fullmatch(r"[\x21-\x5b\x5d-\x7e]+", text):
        raise ValueError("must be a URL such as https://inkbox.ai")
    url = urlsplit(text)
    if url.scheme == "http" and url.hostname not in {"localhost", "127.0.0.1"}:
        raise ValueError("must start with https:// (http:// is for localhost and 127.0.0.1 only)")
    if url.scheme not in {"http", "https"} or not url.hostname:
        raise ValueError("must be a URL such as https://inkbox.ai")
    if "@" in url.netloc or "?" in text or "#" in text:
        raise ValueError("must not have a user name, a query or a fragment")
    _ = url.port  # raises ValueError when it is no port
    return text.rstrip("/")


def _loopback(host: str) -> str:
    if host not in {"127.0.0.1", "localhost", "::1"}:
        raise ValueError(
            "must be 127.0.0.1, localhost or ::1, because whoever reaches the server can use its mailboxes"
        )
    return host


def _database(text: str) -> str:
    if not text:
        raise ValueError("must be a file or :memory:")
    try:
        return text if text == ":memory:" else str(Path(text).expanduser())
    except RuntimeError:
        raise ValueError("names a home directory that does not exist") from None


def _names(value: object) -> object:
    """Split a comma-separated list; an empty one is no list, because it would mean the opposite of a full one."""
    if not isinstance(value, str):
        return value
    names = tuple(name.strip() for name in value.split(","))
    if not all(names):
        raise ValueError("must be names separated by commas")
    return names


Confirm = Literal["auto", "always", "never"]
Names = Annotated[tuple[str, ...], BeforeValidator(_names)]


class Settings(BaseModel):
    """The options of a server, checked."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, hide_input_in_errors=True)

    api_key: Annotated[
        SecretStr | None, AfterValidator(_key), Field(description="The organisation's Inkbox API key; never a flag.")
    ] = None
    base_url: Annotated[str, AfterValidator(_base_url), Field(description="Where the Inkbox API is.")] = (
        "https://inkbox.ai"
    )
    sandbox: Annotated[bool, Field(description="Run on the embedded sandbox instead of the Inkbox API.")] = False
    sandbox_db: Annotated[
        str, AfterValidator(_database), Field(description="The sandbox's database file, or :memory:.")
    ] = "~/.inkbox/sandbox.db"
    sandbox_generation: Annotated[
        Generation, Field(description="Which generation of the API the sandbox is: `spec` or `identity`.")
    ] = "spec"
    http: Annotated[bool, Field(description="Serve streamable HTTP at /mcp instead of stdio.")] = False
    host: Annotated[str, AfterValidator(_loopback), Field(description="The loopback address to serve HTTP on.")] = (
        "127.0.0.1"
    )
    port: Annotated[int, Field(ge=0, le=65535, description="The port to serve HTTP on; 0 takes a free one.")] = 8000
    timeout: Annotated[
        float, Field(gt=0, le=600, description="Seconds that one tool call may take, its retries included.")
    ] = 30
    max_concurrency: Annotated[
        int, Field(ge=1, le=1000, description="Requests to Inkbox under way at once; further calls wait their turn.")
    ] = 32
    read_only: Annotated[bool, Field(description="Offer only the tools that change nothing.")] = False
    tools: Annotated[Names, Field(description="Offer only these tools (comma-separated).")] = ()
    exclude_tools: Annotated[Names, Field(description="Do not offer these tools.")] = ()
    confirm: Annotated[
        Confirm,
        Field(description="Ask the human before deleting or redirecting mail: if the client can, `always`, `never`."),
    ] = "auto"
    allow_handles: Annotated[Names, Field(description="Touch only the agents with these handles (globs).")] = ()
    allow_addresses: Annotated[Names, Field(description="Touch only the mailboxes at these addresses (globs).")] = ()
    allow_webhook_hosts: Annotated[Names, Field(description="Let webhooks go to these hosts only (globs).")] = ()
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        BeforeValidator(lambda text: text.lower() if isinstance(text, str) else text),
        Field(description="How much to log on stderr."),
    ] = "info"


@dataclass(frozen=True)
class Option:
    """One option's names and documentation."""

    name: str
    default: Any
    help: str
    is_switch: bool

    @property
    def flag(self) -> str | None:
        """The flag, or None for the key: command lines are visible to every process of the machine."""
        return None if self.name == "api_key" else f"--{self.name.replace('_', '-')}"

    @property
    def environment(self) -> str:
        """The environment variable."""
        return _ECOSYSTEM.get(self.name) or _PREFIX + self.name.upper()


Sources = dict[str, tuple[str, Any]]
"""By option name: where it was set, and to what."""


def options() -> list[Option]:
    """List every option, in the order in which the documentation shows them."""
    return [
        Option(name, field.default, field.description or "", field.annotation is bool)
        for name, field in Settings.model_fields.items()
    ]


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
        name = str(details["loc"][0])
        where = sources[name][0] if name in sources else name
        raise SettingsError(f"{where}: {details['msg'].removeprefix('Value error, ')}") from None


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
            if value or variable.startswith(_PREFIX):
                found[by_variable[variable]] = (variable, value)
        elif variable.startswith(_PREFIX):
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
        if equals and key.strip() in _ECOSYSTEM and (value := value.strip().strip("\"'")):
            yield key.strip(), value
