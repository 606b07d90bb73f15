"""The two generations of the Inkbox API, distinguished by what the API answers.

- **spec**: mailboxes are created, named and deleted by themselves; the webhook is a field of the mailbox.
- **identity** (organizations moved since May 2026): a mailbox is created and deleted with its agent identity, which
  also has its name; webhooks are subscriptions.

Version numbers and error texts are not used: objects of the two have different fields, and only the later one has
webhook subscriptions.
"""

from collections.abc import Callable, Mapping
from math import inf
from typing import Any, Literal, cast

import anyio

Generation = Literal["spec", "identity"]
DEFAULT: Generation = "spec"
"""The generation to assume until an answer shows it."""

# Fields that only one generation sends, and always, in mailboxes and in identities.
_SPEC_FIELDS = frozenset({"status"})
_IDENTITY_FIELDS = frozenset({"inbound_filter_mode", "storage_used_bytes", "mail_filter_mode", "description"})


def generation_of(data: object) -> Generation | None:
    """Return the generation that a mailbox, an identity or a list of them shows; None if they do not show it."""
    if isinstance(data, list):
        return generation_of(next(iter(cast("list[object]", data)), None))
    fields = set(cast("dict[str, object]", data)) if isinstance(data, dict) else set[str]()
    if fields & _IDENTITY_FIELDS:
        return "identity"
    return "spec" if fields & _SPEC_FIELDS else None


def address_of(identity: Mapping[str, Any]) -> str | None:
    """Return the address of an identity's mailbox, if it has one; some answers have it only inside the mailbox."""
    address = identity.get("email_address")
    if not address and isinstance(mailbox := identity.get("mailbox"), dict):
        address = cast("dict[str, Any]", mailbox).get("email_address")
    return str(address) if address else None  # patterns of addresses do not match other types as text


class KnownGeneration:
    """The generation that an organization is on, as far as its API's answers have shown it.

    Attributes:
        value: None before the first such answer.
        is_confirmed: whether an answer has shown it since this process began.
        looking: held by the call that looks for it, so that others wait for its result.
        looked: when one looked last, in seconds of the event loop's clock.

    Args:
        value: what is known already.
        learned: called with each new value.
    """

    def __init__(self, value: Generation | None = None, learned: Callable[[Generation], None] | None = None) -> None:
        self.value: Generation | None = value
        self.is_confirmed = False
        self.looking = anyio.Lock()
        self.looked = -inf
        self._learned = [learned] if learned else []

    def learn(self, generation: Generation) -> None:
        """Take what an answer shows; call the watchers if it is new."""
        self.is_confirmed = True
        if generation != self.value:
            self.value = generation
            for learned in list(self._learned):
                learned(generation)

    def watch(self, learned: Callable[[Generation], None]) -> Callable[[], None]:
        """Call a function with each new value, until the returned function is called."""
        self._learned.append(learned)

        def unwatch() -> None:
            if learned in self._learned:
                self._learned.remove(learned)

        return unwatch
