"""Line charts as SVG text: one shared time axis, colours from the page's style. Pure.

Coordinates are those of the viewBox; the page scales it. Classes, not colours, so that light and dark are the page's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, LEFT, RIGHT, TOP = 1000.0, 58.0, 14.0, 12.0
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Frame:
    """Maps seconds and values to a panel of `height`."""

    until_s: float
    most: float
    height: float
    top: float = TOP

    def x(self, at_s: float) -> float:
        """Of an instant."""
        return LEFT + (WIDTH - LEFT - RIGHT) * min(max(at_s / self.until_s, 0.0), 1.0)

    def y(self, value: float) -> float:
        """Of a value."""
        return self.top + (self.height - self.top) * (1 - value / self.most)


def ticks(most: float, wanted: int) -> list[float]:
    """About `wanted` round numbers from 0 to at least `most`."""
    if most <= 0:
        return [0.0, 1.0]
    rough = most / wanted
    power = 10 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough)
    return [step * i for i in range(math.ceil(most / step - 1e-9) + 1)]


def time_ticks(until_s: float) -> list[float]:
    """Round instants within the axis."""
    steps = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600)
    step = next((s for s in steps if until_s / s <= 12), steps[-1])
    return [float(i * step) for i in range(int(until_s // step) + 1)]


def grid(frame: Frame, values: Sequence[float]) -> str:
    """Horizontal lines with their values."""
    parts = []
    for value in values:
        y = frame.y(value)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
    return "".join(parts)


def time_axis(frame: Frame) -> str:
    """Instants under a panel."""
    return "".join(
        f'<text class="tick" x="{frame.x(at_s):.1f}" y="{frame.height + 14:.1f}" text-anchor="middle">{clock(at_s)}</text>'
        for at_s in time_ticks(frame.until_s)
    )


def clock(at_s: float) -> str:
    """`45 s`, `2:05`."""
    return f"{at_s:.0f} s" if at_s < 60 else f"{int(at_s // 60)}:{int(at_s % 60):02d}"


def line(frame: Frame, values: Sequence[float | None], bin_s: float, css: str) -> str:
    """One value a bin, at its middle; a bin without a value breaks the line, and one alone is a dot."""
    runs: list[list[Point]] = [[]]
    for i, value in enumerate(values):
        if value is None:
            runs.append([])
        else:
            runs[-1].append((frame.x((i + 0.5) * bin_s), frame.y(value)))
    return "".join(_polyline(run, css) for run in runs if run)


def area(frame: Frame, values: Sequence[float | None], bin_s: float, css: str) -> str:
    """Filled down to zero."""
    points = [(frame.x((i + 0.5) * bin_s), frame.y(value or 0)) for i, value in enumerate(values)]
    if not points:
        return ""
    base = frame.y(0)
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in [(points[0][0], base), *points, (points[-1][0], base)])
    return f'<polygon class="area {css}" points="{path}"/>'


def steps(frame: Frame, changes: Sequence[Sequence[float]], css: str) -> str:
    """A figure that keeps its value until it changes: [at_s, value] each."""
    points: list[Point] = []
    for at_s, value in changes:
        if points:
            points.append((frame.x(at_s), points[-1][1]))
        points.append((frame.x(at_s), frame.y(value)))
    if points:
        points.append((frame.x(frame.until_s), points[-1][1]))
    return _polyline(points, css) if points else ""


def bands(frame: Frame, seconds: Sequence[int], css: str) -> str:
    """Shaded seconds, neighbours joined."""
    joined: list[list[int]] = []
    for second in seconds:
        if joined and second == joined[-1][1]:
            joined[-1][1] = second + 1
        else:
            joined.append([second, second + 1])
    return "".join(
        f'<rect class="{css}" x="{frame.x(start):.1f}" y="{frame.top}" '
        f'width="{max(1.0, frame.x(end) - frame.x(start)):.1f}" height="{frame.height - frame.top:.1f}"/>'
        for start, end in joined
    )


def upright(frame: Frame, at_s: float, css: str, title: str) -> str:
    """A vertical line through the panel."""
    x = frame.x(at_s)
    return (
        f'<line class="{css}" x1="{x:.1f}" x2="{x:.1f}" y1="{frame.top}" y2="{frame.height}">'
        f"<title>{escape(title)}</title></line>"
    )


def level(frame: Frame, value: float, css: str, text: str) -> str:
    """A horizontal limit, labelled at its right end."""
    y = frame.y(value)
    return (
        f'<line class="{css}" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text class="limit-text" x="{WIDTH - RIGHT}" y="{y - 4:.1f}" text-anchor="end">{escape(text)}</text>'
    )


def flags(frame: Frame, marks: Sequence[tuple[float, str]]) -> tuple[str, int]:
    """Labels above a panel, each in the first lane where it does not touch its neighbour; and how many lanes."""
    lanes: list[float] = []
    parts = []
    for at_s, text in sorted(marks):
        x, width = frame.x(at_s), 6.3 * len(text) + 14
        turned = x + width > WIDTH - RIGHT  # at the right edge a label stands left of its dot
        start = x - width if turned else x
        lane = next((i for i, end in enumerate(lanes) if end <= start), len(lanes))
        lanes[lane : lane + 1] = [start + width]
        y = frame.top - 10 - 17 * lane
        parts.append(
            f'<line class="flag" x1="{x:.1f}" x2="{x:.1f}" y1="{y + 3:.1f}" y2="{frame.height}"/>'
            f'<circle class="flag-dot" cx="{x:.1f}" cy="{y:.1f}" r="3"/>'
            f'<text class="flag-text" x="{x - 7 if turned else x + 7:.1f}" y="{y + 4:.1f}" '
            f'text-anchor="{"end" if turned else "start"}">{escape(text)}</text>'
        )
    return "".join(parts), len(lanes)


def _polyline(points: Sequence[Point], css: str) -> str:
    if len(points) == 1:
        (x, y) = points[0]
        return f'<circle class="dot {css}" cx="{x:.1f}" cy="{y:.1f}" r="2"/>'
    return f'<polyline class="line {css}" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}"/>'
