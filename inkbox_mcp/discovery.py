"""Finds out which generation of the API a caller's organization is on, and with that which tools the caller has."""

from collections import OrderedDict
from contextlib import suppress
from functools import partial
from typing import Any

import anyio

from inkbox_mcp.access.pins import PinnedAPI
from inkbox_mcp.access.tenants import Caller, Tenants
from inkbox_mcp.api.generations import DEFAULT, Generation, KnownGeneration
from inkbox_mcp.calls import begin
from inkbox_mcp.catalogue import Catalogue, Catalogues
from inkbox_mcp.errors import InkboxError, OperationMoved
from inkbox_mcp.settings.options import Settings
from inkbox_mcp.toolkit.operation import Operation

SECONDS_TO_LOOK = 1.5
"""Seconds that the beginning of a conversation may wait for the generation of the API."""
SECONDS_BETWEEN_LOOKS = 10.0
"""Seconds without another look after one that had no answer."""

MAX_SESSIONS = 10_000
"""The most sessions whose lists are remembered. The least recent ones are forgotten, and not notified."""


class Discovery:
    """The tools of each caller of a server.

    Args:
        settings: may name the generation.
        catalogues: the tools of each generation.
        tenants: the API for each caller.
    """

    def __init__(self, settings: Settings, catalogues: Catalogues, tenants: Tenants) -> None:
        self._settings, self._catalogues, self._tenants = settings, catalogues, tenants
        self._lists = Lists()
        self._shown: set[Generation | None] = set()

    async def look(self, caller: Caller) -> None:
        """Find out which generation of the API the caller's organization is on, if that is not known.

        Takes at most `SECONDS_TO_LOOK`, and counts as a call of the caller. Without an answer, the next look is not
        before `SECONDS_BETWEEN_LOOKS`.
        """
        if self.is_settled(caller):
            return
        known = self.known(caller)
        async with known.looking:
            now = anyio.current_time()
            if known.value is None and now - known.looked >= SECONDS_BETWEEN_LOOKS:
                known.looked = now
                await self._look_again(caller)

    async def _look_again(self, caller: Caller) -> None:
        with suppress(InkboxError), begin(SECONDS_TO_LOOK, caller.request_id), anyio.move_on_after(SECONDS_TO_LOOK):
            await (await self._tenants.admit(caller)).generation(again=True)

    def known(self, caller: Caller) -> KnownGeneration:
        """Return what is known of the generation of the caller's organization."""
        api = self._api(caller)
        return api.known if api else KnownGeneration(self._settings.generation)

    def has_key(self, caller: Caller) -> bool:
        """Whether the caller's calls can reach an organization."""
        api = self._api(caller)
        return api is not None and api.has_key

    def is_settled(self, caller: Caller) -> bool:
        """Whether the caller's list of tools stays as it is: the generation is known, or cannot be found out."""
        api = self._api(caller)
        return api is not None and (api.known.value is not None or not api.has_key)

    def open_to(self, caller: Caller) -> Catalogue:
        """Return the tools that a caller can call."""
        return self._catalogues.of(self.known(caller).value, caller.scopes)

    def shown(self, caller: Caller) -> None:
        """Note that an answer depends on which tools the caller has; see `shown_for_good`."""
        self._shown.add((self.known(caller).value or DEFAULT) if self.is_settled(caller) else None)

    def shown_for_good(self, caller: Caller) -> Generation | None:
        """Return the generation on which all answers so far depend, if the next start will show the same one."""
        if not self._shown:
            self.shown(caller)
        shown = next(iter(self._shown)) if len(self._shown) == 1 else None
        remembered = self._tenants.remembered()
        later = DEFAULT if remembered is None and not self.has_key(caller) else remembered
        return shown if shown == later else None

    def has_list(self, session: str, generation: Generation | None) -> None:
        """Note that a client has the list of a generation in a session."""
        self._lists.shown(session, generation)

    def listed(self, session: str, caller: Caller) -> None:
        """Note that a client gets its list of tools in a session."""
        self.has_list(session, self.known(caller).value)

    def is_outdated(self, session: str, caller: Caller) -> bool:
        """Whether the list that a client got is outdated; True once, so that the client is notified once."""
        return self._lists.is_outdated(session, self.known(caller).value)

    async def find(self, name: str, caller: Caller) -> Operation[Any, Any]:
        """Return the tool that a caller calls; see `Catalogues.find`."""
        await self.look(caller)
        find = partial(self._catalogues.find, name, scopes=caller.scopes)
        known = self.known(caller)
        try:
            return find(known.value)
        except OperationMoved:
            if known.value == "identity":
                raise
            await self._look_again(caller)  # organizations move to that generation, and not back
            return find(known.value)

    def _api(self, caller: Caller) -> PinnedAPI | None:
        """Return the API for a caller; None if the caller has no valid key."""
        with suppress(InkboxError):
            return self._tenants.api(caller)
        return None


class Lists:
    """The lists of tools that clients of earlier protocols have, by session."""

    def __init__(self) -> None:
        self._shown: OrderedDict[str, Generation] = OrderedDict()

    def shown(self, session: str, generation: Generation | None) -> None:
        """Note that a client gets the list of a generation."""
        self._shown[session] = generation or DEFAULT
        self._shown.move_to_end(session)
        if len(self._shown) > MAX_SESSIONS:
            self._shown.popitem(last=False)

    def is_outdated(self, session: str, generation: Generation | None) -> bool:
        """Whether a client has the list of another generation; True once, so that it is notified once."""
        if self._shown.get(session) in {None, generation or DEFAULT}:
            return False
        self.shown(session, generation)
        return True
