"""The types of option values, with their rules."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, AnyHttpUrl, BeforeValidator, ConfigDict, SecretStr, TypeAdapter

from inkbox_mcp.settings.credentials import not_a_key, without_wrapping

_PLAIN_URL: TypeAdapter[AnyHttpUrl] = TypeAdapter(AnyHttpUrl, config=ConfigDict(url_preserve_empty_path=True))

HOST_AND_PORT = r"([a-z0-9._-]+|\[[0-9a-f:.]+\])(?::([0-9]*|\*))?"
"""Host and port of a URL, in lower case. `*` and a missing port mean any port."""

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})

# Of characters that a plain address or a glob can have; the domain has a dot, or something that may be one.
_RECIPIENT_PATTERN = re.compile(
    r"[\w.#$&'*+/=?^`{|}~\[\]!-]+@(?=.*[.*?\[])[a-zA-Z0-9*?\[!-][a-zA-Z0-9.*?\[\]!-]*(?<!\.)", re.ASCII
)
_UNITS = {"s": 1, "m": 60, "h": 3600}


@dataclass(frozen=True)
class Rate:
    """A number of calls in a number of seconds.

    Attributes:
        calls: the most calls.
        seconds: the length of the window.
        written: as the operator wrote it, such as `10/s`.
    """

    calls: int
    seconds: int
    written: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a rate such as `10/s`, `600/m`, `1000/h` or `5/10s`.

        Raises:
            ValueError: the text is not a rate; the message begins with "must".
        """
        match = re.fullmatch(r"([1-9][0-9]{0,5})/([1-9][0-9]{0,3})?([smh])", text)
        if not match:
            raise ValueError("must be a call rate, such as 10/s, 600/m, 1000/h or 5/10s")
        calls, count, unit = match.groups()
        return cls(int(calls), int(count or 1) * _UNITS[unit], text)

    def __str__(self) -> str:
        return self.written


def _key(key: SecretStr) -> SecretStr:
    text = without_wrapping(key.get_secret_value())
    # The first call explains placeholders and the like: a server starts without a key, too.
    if not not_a_key(text) and not re.fullmatch(r"[\x21-\x7e]+", text):
        raise ValueError("must be the key alone, without spaces or line breaks")
    return SecretStr(text)


def _token(token: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[\x21-\x7e]{16,}", token.get_secret_value()):
        raise ValueError("must be at least 16 characters, without spaces or line breaks")
    return token


def _state_keys(value: object) -> object:
    """Split secrets. The SDK wants them different, and of at least 32 bytes."""
    if not isinstance(value, str):
        return value
    keys = [key.strip() for key in value.split(",")]
    if any(len(key.encode()) < 32 for key in keys) or len(set(keys)) < len(keys):
        raise ValueError("must be different secrets of at least 32 bytes, separated by commas")
    return tuple(map(SecretStr, keys))


def _split(text: str, example: str) -> SplitResult:
    # Printable ASCII without backslash: URL parsers differ in the rest, and another parser connects.
    if not re.fullmatch(r"[\x21-\x5b\x5d-\x7e]+", text):
        raise ValueError(f"must be a URL such as {example}")
    url = urlsplit(text)
    if url.scheme == "http" and url.hostname not in {"localhost", "127.0.0.1"}:
        raise ValueError("must start with https:// (http:// is for localhost and 127.0.0.1 only)")
    if url.scheme not in {"http", "https"} or not url.hostname:
        raise ValueError(f"must be a URL such as {example}")
    if "@" in url.netloc or "?" in text or "#" in text:
        raise ValueError("must not have a user name, a query or a fragment")
    _ = url.port  # raises ValueError for an invalid port
    return url


def _base_url(text: str) -> str:
    _split(text, "https://inkbox.ai")
    _PLAIN_URL.validate_python(text)  # refuses 256.1.1.1, for example, which urlsplit accepts
    return text.rstrip("/")


def _exact_url(text: str) -> str:
    _split(text, "https://mcp.example.com/mcp")
    # Tokens must match it exactly, and clients get it as this type writes it.
    if (plain := str(_PLAIN_URL.validate_python(text))) != text:
        raise ValueError(f"must be written as {plain}")
    return text


def _origins(names: tuple[str, ...]) -> tuple[str, ...]:
    if not all(re.fullmatch(r"https?://[a-z0-9.\[\]:-]+", name) for name in names):
        raise ValueError("must be origins as browsers write them, such as https://app.example.com")
    return names


def _host_names(names: tuple[str, ...]) -> tuple[str, ...]:
    # A name that no header can equal would not allow the host that was meant.
    if not all(name.isascii() and re.fullmatch(HOST_AND_PORT, name.lower()) for name in names):
        raise ValueError("must be hosts as in URLs, such as mcp.example.com or [2001:db8::1]:8443, without https://")
    return names


def _scopes(names: tuple[str, ...]) -> tuple[str, ...]:
    if not all(re.fullmatch(r"[\x21\x23-\x5b\x5d-\x7e]+", name) for name in names):
        raise ValueError("must be OAuth scopes separated by commas")
    return names


def _host(host: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._:-]+", host):
        raise ValueError("must be an address of this machine, such as 127.0.0.1 or 0.0.0.0")
    return host


def _database(text: str) -> str:
    if not text:
        raise ValueError("must be a file or :memory:")
    try:
        return text if text == ":memory:" else str(Path(text).expanduser())
    except RuntimeError:
        if Path(text).parts[0] == "~":  # no home directory, which matters only with --sandbox
            return text
        raise ValueError("names a home directory that does not exist") from None


def _folder(value: object) -> object:
    """Check that a folder exists, and return it without links. None is made: a misspelt one would be found nowhere."""
    if not isinstance(value, str):
        return value
    try:
        folder = Path(value).expanduser().resolve()
        is_folder = bool(value) and folder.is_dir()
    except (RuntimeError, OSError, ValueError):  # no home directory, a loop of links, a null character
        raise ValueError("must be a folder; this path cannot be read") from None
    if not is_folder:
        raise ValueError("must be the path of a folder that exists")  # not repeated: it may be a secret
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ValueError("must be a folder that this user may write to")
    return folder


def home_directory() -> Path | None:
    """Return this user's home directory, even if it does not exist; None if the system knows none."""
    try:
        return Path("~").expanduser()
    except RuntimeError:
        return None


def _names(value: object) -> object:
    """Split a comma-separated list. An empty one is refused: it would allow everything instead of some names."""
    if not isinstance(value, str):
        return value
    names = tuple(name.strip() for name in value.split(","))
    if not all(names):
        raise ValueError("must be names separated by commas")
    return names


def _handles(patterns: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(pattern.removeprefix("@") for pattern in patterns)


def _addresses(patterns: tuple[str, ...]) -> tuple[str, ...]:
    if not all("@" in pattern or "*" in pattern for pattern in patterns):
        raise ValueError("must be addresses such as sales@inkboxmail.com, or patterns such as sales-*@inkboxmail.com")
    return patterns


def _recipients(patterns: tuple[str, ...]) -> tuple[str, ...]:
    # Others match nothing, or more than is meant: *acme.com would match an address at evilacme.com.
    if not all(_RECIPIENT_PATTERN.fullmatch(pattern) for pattern in patterns):
        raise ValueError("must be addresses such as jane@example.com, or patterns such as *@example.com, in ASCII")
    return patterns


def _hosts(patterns: tuple[str, ...]) -> tuple[str, ...]:
    if any("/" in pattern or re.fullmatch(r"[^:]+:[0-9]*", pattern) for pattern in patterns):
        raise ValueError("must be hosts such as hooks.example.com or *.example.com, without https:// or port")
    return patterns


def _rate(value: object) -> object:
    return Rate.parse(value) if isinstance(value, str) else value


def parse_store(text: str) -> str:
    """Check the URL of a store, and return it unchanged.

    Raises:
        ValueError: the URL is invalid; the message does not repeat it, because it may contain a password.
    """
    try:
        url = urlsplit(text)
        _ = url.port
        if url.path if url.scheme == "unix" else url.hostname and url.scheme in {"redis", "rediss"}:
            return text
    except ValueError:
        pass
    raise ValueError("must be a URL such as redis://localhost:6379/0, rediss://:password@host:6380 or unix:///socket")


def _store(url: SecretStr) -> SecretStr:
    parse_store(url.get_secret_value())
    return url


Key = Annotated[SecretStr, AfterValidator(_key)]
Token = Annotated[SecretStr, AfterValidator(_token)]
StateKeys = Annotated[tuple[SecretStr, ...], BeforeValidator(_state_keys)]
BaseURL = Annotated[str, AfterValidator(_base_url)]
ExactURL = Annotated[str, AfterValidator(_exact_url)]
Host = Annotated[str, AfterValidator(_host)]
Database = Annotated[str, AfterValidator(_database)]
Folder = Annotated[Path, BeforeValidator(_folder)]
Names = Annotated[tuple[str, ...], BeforeValidator(_names)]
Handles = Annotated[Names, AfterValidator(_handles)]
Addresses = Annotated[Names, AfterValidator(_addresses)]
Recipients = Annotated[Names, AfterValidator(_recipients)]
Hosts = Annotated[Names, AfterValidator(_hosts)]
HostNames = Annotated[Names, AfterValidator(_host_names)]
Origins = Annotated[tuple[str, ...], BeforeValidator(_names), AfterValidator(_origins)]
Scopes = Annotated[tuple[str, ...], BeforeValidator(_names), AfterValidator(_scopes)]
CallRate = Annotated[Rate, BeforeValidator(_rate)]
StoreURL = Annotated[SecretStr, AfterValidator(_store)]
LowerCase = BeforeValidator(lambda text: text.lower() if isinstance(text, str) else text)
