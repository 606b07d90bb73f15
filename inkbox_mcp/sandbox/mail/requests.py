"""The fields and bodies of requests about mail that both generations have."""

import base64
import binascii
import re
from typing import Annotated, Any, ClassVar, Literal

from fastapi import Path
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from inkbox_mcp.sandbox.fields import Text, absent
from inkbox_mcp.sandbox.mail.cursors import Cursor
from inkbox_mcp.sandbox.mail.objects import Direction, Folder
from inkbox_mcp.sandbox.mail.parsing import Attachment

REFUSED_EXTENSIONS = (".exe", ".bat", ".scr")

_BASE64 = r"^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"


def _without_programs(name: str) -> str:
    if name.lower().rstrip(". ").endswith(REFUSED_EXTENSIONS):
        raise ValueError(f"Files that end in {', '.join(REFUSED_EXTENSIONS)} are refused")
    return name


def _decoded(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return base64.b64decode(re.sub(r"\s", "", value), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("Not Base64") from None


EmailAddress = Annotated[
    str,
    StringConstraints(
        max_length=320,
        pattern=r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})+$",
    ),
    Field(examples=["someone@example.com"]),
]

Addresses = Annotated[list[EmailAddress], Field(max_length=500)]

Subject = Annotated[
    str, StringConstraints(max_length=998, pattern=r"^[^\x00-\x1f\x7f]*$"), Field(examples=["Your invoice"])
]

Filename = Annotated[
    str,
    StringConstraints(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f/\\]+$"),
    AfterValidator(_without_programs),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": r"^(?!.*\.([eE][xX][eE]|[bB][aA][tT]|[sS][cC][rR])[. ]*$)[^\x00-\x1f\x7f/\\]{1,255}$",
            "description": "Up to 255 characters; not .exe, .bat or .scr",
            "examples": ["invoice.pdf"],
        }
    ),
]

Content = Annotated[
    bytes,
    BeforeValidator(_decoded),
    WithJsonSchema({"type": "string", "pattern": _BASE64, "contentEncoding": "base64", "examples": ["aGVsbG8="]}),
]

Address = Annotated[
    str,
    Path(alias="email_address", description="Local part or full address, in any case", examples=["sales.team"]),
]


class Upload(BaseModel):
    """A file to send."""

    filename: Filename
    content_type: Annotated[
        str, StringConstraints(max_length=200, pattern=r"^[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+$")
    ] = Field(examples=["text/plain"])
    content_base64: Content

    def as_attachment(self) -> Attachment:
        """Return the file as a message has it."""
        return Attachment(self.filename, self.content_type.lower(), self.content_base64)


class Recipients(BaseModel):
    """To whom a new message goes."""

    to: Annotated[Addresses, Field(min_length=1)]
    cc: Addresses | None = None
    bcc: Addresses | None = None


class ForwardRecipients(BaseModel):
    """To whom a message is forwarded: at least one address."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                {"required": [name], "properties": {name: {"type": "array", "minItems": 1}}}
                for name in ("to", "cc", "bcc")
            ]
        }
    )

    to: Addresses | None = None
    cc: Addresses | None = None
    bcc: Addresses | None = None

    @model_validator(mode="after")
    def _at_least_one(self) -> "ForwardRecipients":
        if not (self.to or self.cc or self.bcc):
            raise ValueError("At least one recipient is needed")
        return self


class MessageSend(BaseModel):
    """The body of a send."""

    recipients: Recipients
    subject: Subject
    body_text: Text | None = None
    body_html: Text | None = None
    in_reply_to_message_id: Annotated[Text, StringConstraints(max_length=1000)] | None = Field(
        None, description="Message-ID of the message that is answered"
    )


class MessageForward(BaseModel):
    """The body of a forward."""

    recipients: ForwardRecipients
    mode: Literal["inline", "wrapped"] = "inline"
    subject: Subject | None = None
    body_text: Text | None = None
    body_html: Text | None = None
    include_original_attachments: bool = Field(True, description="Of an inline forward; a wrapped one has them anyway")
    reply_to: EmailAddress | None = None


class MessageUpdate(BaseModel):
    """The body of an update: what is absent stays as it is."""

    is_read: bool = Field(default_factory=absent)
    is_starred: bool = Field(default_factory=absent)


class ThreadUpdate(BaseModel):
    """The body of an update; only the server blocks."""

    folder: Literal["inbox", "spam", "archive"] = Field(default_factory=absent)


class Paging(BaseModel):
    """Which page of a list."""

    choice: ClassVar[str]

    limit: int = Field(50, ge=1, le=100)
    cursor: Cursor | None = None

    @field_validator("cursor", mode="before")
    @classmethod
    def _no_empty_cursor(cls, value: Any) -> Any:
        return value or None

    def options(self) -> dict[str, Any]:
        """Return the arguments of a list; the cursor is the moment and the id of the last row that was seen."""
        return {name: getattr(self, name) for name in ("limit", "cursor", self.choice)}


class MessageQuery(Paging):
    """Which messages to list."""

    choice = "direction"

    direction: Direction | None = None


class ThreadQuery(Paging):
    """Which threads to list."""

    choice = "folder"

    folder: Folder | None = None


class SearchQuery(BaseModel):
    """What to search for."""

    q: Annotated[Text, StringConstraints(min_length=1, max_length=500)]
    limit: int = Field(50, ge=1, le=100)
