"""The glob patterns of the operator's limits."""

import re
from fnmatch import fnmatchcase

from inkbox_mcp.errors import NotAllowed

# One address without quotes, comments, a list or a route: programs read those in more than one way. Old relays take "%"
# and "!" for a route to another host. Beyond ASCII, letters of different addresses look alike or become the same.
_PLAIN_ADDRESS = re.compile(r"[\w#$&'*+/=?^`{|}~-]+(\.[\w#$&'*+/=?^`{|}~-]+)*@[a-z0-9-]+(\.[a-z0-9-]+)+", re.ASCII)


class Patterns(tuple[str, ...]):
    """Glob patterns, as written or in lower case. No patterns match everything.

    The value's case is not changed: the API may distinguish values that differ in case only.
    """

    __slots__ = ()

    def match(self, value: str) -> bool:
        """Whether a value matches one of the patterns."""
        return not self or any(fnmatchcase(value, form) for pattern in self for form in (pattern, pattern.lower()))

    def require(self, argument: str, value: str) -> None:
        """Refuse the value of an argument that does not match.

        Raises:
            NotAllowed: names the argument and the patterns.
        """
        if not self.match(value):
            raise NotAllowed(argument, str(self))

    def __str__(self) -> str:
        return " or ".join(self)


class RecipientPatterns(Patterns):
    """Glob patterns for addresses that mail goes to, in any case. No patterns match everything.

    The case does not matter, because it is the same mailbox wherever mail is delivered. With patterns, a value that is
    not one plain address matches none of them.
    """

    __slots__ = ()

    def match(self, value: str) -> bool:
        """Whether an address matches one of the patterns."""
        if not self:
            return True
        address = value.lower() if value.isascii() else ""  # the lower case of the Kelvin sign is a k
        return _PLAIN_ADDRESS.fullmatch(address) is not None and any(
            fnmatchcase(address, pattern.lower()) for pattern in self
        )
