"""The webhook guard: a deceived model must not send mail events to private hosts."""

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inkbox_mcp.toolkit.webhook_guard import webhook_host, webhook_url

PRIVATE_NAMES = """
    localhost LOCALHOST localhost. a.localhost printer.local vault.internal metadata.google.internal db.corp router.lan
    nas.home.arpa 1.0.0.127.in-addr.arpa site.test x.onion intranet example a..b .com com. -a.com a-.com a_b a,b.com
    ex%61mple.com xn--localhost-.com xn--.com １２７.0.0.1 127。0。0。1 ⓛocalhost münchen.de ﬁ.com
"""
PRIVATE_ADDRESSES = """
    127.0.0.1 127.0.0.1. 10.0.0.1 172.16.0.1 192.168.1.1 169.254.169.254 100.64.0.1 0.0.0.0 224.0.0.1 239.255.255.250
    240.0.0.1 255.255.255.255 192.0.2.1 198.18.0.1 203.0.113.7 2130706433 0x7f000001 0x7f.1 0177.0.0.1 127.1
    017700000001 1.2.3 1.2.3.4.5 0x 8.8.8.08 [::1] [::] [fe80::1] [fe80::1%25eth0] [fc00::1] [fd12::1] [ff02::1]
    [2001:db8::1] [::ffff:127.0.0.1] [::ffff:8.8.8.8] [::127.0.0.1] [64:ff9b::7f00:1] [2002:7f00:1::] [2001:0::1]
"""
PRIVATE_HOSTS = [*PRIVATE_NAMES.split(), *PRIVATE_ADDRESSES.split(), "exa\u00admple.com", "loc\u200balhost", "a b.com"]

PUBLIC_URLS = [
    "https://example.com",
    "https://example.com./in?x=1&y=a%20b",
    "HTTPS://Hooks.Example.COM:8443/inkbox",
    "https://xn--mnchen-3ya.de/",
    "https://my_service.example.com/",
    "https://8.8.8.8/hook",
    "https://[2606:4700:4700::1111]:443/",
    "https://1e100.net/",
    "https://a.co/" + "x" * 2000,
]


@pytest.mark.parametrize("host", PRIVATE_HOSTS, ids=ascii)
def test_a_host_that_is_not_plainly_public_is_refused(host: str) -> None:
    """The guard refuses every notation of the host, with and without a port."""
    for url in (f"https://{host}/hook", f"https://{host}:8443"):
        with pytest.raises(ValueError, match="must"):
            webhook_url(url)


@pytest.mark.parametrize("url", PUBLIC_URLS)
def test_a_public_url_is_taken_as_it_is(url: str) -> None:
    """The guard checks a URL without changing it."""
    assert webhook_url(url) == url


@given(st.ip_addresses())
def test_only_global_addresses_pass(address: IPv4Address | IPv6Address) -> None:
    """An accepted address is global and unicast."""
    host = f"[{address}]" if address.version == 6 else str(address)
    try:
        webhook_url(f"https://{host}/")
    except ValueError:
        return
    passed = ip_address(webhook_host(f"https://{host}/"))
    assert passed.is_global
    assert not passed.is_multicast
    assert not passed.is_private


@given(st.text(alphabet="ht ps:/\\@.#?[]%01x7fabc-_é\u202e", max_size=40))
def test_any_text_is_judged_without_a_crash(text: str) -> None:
    """The guard either refuses a strange text with an error or finds a host in it."""
    try:
        webhook_url("https://" + text)
    except ValueError:
        return
    assert set(webhook_host("https://" + text)) & {".", ":"}
