"""Checks webhook URLs. Inkbox sends mail events to them, so a deceived model could leak a whole inbox.

A URL must be https, to a host on the public internet (see `inkbox_mcp.api.public_hosts`), in plain notation:
notations that resolvers, proxies and HTTP libraries read differently are refused. `--allow-webhook-hosts` restricts the
hosts further.

A URL may have several problems. The one about its host is named first: no other correction helps with a private host.
"""

import re
from collections.abc import Iterator

from inkbox_mcp.api.public_hosts import PrivateHostError, require_public
from inkbox_mcp.text import quoted

NO_WEBHOOK = "none"
"""Stands for no URL, where an argument can remove one."""

_AUTHORITY = re.compile(r"https://([^/?#]*)", re.IGNORECASE)
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]{0,15})://([^/?#]*)", re.IGNORECASE)
_HOST_AND_PORT = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*)(?::([^:]*))?")
_LIKELY = 80
"""The most characters of a text without "https://" that is repeated with it."""


def webhook_url(text: str) -> str:
    """Check a webhook URL, and return it unchanged.

    Raises:
        ValueError: the URL is refused; the message is for the model that chose it.
    """
    if problems := [*_problems(text)]:
        raise ValueError("; and ".join(problems))
    return text


def _problems(text: str) -> Iterator[str]:
    """Yield what is wrong with a URL, first what matters most for the next step."""
    if re.search(r"\s", text):
        yield 'must be a URL without spaces; in a path, a space is written "%20"'
        return
    if "\\" in text:
        yield 'must be a URL without backslashes; write "/"'
        return
    found = _SCHEME.match(text)
    scheme, authority = (found[1].lower(), found[2]) if found else ("", re.split("[/?#]", text, maxsplit=1)[0])
    problem = None
    if scheme in {"", "http", "https"}:
        problem = _problem_of_host(authority.rpartition("@")[2], alone=not scheme)
        if problem:
            yield problem
    if scheme != "https":
        yield f'must start with "https://"{_instead_of(scheme, text, problem)}'
    if scheme and "@" in authority:
        yield "must not have a user name or password"
    if scheme and "#" in text:
        yield 'must not have a fragment ("#...")'


def _problem_of_host(host_and_port: str, *, alone: bool) -> str | None:
    """Describe what is wrong with a host and its port.

    Args:
        host_and_port: the end of a URL's authority.
        alone: whether no scheme is before it, so that it may be any text. Then only a private host is a problem.
    """
    try:
        host, port = _host_and_port(host_and_port)
        require_public(host)
        if port is not None:
            _require_port(port)
    except PrivateHostError as problem:
        return str(problem)
    except ValueError as problem:
        return None if alone else str(problem)
    return None


def _instead_of(scheme: str, text: str, problem: str | None) -> str:
    """Say what to do about a URL that does not start with https, if that is its only problem."""
    if scheme:
        advice = "" if problem or scheme != "http" else "; if the server has no https, ask the user for another URL"
        return f', not "{scheme}://"{advice}'
    whole = f"https://{text}"
    likely = "." in text and len(text) <= _LIKELY and not problem and not [*_problems(whole)]
    return f", as in {quoted(whole, 2 * _LIKELY)}" if likely else ""


def webhook_host(url: str) -> str:
    """Return the host of a webhook URL in lower case, without IPv6's brackets and a final dot.

    It is the host that `webhook_url` checked, found by the same rules.
    """
    found = _AUTHORITY.match(url)
    host, _ = _host_and_port(found[1]) if found else ("", None)
    return host.removeprefix("[").removesuffix("]")


def _host_and_port(authority: str) -> tuple[str, str | None]:
    if "%" in authority:
        raise ValueError('must not have a "%" in its host, neither percent-encoding nor the zone of an IPv6 address')
    found = _HOST_AND_PORT.fullmatch(authority)
    if not found:
        raise ValueError("must have one host; an IPv6 address stands in brackets, and nothing else does")
    return found[1].lower().removesuffix("."), found[2]


def _require_port(port: str) -> None:
    if not port:
        raise ValueError('must have a port from 1 to 65535 after the ":" of its host, or no ":"')
    if not (re.fullmatch(r"[0-9]{1,5}", port) and 1 <= int(port) <= 65535):
        raise ValueError(f"must have a port from 1 to 65535, not {quoted(port, 20)}, or none")
