"""The performance goals of this server, compared with other servers, and whether it meets them."""

from dataclasses import dataclass

from benchmarks.figures import Series

Key = tuple[str, str]
"""A measure and the name of a server."""
Samples = dict[Key, Series]

OURS, LOOP, MCPSERVER, FASTMCP, TYPESCRIPT = "inkbox-mcp", "hand-written", "MCPServer", "FastMCP", "TypeScript"
DIRECT, VALIDATED, API = "HTTPX2 alone", "validating all", "the API"


@dataclass(frozen=True)
class Goal:
    """A bound on a measure, or on its ratio to another measure.

    Attributes:
        title: the measure.
        own: the measure of this server.
        other: the measure to compare with; without it the bound applies to `own` itself.
        bound: the goal.
        stretch: a better value that is not required.
        more: whether a higher value is better.
    """

    title: str
    own: Key
    other: Key | None
    bound: float
    stretch: float | None = None
    more: bool = False

    def value(self, samples: Samples) -> float:
        """Return the value that the bound applies to."""
        own = samples[self.own]
        return own.ratio(samples[self.other]) if self.other else own.median

    def is_met(self, value: float, bound: float | None = None) -> bool:
        """Return whether a value is within a bound, by default the goal's."""
        bound = self.bound if bound is None else bound
        return value >= bound if self.more else value <= bound


def _against(peer: str, measure: str, title: str, bound: float, stretch: float | None = None) -> Goal:
    return Goal(title, (measure, OURS), (measure, peer), bound, stretch, measure.endswith("per_second"))


GOALS = [
    _against(LOOP, "listed", "spawn to tools/list, ms", 0.30),
    _against(FASTMCP, "listed", "spawn to tools/list, ms", 1 / 40),
    _against(TYPESCRIPT, "listed", "spawn to tools/list, ms", 0.2),
    _against(MCPSERVER, "first_result", "spawn to first tool result, ms", 0.55),
    _against(FASTMCP, "first_result", "spawn to first tool result, ms", 0.35),
    _against(MCPSERVER, "memory", "memory after tools/list, MiB", 1 / 5),
    _against(MCPSERVER, "cpu", "processor time of such a session, ms", 1 / 30),
    _against(DIRECT, "p50", "stdio call p50, ms", 1.7, 1.0),
    _against(FASTMCP, "p50", "stdio call p50, ms", 0.5),
    _against(FASTMCP, "calls_per_second", "stdio calls/s, 64 in flight", 3.5, 5),
    _against(TYPESCRIPT, "calls_per_second", "stdio calls/s, 64 in flight", 0.6),
    Goal("stdio call p50 after that, ms", ("p50_after", OURS), ("p50", OURS), 1.1),
    _against(FASTMCP, "http_calls_per_second", "HTTP calls/s, 16 clients", 3, 4.5),
    _against(VALIDATED, "page_of_10000", "a page of 10,000 mailboxes, ms", 0.3),
    Goal("µs per mailbox, of 20,000", ("each_of_20000", OURS), ("each_of_10000", OURS), 1.2),
    Goal("a page of 100 mailboxes, ms", ("page_of_100", OURS), ("page_of_10000", OURS), 0.05),
    Goal("tools/list, bytes", ("list_bytes", OURS), None, 6000),
    _against(API, "result_bytes", "a result's text, bytes", 1.15),
]


def rows(*runs: Samples) -> list[list[str]]:
    """Return the rows of the table of goals, beginning with its head. Each is of the run in which it was worst."""
    lines = [["measure", OURS, "±", "compared with", "", "±", "ratio", "goal", "met"]]
    for goal in GOALS:
        samples = (min if goal.more else max)(runs, key=goal.value)
        own, value = samples[goal.own], goal.value(samples)
        compared = ["-", "", "", ""]
        if goal.other:
            other = samples[goal.other]
            name = goal.other[1] if goal.other[1] != OURS else goal.other[0].replace("_", " ")
            compared = [name, _number(other.median), f"{other.deviation:.0%}", f"{value:.3g}"]
        lines.append([goal.title, _number(own.median), f"{own.deviation:.0%}", *compared, *_verdict(goal, value)])
    return lines


def _verdict(goal: Goal, value: float) -> list[str]:
    sign = "≥" if goal.more else "≤"
    if goal.stretch is None:
        return [f"{sign} {goal.bound:.4g}", "yes" if goal.is_met(value) else "NO"]
    met = "stretch" if goal.is_met(value, goal.stretch) else "yes" if goal.is_met(value) else "NO"
    return [f"{sign} {goal.bound:.4g} ({goal.stretch:.4g})", met]


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
