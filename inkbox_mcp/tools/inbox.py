"""Reads a mailbox's list of received messages again and again, and takes each new one once."""

import time
from math import inf

import anyio

from inkbox_mcp.api.client import InkboxAPI
from inkbox_mcp.mail.positions import LATE, Position, created, in_order
from inkbox_mcp.tools.messages import PAGE, Item, Page, id_of, messages_of

MOST_PAGES = 20
"""The most further pages of `PAGE` messages that are read at once."""
BEFORE = 120_000_000
"""Microseconds before the call since when messages are new, because mail often comes before one waits for it."""


class Inbox:
    """The new messages of a mailbox, as one call sees them.

    Attributes:
        start: messages after this position are new; valid after `begin`.
        waiting: the new messages that nobody has looked at, oldest first.
        is_cut: whether there were more new messages than are read, so that the oldest are missing.

    Args:
        api: of the caller.
        address: of the mailbox.
        start: the position of the call; None for some time before it.
    """

    def __init__(self, api: InkboxAPI, address: str, start: Position | None) -> None:
        self._api, self._address = api, address
        self._has_begun = start is not None
        self.start = start or Position.at(0)
        self.waiting: list[Item] = []
        self.is_cut = False
        self._seen: set[str] = set()
        self._newest = 0  # when the latest of them was created
        self._ahead: float | None = None

    def begin(self, began: float, ahead: float | None) -> None:
        """Find out since when messages are new, if the call did not say it.

        Args:
            began: when the call began, in seconds of the event loop's clock.
            ahead: the seconds by which the API's clock is ahead of it; None to take this machine's clock instead.
        """
        self._ahead = self._ahead if ahead is None else ahead
        if not self._has_begun:
            ahead = time.time() - anyio.current_time() if ahead is None else ahead
            self.start, self._has_begun = Position.at(int((began + ahead) * 1_000_000) - BEFORE), True

    @property
    def now(self) -> int | None:
        """The API's time in microseconds since 1970; None if it is not known."""
        return None if self._ahead is None else int((anyio.current_time() + self._ahead) * 1_000_000)

    async def take_new(self, page: Page) -> None:
        """Put the new messages that were not seen before into `waiting`.

        Args:
            page: the newest messages. Further pages are read as long as there can be unseen messages on them.

        Raises:
            InkboxError: a page could not be read. Nothing was taken, and the next look takes all.
        """
        unseen: dict[str, Item] = {}
        pages = 0
        while True:
            known = [item for item in page.items if id_of(item)]  # others cannot be asked for
            fresh = {name: item for item in known if (name := id_of(item)) not in self._seen}
            unseen |= fresh
            if self._is_last(page, is_all_new=len(fresh) == len(known)):
                break
            if pages == MOST_PAGES:
                self.is_cut = True
                break
            where = messages_of(self._address).where(direction="inbound", limit=PAGE, cursor=page.next_cursor)
            page, pages = await self._api.get(where, Page, once=True), pages + 1
        self._seen |= unseen.keys()
        now = inf if self.now is None else self.now  # a later time is a wrong one
        self._newest = max([self._newest, *(time for time in map(created, unseen.values()) if time <= now)])
        self.waiting[:] = sorted([*self.waiting, *filter(self.start.is_new, unseen.values())], key=in_order)

    def _is_last(self, page: Page, *, is_all_new: bool) -> bool:
        """Whether all messages after a page were seen before, or are older than the start.

        What was created some seconds before a message that was seen was visible then, and was seen, too.
        """
        if not (page.items and page.has_more and page.next_cursor):
            return True
        oldest = created(page.items[-1])
        return oldest < self.start.since or (oldest < self._newest - LATE and not is_all_new)
