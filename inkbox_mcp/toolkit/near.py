"""Finds the names that a mistyped one may mean."""

import difflib
import re
from collections.abc import Callable, Iterable

from inkbox_mcp.text import MAX_ADDRESS, quoted

MOST = 3
"""The most names to propose."""
SHORTEST = 3
"""The fewest characters of a part that counts as similar."""
LONGEST = 40
"""The most characters of a name that are compared: comparing long ones takes long, and holds up other calls."""


def nearest(name: str, names: Iterable[str], compared: Callable[[str], str] = str) -> list[str]:
    """Return the most similar names, the best first.

    Names that differ only in case and separators come first, then those that begin with the name or contain it, then
    those that differ in few characters.

    Args:
        name: that does not exist.
        names: that do.
        compared: returns the part of a name to compare, such as an address without its domain.
    """
    wanted, plain = _plain(compared(name)), {each: _plain(compared(each)) for each in names if each != name}
    same = [each for each, form in plain.items() if form == wanted]
    if same:
        return same[:MOST]
    begin = [each for each, form in plain.items() if _is_part(wanted, form) and form.startswith(wanted)]
    contain = [each for each, form in plain.items() if _is_part(wanted, form) or _is_part(form, wanted)]
    close = difflib.get_close_matches(wanted, set(plain.values()), n=MOST, cutoff=0.75)
    similar = [each for form in close for each in plain if plain[each] == form]
    return list(dict.fromkeys([*begin, *contain, *similar]))[:MOST]


def same_name(name: str, names: Iterable[str], compared: Callable[[str], str] = str) -> str | None:
    """Return the name that differs only in case and separators; None if there is none. Arguments as for `nearest`."""
    wanted = _plain(compared(name))
    return next((each for each in names if each != name and _plain(compared(each)) == wanted), None)


def did_you_mean(name: str, names: Iterable[str], compared: Callable[[str], str] = str) -> str:
    """Return the question whether a similar name was meant; empty if there is none. Arguments as for `nearest`."""
    near = [quoted(each, MAX_ADDRESS) for each in nearest(name, names, compared)]
    return f"Did you mean {' or '.join(near)}?" if near else ""


def _is_part(part: str, whole: str) -> bool:
    return len(part) >= SHORTEST and part in whole


def _plain(name: str) -> str:
    return re.sub(r"[\s._-]+", "", name[: 2 * LONGEST].casefold())[:LONGEST]
