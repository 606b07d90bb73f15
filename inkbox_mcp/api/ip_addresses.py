"""Decides whether an IP address may belong to a host on the public internet.

The table is our own, because Python's depends on its version. Sources: all rows of the IANA IPv4 and IPv6
Special-Purpose Address Registries as of July 2026, including reachable ones (relays and sinks of protocols are not web
servers); RFC 5771 and RFC 4291 for multicast; and the metadata addresses of clouds.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

_LOOPBACK = "a loopback address, which only the machine itself can reach"
_THIS = 'an address of "this network" (RFC 791), which only the machine itself can reach'
_PRIVATE = "a private address (RFC 1918), which only its own network can reach"
_PRIVATE_IPV6 = "a private address (RFC 4193), which only its own network can reach"

BEHIND_A_TUNNEL = frozenset({_LOOPBACK, _THIS, _PRIVATE, _PRIVATE_IPV6})
"""Reasons for which a tunnel from the public internet helps: the host may be the user's own machine."""

_IPV4 = {
    IPv4Network(network): what
    for network, what in {
        "0.0.0.0/8": _THIS,
        "10.0.0.0/8": _PRIVATE,
        "100.64.0.0/10": "an address that providers share, or that a cloud uses inside (RFC 6598)",
        "127.0.0.0/8": _LOOPBACK,
        "161.26.0.0/16": "an address inside the IBM cloud",
        "166.8.0.0/14": "an address inside the IBM cloud",
        "168.63.129.16/32": "an address inside the Azure cloud",
        "169.254.0.0/16": "a link-local address, where clouds serve the metadata of their machines (RFC 3927)",
        "172.16.0.0/12": _PRIVATE,
        "192.0.0.0/24": "an address for protocols, or inside a cloud (RFC 6890)",
        "192.0.2.0/24": "an address for documentation (RFC 5737)",
        "192.31.196.0/24": "an address of the AS112 sink (RFC 7535)",
        "192.52.193.0/24": "an address of multicast relays (RFC 7450)",
        "192.88.99.0/24": "an address of 6to4 relays (RFC 7526)",
        "192.168.0.0/16": _PRIVATE,
        "192.175.48.0/24": "an address of the AS112 sink (RFC 7534)",
        "198.18.0.0/15": "an address for benchmarks (RFC 2544)",
        "198.51.100.0/24": "an address for documentation (RFC 5737)",
        "199.36.153.4/30": "an address inside the Google cloud",
        "199.36.153.8/30": "an address inside the Google cloud",
        "203.0.113.0/24": "an address for documentation (RFC 5737)",
        "224.0.0.0/4": "a multicast address (RFC 5771)",
        "240.0.0.0/4": "a reserved or broadcast address (RFC 1112)",
    }.items()
}
_UNICAST = IPv6Network("2000::/3")
"""The IPv6 space that IANA assigns. Ranges outside are listed below if "reserved" would say too little."""

_IPV6 = {
    IPv6Network(network): what
    for network, what in {
        "::1/128": _LOOPBACK,
        "::/96": "an address that stands for an IPv4 address, or for none (RFC 4291)",
        "::ffff:0:0/96": "an address that stands for an IPv4 address (RFC 4291)",
        "::ffff:0:0:0/96": "an address that stands for an IPv4 address (RFC 2765)",
        "64:ff9b::/96": "an address that stands for an IPv4 address (RFC 6052)",
        "64:ff9b:1::/48": "an address that stands for an IPv4 address (RFC 8215)",
        "100::/64": "an address where everything is discarded (RFC 6666)",
        "100:0:0:1::/64": "an address that no host has (RFC 9780)",
        "2001::/32": "a Teredo address, which stands for an IPv4 address (RFC 4380)",
        "2001::/23": "an address for protocols, benchmarks or identifiers (RFC 2928)",
        "2001:db8::/32": "an address for documentation (RFC 3849)",
        "2002::/16": "a 6to4 address, which stands for an IPv4 address (RFC 3056)",
        "2620:4f:8000::/48": "an address of the AS112 sink (RFC 7534)",
        "3ffe::/16": "an address of the 6bone, which has ended (RFC 3701)",
        "3fff::/20": "an address for documentation (RFC 9637)",
        "5f00::/16": "a segment identifier (RFC 9602)",
        "fc00::/7": _PRIVATE_IPV6,
        "fe80::/10": "a link-local address (RFC 4291)",
        "fec0::/10": "a site-local address (RFC 3879)",
        "ff00::/8": "a multicast address (RFC 4291)",
    }.items()
}
_ISATAP = {0x00005EFE, 0x02005EFE}
"""The first half of an interface identifier that contains an IPv4 address (RFC 5214)."""


def why_not_public(address: IPv4Address | IPv6Address) -> str | None:
    """Explain why an address is not a public host's; return None if it may be one."""
    if isinstance(address, IPv4Address):
        return next((what for network, what in _IPV4.items() if address in network), None)
    found = next((what for network, what in _IPV6.items() if address in network), None)
    if found:
        return found
    if address not in _UNICAST:
        return "a reserved address (RFC 4291)"
    if int(address) >> 32 & 0xFFFFFFFF in _ISATAP:
        return "an ISATAP address, which stands for an IPv4 address (RFC 5214)"
    return None
