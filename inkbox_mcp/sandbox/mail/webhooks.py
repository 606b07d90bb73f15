"""Delivers events to webhooks, beside the requests that cause them.

Events wait in the database, so that an answer does not wait for a webhook, and none is lost when a process ends.
Only webhooks on this machine are called: a sandbox is for tests, and a URL in a test may be a stranger's. A delivery to
another host is recorded as not sent.
"""

import hashlib
import hmac
import socket
import sqlite3
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from ssl import CERT_NONE, create_default_context
from urllib.parse import SplitResult, quote, urlsplit
from uuid import uuid4

from inkbox_mcp.sandbox.database import Database
from inkbox_mcp.sandbox.rows import Row

SECONDS_PER_DELIVERY = 5
"""How long a webhook may take."""

_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_SECONDS_TO_CLOSE = 10
_MICROSECONDS_OF_A_CLAIM = 60_000_000
_MAX_RESPONSE = 10_000


class Courier:
    """Delivers the events of a database, one at a time, by a thread that ends when there are none."""

    def __init__(self, database: Database) -> None:
        """Make a courier without a thread."""
        self._database = database
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._again = False
        self._deadline: float | None = None

    @contextmanager
    def posting(self) -> Generator[sqlite3.Connection]:
        """Yield the connection for a transaction, and deliver its events after it."""
        with self._database.transaction() as connection:
            yield connection
            waiting = _is_waiting(connection)
        if waiting:
            self._wake()

    def resume(self) -> None:
        """Go on with what an earlier process left."""
        with self._database.reading() as connection:
            waiting = _is_waiting(connection)
        if waiting:
            self._wake()

    def finish(self) -> None:
        """Wait for the deliveries that were to do."""
        with self._lock:
            thread = self._thread
        if thread is not None:
            thread.join()

    def close(self) -> None:
        """Deliver what is left, for a while; the rest waits in the file."""
        with self._lock:
            self._deadline = time.monotonic() + _SECONDS_TO_CLOSE
            thread = self._thread
        if thread is not None:
            # A call that hangs nevertheless is tried again by the next process that has the file.
            thread.join(_SECONDS_TO_CLOSE + SECONDS_PER_DELIVERY)

    def _wake(self) -> None:
        with self._lock:
            self._again = True
            if self._thread is None:
                # Not a daemon: Python waits for it at the end of the process.
                self._thread = threading.Thread(target=self._run, name="inkbox-sandbox-webhooks")
                self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                self._deliver_all()
            except sqlite3.Error:
                # The file is busy or damaged; the events stay in it.
                self._again = False
            except BaseException:
                with self._lock:
                    self._thread = None
                raise
            with self._lock:
                if not self._again:
                    self._thread = None
                    return

    def _deliver_all(self) -> None:
        with self._lock:
            self._again = False
        while self._deadline is None or time.monotonic() < self._deadline:
            with self._database.transaction() as connection:
                row = _claim(connection)
            if row is None:
                return
            result = call(row)
            with self._database.transaction() as connection:
                record(connection, row, result)


def _is_waiting(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT 1 FROM webhook_deliveries WHERE state <> 'done' LIMIT 1").fetchone() is not None


def _claim(connection: sqlite3.Connection) -> Row | None:
    """Take the oldest delivery that nobody is at; that of a process that was killed is taken again after a minute."""
    now = time.time_ns() // 1000
    row = connection.execute(
        "SELECT webhook_deliveries.*, signing_key FROM webhook_deliveries"
        " LEFT JOIN mailboxes ON mailboxes.id = webhook_deliveries.mailbox_id"
        " LEFT JOIN identities ON identities.id = identity_id"
        " WHERE state = 'pending' OR (state = 'sending' AND claimed_at < ?)"
        " ORDER BY webhook_deliveries.created_at LIMIT 1",
        (now - _MICROSECONDS_OF_A_CLAIM,),
    ).fetchone()
    if row is not None:
        connection.execute(
            "UPDATE webhook_deliveries SET state = 'sending', claimed_at = ? WHERE id = ?", (now, row["id"])
        )
    return row


def record(connection: sqlite3.Connection, row: Row, result: Row) -> None:
    """Keep what became of a delivery."""
    connection.execute(
        "UPDATE webhook_deliveries SET state = 'done', response_status = :response_status,"
        " response_body = :response_body, error_detail = :error_detail, duration_ms = :duration_ms WHERE id = :id",
        {"id": row["id"], **result},
    )


def call(row: Row) -> Row:
    """Send a delivery, and return what became of it.

    Args:
        row: Of `webhook_deliveries`, and the `signing_key` of the mailbox's identity, without which it is unsigned.
    """
    result: Row = dict.fromkeys(("response_status", "response_body", "error_detail", "duration_ms"))
    url: str = row["url"]
    try:
        place = urlsplit(url)
        host, port = place.hostname, place.port
    except ValueError as error:
        return {**result, "error_detail": f"Not sent: {error}"}
    if host not in _LOOPBACK:
        return {**result, "error_detail": "Not sent: the sandbox calls webhooks on this machine only"}
    begun = time.monotonic()
    status, body, error = _post(_connection(place.scheme, host, port), place, row)
    duration = int((time.monotonic() - begun) * 1000)
    return {"response_status": status, "response_body": body, "error_detail": error, "duration_ms": duration}


def sign(key: str, request_id: str, timestamp: str, payload: bytes) -> str:
    """Return the signature of a delivery, made with a key of the form `whsec_…`."""
    message = f"{request_id}.{timestamp}.".encode() + payload
    return "sha256=" + hmac.new(key.removeprefix("whsec_").encode(), message, hashlib.sha256).hexdigest()


def _post(connection: HTTPConnection, place: SplitResult, row: Row) -> tuple[int | None, str | None, str | None]:
    payload, key = row["request_payload"].encode(), row["signing_key"]
    request_id, moment = str(uuid4()), str(int(time.time()))
    headers = {"Content-Type": "application/json", "X-Inkbox-Request-ID": request_id, "X-Inkbox-Timestamp": moment}
    if key:
        headers["X-Inkbox-Signature"] = sign(key, request_id, moment, payload)
    target = quote(place.path or "/", safe="/%:;=@!$&'()*+,~-._") + (f"?{place.query}" if place.query else "")
    try:
        connection.connect()
        with _deadline(connection.sock) as passed:
            # One connection, so that a redirect, which might lead to another machine, is not followed.
            connection.request("POST", target.encode("ascii", "ignore").decode(), payload, headers)
            response = connection.getresponse()
            body = response.read(_MAX_RESPONSE)
        if passed.is_set():
            return None, None, "timed out"
        return response.status, _shown(body), None
    except (OSError, HTTPException, ValueError) as error:
        return None, None, str(error)[:500] or type(error).__name__
    finally:
        connection.close()


@contextmanager
def _deadline(connected: socket.socket) -> Generator[threading.Event]:
    """End a connection that lasts too long, and set the event; its own timeout begins anew with each byte."""
    passed = threading.Event()

    def end() -> None:
        passed.set()
        with suppress(OSError):
            # That of TLS would first forget what another thread reads from.
            socket.socket.shutdown(connected, socket.SHUT_RDWR)

    timer = threading.Timer(SECONDS_PER_DELIVERY, end)
    timer.daemon = True
    timer.start()
    try:
        yield passed
    except (OSError, HTTPException, ValueError) as error:
        raise TimeoutError("timed out") if passed.is_set() else error from None
    finally:
        timer.cancel()


def _connection(scheme: str, host: str, port: int | None) -> HTTPConnection:
    if scheme == "http":
        return HTTPConnection(host, port, timeout=SECONDS_PER_DELIVERY)
    # A server on this machine has no certificate that the world knows.
    context = create_default_context()
    context.check_hostname = False
    context.verify_mode = CERT_NONE
    return HTTPSConnection(host, port, timeout=SECONDS_PER_DELIVERY, context=context)


def _shown(body: bytes) -> str:
    return body.decode("utf-8", "replace").replace("\x00", "\ufffd")
