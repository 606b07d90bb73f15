"""Finds the names that a mistyped one may mean."""

import difflib
from collections.abc import Callable, Iterable
from heapq import nlargest

from inkbox_mcp.text import MAX_ADDRESS, quoted

MOST = 3
"""The most names to propose."""
SHORTEST = 3
"""The fewest characters of a part that counts as similar."""
LONGEST = 40
"""The most characters of a name that are compared: comparing long ones takes long, and holds up other calls."""
SHORTLIST = 100
"""The most names whose letters are compared in order, which takes a hundred times as long as counting pairs of them."""
CLOSE = 0.75
"""How similar the letters of names must be, from 0 to 1."""


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
    close = difflib.get_close_matches(wanted, _shortlist(wanted, set(plain.values())), n=MOST, cutoff=CLOSE)
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


def _shortlist(wanted: str, forms: Iterable[str]) -> list[str]:
    """Return the forms of about the same length that have the most pairs of letters in common with one."""
    pairs = {wanted[at : at + 2] for at in range(len(wanted) - 1)}
    # Of different lengths, names are at most as similar as this.
    near = [form for form in forms if 2 * min(len(form), len(wanted)) >= CLOSE * (len(form) + len(wanted))]
    if len(near) <= SHORTLIST:
        return near
    return nlargest(SHORTLIST, near, key=lambda form: sum(map(form.__contains__, pairs)))


def _plain(name: str) -> str:
    plain = "".join(name[: 2 * LONGEST].casefold().split())
    for separator in "._-":
        plain = plain.replace(separator, "")
    return plain[:LONGEST]
