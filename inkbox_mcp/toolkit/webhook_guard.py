"""Checks webhook URLs. Inkbox sends mail events to them, so a deceived model could leak a whole inbox.

A URL must be https, to a host on the public internet, in plain notation: notations that resolvers, proxies and HTTP
libraries read differently are refused. Names are not resolved, because Inkbox makes the request later, from its own
network. `--allow-webhook-hosts` restricts the hosts further.
"""

import re
import unicodedata
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from inkbox_mcp.text import first_unseen
from inkbox_mcp.toolkit.ip_addresses import LOOPBACK, why_not_public

_AUTHORITY = re.compile(r"https://([^/?#]*)", re.IGNORECASE)
_HOST_AND_PORT = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*)(?::([^:]*))?")
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_TUNNEL = "give a public host name, or the one of a tunnel to this machine"
# Why a name is not a public host's, by its last labels. Private endings are those of RFC 6761, 7686, 8375 and 9476, of
# RFC 6762, appendix G, of ICANN (.internal, and the report on name collisions), and of Kubernetes, Docker, Consul,
# Nomad, other platforms, clouds and routers. Names in .ts.net are allowed: outside a Tailscale network they exist only
# if their owner published them with Funnel, which is made for webhooks.
_NOT_PUBLIC = {
    ending: why
    for why, endings in {
        f"only the machine itself can reach loopback: {_TUNNEL}": """
            localhost localhost.localdomain localhost4 localhost6 ip6-localhost ip6-loopback loopback
        """,
        "this ending is one of private networks: give a public host name": """
            localdomain localdomain4 localdomain6 local localnet internal intranet intra intern private priv corp home
            homenet lan wan mail workgroup domain dom server arpa test example invalid onion alt i2p svc pod cluster
            default kube k8s minikube docker podman containers swarm rancher mesos marathon weave consul nomad vault lxd
            incus libvirt vagrant virtualbox vm router modem gateway dhcp bridge belkin dlink dlinkrouter arris
            homestation airdream fritz.box speedport.ip mshome.net internal.cloudapp.net oraclevcn.com
        """,
        "a cloud's machines read their metadata there: give a public host name": """
            metadata.goog metadata.tencentyun.com metadata.packet.net metadata.platformequinix.com instance-data
        """,
        "names with this ending lead to private addresses: give another": """
            nip.io sslip.io xip.io localtest.me lvh.me vcap.me lacolhost.com
        """,
    }.items()
    for ending in endings.split()
}


def webhook_url(text: str) -> str:
    """Check a webhook URL, and return it unchanged.

    Raises:
        ValueError: the URL is refused; the message is for the model that chose it.
    """
    if re.search(r"[\s\\]", text):
        raise ValueError("must be a URL without spaces or backslashes")
    if text.lower() in {"", "null", "none"}:
        raise ValueError('must start with "https://"; to unsubscribe, pass null to update_mailbox, without quotes')
    if not (found := _AUTHORITY.match(text)):
        raise ValueError('must start with "https://"')
    if "@" in found[1]:
        raise ValueError("must not have a user name or password")
    if "#" in text:
        raise ValueError('must not have a fragment ("#...")')
    if "%" in found[1]:
        raise ValueError('must not have a "%" in its host, neither percent-encoding nor the zone of an IPv6 address')
    host, port = _host_and_port(found[1])
    if port is not None and not (re.fullmatch(r"[0-9]{1,5}", port) and 1 <= int(port) <= 65535):
        raise ValueError("must have a port from 1 to 65535, or none")
    _require_public(host)
    return text


def webhook_host(url: str) -> str:
    """Return the host of a webhook URL in lower case, without IPv6's brackets and a final dot.

    It is the host that `webhook_url` checked, found by the same rules.
    """
    found = _AUTHORITY.match(url)
    host, _ = _host_and_port(found[1]) if found else ("", None)
    return host.removeprefix("[").removesuffix("]")


def _host_and_port(authority: str) -> tuple[str, str | None]:
    found = _HOST_AND_PORT.fullmatch(authority)
    if not found:
        raise ValueError("must have one host; an IPv6 address stands in brackets, and nothing else does")
    return found[1].lower().removesuffix("."), found[2]


def _require_public(host: str) -> None:
    if not host:
        raise ValueError("must name a host")
    if not host.isascii():
        if unicodedata.normalize("NFKC", host).replace("\u3002", ".").isascii():
            raise ValueError(
                "must have a host of plain letters, digits and dots, not of characters that look like them"
            )
        raise ValueError('must have an ASCII host; write an international name in its "xn--" form')
    if host.startswith("["):
        _require_public_address(_ipv6(host[1:-1]))
    elif _NUMBER.fullmatch(host.rpartition(".")[2]):
        _require_public_address(_ipv4(host))
    elif len(host) > 253 or "_" in host.rpartition(".")[2] or not all(map(_LABEL.fullmatch, host.split("."))):
        raise ValueError("must have a host of letters, digits, hyphens and dots")
    else:
        _require_public_name(host)


def _require_public_name(host: str) -> None:
    labels = host.split(".")
    endings = (".".join(labels[first:]) for first in range(len(labels)))
    why = next((_NOT_PUBLIC[ending] for ending in endings if ending in _NOT_PUBLIC), None)
    if why is None and len(labels) == 1:
        why = "a name without a dot is one of private networks: give the full name"
    if why:
        raise ValueError(f"must have the full name of a host on the public internet; {why}")
    if any(map(_is_disguised, labels)):
        raise ValueError('must have the full name of a host on the public internet; its "xn--" form stands for no name')


def _require_public_address(address: IPv4Address | IPv6Address) -> None:
    if why := why_not_public(address):
        advice = f": {_TUNNEL}" if why == LOOPBACK else ""
        raise ValueError(f"must have a host on the public internet; {address} is {why}{advice}")


def _ipv4(host: str) -> IPv4Address:
    try:
        return IPv4Address(host)
    except AddressValueError:
        raise ValueError("must have an IPv4 address in dotted decimal or, better, a host name") from None


def _ipv6(host: str) -> IPv6Address:
    try:
        return IPv6Address(host)
    except AddressValueError:
        raise ValueError("must have a valid IPv6 address between the brackets or, better, a host name") from None


def _is_disguised(label: str) -> bool:
    """Whether an "xn--" label is invalid, or not the normal form of a visible name; registries allow neither."""
    if not label.startswith("xn--"):
        return False
    punycode = label.removeprefix("xn--")
    try:
        name = punycode.encode("ascii").decode("punycode")
        plain = unicodedata.normalize("NFKC", name.lower())
        return plain.isascii() or plain != name or first_unseen(name) is not None or "_" in name
    except UnicodeError:
        return True
