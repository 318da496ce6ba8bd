"""The summary that a run prints: what was asked, what came, what broke. Pure: a document -> lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_MARK = {"pass": "PASS", "slo-failed": "SLO FAILED", "autoscaling-failed": "AUTOSCALING FAILED", "void": "VOID"}


def lines(document: Mapping[str, Any]) -> Iterator[str]:
    """The summary."""
    yield ""
    yield f"{_MARK[document['verdict']]}{' (partial)' if document['partial'] else ''}  {document['sentence']}"
    for reason in document["void_reasons"][1:]:
        yield f"  also: {reason}"
    yield ""
    yield f"  target   {document['target']['name']} at {document['target']['base_url']}, model {document['model']}"
    if document["mode"] != "watch":
        yield from _traffic(document)
    yield from _scaling(document)
    yield from _rehearsal(document)


def _traffic(document: Mapping[str, Any]) -> Iterator[str]:
    profile, total = document["profile"], document["traffic"]["total"]
    yield f"  profile  {profile['name']} ({profile['loop']} loop, seed {document['seed']}), {profile['description']}"
    yield f"  load     {document['load']}"
    yield f"  runner   {', '.join(document['fingerprints']) or 'did not say (no system_fingerprint)'}"
    yield (
        f"  rate     offered {total['offered_per_s']:.2f}/s, achieved {total['achieved_per_s']:.2f}/s, "
        f"answered {total['completed_per_s']:.2f}/s, {total['tokens']['completion_per_s']:.1f} tokens/s"
    )
    yield f"  outcomes {_outcomes(total)}"
    yield f"  goodput  {_share(total['goodput']['share'])} (promised {_share(document['slo_limits']['goodput'])})"
    yield ""
    yield from _latencies(document["definitions"], total["latency"])
    yield from _stages(document["traffic"]["stages"])
    yield from _honesty(document["traffic"]["honesty"])
    if document["traffic"]["knee"]:
        yield f"  knee     {document['traffic']['knee']['sentence']}"
    if document["cost"]["usd_all"] is not None:
        yield f"  cost     {document['cost']['sentence']}"


def _outcomes(total: Mapping[str, Any]) -> str:
    parts = [f"{count} {name}" for name, count in total["outcomes"].items() if count]
    if total["stale_connections"]:
        parts.append(f"{total['stale_connections']} stale connections sent again")
    return ", ".join(parts) or "nothing was due"


def _latencies(definitions: Mapping[str, Any], latency: Mapping[str, Any]) -> Iterator[str]:
    yield f"  {'latency in ms':<24}{'p50':>9}{'p90':>9}{'p95':>9}{'p99':>9}{'max':>9}{'count':>9}"
    for name, found in latency.items():
        title = definitions[name]["title"]
        if found is None:
            yield f"  {title:<24}{'no value':>9}"
        else:
            cells = "".join(f"{found[p] * 1e3:>9.1f}" for p in ("p50", "p90", "p95", "p99", "max"))
            yield f"  {title:<24}{cells}{found['count']:>9}"
    yield ""


def _stages(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    yield f"  {'stage':<20}{'offered/s':>10}{'achieved/s':>11}{'answered/s':>11}{'ok':>7}{'failed':>8}{'TTFT p95':>10}{'ITL p95':>9}{'good':>8}"
    for row in rows:
        failed = row["started"] - row["outcomes"]["ok"] - row["outcomes"]["cancelled"]
        ttft, itl = (_ms(row["latency"][name]) for name in ("ttft_s", "itl_s"))
        name = row["name"] + (" (warm-up)" if row["warmup"] else "")
        yield (
            f"  {name:<20}{row['offered_per_s']:>10.2f}{row['achieved_per_s']:>11.2f}{row['completed_per_s']:>11.2f}{row['outcomes']['ok']:>7}"
            f"{failed:>8}{ttft:>10}{itl:>9}{_share(row['goodput']['share']):>8}"
        )
    yield ""


def _honesty(honesty: Mapping[str, Any]) -> Iterator[str]:
    lag = honesty["schedule_lag_s"]
    worst = max(honesty["processes"], key=lambda p: p["cpu_share_p95"], default=None)
    text = f"schedule lag p99 {lag['p99'] * 1e3:.1f} ms" if lag else "no schedule lag"
    if worst is not None:
        loop = worst["loop_lag_s"]
        text += f", loop lag p99 {loop['p99'] * 1e3:.1f} ms" if loop else ""
        text += f", CPU p95 {worst['cpu_share_p95']:.0%} of a core"
    yield f"  client   {text}, in-flight cap hit {honesty['in_flight_cap_hits']} times, {honesty['in_flight_at_end']} drained"


def _scaling(document: Mapping[str, Any]) -> Iterator[str]:
    replicas = document["replicas"]
    if replicas is None:
        return
    if document["mode"] != "watch":
        wanted = "more" if replicas["expected"] is None else replicas["expected"]
        nodes = "" if replicas["nodes_launched"] is None else f", {replicas['nodes_launched']} nodes launched for them"
        yield (
            f"  replicas {replicas['before']} → {replicas['observed']} (expected {wanted}: {replicas['rule']}) "
            f"→ {replicas['after']}{nodes}"
        )
    out = "deployment" if document["mode"] == "watch" else "scale-out"
    for title, key in ((out, "scale_out"), ("scale-in", "scale_in")):
        for chain in document[key]:
            yield f"  {title} of replica {chain['replica']}, {chain['took_s']:.1f} s{_predicted(chain['predicted_s'])}"
            yield from _chain(chain["stages"])
    if document["broken_link"]:
        for line in document["broken_link"]["evidence"]:
            yield f"    evidence: {line}"


def _chain(stages: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for stage in stages:
        if stage["status"] == "reached":
            measured = f"{stage['name']:<22}{stage['at_s']:>8.1f} s  +{stage['took_s']:.1f} s"
            replaced = stage["rehearsed_s"] or stage["production_s"]
            yield f"    {measured}{_predicted(stage['predicted_s'] if replaced else None)}  ({stage['source']})"
        elif stage["status"] != "skipped":
            yield f"    {stage['name']:<22}{stage['status']:>8}"
    skipped = [stage["name"] for stage in stages if stage["status"] == "skipped"]
    if skipped:
        yield f"    skipped, this target has no: {', '.join(skipped)}"


def _predicted(seconds: float | None) -> str:
    return "" if seconds is None else f", predicted for production {seconds:.1f} s"


def _rehearsal(document: Mapping[str, Any]) -> Iterator[str]:
    """What of the seconds above was not production's."""
    rehearsal = document["rehearsal"]
    if rehearsal is None:
        return
    yield f"  rehearsed at {rehearsal['speed']:g} times production's speed; predictions are arithmetic, not measurements:"
    yield "  measured − rehearsed + production, for"
    for stage, simulated in rehearsal["stages"].items():
        yield f"    {stage:<22}{simulated['rehearsed_s']:>8.1f} s → {simulated['production_s']:g} s  {simulated['what']}"
    for timer in rehearsal["timers"]:
        unit = timer["unit"]
        yield f"    {timer['stage'] or '–':<22}{timer['rehearsed']:>8g} {unit} → {timer['production']:g} {unit}  {timer['name']}"
    for name, limit in rehearsal["slo_scaled"].items():
        yield f"    SLO {name} is {limit:g} s here, {limit * rehearsal['speed']:g} s in production"


def _ms(found: Mapping[str, Any] | None) -> str:
    return "–" if found is None else f"{found['p95'] * 1e3:.0f} ms"


def _share(share: float | None) -> str:
    return "–" if share is None else f"{share:.1%}"
