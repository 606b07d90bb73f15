"""The types of fields in bodies and answers. The OpenAPI document shows the same rules."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StringConstraints, WithJsonSchema

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def absent() -> Any:
    """Return a default that the document does not show, for a field that may be omitted but not null."""
    return None


def _without_at(value: Any) -> Any:
    return value.lstrip("@") if isinstance(value, str) else value


def _without_at_in_lower_case(value: Any) -> Any:
    return value.lstrip("@").lower() if isinstance(value, str) else value


def iso_8601(value: Any) -> Any:
    """Write microseconds since the epoch as a `Timestamp`; other values stay as they are."""
    if not isinstance(value, int):
        return value
    moment = _EPOCH + timedelta(microseconds=value)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


Timestamp = Annotated[str, BeforeValidator(iso_8601), Field(json_schema_extra={"format": "date-time"})]
"""ISO 8601 in UTC, always with microseconds; made from microseconds since the epoch."""

FilterMode = Literal["blacklist", "whitelist"]

# JSON and SQLite allow NUL in text; the databases of real servers do not.
Text = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$")]

DisplayName = Annotated[Text, StringConstraints(max_length=255)]

LocalPart = Annotated[
    str,
    StringConstraints(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._+-]+$"),
    Field(examples=["sales.team"]),
]

# A path could not name an identity with a slash.
AgentHandle = Annotated[
    str,
    StringConstraints(min_length=1, max_length=255, pattern=r"^[^/\x00]+$"),
    BeforeValidator(_without_at),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": r"^@*[^@/\x00][^/\x00]{0,254}$",
            "description": "1 to 255 characters, less any leading @",
            "examples": ["sales-agent", "@sales-agent"],
        }
    ),
]

# In the identity generation a handle is also a host name and a local part.
GlobalHandle = Annotated[
    str,
    StringConstraints(min_length=3, max_length=63, pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$"),
    BeforeValidator(_without_at_in_lower_case),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": r"^@*(?!.*--)[A-Za-z0-9][A-Za-z0-9-]{1,61}[A-Za-z0-9]$",
            "description": "3 to 63 letters, digits and single hyphens, less any leading @; kept in lower case",
            "examples": ["sales-agent", "@sales-agent"],
        }
    ),
]

# Also without TLS on this machine, the only one that the sandbox calls. Controls and U+FEFF are listed, because \s
# differs between regex dialects.
WebhookURL = Annotated[
    str,
    StringConstraints(
        max_length=2048,
        pattern=(
            r"^([Hh][Tt][Tt][Pp][Ss]://([^\s\x00-\x1f\x7f-\x9f\ufeff/?#@:\[\]\\]+|\[[0-9A-Fa-f:.]+\])"
            r"|http://(localhost|127\.0\.0\.1|\[::1\]))(:[0-9]{1,5})?"
            r"([/?#][^\s\x00-\x1f\x7f-\x9f\ufeff]*)?$"
        ),
    ),
    Field(examples=["https://example.com/inkbox"]),
]
