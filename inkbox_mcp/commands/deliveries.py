"""`inkbox-mcp sandbox deliver`: mail from outside for mailboxes of a sandbox."""

import mimetypes
import sys
import urllib.request
from collections.abc import Sequence
from functools import partial
from http.client import HTTPException
from json import JSONDecodeError, loads
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode, urlsplit

from inkbox_mcp.commands.parser import Parser
from inkbox_mcp.commands.terminal import show
from inkbox_mcp.settings.options import SettingsError
from inkbox_mcp.text import one_line

_WRITTEN = ("from", "from_name", "cc", "subject", "text", "html", "attach", "in_reply_to")
_SECONDS = 30


def run(arguments: Sequence[str], database: str) -> int:
    """Run the command and return its exit status: 1 if no mailbox took the message.

    Args:
        arguments: Without `sandbox deliver`.
        database: The file of a sandbox, without `--db` and `--url`.

    Raises:
        SettingsError: An option is wrong, a file cannot be read, or the sandbox cannot be reached.
    """
    chosen = _parser().choose(arguments)
    if "db" in chosen and "url" in chosen:
        raise SettingsError("--db and --url: give one of them")
    message, recipients = _message(chosen)
    if "url" in chosen:
        delivered, others = _post(chosen["url"], message, recipients)
    else:
        delivered, others = _put(chosen.get("db", database), message, recipients)
    for recipient, message_id in delivered.items():
        show(f"delivered to {one_line(recipient)} as {one_line(message_id)}\n")
    for recipient in others:
        sys.stderr.write(f"inkbox-mcp: no mailbox takes it: {one_line(recipient)}\n")
    if not delivered and not others:
        sys.stderr.write("inkbox-mcp: the message names no recipient; name one by --to\n")
    return 0 if delivered else 1


def _parser() -> Parser:
    parser = Parser("sandbox deliver", "Deliver mail from outside to mailboxes of a sandbox, running or not.")
    add = partial(parser.add_argument, action="append")
    add("--to", metavar="ADDRESS", help="recipient; may be repeated")
    add("--cc", metavar="ADDRESS", help="recipient of a copy; may be repeated")
    add("--from", metavar="ADDRESS", help="sender")
    add("--from-name", metavar="NAME", help="the sender's name")
    add("--subject", metavar="TEXT", help="subject (default: empty)")
    add("--text", metavar="TEXT", help="body")
    add("--html", metavar="HTML", help="body as HTML")
    add("--in-reply-to", metavar="ID", help="Message-ID of the message that it answers")
    add("--attach", metavar="FILE", help="a file to attach; may be repeated")
    add("--file", metavar="FILE", help="a whole message in RFC 5322 form, - for stdin, instead of the options above")
    add("--db", "--database", metavar="PATH", help="the sandbox's database file (default: that of --sandbox)")
    add("--url", metavar="URL", help="a running sandbox, instead of a file")
    parser.repeatable = {"to", "cc", "attach"}
    return parser


def _message(chosen: dict[str, Any]) -> tuple[bytes, list[str]]:
    """Return the message, and the recipients; none for those that it names itself."""
    recipients: list[str] = [*chosen.get("to", []), *chosen.get("cc", [])]
    if "file" not in chosen:
        return _written(chosen), recipients
    unused = [name for name in _WRITTEN if name in chosen]
    if unused:
        raise SettingsError(f"--{unused[0].replace('_', '-')}: the message of --file has its own")
    message = sys.stdin.buffer.read() if chosen["file"] == "-" else _read("--file", chosen["file"])
    if not message.strip():
        raise SettingsError("--file: there is no message in it")
    return message, recipients


def _written(chosen: dict[str, Any]) -> bytes:
    for name in ("to", "from"):
        if name not in chosen:
            raise SettingsError(f"--{name} is missing")
    # Imported when it is needed, because it takes most of the start.
    from pydantic import ValidationError

    from inkbox_mcp.sandbox import Delivery

    members = {name: value for name, value in chosen.items() if name in {"to", *_WRITTEN} - {"attach"}}
    members["attachments"] = [_attached(file) for file in chosen.get("attach", [])]
    try:
        return Delivery.model_validate(members).written()
    except ValidationError as error:
        first = error.errors()[0]
        option = {"attachments": "attach"}.get(str(first["loc"][0]), str(first["loc"][0]))
        reason = first["msg"].removeprefix("Value error, ")
        if option in {"to", "cc", "from"}:
            reason = "not an e-mail address"
        elif first["type"] == "string_pattern_mismatch":
            reason = "it has characters that are not allowed there"
        raise SettingsError(f"--{option.replace('_', '-')}: {reason}") from None


def _attached(file: str) -> dict[str, Any]:
    kind = mimetypes.guess_type(file)[0] or "application/octet-stream"
    return {"filename": Path(file).name, "content_type": kind, "content_base64": _read("--attach", file)}


def _read(option: str, file: str) -> bytes:
    try:
        return Path(file).read_bytes()
    except (OSError, ValueError) as error:
        raise SettingsError(f"{option}: {getattr(error, 'strerror', None) or error}") from None


def _put(database: str, message: bytes, recipients: list[str]) -> tuple[dict[str, str], list[str]]:
    from inkbox_mcp.sandbox import Store, StoreError, Unreadable

    path = Path(database).expanduser()
    if not path.is_file():
        raise SettingsError(
            f"--db: there is no file {path}; start a sandbox on it first, or name a running one by --url"
        )
    try:
        with Store(path) as store:
            return store.deliver(message, recipients)
    except StoreError as error:
        raise SettingsError(f"--db: {error}") from None
    except Unreadable as error:
        raise SettingsError(str(error)) from None


def _post(url: str, message: bytes, recipients: list[str]) -> tuple[dict[str, str], list[str]]:
    try:
        scheme = urlsplit(url).scheme
    except ValueError as error:
        raise SettingsError(f"--url: {error}") from None
    if scheme not in {"http", "https"}:
        raise SettingsError("--url must begin with http:// or https://")
    # What the shell gave that is not UTF-8 is nobody's address; the sandbox says so.
    query = urlencode([("to", each) for each in recipients], errors="replace")
    request = urllib.request.Request(  # noqa: S310 - checked above
        f"{url.rstrip('/')}/sandbox/deliveries?{query}", message, {"Content-Type": "message/rfc822"}
    )
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS) as response:  # noqa: S310 - checked above
            answer = loads(response.read())
    except HTTPError as error:
        with error:
            reason = _reason(error.read())
        if error.code == 404 and reason.startswith("No mailbox"):
            named = reason.partition(": ")[2].split(", ") if "@" in reason else []
            return {}, recipients or named
        raise SettingsError(f"--url: the sandbox answered {error.code}{reason and f': {reason}'}") from None
    except (OSError, HTTPException, JSONDecodeError, ValueError) as error:
        raise SettingsError(f"--url: {getattr(error, 'reason', None) or error}") from None
    return answer["delivered"], answer["undeliverable"]


def _reason(answer: bytes) -> str:
    """Return why a sandbox refuses; empty if the answer does not say it, because something else may have answered."""
    try:
        detail = loads(answer)["detail"]
    except (ValueError, RecursionError, LookupError, TypeError):
        return ""
    return one_line(detail)[:600] if isinstance(detail, str) else ""
