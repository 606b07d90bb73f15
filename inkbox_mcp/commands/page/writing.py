"""The form of the page: a stranger's mail to mailboxes of the sandbox."""

from email.utils import getaddresses

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.exceptions import HTTPException

from inkbox_mcp.commands.page.reading import Item
from inkbox_mcp.sandbox import Delivery, Store, Unreadable
from inkbox_mcp.text import one_line

MAX_FORM = 2_000_000
"""Bytes of a form."""

_NAMES = {"sender": "from", "from_name": "from"}
_REASONS = {
    "missing": "It is missing",
    "string_pattern_mismatch": "It has characters that are not allowed there",
    "string_too_long": "It is too long",
    "too_short": "Name a recipient",
    "too_long": "These are too many recipients",
}


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    sender: str = Field(alias="from", max_length=600)
    to: list[str]
    subject: str = ""
    text: str | None = None
    html: str | None = None


def deliver(store: Store, body: bytes) -> Item:
    """Deliver what the form sends; return the ids of the messages by recipient, and the recipients without a mailbox.

    Raises:
        HTTPException: 422; no mailbox takes it, for the reason in its `detail`.
    """
    try:
        letter = _letter(_Form.model_validate_json(body))
        delivered, refused = store.deliver(letter.written(), letter.to)
    except ValidationError as error:
        raise HTTPException(422, _sentence(error)) from None
    except Unreadable as error:
        raise HTTPException(422, f"{error}.") from None
    if not delivered:
        raise HTTPException(422, f"No mailbox takes mail for {', '.join(refused)[:500]}.")
    return {"delivered": delivered, "refused": refused}


def _letter(form: _Form) -> Delivery:
    """Read the sender, which may be a name with an address.

    Raises:
        ValidationError: a field cannot be in a mail.
    """
    senders = getaddresses([one_line(form.sender)])
    name, address = senders[0] if len(senders) == 1 else ("", form.sender)
    fields = form.model_dump(exclude={"sender"})
    return Delivery.model_validate({**fields, "from": address, "from_name": name or None})


def _sentence(error: ValidationError) -> str:
    """Return the first reason, with the name of its field."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    field = str(first["loc"][0]) if first["loc"] else "The form"
    is_address = field in {"from", "to"} and first["type"] == "string_pattern_mismatch"
    reason = "That is not an e-mail address" if is_address else _REASONS.get(first["type"], first["msg"])
    return f"{_NAMES.get(field, field).capitalize()}: {one_line(reason)[:200].rstrip('.')}."
