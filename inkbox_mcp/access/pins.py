"""The operator's limits on which agents' mailboxes a server touches, and whom their mail goes to.

`--allow-handles` and `--allow-addresses` pin a server to its own agents, with glob patterns. Names that do not match
are refused before a request is sent, and removed from lists. With handles alone, the addresses of these handles'
mailboxes are allowed, which needs a request for the identities. With addresses, only these are allowed.

`--allow-recipients` is about addresses that mail goes to: those in arguments, and those that an answer of the API names
to whom a reply goes.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast
from urllib.parse import unquote

from pydantic import SecretStr

from inkbox_mcp.access.patterns import Patterns, RecipientPatterns
from inkbox_mcp.access.recipients import RecipientCount
from inkbox_mcp.api.client import InkboxAPI
from inkbox_mcp.api.connection import Connection
from inkbox_mcp.api.generations import KnownGeneration, address_of
from inkbox_mcp.api.paths import IDENTITIES, MAILBOXES, SEND_LOOKUP, SIGNUP, WEBHOOKS, WHOAMI, Path
from inkbox_mcp.api.paths import path as path_to
from inkbox_mcp.api.responses import FromJSON, from_json, read_list
from inkbox_mcp.errors import NotAllowed, NotConfigured, NotFound
from inkbox_mcp.text import MAX_ADDRESS, quoted
from inkbox_mcp.toolkit.addresses import DOMAIN
from inkbox_mcp.toolkit.marks import Mark, marked, marks, texts
from inkbox_mcp.toolkit.operation import Args, Result
from inkbox_mcp.toolkit.webhook_guard import NO_WEBHOOK, webhook_host

_IDENTITY, _MAILBOX = path_to(IDENTITIES, ""), path_to(MAILBOXES, "")
_LISTS = frozenset({IDENTITIES.template, MAILBOXES.template})
# Tools look up a subscription's mailbox first, which is checked. `whoami` and the signup are about the key. The look-up
# of a sent message names the id of a mailbox that the call has checked, and the key of its own message.
_UNCHECKED = frozenset(path.template for path in (WHOAMI, SIGNUP, WEBHOOKS, path_to(WEBHOOKS, ""), SEND_LOOKUP))
# The address in the path decides, and it is sent in full; messages do not show the address of their mailbox.
_MAIL = f"{_MAILBOX.template}/"
_CHECKED = _LISTS | {path.template for path in (_IDENTITY, _MAILBOX, path_to(IDENTITIES, "", Path("mailbox")))}


class PinnedAPI(InkboxAPI):
    """The API within the operator's limits; without patterns, all of it.

    Args:
        connection: see `InkboxAPI`.
        api_key: see `InkboxAPI`.
        share: see `InkboxAPI`.
        known: see `InkboxAPI`.
        handles: patterns of allowed handles.
        addresses: patterns of allowed addresses. A local part alone counts as an address of Inkbox's domain.
        webhook_hosts: patterns of allowed hosts of webhook URLs.
        recipients: patterns of allowed addresses to send mail to.
        count: counts the recipients of each key.
    """

    def __init__(
        self,
        connection: Connection,
        api_key: SecretStr | None,
        share: int | None = None,
        known: KnownGeneration | None = None,
        *,
        handles: Iterable[str],
        addresses: Iterable[str],
        webhook_hosts: Iterable[str],
        recipients: Iterable[str],
        count: RecipientCount,
    ) -> None:
        super().__init__(connection, api_key, share, known)
        self._handles = Patterns(handles)
        self._addresses = Patterns(addresses)
        self._webhook_hosts = Patterns(webhook_hosts)
        self._recipients = RecipientPatterns(recipients)
        self._count = count
        self._is_pinned = bool(self._handles or self._addresses)

    @property
    def limits(self) -> list[str]:
        """The patterns of the handles and addresses that lists show."""
        named = {"agent_handle": self._handles, "email_address": self._addresses}
        return [f"{name} {pattern}" for name, patterns in named.items() for pattern in patterns]

    async def allow(self, args: Args) -> dict[str, Any]:
        """Refuse a call whose arguments name something that is not allowed.

        Args:
            args: checked arguments, with marks in their types.

        Returns:
            The arguments to send in another form. A local part becomes the full address that was compared, because an
            API with several domains could understand another one.

        Raises:
            NotAllowed: naming the argument and the patterns.
        """
        for argument, address in marked(args, Mark.RECIPIENT):
            self._recipients.require(argument, address)
        owners = marked(args, Mark.HANDLE, Mark.NEW_HANDLE, Mark.NEW_OWNER)
        for argument, handle in owners:
            self._handles.require(argument, handle)
        if self._addresses:
            await self._allow_mailboxes_of_handles(args)
        elif self._handles and not owners and (new := _new_addresses(args)):
            raise NotAllowed(new[0], f"mailboxes of {self._handles}")
        for argument, url in marked(args, Mark.WEBHOOK_URL):
            if url != NO_WEBHOOK:
                self._webhook_hosts.require(f"{argument}'s host", webhook_host(url))
        return await self._allow_addresses(args) if self._is_pinned else {}

    async def _allow_mailboxes_of_handles(self, args: Args) -> None:
        """Refuse an identity whose new or existing mailbox has an address that is not allowed."""
        for argument, handle in marked(args, Mark.HANDLE):
            try:
                await self.get(path_to(IDENTITIES, handle), Result)  # `check` refuses its mailbox
            except NotFound:
                continue
            except NotAllowed as error:
                raise NotAllowed(error.argument.replace("agent_handle", argument), error.allowed) from None
        made = marked(args, Mark.NEW_HANDLE)
        if made and await self.generation(again=True) == "identity":
            for argument, handle in made:
                self._addresses.require(f"{argument}'s mailbox", _full(handle))  # addresses are made of handles there
            return
        for argument in _new_addresses(args):
            # A random address would match no pattern, and the agent could not use the new mailbox.
            for place, local_part in texts(args, argument) or [(f"a random address (pass {argument})", "")]:
                self._addresses.require(place, _full(local_part))

    async def _allow_addresses(self, args: Args) -> dict[str, Any]:
        """Refuse addresses that are not allowed, and return the arguments with full addresses."""
        addresses = marked(args, Mark.ADDRESS)
        for argument, address in addresses:
            self._addresses.require(argument, _full(address))
        if addresses and not self._addresses:
            allowed = await self._addresses_of_handles()
            for argument, address in addresses:
                if _full(address) not in allowed:
                    raise NotAllowed(argument, f"mailboxes of {self._handles}")
        found = [name for name, mark in marks(type(args)).items() if mark is Mark.ADDRESS and texts(args, name)]
        return {name: _all_full(getattr(args, name)) for name in found}

    def permit(self, path: Path) -> None:
        """Refuse a request whose path has no rule here, or a name that is not allowed.

        A new resource needs a rule: in `check` for an object, in `get_list` for a list.

        Raises:
            NotAllowed: names the path's template, or the patterns.
        """
        if not self._is_pinned or path.template in _UNCHECKED:
            return
        if path.template not in _CHECKED and not path.template.startswith(_MAIL):
            raise _no_rule(path)
        # The name may come from an argument of plain text, or from an answer.
        if path.startswith(_IDENTITY):
            self._handles.require("agent_handle", _name(path, _IDENTITY))
        elif path.startswith(_MAILBOX):
            self._addresses.require("email_address", _full(_name(path, _MAILBOX)))

    def permit_recipients(self, addresses: Sequence[str]) -> None:
        """Refuse recipients that the operator does not allow.

        Raises:
            NotAllowed: names the first of them, and the patterns.
        """
        for address in addresses:
            if not self._recipients.match(address):
                raise NotAllowed(f"the recipient {quoted(address, MAX_ADDRESS)}", str(self._recipients))

    async def count_recipients(self, number: int) -> None:
        """Count the recipients of a message for this key.

        Raises:
            TooManyRecipients: the operator's limit does not allow so many now.
        """
        if self._api_key is None:
            raise NotConfigured
        await self._count.add(self._api_key, number)

    def check(self, method: str, path: Path, data: object) -> None:
        """Refuse an answer about an object that is not allowed, because the API may understand a name differently.

        Raises:
            NotAllowed: names the patterns.
            UnexpectedResponse: the answer should be a list and is not, so `get_list` cannot filter it.
        """
        if not self._is_pinned or path.template not in _CHECKED:
            return
        if method == "GET" and path.template in _LISTS:
            read_list(data)
        if not isinstance(data, dict):
            return
        try:
            self._require(path, cast("dict[str, Any]", data))
        except NotAllowed as error:
            if method == "GET":
                raise
            raise error.advised("The change was made nevertheless. Tell the user.") from None

    def _require(self, path: Path, item: Mapping[str, Any]) -> None:
        address = _full(address_of(item) or "")
        if path.startswith(IDENTITIES):
            self._handles.require("agent_handle in Inkbox's answer", str(item.get("agent_handle") or ""))
            if address:
                self._addresses.require("agent_handle's mailbox", address)
        elif self._addresses:
            self._addresses.require("email_address in Inkbox's answer", address)
        elif self._handles and path.template not in _LISTS and path.lower() != path_to(MAILBOXES, address).lower():
            raise NotAllowed("email_address in Inkbox's answer", f"mailboxes of {self._handles}")

    async def get_list(self, path: Path, read: FromJSON = from_json) -> list[dict[str, Any]]:
        """GET a bare array of objects, without those that are not allowed.

        Raises:
            NotAllowed: the path has no rule for filtering.
        """
        if not self._is_pinned:  # of long lists, comparing each name with no pattern would take a quarter of a call
            return await super().get_list(path, read)
        if path.template not in _LISTS:
            raise _no_rule(path)
        items = await super().get_list(path, read)
        if path.template == IDENTITIES.template:
            mine = [item for item in items if self._handles.match(str(item.get("agent_handle")))]
            return [item for item in mine if not (address := address_of(item)) or self._addresses.match(_full(address))]
        if self._addresses:
            return [item for item in items if self._addresses.match(_full(str(item.get("email_address"))))]
        allowed = await self._addresses_of_handles()
        return [item for item in items if _full(str(item.get("email_address"))) in allowed]

    async def _addresses_of_handles(self) -> set[str]:
        return {_full(address_of(identity) or "") for identity in await self.get_list(IDENTITIES)}


def _no_rule(path: Path) -> NotAllowed:
    return NotAllowed(path.template, "only what inkbox_mcp.access.pins has a rule for")


def _name(path: Path, resource: Path) -> str:
    """Return the name in a path, after its resource."""
    return unquote(path.partition("?")[0].removeprefix(resource).partition("/")[0])


def _new_addresses(args: Args) -> list[str]:
    """Return the names of arguments with the local part of a new mailbox; none if the call creates no mailbox."""
    marks_of = marks(type(args))
    switches = [getattr(args, name) for name, mark in marks_of.items() if mark is Mark.WITH_MAILBOX]
    makes_one = not switches or any(on is not False for on in switches)  # if it is omitted, the API decides
    return [name for name, mark in marks_of.items() if mark is Mark.NEW_LOCAL_PART and makes_one]


def _all_full(value: object) -> object:
    """Return the value of an argument, an address or a list of them, with full addresses."""
    if isinstance(value, list):
        return [_all_full(item) for item in cast("list[object]", value)]
    return _full(value) if isinstance(value, str) else value


def _full(address: str) -> str:
    """Return the full address, in lower case like the API's if it is ASCII."""
    full = address if "@" in address or not address else f"{address}@{DOMAIN}"
    return full.lower() if full.isascii() else full
