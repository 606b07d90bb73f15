"""Decides whether a host is one on the public internet, by its name or IP address.

Names are not resolved, because Inkbox makes the request later, from its own network.
"""

import re
import unicodedata
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from inkbox_mcp.api.ip_addresses import BEHIND_A_TUNNEL, why_not_public
from inkbox_mcp.text import first_unseen

_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_ASK = "ask the user for the public https URL of a tunnel to it, which ngrok or cloudflared gives"
# Why a name is not a public host's, by its last labels. Private endings are those of RFC 6761, 7686, 8375 and 9476, of
# RFC 6762, appendix G, of ICANN (.internal, and the report on name collisions), and of Kubernetes, Docker, Consul,
# Nomad, other platforms, clouds and routers. Names in .ts.net are allowed: outside a Tailscale network they exist only
# if their owner published them with Funnel, which is made for webhooks.
_NOT_PUBLIC = {
    ending: why
    for why, endings in {
        f"only the machine itself can reach loopback, and Inkbox cannot: {_ASK}": """
            localhost localhost.localdomain localhost4 localhost6 ip6-localhost ip6-loopback loopback
        """,
        f"this ending is one of private networks, which Inkbox cannot reach: give a public host name, or {_ASK}": """
            localdomain localdomain4 localdomain6 local localnet internal intranet intra intern private priv corp home
            homenet lan wan mail workgroup domain dom server arpa test example invalid onion alt i2p svc pod cluster
            default kube k8s minikube docker podman containers swarm rancher mesos marathon weave consul nomad vault lxd
            incus libvirt vagrant virtualbox vm router modem gateway dhcp bridge belkin dlink dlinkrouter arris
            homestation airdream fritz.box speedport.ip mshome.net internal.cloudapp.net oraclevcn.com
        """,
        "a cloud's machines read their metadata there: give a public host name": """
            metadata.goog metadata.tencentyun.com metadata.packet.net metadata.platformequinix.com instance-data
        """,
        f"names with this ending lead to private addresses: give a public host name, or {_ASK}": """
            nip.io sslip.io xip.io localtest.me lvh.me vcap.me lacolhost.com
        """,
    }.items()
    for ending in endings.split()
}


class PrivateHostError(ValueError):
    """A text is a host, and this host is not on the public internet."""


def require_public(host: str) -> None:
    """Refuse a host that is not plainly one on the public internet.

    Args:
        host: in lower case, without a final dot; an IPv6 address in its brackets.

    Raises:
        ValueError: the host is refused; the message is for the model that chose it.
    """
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
    else:
        _require_public_name(host)


def _require_public_name(host: str) -> None:
    labels = host.split(".")
    endings = (".".join(labels[first:]) for first in range(len(labels)))
    if why := next((_NOT_PUBLIC[ending] for ending in endings if ending in _NOT_PUBLIC), None):
        raise PrivateHostError(f"must have the full name of a host on the public internet; {why}")
    _require_spelling(host, labels)
    if len(labels) == 1:
        raise ValueError(
            "must have the full name of a host on the public internet; a name without a dot is one of private "
            "networks: give the full name"
        )
    if any(map(_is_disguised, labels)):
        raise ValueError('must have the full name of a host on the public internet; its "xn--" form stands for no name')


def _require_spelling(host: str, labels: list[str]) -> None:
    """Refuse a name that no host can have (RFC 1123), apart from "_", which some have before their domain."""
    if re.search("[^a-z0-9_.-]", host):
        raise ValueError("must have a host of letters, digits, hyphens and dots")
    if not all(labels):
        raise ValueError("must have a host with a name between its dots, and none before the first dot")
    if any(label[0] == "-" or label[-1] == "-" for label in labels):
        raise ValueError("must have a host whose parts between the dots neither begin nor end with a hyphen")
    if len(host) > 253 or any(len(label) > 63 for label in labels):
        raise ValueError("must have a host of at most 253 characters, with at most 63 between its dots")
    if "_" in labels[-1]:
        raise ValueError('must have a host without "_" after its last dot')


def _require_public_address(address: IPv4Address | IPv6Address) -> None:
    if why := why_not_public(address):
        advice = f", and Inkbox cannot: {_ASK}" if why in BEHIND_A_TUNNEL else ""
        raise PrivateHostError(f"must have a host on the public internet; {address} is {why}{advice}")


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
