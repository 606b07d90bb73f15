"""The operator's limits on which agents' mailboxes a server touches.

`--allow-handles` and `--allow-addresses` pin a server to its own agents, with glob patterns. What the patterns do not
match is refused before a request is made, and is missing from lists. With handles alone, the addresses are those of the
mailboxes of these handles, which takes a look at the identities; given addresses decide alone.
"""

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any, cast

from pydantic import SecretStr

from inkbox_mcp.api.client import InkboxAPI
from inkbox_mcp.api.connection import Connection
from inkbox_mcp.api.generations import address_of
from inkbox_mcp.api.paths import IDENTITIES, MAILBOXES, Path
from inkbox_mcp.api.paths import path as path_to
from inkbox_mcp.errors import NotAllowed, NotFound
from inkbox_mcp.toolkit.operation import Result
from inkbox_mcp.toolkit.webhook_guard import webhook_host

DOMAIN = "inkboxmail.com"


class PinnedAPI(InkboxAPI):
    """The API as far as the operator allows it; without patterns, all of it.

    Args:
        connection: see `InkboxAPI`.
        api_key: see `InkboxAPI`.
        share: see `InkboxAPI`.
        handles: what an `agent_handle` may be.
        addresses: what an address may be; one given by its local part alone counts as one of Inkbox's domain.
        webhook_hosts: what the host of a `webhook_url` may be.
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

    async def allow(self, arguments: Mapping[str, Any]) -> dict[str, str]:
        """Refuse a call whose arguments name what is not allowed.

        Args:
            arguments: checked arguments; every tool names an address `email_address`, a handle `agent_handle`, a wanted
                address `email_local_part` and a webhook `webhook_url`.

        Returns:
            The arguments that must be sent in another form, the one that was compared: an address by its local part
            alone may be another one to an API with several domains.

        Raises:
            NotAllowed: naming the argument and the patterns.
        """
        if handle := arguments.get("agent_handle"):
            self._handles.require("agent_handle", handle)
            if self._addresses:
                await self._allow_address_of(handle, arguments)
        if url := arguments.get("webhook_url"):
            self._webhook_hosts.require("webhook_url's host", webhook_host(url))
        address = _full(arguments.get("email_address") or "")
        if not address or not (self._addresses or self._handles):
            return {}
        self._addresses.require("email_address", address)
        if not self._addresses and address not in await self._addresses_of_handles():
            raise NotAllowed("email_address", f"mailboxes of {self._handles}")
        return {"email_address": address}

    async def _allow_address_of(self, handle: str, arguments: Mapping[str, Any]) -> None:
        """Refuse an identity whose mailbox, wanted or there already, is at an address that is not allowed."""
        # A random address would match no pattern, and the agent could not use what it made.
        if "email_local_part" in arguments:
            self._require_address("email_local_part", arguments)
        elif "mailbox_local_part" in arguments:
            if await self.generation(again=True) == "identity":
                self._addresses.require("agent_handle's mailbox", _full(handle))  # addresses are made of handles there
            elif arguments["with_mailbox"]:
                self._require_address("mailbox_local_part", arguments)
        else:
            try:
                identity = await self.get(path_to(IDENTITIES, handle), Result)
            except NotFound:
                return
            if address := address_of(identity.model_dump()):
                self._addresses.require("agent_handle's mailbox", _full(address))

    def _require_address(self, argument: str, arguments: Mapping[str, Any]) -> None:
        """Refuse a wanted address, or a random one."""
        wanted = arguments[argument]
        self._addresses.require(argument if wanted else f"a random address (pass {argument})", _full(wanted or ""))

    def check(self, method: str, path: Path, data: object) -> None:
        """Refuse an answer about what is not allowed: the API may read a name in another way than it is read here.

        Raises:
            NotAllowed: naming the patterns.
        """
        if not isinstance(data, dict) or not path.startswith((IDENTITIES, MAILBOXES)):
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
            self._handles.require("agent_handle in Inkbox's answer", str(item.get("agent_handle")))
            if address:
                self._addresses.require("agent_handle's mailbox", address)
        elif self._addresses:
            self._addresses.require("email_address in Inkbox's answer", address)
        elif self._handles and path != MAILBOXES and path.lower() != path_to(MAILBOXES, address).lower():
            raise NotAllowed("email_address in Inkbox's answer", f"mailboxes of {self._handles}")

    async def get_list(self, path: Path) -> list[dict[str, Any]]:
        """GET a bare array of objects, less those that are not allowed."""
        items = await super().get_list(path)
        if path == IDENTITIES:
            mine = [item for item in items if self._handles.match(str(item.get("agent_handle")))]
            return [item for item in mine if not (address := address_of(item)) or self._addresses.match(_full(address))]
        if path == MAILBOXES and self._addresses:
            return [item for item in items if self._addresses.match(_full(str(item.get("email_address"))))]
        if path == MAILBOXES and self._handles:
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


def _full(address: str) -> str:
    """Return an address in full and in lower case, in which mailboxes go by it; what is no ASCII has no such form."""
    full = address if "@" in address or not address else f"{address}@{DOMAIN}"
    return full.lower() if full.isascii() else full
