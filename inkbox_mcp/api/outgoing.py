"""A message to be sent, what the API shows of it, and how it is told from others."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from pydantic import BaseModel, ConfigDict, model_validator

from inkbox_mcp.api.paths import Path
from inkbox_mcp.mail.positions import moment

SendOperation = Literal["mail.send", "mail.forward"]
_FILES = frozenset({"attachments", "additional_attachments"})
_TEXTS = frozenset({"body_text", "body_html"})


class SentMessage(BaseModel):
    """A message as the API accepted or lists it, without its texts: many messages are remembered."""

    model_config = ConfigDict(extra="allow", hide_input_in_errors=True)

    id: str

    @model_validator(mode="before")
    @classmethod
    def _without_texts(cls, data: object) -> object:
        if not isinstance(data, dict):
            return data
        return {name: value for name, value in cast("dict[str, object]", data).items() if name not in _TEXTS}

    @property
    def made(self) -> float | None:
        """When it was made by the API's clock, in seconds since 1970; None if the API does not say it."""
        made = moment(getattr(self, "created_at", None))
        return None if made is None else made / 1_000_000

    def is_older(self, than: float) -> bool:
        """Whether it was made before a time in seconds since 1970; one without a time was not."""
        return self.made is not None and self.made < than


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to be sent.

    Attributes:
        operation: the API's name of what is asked for; each has keys of its own.
        place: the path that it is posted to.
        body: what is posted.
        mailbox_id: the id of the mailbox that it is sent from.
        sent: the path of the mailbox's messages.
        to: addresses; so are `cc` and `bcc`.
        subject: as it will be sent.
        key: the caller's own idempotency key.
        attachments: the SHA-256 of each attachment, with its name and type; they stand for the attachments of the body,
            which are large.
    """

    operation: SendOperation
    place: Path
    body: Mapping[str, Any] = field(repr=False)
    mailbox_id: str
    sent: Path
    to: Sequence[str]
    subject: str
    cc: Sequence[str] = ()
    bcc: Sequence[str] = ()
    key: str | None = None
    attachments: Sequence[str] = ()

    @property
    def recipients(self) -> list[str]:
        """All addresses."""
        return [*self.to, *self.cc, *self.bcc]

    @property
    def own_name(self) -> str | None:
        """What the caller's own key is for: each mailbox and operation has keys of its own."""
        return f"{self.mailbox_id} {self.operation} {self.key}" if self.key else None

    @property
    def content(self) -> str:
        """What tells it from other messages: a hash of the mailbox and everything that is posted."""
        body = {name: value for name, value in self.body.items() if name not in _FILES or not self.attachments}
        # A mailbox has its id alone; it can be called by several names.
        below = self.place.removeprefix(self.sent)
        return hashed(self.operation, self.mailbox_id, below, body, [*self.attachments])

    @property
    def likeness(self) -> str:
        """What it has in common with messages that look like it in a list: a hash of recipients and subject."""
        return hashed(self.mailbox_id, *self._outside())

    def is_like(self, message: SentMessage) -> bool:
        """Whether a sent message has the same recipients, as far as it shows them, and the same subject."""
        shown = message.model_dump()
        to, cc, bcc, subject = self._outside()
        copies = _addresses(shown["bcc_addresses"]) if "bcc_addresses" in shown else bcc
        open_ones = [_addresses(shown.get(name)) for name in ("to_addresses", "cc_addresses")]
        return [*open_ones, copies, _plain(shown.get("subject"))] == [to, cc, bcc, subject]

    def _outside(self) -> tuple[list[str], list[str], list[str], str]:
        return _addresses(self.to), _addresses(self.cc), _addresses(self.bcc), _plain(self.subject)


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of a message.

    Attributes:
        message: as the API shows it.
        replayed: whether it had left before this call, which sent nothing.
        recovered: whether its answer was lost, and it was found afterwards.
    """

    message: SentMessage
    replayed: bool = False
    recovered: bool = False


def hashed(*parts: object) -> str:
    """Return the SHA-256 of values of JSON."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _addresses(value: object) -> list[str]:
    """Return addresses in a form that can be compared."""
    if not isinstance(value, list | tuple):
        return []
    return sorted({str(each).casefold() for each in cast("list[object]", value)})


def _plain(subject: object) -> str:
    return " ".join(str(subject or "").split())
