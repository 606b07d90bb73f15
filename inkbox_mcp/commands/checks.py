"""The results of the doctor's checks, as text for a person or as JSON."""

import json
from dataclasses import dataclass

from inkbox_mcp.text import one_line


@dataclass(frozen=True)
class Check:
    """The result of one check.

    Attributes:
        name: of the check.
        ok: whether it passed.
        found: what was found.
        fix: what to do when it is not.
    """

    name: str
    ok: bool
    found: str
    fix: str = ""


def as_text(checks: list[Check]) -> str:
    """Format the checks for a person."""
    width = max(len(check.name) for check in checks)
    lines: list[str] = []
    for check in checks:
        first, *more = _lines(check)
        lines.append(f"{'ok ' if check.ok else 'BAD'} {check.name:<{width}}  {first}")
        lines += [f"    {'':<{width}}  {line}" for line in more]
        if not check.ok:
            lines.append(f"    {'':<{width}}  → {one_line(check.fix)}")
    return "\n".join([*lines, "", _verdict(checks), ""])


def as_json(checks: list[Check]) -> str:
    """Format the checks as JSON."""
    ok = all(check.ok for check in checks)
    shown = [
        {"name": check.name, "ok": check.ok, "found": "\n".join(_lines(check))}
        | ({} if check.ok else {"fix": one_line(check.fix)})
        for check in checks
    ]
    return json.dumps({"ok": ok, "checks": shown}, indent=2) + "\n"


def _lines(check: Check) -> list[str]:
    """Return the lines of a result without terminal control characters, which answers and variables may contain."""
    lines = check.found.split("\n") if check.name == "options" else [check.found]
    return ["  ".join(map(one_line, line.split("  "))) for line in lines]


def _verdict(checks: list[Check]) -> str:
    bad = sum(not check.ok for check in checks)
    return "All checks passed." if not bad else f"{bad} of {len(checks)} checks failed; see → above for the fix."
