"""Logs to stderr, as text or JSON, without arguments and results."""

import io
import json
import logging
import sys
import traceback
from datetime import UTC, datetime

from inkbox_mcp.calls import request_id
from inkbox_mcp.text import one_line


def log_to_stderr(level: str, form: str = "text") -> None:
    """Log our own lines at the chosen level, and only warnings of libraries, whose debug lines contain arguments.

    Args:
        level: of our own lines; debug, info, warning or error.
        form: text or json.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JSONFormatter() if form == "json" else TextFormatter())
    handler.addFilter(_of_others)
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("inkbox_mcp").setLevel(level.upper())
    logging.getLogger("mcp.server.streamable_http_manager").setLevel(logging.ERROR)  # it names sessions


def _of_others(record: logging.LogRecord) -> bool:
    """Shorten the lines of libraries, which repeat headers, session ids and the messages of exceptions."""
    if record.name.partition(".")[0] == "inkbox_mcp":
        return True
    error = record.exc_info[1] if record.exc_info else None
    kind = type(error).__name__ if error else ""
    if kind == "ClientDisconnect":
        return False  # a client that leaves is no error
    record.msg, record.args = one_line(f"{record.getMessage()} {kind}")[:120], None
    if error:
        record.msg += "\n" + "".join(traceback.format_tb(error.__traceback__))
        record.exc_info = None
    return True


def give_up_lost_lines() -> None:
    """Discard unwritten lines if stderr is closed. Python would try again at exit, and exit with status 120."""
    try:
        if sys.stderr:  # pyright: ignore[reportUnnecessaryComparison]  # None where it was closed at the start
            sys.stderr.flush()
    except (OSError, ValueError):
        sys.stderr = io.StringIO()


class TextFormatter(logging.Formatter):
    """Formats a line for people. Within a tool call it ends with the request's id."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # logging's own name
        """Format a record without its traceback."""
        line, known = super().formatMessage(record), request_id()
        return f"{line} [{known}]" if known else line


class JSONFormatter(logging.Formatter):
    """Formats a record as one line of JSON.

    Members are `time` (RFC 3339, UTC), `level`, `logger` and `message`; `request_id` within a tool call, `trace_id` if
    the call is traced, `exception` with a traceback, and the record's `fields`.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Format a record."""
        told: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "request_id": request_id(),
            "trace_id": trace_id(),
            "exception": self.formatException(record.exc_info) if record.exc_info else None,
            **getattr(record, "fields", {}),
        }
        return json.dumps({name: value for name, value in told.items() if value is not None}, default=str)


def trace_id() -> str | None:
    """Return the id of the current OpenTelemetry trace, if there is one."""
    from opentelemetry import trace

    context = trace.get_current_span().get_span_context()
    return trace.format_trace_id(context.trace_id) if context.is_valid else None
