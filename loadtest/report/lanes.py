"""Rows of bars on the page's time axis: a row a replica with its stages, a row a machine with its lifetime. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from loadtest.report.plots import LEFT, Frame

ROW, BAR, HEAD = 34.0, 14.0, 6.0
_LETTER = 6.1  # about the width of one, in the viewBox's units
_SIGNAL = {"serve-target-raised", "ray-demand-raised", "serve-target-lowered", "ray-node-idle"}
_MACHINE = {
    "nodeclaim-created",
    "node-launched",
    "node-registered",
    "device-advertised",
    "node-emptied",
    "node-deleted",
}
_REPLICA = {"replica-started", "model-loaded", "replica-running", "first-token", "replica-drained"}
KINDS = (("seg-signal", "signal"), ("seg-machine", "machine"), ("seg-pod", "pod"), ("seg-replica", "replica"))


@dataclass(frozen=True, slots=True)
class Bar:
    """One piece of a row."""

    from_s: float
    to_s: float
    css: str
    text: str  # inside, where it fits
    title: str  # under the pointer


@dataclass(frozen=True, slots=True)
class Row:
    """One row, named above its bars."""

    name: str
    bars: tuple[Bar, ...]


def height(rows: Sequence[Row]) -> float:
    """Of all of them."""
    return HEAD + ROW * len(rows)


def draw(frame: Frame, rows: Sequence[Row]) -> str:
    """All rows, from the top of the frame down."""
    return "".join(_row(frame, row, frame.top + HEAD + ROW * i) for i, row in enumerate(rows))


def chains(document: Mapping[str, Any], short: Callable[[str], str]) -> list[Row]:
    """Scale-out and scale-in of each replica: each stage's bar ends where it was reached."""
    return [
        Row(f"replica {chain['replica']}{title}", tuple(_stages(chain["stages"], short)))
        for title, key in (("", "scale_out"), (", scale-in", "scale_in"))
        for chain in document[key]
    ]


def machines(document: Mapping[str, Any]) -> list[Row]:
    """Every NodeClaim, from its making until it was gone."""
    until_s = document["series"]["until_s"]
    rows = []
    for machine in document["cost"]["machines"]:
        end_s = until_s if machine["until_s"] is None else machine["until_s"]
        usd = "" if machine["usd"] is None else f", {machine['usd']:.4f} USD in this run"
        title = f"{machine['name']}: {machine['instance_type']} from {machine['from_s']:.1f} s, {end_s - machine['from_s']:.1f} s{usd}"
        title += (
            f"; it carried {', '.join(machine['pods'])}" if machine["pods"] else "; it carried no pod of the chatbot"
        )
        bar = Bar(machine["from_s"], end_s, "seg-machine", "", title)
        rows.append(Row(f"{machine['name']} ({machine['instance_type'] or 'type not known'}{usd})", (bar,)))
    return rows


def _stages(stages: Sequence[Mapping[str, Any]], short: Callable[[str], str]) -> list[Bar]:
    bars: list[Bar] = []
    before_s: float | None = None
    for stage in stages:
        if stage["at_s"] is None:
            continue
        if before_s is not None and stage["at_s"] > before_s:
            predicted = (
                "" if stage["predicted_s"] is None else f", predicted for production {stage['predicted_s']:.1f} s"
            )
            title = f"{stage['name']} at {stage['at_s']:.1f} s, took {stage['took_s']:.1f} s{predicted}"
            bars.append(Bar(before_s, stage["at_s"], _css(stage["name"]), short(stage["name"]), title))
        before_s = stage["at_s"] if before_s is None else max(before_s, stage["at_s"])
    return bars


def _css(stage: str) -> str:
    for names, css in ((_SIGNAL, "seg-signal"), (_MACHINE, "seg-machine"), (_REPLICA, "seg-replica")):
        if stage in names:
            return css
    return "seg-pod"


def _row(frame: Frame, row: Row, top: float) -> str:
    name = f'<text class="lane-name" x="{LEFT}" y="{top + 11:.1f}">{escape(row.name)}</text>'
    return name + "".join(_bar(frame, bar, top + 15) for bar in row.bars)


def _bar(frame: Frame, bar: Bar, top: float) -> str:
    x, end = frame.x(bar.from_s), frame.x(bar.to_s)
    width = max(1.0, end - x - 1)  # a gap between neighbours
    inside = ""
    if bar.text and len(bar.text) * _LETTER + 8 <= width:
        inside = f'<text class="lane-text" x="{x + 5:.1f}" y="{top + 11:.1f}">{escape(bar.text)}</text>'
    shape = f'<rect class="{bar.css}" x="{x:.1f}" y="{top:.1f}" width="{width:.1f}" height="{BAR}" rx="2"/>'
    return f"<g>{shape}{inside}<title>{escape(bar.title)}</title></g>"
