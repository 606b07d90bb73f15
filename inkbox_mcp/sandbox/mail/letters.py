"""A message from outside in members, instead of as RFC 5322 text."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from inkbox_mcp.sandbox.fields import Text
from inkbox_mcp.sandbox.mail.composing import Letter, compose
from inkbox_mcp.sandbox.mail.headers import message_ids
from inkbox_mcp.sandbox.mail.requests import Addresses, EmailAddress, Subject, Upload


class Delivery(BaseModel):
    """Who writes what to whom."""

    model_config = ConfigDict(extra="forbid")

    sender: EmailAddress = Field(alias="from")
    sender_name: Annotated[Text, StringConstraints(max_length=255)] | None = Field(None, alias="from_name")
    to: Annotated[Addresses, Field(min_length=1)]
    cc: Addresses = []
    subject: Subject = ""
    text: Text | None = None
    html: Text | None = None
    in_reply_to: Annotated[Text, StringConstraints(max_length=998)] | None = None
    attachments: list[Upload] = []

    def written(self) -> bytes:
        """Return it as RFC 5322 text."""
        answered = next(iter(message_ids(f"<{(self.in_reply_to or '').strip('<> ')}>")), None)
        letter = Letter(
            self.sender,
            self.sender_name,
            self.to,
            self.subject,
            text=self.text,
            html=self.html,
            cc=self.cc,
            attachments=[each.as_attachment() for each in self.attachments],
            in_reply_to=answered,
            references=[answered] if answered else (),
        )
        return compose(letter)
