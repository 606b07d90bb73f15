"""The fields of request bodies; what is checked here is what the OpenAPI document says."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, StringConstraints, WithJsonSchema


def _without_at(value: Any) -> Any:
    return value.lstrip("@") if isinstance(value, str) else value


# NUL is text to JSON and to SQLite but to no database a real server runs on.
DisplayName = Annotated[str, StringConstraints(max_length=255, pattern=r"^[^\x00]*$")]

LocalPart = Annotated[
    str,
    StringConstraints(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._+-]+$"),
    Field(examples=["sales.team"]),
]

# A slash would make an identity that no path can name.
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

WebhookURL = Annotated[
    str,
    StringConstraints(
        max_length=2048,
        pattern=(
            r"^[Hh][Tt][Tt][Pp][Ss]://"
            r"([^\s\x00-\x1f\x7f/?#@:\[\]\\]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?"
            r"([/?#][^\s\x00-\x1f\x7f]*)?$"
        ),
    ),
    Field(examples=["https://example.com/inkbox"]),
]
