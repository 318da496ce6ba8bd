"""The HTML page: one file, no other host, light and dark, on screen and on paper. Pure: a document -> text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup

from loadtest.report import panels, plots

_WORDS = {"pass": "Pass", "slo-failed": "SLO failed", "autoscaling-failed": "Autoscaling failed", "void": "Void"}


def render(document: Mapping[str, Any]) -> str:
    """The whole page."""
    folder = resources.files("loadtest.report")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"ms": _ms, "share": _share, "number": _number, "clock": plots.clock, "short": panels.short}
    template = environment.from_string(folder.joinpath("page.html.j2").read_text("utf-8"))
    return template.render(
        d=document,
        word=_WORDS[document["verdict"]],
        tiles=tiles(document),
        panels=[(panel.title, Markup(panel.svg), panel.legend) for panel in panels.build(document)],  # noqa: S704 - ours
        waterfalls=waterfalls(document),
        css=Markup(folder.joinpath("page.css").read_text("utf-8")),  # noqa: S704 - ours
        js=Markup(folder.joinpath("page.js").read_text("utf-8")),  # noqa: S704 - ours
        data=Markup(json.dumps(document["series"]).replace("<", "\\u003c")),  # noqa: S704 - cannot close the script
    )


def tiles(document: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """The figures that a reader sees first: name, value, what it is measured against."""
    return _of_deployment(document) if document["mode"] == "watch" else _of_load(document)


def _of_deployment(document: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    return [
        (
            "Head" if "head" in chain["replica"] else f"Replica {chain['replica']}",
            f"{chain['took_s']:.1f} s",
            "not predicted"
            if chain["predicted_s"] is None
            else f"predicted for production {chain['predicted_s']:.0f} s",
        )
        for chain in document["scale_out"]
    ]


def _of_load(document: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    total, limits = document["traffic"]["total"], document["slo_limits"]
    found = [
        ("Time to first token, p95", _ms(_at(total, "ttft_s", "p95")), _against(limits["ttft_s"])),
        ("Inter-token latency, p95", _ms(_at(total, "itl_s", "p95")), _against(limits["itl_s"])),
        ("Good answers", _share(total["goodput"]["share"]), f"promised {_share(limits['goodput'])}"),
        (
            "Tokens per second",
            _number(total["tokens"]["completion_per_s"]),
            f"{_number(total['completed_per_s'])} answers/s",
        ),
    ]
    if document["replicas"] is not None:
        replicas = document["replicas"]
        seconds = [stage["at_s"] - chain["stages"][0]["at_s"] for chain in document["scale_out"]
                   for stage in chain["stages"] if stage["name"] == "first-token" and stage["at_s"] is not None]  # fmt: skip
        after = "?" if replicas["after"] is None else replicas["after"]
        found.append((
            "Replicas", f"{replicas['before']} → {replicas['observed']} → {after}",
            f"load to first new token {min(seconds):.1f} s" if seconds else "no new replica answered",
        ))  # fmt: skip
    return found


def waterfalls(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Scale-out and scale-in as rows of bars: where the seconds went."""
    found = []
    out = "Deployment" if document["mode"] == "watch" else "Scale-out"
    for title, key in ((out, "scale_out"), ("Scale-in", "scale_in")):
        for chain in document[key]:
            reached = [stage for stage in chain["stages"] if stage["status"] == "reached"]
            start_s, whole_s = reached[0]["at_s"], max(chain["took_s"], 1e-9)
            rows = [_bar(stage, start_s, whole_s) for stage in chain["stages"] if stage["status"] != "skipped"]
            skipped = [panels.short(stage["name"]) for stage in chain["stages"] if stage["status"] == "skipped"]
            found.append(
                {
                    "title": title,
                    "replica": chain["replica"],
                    "whole_s": whole_s,
                    "rows": rows,
                    "skipped": skipped,
                    "took_s": chain["took_s"],
                    "predicted_s": chain["predicted_s"],
                }
            )
    return found


def _bar(stage: Mapping[str, Any], start_s: float, whole_s: float) -> dict[str, Any]:
    """Left end and width of a stage's bar, in per cent of the whole chain."""
    if stage["at_s"] is None:
        return {**stage, "left": 0.0, "width": 0.0}
    end = max(0.0, 100 * (stage["at_s"] - start_s) / whole_s)  # a node that was there before the load has no width
    width = min(end, 100 * stage["took_s"] / whole_s)
    return {**stage, "left": end - width, "width": max(width, 0.4)}


def _at(figures: Mapping[str, Any], metric: str, percentile: str) -> float | None:
    found = figures["latency"][metric]
    return None if found is None else float(found[percentile])


def _against(limit_s: float | None) -> str:
    return "no limit set" if limit_s is None else f"limit {_ms(limit_s)}"


def _ms(value_s: float | None) -> str:
    if value_s is None:
        return "–"
    return (
        f"{value_s:.2f} s"
        if value_s >= 1
        else f"{value_s * 1e3:.0f} ms"
        if value_s >= 0.1
        else f"{value_s * 1e3:.1f} ms"
    )


def _share(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.3g} %" if share < 0.9995 or share >= 1 else "99.9 %"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}" if value < 1000 else f"{value:,.0f}"
