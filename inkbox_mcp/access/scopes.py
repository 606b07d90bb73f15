"""The OAuth scopes of access tokens, and which ones open each tool.

Tools of the toolset `mail` need a scope for mail, those of all toolsets one of either kind, all others one for
mailboxes. Neither pair includes one of the other: who may arrange mailboxes may not read what is in them.
"""

from collections.abc import Iterable
from typing import Any

from inkbox_mcp.toolkit.operation import Operation

READ = "mailboxes:read"
WRITE = "mailboxes:write"
"""Includes `READ`."""
MAIL_READ = "mail:read"
MAIL_SEND = "mail:send"
"""Includes `MAIL_READ`."""

SCOPES = (READ, WRITE, MAIL_READ, MAIL_SEND)
EVERYTHING = frozenset(SCOPES)
CHANGING = frozenset({WRITE, MAIL_SEND})

_INCLUDED = {WRITE: READ, MAIL_SEND: MAIL_READ}


def granted(scopes: Iterable[str]) -> frozenset[str]:
    """Return what a token allows: those of `SCOPES` that it has, and those that they include."""
    own = EVERYTHING.intersection(scopes)
    return own.union(_INCLUDED[scope] for scope in own if scope in _INCLUDED)


def shortest(scopes: Iterable[str]) -> list[str]:
    """Return those of `SCOPES`, in their order, that are enough to have all of these."""
    every = EVERYTHING.intersection(scopes)
    included = {_INCLUDED[scope] for scope in every if scope in _INCLUDED}
    return [scope for scope in SCOPES if scope in every - included]


def needed(operation: Operation[Any, Any]) -> frozenset[str]:
    """Return the scopes of which a call of a tool needs one."""
    scopes = (READ, MAIL_READ) if operation.hints.read_only else (WRITE, MAIL_SEND)
    if operation.toolset is None:
        return frozenset(scopes)
    return frozenset({scopes[operation.toolset == "mail"]})
