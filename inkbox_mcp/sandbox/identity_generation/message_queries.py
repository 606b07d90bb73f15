"""Which messages of the identity generation to list: also by time."""

from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, WithJsonSchema, model_validator

from inkbox_mcp.sandbox.mail.requests import MessageQuery


def _zone(name: str) -> tzinfo:
    if name.upper() == "UTC":  # known also where no time zones are installed
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("Not a time zone of IANA") from None


def _zone_name(name: str) -> str:
    _zone(name)
    return name


_PATTERN = (
    r"^(19[789]\d|20\d\d)-(0[1-9]|1[0-2])-(0[1-9]|1\d|2[0-8])(T([01]\d|2[0-3]):[0-5]\d(:[0-5]\d)?(Z|\+0[0-9]:00)?)?$"
)

Moment = Annotated[
    str,
    WithJsonSchema({"type": "string", "pattern": _PATTERN, "description": "ISO 8601: a date, or a date with a time"}),
]

TimeZone = Annotated[
    str,
    AfterValidator(_zone_name),
    WithJsonSchema({"type": "string", "enum": ["UTC"], "description": "IANA name, of times without a zone"}),
]


class DatedMessageQuery(MessageQuery):
    """Which messages to list."""

    start_datetime: Moment | None = Field(None, description="The first created_at to list")
    end_datetime: Moment | None = Field(None, description="The last created_at to list; a date is the whole day")
    tz: TimeZone | None = None

    @model_validator(mode="after")
    def _readable(self) -> "DatedMessageQuery":
        self.span()
        return self

    def span(self) -> tuple[int | None, int | None]:
        """Return the first `created_at`, and the first that is too late, in microseconds since the epoch."""
        zone: Any = _zone(self.tz) if self.tz else UTC
        start, end = self.start_datetime, self.end_datetime
        since = None if start is None else _moment(start, zone, end=False)
        return since, None if end is None else _moment(end, zone, end=True)


def _moment(text: str, zone: Any, *, end: bool) -> int:
    """Return microseconds since the epoch of a date or a time.

    Args:
        text: ISO 8601; a date alone is its whole day.
        zone: Of a text without one.
        end: Whether the text is the end of a range, of which the result is the first moment after it.

    Raises:
        ValueError: The text is not ISO 8601, or too far away.
    """
    try:
        parsed, last = _parsed(text, end)
        if parsed.tzinfo is None:
            parsed = parsed.replace(tzinfo=zone)
        return (parsed - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) + last
    except OverflowError:
        raise ValueError("out of range") from None


def _parsed(text: str, end: bool) -> tuple[datetime, int]:
    """Return a moment, and 1 if it belongs to the range that it ends."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return datetime.fromisoformat(text), int(end)
    return datetime.combine(day + timedelta(days=1) if end else day, time()), 0
