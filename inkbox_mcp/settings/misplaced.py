"""Finds names that are surely meant as options of this server but have no effect where they stand.

Other Inkbox software reads the same file and variables of the same prefix, such as INKBOX_VAULT_KEY and
INKBOX_SIGNING_KEY. So a name counts only if it is an option's name, apart from case, punctuation and a few typing
errors. Longer names may have more of them.
"""

import re
from functools import cache

from inkbox_mcp.settings.options import SHARED_NAMES, Option, options


def meant_in_the_environment(variable: str) -> Option | None:
    """Return the option that a variable is surely meant for; it is not the exact name of one."""
    letters = _letters(variable)
    if "inkbox" not in letters and not (letters.startswith("in") and "mcp" in letters):
        return None  # nearly all variables; comparing each of them would be slow
    for name, option in _names().items():
        for ours in (f"inkboxmcp{name}", f"mcpinkbox{name}"):
            if _slips(letters, ours, max(1, _allowed(name))):
                return option
        if letters.startswith("inkbox") and _slips(letters.removeprefix("inkbox"), name, _allowed(name)):
            return option
    return None


def meant_in_the_config(key: str) -> Option | None:
    """Return the option that a line of the config file is surely meant for.

    Args:
        key: the text before the equals sign; the whole line, if it has none.
    """
    line = re.sub(r"^(export|set)\s+", "", key.strip())
    for candidate in dict.fromkeys((line, line.partition(":")[0], *line.split()[:1])):
        letters = _letters(candidate)
        for prefix in ("inkboxmcp", "mcp", "inkbox", ""):
            if letters.startswith(prefix):
                rest = letters.removeprefix(prefix)
                for name, option in _names().items():
                    if _slips(rest, name, _allowed(name)):
                        return option
    return None


@cache
def _names() -> dict[str, Option]:
    return {_letters(option.name): option for option in options()}


def _letters(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).casefold()


def _allowed(name: str) -> int:
    """Return how many typing errors a name may have. In a short name, each of them makes another word."""
    if name in map(_letters, SHARED_NAMES):
        return 0
    return 2 if len(name) >= 10 else 1 if len(name) >= 5 else 0


def _slips(written: str, meant: str, allowed: int) -> bool:
    """Whether two names differ by at most so many letters: missing, extra, wrong or swapped."""
    if abs(len(written) - len(meant)) > allowed:
        return False
    before: list[int] = []
    row = list(range(len(meant) + 1))
    for i, letter in enumerate(written, 1):
        before, last, row = row, before, [i]
        for j, right in enumerate(meant, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != right))
            if i > 1 and j > 1 and (letter, written[i - 2]) == (meant[j - 2], right):
                cost = min(cost, last[j - 2] + 1)
            row.append(cost)
    return row[-1] <= allowed
