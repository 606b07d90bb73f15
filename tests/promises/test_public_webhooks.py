"""Webhooks must go to the public internet: any other host is refused, and the error gives the reason."""

import ast
import inspect
from ipaddress import IPv4Address, IPv6Address

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inkbox_mcp.api import ip_addresses, public_hosts
from inkbox_mcp.api.ip_addresses import why_not_public
from inkbox_mcp.toolkit import webhook_guard
from inkbox_mcp.toolkit.bounds import MAX_PROBLEM
from inkbox_mcp.toolkit.webhook_guard import webhook_host, webhook_url
from tests.support.agents import connect

# Both ends of every range, and internal addresses of clouds.
NOT_PUBLIC_IPV4 = """
    0.0.0.0 0.255.255.255 10.0.0.0 10.255.255.255 100.64.0.0 100.127.255.255 100.100.100.200 127.0.0.0
    127.255.255.255 161.26.0.10 166.8.0.1 166.11.255.255 199.36.153.4 199.36.153.11 168.63.129.16 169.254.0.0
    169.254.169.254 169.254.170.2 169.254.255.255 172.16.0.0 172.31.255.255 192.0.0.0 192.0.0.9 192.0.0.10
    192.0.0.170 192.0.0.192 192.0.0.255 192.0.2.0 192.0.2.255 192.31.196.1 192.52.193.1 192.88.99.0 192.88.99.1
    192.88.99.255 192.168.0.0 192.168.255.255 192.175.48.1 198.18.0.0 198.19.255.255 198.51.100.0 198.51.100.255
    203.0.113.0 203.0.113.255 224.0.0.0 239.255.255.255 240.0.0.0 255.255.255.254 255.255.255.255
"""
PUBLIC_IPV4 = """
    1.0.0.0 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 161.25.255.255
    166.12.0.0 199.36.153.3 199.36.153.12 168.63.129.15 168.63.129.17 169.253.255.255 169.255.0.0 172.15.255.255
    172.32.0.0 191.255.255.255 192.0.1.0 192.0.3.0 192.88.98.255 192.88.100.0 192.167.255.255 192.169.0.0
    198.17.255.255 198.20.0.0 198.51.99.255 203.0.114.0 223.255.255.255
"""
NOT_PUBLIC_IPV6 = """
    :: ::1 ::7f00:1 ::8.8.8.8 ::ffff:10.0.0.1 ::ffff:8.8.8.8 ::ffff:0:8.8.8.8 64:ff9b::8.8.8.8 64:ff9b:1::1
    64:ff9b:1:ffff:ffff:ffff:ffff:ffff 100:: 100::1 100:0:0:1::1 200::1 400::1 1000::1 1fff:ffff::1 2001::1
    2001:0:1::1 2001:1::1 2001:1::2 2001:1::3 2001:2::1 2001:3::1 2001:4:112::1 2001:10::1 2001:1f:ffff::1
    2001:20::1 2001:2f:ffff::1 2001:30::1 2001:1ff:ffff::1 2001:db8::1 2001:db8:ffff::1 2002:808:808::1
    2002:7f00:1::1 2620:4f:8000::1 3ffe::1 3fff::1 3fff:fff:ffff::1 4000::1 5f00::1 5f00:ffff::1 8000::1 e000::1
    fc00::1 fd00:ec2::254 fd20:ce::254 fdff:ffff::1 fe80::1 febf::1 fec0::1 fec0:0:0:ffff::1 feff:ffff::1
    ff02::1 ff0e::1 ffff::1 2606:4700::5efe:a00:1 2606:4700::200:5efe:808:808 2606:4700::5efe:10.0.0.1
"""
PUBLIC_IPV6 = """
    2000::1 2001:200::1 2001:4860:4860::8888 2001:db7:ffff::1 2001:db9::1 2003::1 2400:cb00::1
    2606:4700:4700::1111 2620:4f:7fff::1 2620:4f:8001::1 2a00:1450:4001:81b::200e 3ffd::1 2606:4700::5efd:a00:1
    2606:4700::5efe
"""
PRIVATE_NAMES = """
    localhost LOCALHOST localhost. a.localhost localhost.localdomain ip6-localhost loopback x.localhost4
    printer.local metadata.google.internal ip-10-0-0-1.ec2.internal host.docker.internal vault.intranet db.intra
    db.intern db.private db.corp nas.home nas.homenet router.lan x.wan smtp.mail pc.workgroup pc.domain
    nas.home.arpa 1.0.0.127.in-addr.arpa site.test x.example x.invalid x.onion x.alt x.i2p api.default.svc
    api.default.svc. API.Default.SVC x.svc.cluster.local kubernetes.default 10-0-0-1.default.pod x.cluster
    web.service.consul x.consul x.docker x.podman job.service.nomad x.nomad box.localnet x.mesos x.weave
    x.rancher x.lxd x.vagrant x.router x.dhcp fritz.box nas.fritz.box speedport.ip pc.mshome.net
    vm.internal.cloudapp.net vm.sub.vcn.oraclevcn.com metadata.goog metadata.tencentyun.com instance-data
    metadata.packet.net metadata.platformequinix.com 127.0.0.1.nip.io 10-0-0-1.sslip.io x.xip.io localtest.me
    a.lvh.me intranet metadata kubernetes x
"""
PUBLIC_NAMES = """
    hooks.example.com example.org a.co mail.example.com home.example.com corp.de svc.example.com
    localhost.example.com consul.io docker.com box.com x.box fritz.com 1e100.net xn--mnchen-3ya.de
    xn--strae-oqa.de xn--i-7iq.ws xn--80a1acny.xn--p1ai my_service.example.com laptop.tail1234.ts.net
    internal.example.com metadata.example.com nip.io.example.com example.com.
"""


TUNNEL = "and Inkbox cannot: ask the user for the public https URL of a tunnel to it, which ngrok or cloudflared gives"


def complaint(url: str) -> str:
    """Return the error about a URL."""
    with pytest.raises(ValueError) as caught:
        webhook_url(url)
    return str(caught.value)


@pytest.mark.parametrize("address", NOT_PUBLIC_IPV4.split())
def test_an_ipv4_address_of_no_public_host_is_refused_for_what_it_is(address: str) -> None:
    """The addresses cover every row of the IANA registry, and clouds."""
    for url in (f"https://{address}/hook", f"https://{address}:8443", f"https://{address}./"):
        assert f"must have a host on the public internet; {address} is a" in complaint(url)


@pytest.mark.parametrize("address", NOT_PUBLIC_IPV6.split())
def test_an_ipv6_address_of_no_public_host_is_refused_for_what_it_is(address: str) -> None:
    """The addresses cover every row of the IANA registry, unassigned space, and embedded IPv4 addresses."""
    for url in (f"https://[{address}]/hook", f"https://[{address.upper()}]:8443"):
        assert f"must have a host on the public internet; {IPv6Address(address)} is a" in complaint(url)


@pytest.mark.parametrize(
    "host", [*PUBLIC_IPV4.split(), *(f"[{address}]" for address in PUBLIC_IPV6.split()), *PUBLIC_NAMES.split()]
)
def test_a_host_on_the_public_internet_is_taken(host: str) -> None:
    """This includes the neighbours of each refused range and ending."""
    assert webhook_url(f"https://{host}/hook") == f"https://{host}/hook"


@pytest.mark.parametrize("name", PRIVATE_NAMES.split())
def test_a_name_of_a_private_network_is_refused(name: str) -> None:
    """A private ending or a missing dot identifies it."""
    for url in (f"https://{name}/hook", f"https://{name}:8443"):
        assert "must have the full name of a host on the public internet; " in complaint(url)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("https://localhost/", f"only the machine itself can reach loopback, {TUNNEL}"),
        ("https://127.0.0.1/", f"127.0.0.1 is a loopback address, which only the machine itself can reach, {TUNNEL}"),
        ("https://[::1]:3000/", f"::1 is a loopback address, which only the machine itself can reach, {TUNNEL}"),
        ("https://0.0.0.0:8000/", TUNNEL), ("https://192.168.1.5/", TUNNEL), ("https://[fd00::1]/", TUNNEL),
        ("https://host.docker.internal/", "or ask the user for the public https URL of a tunnel"),
        ("https://x.localtest.me/", "or ask the user for the public https URL of a tunnel"),
        ("https://169.254.169.254/", "link-local address, where clouds serve the metadata"),
        ("https://metadata.goog/", "metadata"), ("https://x.svc/", "this ending is one of private networks"),
        ("https://kubernetes/", "a name without a dot"),
        ("https://1.2.3.4.nip.io/", "names with this ending lead to private addresses"),
        ("https://[foo]/", "must have a valid IPv6 address between the brackets"),
        ("https://[v1.x]/", "must have a valid IPv6 address between the brackets"),
        ("https://[1.2.3.4]/", "must have a valid IPv6 address between the brackets"),
        ("https://[]/", "must have a valid IPv6 address between the brackets"),
        ("https://[::1/", "an IPv6 address stands in brackets"),
        ("https://a[b]c.com/", "an IPv6 address stands in brackets"),
        ("https://[2606:4700::1].example.com/", "an IPv6 address stands in brackets"),
        ("https://2606:4700::1/", "an IPv6 address stands in brackets"),
        ("https://[fe80::1%25eth0]/", 'must not have a "%" in its host'),
        ("https://ex%61mple.com/", 'must not have a "%" in its host'),
        ("https://a.com:0/", 'must have a port from 1 to 65535, not "0", or none'),
        ("https://a.com:65536/", 'must have a port from 1 to 65535, not "65536"'),
        ("https://a.com:99999999999/", 'must have a port from 1 to 65535, not "99999999999"'),
        ("https://a.com:" + "9" * 2000, 'must have a port from 1 to 65535, not "9999999999999999999…"'),
        ("https://a.com:/", 'must have a port from 1 to 65535 after the ":" of its host, or no ":"'),
        ("https://a.com:+80/", 'must have a port from 1 to 65535, not "+80"'),
        ("https://a.com:８０/", 'must have a port from 1 to 65535, not "８０"'),
        ("https://user@a.com/", "must not have a user name or password"),
        ("https://a.com:pw@b.com/", "must not have a user name or password"),
        ("https://8.8.8.8\\@10.0.0.1/", "must be a URL without backslashes"),
        ("https://a.com/my hook", 'must be a URL without spaces; in a path, a space is written "%20"'),
        ("https://a.com/#x", "must not have a fragment"), ("https:///x", "must name a host"),
        ("https://./", "must name a host"), ("https:a.com", 'must start with "https://"'),
        ("https:/a.com", 'must start with "https://"'), ("https//a.com", 'must start with "https://"'),
        ("http://a.com", 'must start with "https://", not "http://"; if the server has no https, ask the user'),
        ("ftp://a.com", 'must start with "https://", not "ftp://"'), ("none", 'must start with "https://"'),
        ("example.com/x", 'must start with "https://", as in "https://example.com/x"'),
        ("https://2130706433/", "dotted decimal"),
        ("https://0x7f000001/", "dotted decimal"), ("https://0177.0.0.1/", "dotted decimal"),
        ("https://127.1/", "dotted decimal"), ("https://8.8.8.08/", "dotted decimal"),
        ("https://1.1.1.1.1/", "dotted decimal"), ("https://example.0x7f/", "dotted decimal"),
        ("https://１２７.0.0.1/", "not of characters that look like them"),
        ("https://127。0。0。1/", "not of characters that look like them"),
        ("https://ⓛocalhost/", "not of characters that look like them"),
        ("https://münchen.de/", 'in its "xn--" form'),
        ("https://xn--ocalhost-in2e.com/", 'its "xn--" form stands for no name'),
        ("https://xn--support-2z6c.com/", 'its "xn--" form stands for no name'),
        ("https://a..com/", "must have a host with a name between its dots"),
        ("https://a.com../", "must have a host with a name between its dots"),
        ("https://.a.com/", "none before the first dot"),
        ("https://-a.com/", "neither begin nor end with a hyphen"),
        ("https://a-.com/", "neither begin nor end with a hyphen"),
        ("https://a.b_c/", 'must have a host without "_" after its last dot'),
        ("https://xn--99999999.com/", 'its "xn--" form stands for no name'),
        ("https://xn--a_-yka.com/", 'its "xn--" form stands for no name'),
        ("https://" + "a." * 130 + "com/", "at most 253 characters"),
        ("https://" + "a" * 64 + ".com/", "with at most 63 between its dots"),
        ("https://a,b.com/", "letters, digits, hyphens and dots"),
        ("https://a.com;b/", "letters, digits, hyphens and dots"),
    ],
)  # fmt: skip
def test_the_sentence_says_the_very_problem(url: str, problem: str) -> None:
    """A model that reads it must know what to change."""
    assert problem in complaint(url)


@pytest.mark.parametrize(
    ("url", "problems"),
    [
        ("http://localhost:3000/x", ["only the machine itself", 'must start with "https://", not "http://"']),
        ("http://127.0.0.1:99999", ["127.0.0.1 is a loopback", 'must start with "https://", not "http://"']),
        ("HTTP://[::1]/", ["::1 is a loopback", 'must start with "https://"']),
        ("http://10.0.0.5/#x", ["10.0.0.5 is a private", 'must start with "https://"', "must not have a fragment"]),
        ("localhost:3000/x", ["only the machine itself", 'must start with "https://"']),
        ("127.0.0.1:8000", ["127.0.0.1 is a loopback", 'must start with "https://"']),
        ("https://localhost/#x", ["only the machine itself", "must not have a fragment"]),
        ("https://user@localhost:0/", ["only the machine itself", "must not have a user name or password"]),
        ("http://me:pw@a.com:99999/", ["must have a port", 'must start with "https://"', "must not have a user name"]),
        ("http://a.com:0/", ["must have a port", 'must start with "https://"']),
    ],
)
def test_several_problems_are_all_named_and_the_one_of_the_host_first(url: str, problems: list[str]) -> None:
    """Https alone would not help a server that Inkbox cannot reach."""
    said = complaint(url)
    assert said.count("; and must ") == len(problems) - 1
    positions = [said.index(problem) for problem in problems]
    assert positions == sorted(positions)
    assert len(f"webhook_url: {said}") <= MAX_PROBLEM


@pytest.mark.parametrize("text", ["sales-agent", "hook", "a@b.c", "true", "5", "https", "//a.com", "https:", "x:y:z"])
def test_a_text_that_is_no_url_is_not_judged_as_a_host(text: str) -> None:
    """The error must not lead the model to complete something that never was a host."""
    assert complaint(text) == 'must start with "https://"'


def test_the_judgement_does_not_depend_on_the_python() -> None:
    """Properties such as is_global changed their meaning between releases of Python."""
    for module in (ip_addresses, public_hosts, webhook_guard):
        used = {node.attr for node in ast.walk(ast.parse(inspect.getsource(module))) if isinstance(node, ast.Attribute)}
        assert not {name for name in used if name.startswith("is_")}
        assert not used & {"ipv4_mapped", "sixtofour", "teredo", "scope_id"}


@given(st.ip_addresses())
def test_an_address_is_judged_alike_in_every_notation(address: IPv4Address | IPv6Address) -> None:
    """An address may be compressed or not, in capitals or not."""
    written = (
        [str(address)] if address.version == 4 else [f"[{address}]", f"[{address.exploded}]", f"[{address}]".upper()]
    )
    for host in written:
        try:
            webhook_url(f"https://{host}/")
        except ValueError:
            assert why_not_public(address)
        else:
            assert why_not_public(address) is None


@given(st.text(alphabet="aA.:[]@%/\\?#0x7f_-é。１\u200b", max_size=30))
def test_what_was_checked_is_where_it_is_sent(rest: str) -> None:
    """An HTTP library must find the host in an accepted URL that the guard and the operator's patterns found."""
    url = f"https://{rest}"
    try:
        assert webhook_url(url) == url
    except ValueError:
        return
    assert httpx2.URL(url).host.removesuffix(".") == webhook_host(url)


@pytest.mark.parametrize(
    "host", ["HOOKS.Example.COM", "hooks.example.com.", "hooks.example.com:8443", "Hooks.example.com.:1"]
)
async def test_the_operators_hosts_are_matched_as_they_are_sent(era: str, host: str) -> None:
    """Capitals and a final dot do not change the host; the URL is sent as it was written."""
    sent: list[bytes] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        sent.append(request.content)
        return httpx2.Response(200, json={"id": "1", "email_address": "a@inkboxmail.com"})

    async with connect(answer, mode=era, allow_webhook_hosts="hooks.example.com", confirm="never") as agent:
        await agent.ask("update_mailbox", email_address="a", webhook_url=f"https://{host}/x")
        assert f"https://{host}/x".encode() in sent[-1]
        for other in ("evil.example", "hooks.example.com.evil.example", "xhooks.example.com", "hooks.example.co"):
            url = f"https://{other}/{host}"
            message = await agent.refused("update_mailbox", email_address="a", webhook_url=url)
            assert "webhook_url" in message
    assert len(sent) == 1
