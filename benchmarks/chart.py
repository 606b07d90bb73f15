"""Draw the chart of a comparison: each server as a multiple of this one."""

# matplotlib is only partly typed, and only the extra `benchmarks` installs it.
# pyright: reportMissingImports=false, reportMissingModuleSource=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownParameterType=false

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.goals import DIRECT, FASTMCP, LOOP, MCPSERVER, OURS, TYPESCRIPT, Samples

_SERVERS = [OURS, DIRECT, LOOP, TYPESCRIPT, MCPSERVER, FASTMCP]
_PANELS = {
    "listed": "Spawn to tools/list\n(less is better)",
    "first_result": "Spawn to first tool result\n(less is better)",
    "memory": "Memory after tools/list\n(less is better)",
    "p50": "stdio call p50\n(less is better)",
    "calls_per_second": "stdio calls/s, 64 in flight\n(more is better)",
    "http_calls_per_second": "HTTP calls/s, 16 clients\n(more is better)",
}
_OWN_COLOUR, _COLOUR = "#2a6f97", "#b8c4ce"


def draw(samples: Samples, file: Path) -> None:
    """Draw the chart as PNG and as SVG.

    Args:
        samples: the measurements.
        file: the path; its suffix is replaced by `.png` and `.svg`.
    """
    figure = Figure(figsize=(11, 5.6), layout="constrained")
    for axes, (measure, title) in zip(figure.subplots(2, 3).flat, _PANELS.items(), strict=True):
        _panel(axes, samples, measure, title)
    figure.suptitle("The same five tools, as multiples of inkbox-mcp; thin lines: the middle half of the rounds")
    for suffix in (".png", ".svg"):
        metadata = {"Date": None} if suffix == ".svg" else {}
        figure.savefig(file.with_suffix(suffix), dpi=120, metadata=metadata)


def _panel(axes: Axes, samples: Samples, measure: str, title: str) -> None:
    names = [name for name in reversed(_SERVERS) if (measure, name) in samples]
    own = samples[measure, OURS]
    ratios = [samples[measure, name].ratio(own) for name in names]
    lows, highs = zip(*(samples[measure, name].over(own).quartiles for name in names), strict=True)
    errors = [
        [ratio - low for ratio, low in zip(ratios, lows, strict=True)],
        [high - ratio for ratio, high in zip(ratios, highs, strict=True)],
    ]
    colours = [_OWN_COLOUR if name == OURS else _COLOUR for name in names]
    axes.barh(names, ratios, color=colours, xerr=errors, error_kw={"linewidth": 0.8, "ecolor": "#555555"})
    for row, (ratio, high) in enumerate(zip(ratios, highs, strict=True)):
        axes.text(max(ratio, high), row, f" {ratio:.3g} x", va="center", fontsize=8)
    axes.set_title(title, fontsize=9)
    axes.set_xlim(0, max(highs) * 1.25)
    axes.set_xticks([])
    axes.tick_params(axis="y", labelsize=8, length=0)
    for side in ("top", "right", "bottom"):
        axes.spines[side].set_visible(False)
