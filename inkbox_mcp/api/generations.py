"""The two generations of the Inkbox API, told apart by what the API does.

- **spec**: mailboxes are made, named and deleted by themselves, and their webhook is one of their fields.
- **identity** (organisations moved since May 2026): a mailbox is made and deleted with its agent identity, the name is
  the identity's, and webhooks are subscriptions.

Nothing is guessed from version numbers or error texts: objects of the two have different fields, and only the later one
has webhook subscriptions at all.
"""

from collections.abc import Mapping
from typing import Any, Literal, cast

Generation = Literal["spec", "identity"]

# Fields that one generation always sends and the other never does, in mailboxes and in identities.
_SPEC_FIELDS = frozenset({"status"})
_IDENTITY_FIELDS = frozenset({"inbound_filter_mode", "storage_used_bytes", "mail_filter_mode", "description"})


def generation_of(data: object) -> Generation | None:
    """Tell the generation from a mailbox, an identity or a list of them; None when they do not show it."""
    if isinstance(data, list):
        return generation_of(next(iter(cast("list[object]", data)), None))
    fields = set(cast("dict[str, object]", data)) if isinstance(data, dict) else set[str]()
    if fields & _IDENTITY_FIELDS:
        return "identity"
    return "spec" if fields & _SPEC_FIELDS else None


def address_of(identity: Mapping[str, Any]) -> str | None:
    """Return the address of an identity's mailbox, if it has one; some answers tell it only inside the mailbox."""
    mailbox: Mapping[str, Any] = identity.get("mailbox") or {}
    return identity.get("email_address") or mailbox.get("email_address")
