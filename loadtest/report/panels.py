"""Which series stands in which panel of the page. Pure: a document -> titled SVGs with legends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from loadtest.report import lanes, plots
from loadtest.report.plots import Frame

_HEIGHT = 138.0
_FOOT = 20.0
_MOST_FLAGS = 14  # more of them hide what they stand over; then every chain has a row of its own
_SHORT = {
    "load-applied": "load applied", "serve-target-raised": "target raised", "ray-demand-raised": "demand raised",
    "pod-created": "pod created", "nodeclaim-created": "node claimed", "node-launched": "node launched",
    "node-registered": "node registered", "device-advertised": "device advertised", "pod-scheduled": "pod scheduled",
    "image-pulled": "image pulled", "container-started": "container started", "ray-node-joined": "Ray node joined",
    "replica-started": "replica started", "model-loaded": "model loaded", "replica-running": "replica running",
    "first-token": "first token", "load-removed": "load removed", "serve-target-lowered": "target lowered",
    "replica-drained": "replica drained", "ray-node-idle": "Ray node idle", "pod-deleted": "pod deleted",
    "node-emptied": "node emptied", "node-deleted": "node deleted",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Legend:
    """One entry: its colour class, its name, and the key under which the page's script finds its values."""

    css: str
    text: str
    series: str


@dataclass(frozen=True, slots=True)
class Panel:
    """One chart."""

    title: str
    svg: str
    legend: tuple[Legend, ...]


def build(document: Mapping[str, Any]) -> list[Panel]:
    """All panels, on one time axis."""
    made = [_rates(document), _ttft(document), _itl(document), _in_flight(document)]
    if document["observers"] is not None:
        made.append(_replicas(document))
        made += [_chains(document)] if len(_marks(document)) > _MOST_FLAGS else []
    if document["cost"]["machines"]:
        made.append(_machines(document))
    return made if document["mode"] != "watch" else made[4:]


def short(stage: str) -> str:
    """A stage's name as a person says it."""
    return _SHORT[stage]


def _rates(document: Mapping[str, Any]) -> Panel:
    series = document["series"]
    lines = (
        ("c-muted", "offered", "offered_per_s"),
        ("c-1", "achieved", "achieved_per_s"),
        *((("c-bad", "failed", "failed_per_s"),) if any(series["failed_per_s"]) else ()),
    )
    return _lines(document, "Requests per second", lines, most=_most(series, *(key for _, _, key in lines)))


def _ttft(document: Mapping[str, Any]) -> Panel:
    lines = (("c-2", "p95", "ttft_p95_s"), ("c-1", "p50", "ttft_p50_s"))
    limit = document["slo_limits"]["ttft_s"]
    return _lines(document, "Time to first token, from the scheduled instant, in seconds", lines,
                  most=_most(document["series"], "ttft_p95_s"), limit=limit, limit_text=f"SLO {limit:g} s" if limit else "")  # fmt: skip


def _itl(document: Mapping[str, Any]) -> Panel:
    lines = (("c-2", "p95", "itl_p95_s"), ("c-1", "p50", "itl_p50_s"))
    limit = document["slo_limits"]["itl_s"]
    return _lines(document, "Inter-token latency, in milliseconds", lines, scale=1e3, most=_most(document["series"], "itl_p95_s") * 1e3,
                  limit=limit * 1e3 if limit else None, limit_text=f"SLO {limit * 1e3:g} ms" if limit else "")  # fmt: skip


def _in_flight(document: Mapping[str, Any]) -> Panel:
    lines = (("c-1", "in flight", "in_flight"), ("c-2", "of which wait for their first token", "waiting"))
    return _lines(
        document,
        "Requests in flight, and those that wait",
        lines,
        most=_most(document["series"], "in_flight"),
        filled=True,
    )


def _replicas(document: Mapping[str, Any]) -> Panel:
    series = document["series"]
    samples = series["samples"]
    drawn = [("c-muted dashed", "target", "replicas_target"), ("c-1", "running", "replicas_running"),
             ("c-2", "workers' nodes ready", "nodes_ready"), ("c-bad", "pods pending", "pods_pending")]  # fmt: skip
    drawn = [entry for entry in drawn if entry[2] in samples]
    most = max((value for _, _, key in drawn for _, value in samples[key]), default=1)
    marks = _marks(document)
    marks = marks if len(marks) <= _MOST_FLAGS else []
    _, stacked = plots.flags(Frame(series["until_s"], 1, _HEIGHT), marks)
    values = [float(i) for i in range(int(most) + 2)]
    frame = Frame(series["until_s"], values[-1], 96 + 18.0 * stacked, top=plots.TOP + 18.0 * stacked)
    body = "".join(plots.steps(frame, samples[key], css) for css, _, key in drawn)
    legend = tuple(Legend(css, text, f"samples.{key}") for css, text, key in drawn)
    return Panel(
        "Replicas, and the stages of the chain" if marks else "Replicas and nodes",
        _svg(document, frame, body + plots.flags(frame, marks)[0], values),
        legend,
    )


def _chains(document: Mapping[str, Any]) -> Panel:
    """Which link took which part of the axis, a row a replica."""
    rows = lanes.chains(document, short)
    frame = Frame(document["series"]["until_s"], 1, plots.TOP + lanes.height(rows))
    legend = tuple(Legend(css, text, "") for css, text in lanes.KINDS)
    return Panel("Stages of the chain, replica by replica", _svg(document, frame, lanes.draw(frame, rows), []), legend)


def _machines(document: Mapping[str, Any]) -> Panel:
    """What is paid for, and how much an hour costs at each instant."""
    rows = lanes.machines(document)
    series = document["series"]
    rate = series["samples"].get("usd_per_hour", [])
    top = plots.TOP + lanes.height(rows)
    values = plots.ticks(max((value for _, value in rate), default=0.0), 3) if rate else []
    frame = Frame(
        series["until_s"], values[-1] if values else 1.0, top + (80 if rate else 0), top=top if rate else plots.TOP
    )
    body = lanes.draw(Frame(series["until_s"], 1, top), rows) + (plots.steps(frame, rate, "c-2") if rate else "")
    legend = (Legend("c-2", "USD per hour", "samples.usd_per_hour"),) if rate else ()
    return Panel("Machines and what they cost", _svg(document, frame, body, values), legend)


def _marks(document: Mapping[str, Any]) -> list[tuple[float, str]]:
    """Every link that was reached, once each, with its replica's chain number where there is more than one."""
    found: dict[tuple[str, float], str] = {}
    for key in ("scale_out", "scale_in"):
        chains = document[key]
        for number, chain in enumerate(chains, 1):
            for stage in chain["stages"]:
                if stage["status"] == "reached":
                    own = len(chains) > 1 and sum(
                        other["at_s"] == stage["at_s"] for c in chains for other in c["stages"] if other["name"] == stage["name"]
                    ) == 1  # fmt: skip
                    found[(stage["name"], stage["at_s"])] = short(stage["name"]) + (f" ({number})" if own else "")
    return [(at_s, text) for (_, at_s), text in found.items()]


def _most(series: Mapping[str, Any], *names: str) -> float:
    return max((value for name in names for value in series[name] if value is not None), default=0.0)


def _lines(
    document: Mapping[str, Any],
    title: str,
    lines: Sequence[tuple[str, str, str]],
    *,
    most: float,
    scale: float = 1.0,
    limit: float | None = None,
    limit_text: str = "",
    filled: bool = False,
) -> Panel:
    series = document["series"]
    shown_limit = limit is not None and limit <= 4 * most  # a limit far above the data would flatten it
    values = plots.ticks(max(most, limit or 0) if shown_limit else most, 4)
    frame = Frame(series["until_s"], values[-1], _HEIGHT)
    body = ""
    for css, _, key in lines:
        scaled = [None if value is None else value * scale for value in series[key]]
        body += plots.area(frame, scaled, series["bin_s"], css) if filled else ""
        body += plots.line(frame, scaled, series["bin_s"], css)
    if shown_limit and limit is not None:
        body += plots.level(frame, limit, "limit", limit_text)
    return Panel(title, _svg(document, frame, body, values), tuple(Legend(css, text, key) for css, text, key in lines))


def _svg(document: Mapping[str, Any], frame: Frame, body: str, values: Sequence[float]) -> str:
    starts = [(row["start_s"], row["name"]) for row in document["traffic"]["stages"]][1:]
    back = plots.bands(frame, document["series"]["violating_s"], "violating") + plots.grid(frame, values)
    back += "".join(plots.upright(frame, at_s, "stage", f"stage {name} begins") for at_s, name in starts)
    back += plots.upright(frame, document["removed_s"], "removed", "load removed")
    height = frame.height + _FOOT
    return (
        f'<svg viewBox="0 0 {plots.WIDTH:.0f} {height:.0f}" role="img" data-until="{frame.until_s}" data-top="{frame.top}" '
        f'data-bottom="{frame.height}">{back}{body}{plots.time_axis(frame)}'
        f'<line class="cursor" y1="{frame.top}" y2="{frame.height}" x1="-9999" x2="-9999"/></svg>'
    )
