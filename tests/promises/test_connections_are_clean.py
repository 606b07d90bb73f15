"""Tenants stay apart: bytes that arrive after one answer are never read as the answer to another request."""

import gzip
import json
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import anyio
import h11
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from inkbox_mcp.api.framing import is_one_answer
from tests.support.agents import connect
from tests.support.faults import Fault, FaultyInkbox, faulty_inkbox

Way = Callable[[bytes], bytes]


def mailbox(name: str, **more: Any) -> bytes:
    """Write a mailbox as JSON."""
    return json.dumps({"id": name, "email_address": f"{name}@inkboxmail.com", **more}).encode()


def answer(body: bytes, status: str = "200 OK", *fields: str) -> bytes:
    """Write an answer with its length in a header."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *fields]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def chunked(body: bytes) -> bytes:
    """Write an answer in two chunks."""
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:5], body[5:]))
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"


OTHER = mailbox("of-another-tenant")


def of_size(size: int) -> bytes:
    """Write an answer of this many bytes; a TLS record holds at most 16,384."""
    head = len(answer(b" " * 10_000)) - 10_000
    return answer(mailbox("mine").ljust(size - head))


STALE = answer(OTHER)
OWN = mailbox("mine")

TAINTED: dict[str, bytes] = {
    "two answers": answer(OWN) + STALE,
    "a body on 204": b"HTTP/1.1 204 No Content\r\n\r\n" + STALE,
    "a body on 204 with its length": b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n" + STALE,
    "a head that ends with a line feed": b"HTTP/1.1 204 No Content\r\n\n" + OTHER + b"\r\n\r\n",
    "a body on 304": b"HTTP/1.1 304 Not Modified\r\n\r\n" + STALE,
    "a length too short": answer(b"{}") + STALE,
    "one more chunk": chunked(OWN) + b"%x\r\n%b\r\n0\r\n\r\n" % (len(OTHER), OTHER) + STALE,
    "two chunked answers": chunked(OWN) + chunked(OTHER),
    "a chunked answer and trailers": chunked(OWN)[:-2] + b"X-Trailer: 1\r\n\r\n" + STALE,
    "after an interim answer": b"HTTP/1.1 103 Early Hints\r\n\r\n" + answer(OWN) + STALE,
    "a refusal": answer(b'{"detail": "no"}', "404 Not Found") + STALE,
    "an answer as large as a buffer": of_size(65_536) + STALE,
    "an answer as large as a TLS record": of_size(16_384) + STALE,
    "an answer as large as three TLS records": of_size(3 * 16_384) + STALE * 500,
    "a large one": answer(mailbox("mine", padding="x" * 300_000)) + STALE * 2_000,
    "a packed one": answer(gzip.compress(OWN), "200 OK", "Content-Encoding: gzip") + STALE,
    "half of another": answer(OWN) + STALE[:20],
    "a single byte": answer(OWN) + b"\n",
}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, Path]:
    """Make a certificate for this machine, and the file that makes clients trust it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(1))
        .not_valid_after(now + timedelta(1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    return context, folder / "certificate.pem"


async def asks_for_its_own(inkbox: FaultyInkbox, tainted: bytes) -> None:
    """Make a call with this answer, and then other calls, which must get answers of their own."""
    async with connect(inkbox.url, confirm="never") as agent:
        for _ in range(2):
            inkbox.fails(Fault(answers=tainted), Fault(answers=answer(mailbox("yours"))))
            await agent.call("get_mailbox", email_address="mine")
            inkbox.fails(Fault(answers=answer(mailbox("yours"))))
            assert (await agent.ask("get_mailbox", email_address="yours"))["id"] == "yours"
        inkbox.fails(Fault(answers=tainted))
        await agent.call("get_mailbox", email_address="mine")
        inkbox.fails(Fault(answers=answer(b'{"detail": "not here"}', "404 Not Found")))
        assert "404" in await agent.refused("delete_mailbox", email_address="yours")


@pytest.mark.parametrize("way", TAINTED)
async def test_bytes_after_an_answer_are_nobodys_answer(way: str) -> None:
    """The server closes a connection that has extra bytes."""
    async with faulty_inkbox() as inkbox:
        await asks_for_its_own(inkbox, TAINTED[way])
        assert inkbox.connections >= 4


@pytest.mark.parametrize("way", TAINTED)
async def test_the_same_holds_inside_tls(
    way: str, authority: tuple[ssl.SSLContext, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With TLS, the socket does not show bytes that are already decrypted."""
    context, trusted = authority
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    async with faulty_inkbox(tls=context) as inkbox:
        await asks_for_its_own(inkbox, TAINTED[way])
        assert inkbox.connections >= 4


@pytest.mark.parametrize("has_tls", [False, True])
@pytest.mark.parametrize(
    "clean",
    [
        answer(OWN),
        chunked(OWN),
        chunked(OWN)[:-2] + b"X-Trailer: 1\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n" + answer(OWN),
        answer(gzip.compress(OWN), "200 OK", "Content-Encoding: gzip"),
        answer(mailbox("mine", padding="x" * 300_000)),
        answer(b'{"detail": "no"}', "404 Not Found"),
    ],
    ids=range(7),
)
async def test_a_connection_with_whole_answers_is_used_again(
    clean: bytes, has_tls: bool, authority: tuple[ssl.SSLContext, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new connection for each call would be slow."""
    context, trusted = authority
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    async with faulty_inkbox(tls=context if has_tls else None) as inkbox, connect(inkbox.url, confirm="never") as agent:
        for _ in range(4):
            inkbox.fails(Fault(answers=clean))
            await agent.call("get_mailbox", email_address="mine")
        assert inkbox.connections == 1


@pytest.mark.parametrize("has_tls", [False, True])
async def test_an_answer_that_comes_while_a_connection_is_idle_closes_it(
    has_tls: bool, authority: tuple[ssl.SSLContext, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The extra answer comes in a packet of its own, after the expected one."""
    context, trusted = authority
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    sent = anyio.Event()

    async with faulty_inkbox(tls=context if has_tls else None) as inkbox, connect(inkbox.url, confirm="never") as agent:
        inkbox.fails(Fault(answers=answer(OWN), afterwards=STALE, sent=sent))
        await agent.ask("get_mailbox", email_address="mine")
        await sent.wait()
        inkbox.fails(Fault(answers=answer(mailbox("yours"))))
        assert (await agent.ask("get_mailbox", email_address="yours"))["id"] == "yours"


def what_h11_leaves(data: bytes) -> bytes | None:
    """Return the bytes after the first answer, as read by h11, which HTTPX2 uses; None for an incomplete answer."""
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(data)
    try:
        while not isinstance(event := connection.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA or event is h11.PAUSED:
                return None
    except h11.RemoteProtocolError:
        return None
    return connection.trailing_data[0]


pieces = st.sampled_from(
    [
        b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 204 No\r\n", b"HTTP/1.1 100 Go\r\n", b"HTTP/1.1 304 X\r\n",
        b"HTTP/1.0 200 OK\r\n", b"Content-Length: 5\r\n", b"Content-Length: 0\r\n", b"content-length:5, 5\r\n",
        b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: Chunked \r\n", b"X: 1\r\n", b" folded\r\n", b"\r\n",
        b"\n", b"hello", b"5\r\nhello\r\n", b"5;x=1\r\nhello\r\n", b"0\r\n\r\n", b"0\r\nX: 1\r\n\r\n",
        b"05 \r\nhello\r\n", b"Content-Length: 5\n", b"5\nhello\r\n", b"5;a\nb\r\nhello\r\n",
    ]
)  # fmt: skip


@given(st.lists(pieces, max_size=12).map(b"".join))
def test_what_counts_as_one_answer_leaves_nothing_to_read(data: bytes) -> None:
    """The check must agree with h11, because h11 reads the answers."""
    if is_one_answer(data):
        assert what_h11_leaves(data) == b""


@given(st.binary(max_size=40), st.lists(st.binary(min_size=1, max_size=9), max_size=4), st.booleans())
def test_every_plain_answer_counts_as_one(body: bytes, chunks: list[bytes], is_chunked: bool) -> None:
    """A clean connection must not be closed, and one byte more or less must be noticed."""
    if is_chunked:
        parts = b"".join(b"%X\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
        whole = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + parts + b"0\r\n\r\n"
    else:
        whole = answer(body)
    assert is_one_answer(whole)
    assert not is_one_answer(whole[:-1])
    assert not is_one_answer(whole + b"\r")
