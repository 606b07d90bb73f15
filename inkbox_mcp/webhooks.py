"""The webhook guard: mail events go where a webhook URL says, so a fooled model could leak a whole inbox.

A URL must be https to a host on the public internet, written in the one plain way: what resolvers, proxies and HTTP
libraries read differently is refused rather than interpreted. Where a public name points to is not looked up, because
Inkbox makes the request, from its network, later. `--allow-webhook-hosts` names the hosts that may be used at all.
"""

import re
import unicodedata
from ipaddress import AddressValueError, IPv4Address, IPv6Address, IPv6Network
from urllib.parse import SplitResult, urlsplit

_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
# RFC 6761, RFC 8375, RFC 9476 and the names that private networks give themselves.
_PRIVATE_DOMAINS = re.compile(
    r"(.*\.)?(localhost|localdomain|local|internal|intranet|private|corp|home|lan|arpa|test|example|invalid|onion|alt)"
)
# Addresses that carry an IPv4 address inside: compatible, translated (RFC 6052, RFC 8215), 6to4, Teredo.
_EMBEDDING = [IPv6Network(text) for text in ("::/96", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32")]


def webhook_url(text: str) -> str:
    """Check a webhook URL; it is returned as it was.

    Raises:
        ValueError: what is wrong with it, in words for the model that chose it.
    """
    if re.search(r"[\s\\]", text):
        raise ValueError("must be a URL without spaces or backslashes")
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        raise ValueError('must be a URL such as "https://example.com/inkbox"') from None
    if text.lower() in {"", "null", "none"}:
        raise ValueError('must start with "https://"; to unsubscribe, pass null to update_mailbox, without quotes')
    if url.scheme != "https":
        raise ValueError('must start with "https://"')
    if "@" in url.netloc:
        raise ValueError("must not have a user name or password")
    if "#" in text:
        raise ValueError('must not have a fragment ("#...")')
    if port == 0 or url.netloc.endswith(":"):
        raise ValueError("must have a port from 1 to 65535, or none")
    _require_public(webhook_host(url))
    return text


def webhook_host(url: SplitResult | str) -> str:
    """Return the host of a webhook URL in lower case, without the brackets of IPv6 and the dot of the root."""
    url = urlsplit(url) if isinstance(url, str) else url
    return (url.hostname or "").removesuffix(".")


def _require_public(host: str) -> None:
    if not host:
        raise ValueError("must name a host")
    if not host.isascii():
        raise ValueError('must have an ASCII host; write an international name in its "xn--" form')
    if ":" in host:
        _require_public_address(_ipv6(host))
    elif _NUMBER.fullmatch(host.rpartition(".")[2]):
        _require_public_address(_ipv4(host))
    elif not all(_LABEL.fullmatch(label) for label in host.split(".")):
        raise ValueError("must have a host of letters, digits, hyphens and dots")
    elif "." not in host or _PRIVATE_DOMAINS.fullmatch(host) or any(map(_is_disguised, host.split("."))):
        raise ValueError("must have the full name of a host on the public internet")


def _require_public_address(address: IPv4Address | IPv6Address) -> None:
    if not address.is_global or address.is_multicast or address.is_reserved:
        raise ValueError("must have a host on the public internet; this address is private, local or reserved")


def _ipv4(host: str) -> IPv4Address:
    try:
        return IPv4Address(host)
    except AddressValueError:
        raise ValueError("must have an IPv4 address in dotted decimal or, better, a host name") from None


def _ipv6(host: str) -> IPv6Address:
    try:
        address = IPv6Address(host)
    except AddressValueError:
        raise ValueError("must use a valid IPv6 address or, better, a host name") from None
    if address.scope_id or address.ipv4_mapped or any(address in network for network in _EMBEDDING):
        raise ValueError("must not have an IPv6 address with a zone or an embedded IPv4 address")
    return address


def _is_disguised(label: str) -> bool:
    """Whether an international label stands for an ASCII one, or for nothing: no registry gives those out."""
    if not label.startswith("xn--"):
        return False
    try:
        decoded = label.removeprefix("xn--").encode("ascii").decode("punycode")
    except UnicodeError:
        return True
    return unicodedata.normalize("NFKC", decoded).isascii()
