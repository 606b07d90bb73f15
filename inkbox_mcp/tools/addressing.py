"""Whom a message goes to: the recipients of a call, and those that a message to be answered has."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self, cast

from inkbox_mcp.errors import InvalidArguments
from inkbox_mcp.text import quoted
from inkbox_mcp.toolkit.recipients import recipient
from inkbox_mcp.tools.messages import Item, list_of


@dataclass(frozen=True, slots=True)
class Recipients:
    """The addresses of a message, each once."""

    to: tuple[str, ...]
    cc: tuple[str, ...] = ()
    bcc: tuple[str, ...] = ()

    @classmethod
    def of(cls, to: Iterable[str], cc: Iterable[str] | None = None, bcc: Iterable[str] | None = None) -> Self:
        """Leave out addresses that are there already; without any in To, those of Cc are in To."""
        seen = set[str]()
        first, second, third = (tuple(_new(seen, addresses or ())) for addresses in (to, cc, bcc))
        return cls(first, second, third) if first else cls(second, (), third)

    @property
    def everyone(self) -> tuple[str, ...]:
        """All addresses."""
        return self.to + self.cc + self.bcc

    def lists(self) -> dict[str, list[str]]:
        """Return the lists that are not empty, by the API's names."""
        lists = {"to": self.to, "cc": self.cc, "bcc": self.bcc}
        return {name: list(addresses) for name, addresses in lists.items() if addresses}


def author_of(message: Item) -> Recipients:
    """Return whom an answer goes to: the sender, or the recipients of a message that the mailbox sent itself.

    Raises:
        InvalidArguments: the message names somebody who has no address.
    """
    is_own = message.get("direction") == "outbound"
    found = Recipients.of(_checked(message.get("to_addresses") if is_own else [message.get("from_address")]))
    if not found.to:
        raise _unanswerable("names nobody who can be answered")
    return found


def everyone_of(message: Item, own: str) -> Recipients:
    """Return whom an answer to everyone goes to: as the API says, or everybody that the message names.

    Args:
        message: in full.
        own: the address of the mailbox, which is left out.

    Raises:
        InvalidArguments: the message names somebody who has no address.
    """
    resolved = message.get("reply_all_recipients")
    if isinstance(resolved, dict):
        lists = cast("Item", resolved)
        found = Recipients.of(_checked(lists.get("to")), _checked(lists.get("cc")))
    else:
        author = [] if message.get("direction") == "outbound" else _checked([message.get("from_address")])
        named = [*author, *_checked(message.get("to_addresses"))], _checked(message.get("cc_addresses"))
        others = ([each for each in some if each.casefold() != own.casefold()] for some in named)
        found = Recipients.of(*others)
    return found if found.to else author_of(message)  # of mail to oneself


def people_of(messages: Sequence[Item]) -> frozenset[str]:
    """Return the addresses of those who wrote or received messages, in a form that can be compared."""
    named = [each.get("from_address") for each in messages]
    named += [
        one for each in messages for field in ("to_addresses", "cc_addresses") for one in list_of(each.get(field))
    ]
    return frozenset(str(address).casefold() for address in named)


def _checked(addresses: Any) -> list[str]:
    """Return the addresses that a stranger's message names, in the form in which mail is sent to them."""
    found: list[str] = []
    for address in filter(None, list_of(addresses)):
        try:
            found.append(recipient(str(address)))
        except ValueError:
            raise _unanswerable(f"names {quoted(str(address), 200)}, which mail cannot be sent to") from None
    return found


def _unanswerable(why: str) -> InvalidArguments:
    error = InvalidArguments(f"this message {why}.")
    return error.advised("Nothing was sent. Ask the user whom to write to, and call send_message.")


def _new(seen: set[str], addresses: Iterable[str]) -> Iterable[str]:
    for address in addresses:
        if address.casefold() not in seen:
            seen.add(address.casefold())
            yield address
