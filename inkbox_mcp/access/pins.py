"""The operator's limits on which agents' mailboxes a server touches.

`--allow-handles` and `--allow-addresses` pin a server to its own agents, with glob patterns. What the patterns do not
match is refused before a request is made, and is missing from lists. With handles alone, the addresses are those of the
mailboxes of these handles, which takes a look at the identities; given addresses decide alone.
"""

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from http import HTTPStatus
from typing import Any, cast
from urllib.parse import unquote

from pydantic import SecretStr

from inkbox_mcp.api.client import InkboxAPI
from inkbox_mcp.api.connection import Connection
from inkbox_mcp.api.generations import address_of
from inkbox_mcp.api.paths import IDENTITIES, MAILBOXES, WEBHOOKS, WHOAMI, Path
from inkbox_mcp.api.paths import path as path_to
from inkbox_mcp.errors import NotAllowed, NotFound, UnexpectedResponse
from inkbox_mcp.toolkit.marks import Mark, marked, marks, texts
from inkbox_mcp.toolkit.operation import Args, Result
from inkbox_mcp.toolkit.webhook_guard import webhook_host

DOMAIN = "inkboxmail.com"

_IDENTITY, _MAILBOX = path_to(IDENTITIES, ""), path_to(MAILBOXES, "")
_LISTS = frozenset({IDENTITIES.template, MAILBOXES.template})
# A subscription is reached through its mailbox, which is looked up before; whoami is about the key.
_UNCHECKED = frozenset({WHOAMI.template, WEBHOOKS.template, path_to(WEBHOOKS, "").template})
_CHECKED = _LISTS | {path.template for path in (_IDENTITY, _MAILBOX, path_to(IDENTITIES, "", Path("mailbox")))}


class PinnedAPI(InkboxAPI):
    """The API as far as the operator allows it; without patterns, all of it.

    Args:
        connection: see `InkboxAPI`.
        api_key: see `InkboxAPI`.
        share: see `InkboxAPI`.
        handles: what a handle may be.
        addresses: what an address may be; one given by its local part alone counts as one of Inkbox's domain.
        webhook_hosts: what the host of a webhook's URL may be.
    """

    def __init__(
        self,
        connection: Connection,
        api_key: SecretStr | None,
        share: int | None = None,
        *,
        handles: Iterable[str],
        addresses: Iterable[str],
        webhook_hosts: Iterable[str],
    ) -> None:
        super().__init__(connection, api_key, share)
        self._handles = _Patterns(handles)
        self._addresses = _Patterns(addresses)
        self._webhook_hosts = _Patterns(webhook_hosts)
        self._is_pinned = bool(self._handles or self._addresses)

    async def allow(self, args: Args) -> dict[str, Any]:
        """Refuse a call whose arguments name what is not allowed.

        Args:
            args: checked arguments, whose types say what they name.

        Returns:
            The arguments that must be sent in another form, the one that was compared: an address by its local part
            alone may be another one to an API with several domains.

        Raises:
            NotAllowed: naming the argument and the patterns.
        """
        owners = marked(args, Mark.HANDLE, Mark.NEW_HANDLE, Mark.NEW_OWNER)
        for argument, handle in owners:
            self._handles.require(argument, handle)
        if self._addresses:
            await self._allow_mailboxes_of_handles(args)
        elif self._handles and not owners and (new := _new_addresses(args)):
            raise NotAllowed(new[0], f"mailboxes of {self._handles}")
        for argument, url in marked(args, Mark.WEBHOOK_URL):
            self._webhook_hosts.require(f"{argument}'s host", webhook_host(url))
        return await self._allow_addresses(args) if self._is_pinned else {}

    async def _allow_mailboxes_of_handles(self, args: Args) -> None:
        """Refuse an identity whose mailbox, wanted or there already, is at an address that is not allowed."""
        for argument, handle in marked(args, Mark.HANDLE):
            try:
                await self.get(path_to(IDENTITIES, handle), Result)  # `check` looks at its mailbox
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
            # A random address would match no pattern, and the agent could not use what it made.
            for place, local_part in texts(args, argument) or [(f"a random address (pass {argument})", "")]:
                self._addresses.require(place, _full(local_part))

    async def _allow_addresses(self, args: Args) -> dict[str, Any]:
        """Refuse an address that is not allowed, and return the arguments with addresses in full."""
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
        """Refuse a request whose answers have no rule here, or whose path has a name that is not allowed.

        A resource that is new has to be given a rule: in `check` for an object, in `get_list` for a list.

        Raises:
            NotAllowed: naming the path without its names, or the patterns.
        """
        if not self._is_pinned or path.template in _UNCHECKED:
            return
        if path.template not in _CHECKED:
            raise _no_rule(path)
        # Also what a tool took for plain text, or found in an answer.
        if path.startswith(_IDENTITY):
            self._handles.require("agent_handle", _name(path, _IDENTITY))
        elif path.startswith(_MAILBOX):
            self._addresses.require("email_address", _full(_name(path, _MAILBOX)))

    def check(self, method: str, path: Path, data: object) -> None:
        """Refuse an answer about what is not allowed: the API may read a name in another way than it is read here.

        Raises:
            NotAllowed: naming the patterns.
            UnexpectedResponse: it is no list, and `get_list` could not leave out what is not allowed.
        """
        if not self._is_pinned or path.template not in _CHECKED:
            return
        if method == "GET" and path.template in _LISTS and not isinstance(data, list):
            raise UnexpectedResponse("Inkbox sent something other than a list of objects.", status=HTTPStatus.OK)
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

    async def get_list(self, path: Path) -> list[dict[str, Any]]:
        """GET a bare array of objects, less those that are not allowed.

        Raises:
            NotAllowed: which of them are allowed cannot be told.
        """
        if self._is_pinned and path.template not in _LISTS:
            raise _no_rule(path)
        items = await super().get_list(path)
        if path.template == IDENTITIES.template:
            mine = [item for item in items if self._handles.match(str(item.get("agent_handle")))]
            return [item for item in mine if not (address := address_of(item)) or self._addresses.match(_full(address))]
        if self._addresses:
            return [item for item in items if self._addresses.match(_full(str(item.get("email_address"))))]
        if self._handles:
            allowed = await self._addresses_of_handles()
            return [item for item in items if _full(str(item.get("email_address"))) in allowed]
        return items

    async def _addresses_of_handles(self) -> set[str]:
        return {_full(address_of(identity) or "") for identity in await self.get_list(IDENTITIES)}


class _Patterns(tuple[str, ...]):
    """Glob patterns, as they are written or in lower case; none match everything.

    The value is compared as it is: folded, two values that the API keeps apart would be one here.
    """

    __slots__ = ()

    def match(self, value: str) -> bool:
        return not self or any(fnmatchcase(value, form) for pattern in self for form in (pattern, pattern.lower()))

    def require(self, argument: str, value: str) -> None:
        if not self.match(value):
            raise NotAllowed(argument, str(self))

    def __str__(self) -> str:
        return " or ".join(self)


def _no_rule(path: Path) -> NotAllowed:
    return NotAllowed(path.template, "only what inkbox_mcp.access.pins has a rule for")


def _name(path: Path, resource: Path) -> str:
    """Return the name that stands in a path behind its resource."""
    return unquote(path.partition("?")[0].removeprefix(resource).partition("/")[0])


def _new_addresses(args: Args) -> list[str]:
    """Return the arguments that hold the address of a mailbox that the call makes; none if it makes none."""
    marks_of = marks(type(args))
    switches = [getattr(args, name) for name, mark in marks_of.items() if mark is Mark.WITH_MAILBOX]
    makes_one = not switches or any(on is not False for on in switches)  # where it is omitted, the API decides
    return [name for name, mark in marks_of.items() if mark is Mark.NEW_LOCAL_PART and makes_one]


def _all_full(value: object) -> object:
    """Return the value of an argument, one address or a list of them, with each in full."""
    if isinstance(value, list):
        return [_all_full(item) for item in cast("list[object]", value)]
    return _full(value) if isinstance(value, str) else value


def _full(address: str) -> str:
    """Return an address in full and in lower case, in which mailboxes go by it; what is no ASCII has no such form."""
    full = address if "@" in address or not address else f"{address}@{DOMAIN}"
    return full.lower() if full.isascii() else full
