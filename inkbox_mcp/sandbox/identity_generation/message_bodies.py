"""The bodies of sends, answers to everyone and forwards of the identity generation."""

from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from inkbox_mcp.sandbox.fields import Text
from inkbox_mcp.sandbox.mail.parsing import Attachment
from inkbox_mcp.sandbox.mail.requests import EmailAddress, MessageForward, MessageSend, Subject, Upload


class InlineUpload(Upload):
    """A file to send, which the HTML body may show."""

    model_config = ConfigDict(extra="forbid")

    content_id: Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[!-;=?-~]+$")] | None = Field(
        None, description="Shows an image in the HTML body, as cid:…"
    )

    @model_validator(mode="after")
    def _only_images(self) -> "InlineUpload":
        if self.content_id and not self.content_type.lower().startswith("image/"):
            raise ValueError("Only images can have a content_id")
        return self

    def as_attachment(self) -> Attachment:
        """Return the file as a message has it."""
        return Attachment(self.filename, self.content_type.lower(), self.content_base64, self.content_id)


class PlainUpload(Upload):
    """A file to send; a forward shows no images of its own, so it refuses `content_id`."""

    model_config = ConfigDict(extra="forbid")


class _Shown(BaseModel):
    """What needs an HTML body."""

    def check_html(self, html: str | None, files: list[InlineUpload] | None) -> None:
        ids = [each.content_id for each in files or [] if each.content_id]
        if ids and html is None:
            raise ValueError("content_id needs body_html")
        if len(set(ids)) < len(ids):
            raise ValueError("Each content_id must be unique")


class IdentityMessageSend(MessageSend, _Shown):
    """The body of a send."""

    model_config = ConfigDict(extra="forbid")

    attachments: list[InlineUpload] | None = None
    track_opens: bool = Field(False, description="Needs body_html; the sandbox does not track")
    reply_to: EmailAddress | None = None
    thread_id: UUID | None = Field(None, description="A thread of the mailbox that the message continues")

    @model_validator(mode="after")
    def _needs_html(self) -> "IdentityMessageSend":
        self.check_html(self.body_html, self.attachments)
        if self.track_opens and self.body_html is None:
            raise ValueError("track_opens needs body_html")
        return self


class ReplyAll(_Shown):
    """The body of an answer to everyone; the recipients are those of the message."""

    model_config = ConfigDict(extra="forbid")

    subject: Subject | None = Field(None, description="Defaults to that of the message, with Re:")
    body_text: Text | None = None
    body_html: Text | None = None
    attachments: list[InlineUpload] | None = None
    reply_to: EmailAddress | None = None

    @model_validator(mode="after")
    def _needs_html(self) -> "ReplyAll":
        self.check_html(self.body_html, self.attachments)
        return self


class IdentityMessageForward(MessageForward):
    """The body of a forward."""

    model_config = ConfigDict(extra="forbid")

    additional_attachments: list[PlainUpload] | None = Field(
        None, description="Besides those of the message; no content_id"
    )
    track_opens: bool = Field(False, description="Needs HTML; the sandbox does not track")
