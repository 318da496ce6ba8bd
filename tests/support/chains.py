"""Hand-made timelines: every link of a target that has them all, one second apart."""

from __future__ import annotations

from loadtest.observers import Event, Sample, ScalingRule
from loadtest.observers.watched import Account, Watched
from loadtest.stages import OURS, SCALE_IN, SCALE_OUT

REPLICA, ADDRESS, POD, CLAIM, NODE = "replica:new", "ip:10.0.0.9", "pod:worker", "nodeclaim:claim", "node:trn1"
APPLIED_S, REMOVED_S, UNTIL_S = 10.0, 100.0, 200.0
RULE = ScalingRule(1, 2, 2.0)
EVERYTHING = frozenset(SCALE_OUT) | frozenset(SCALE_IN)
_SUBJECTS = {
    "serve-target-raised": ("", ""), "ray-demand-raised": ("", ""), "pod-created": (POD, NODE),
    "nodeclaim-created": (CLAIM, ""), "node-launched": (CLAIM, ""), "node-registered": (NODE, CLAIM),
    "device-advertised": (NODE, CLAIM), "pod-scheduled": (POD, NODE), "image-pulled": (POD, NODE),
    "container-started": (POD, NODE), "ray-node-joined": (ADDRESS, POD), "replica-started": (REPLICA, ADDRESS),
    "model-loaded": (REPLICA, ADDRESS), "replica-running": (REPLICA, ADDRESS), "serve-target-lowered": ("", ""),
    "replica-drained": (REPLICA, ""), "ray-node-idle": (ADDRESS, ""), "pod-deleted": (POD, ""),
    "node-emptied": (NODE, ""), "node-deleted": (NODE, ""),
}  # fmt: skip


def events(*, until: str | None = None, without: tuple[str, ...] = ()) -> list[Event]:
    """All that others than the client see: up to and without `until`, and without the stages of `without`."""
    found: list[Event] = []
    for names, start_s in ((SCALE_OUT, APPLIED_S), (SCALE_IN, REMOVED_S)):
        for place, name in enumerate(names):
            if name == until:
                return found
            if name not in OURS and name not in without:
                subject, on = _SUBJECTS[name]
                found.append(Event(name, start_s + place, "test", subject, on))
    return found


def watched(
    seen: list[Event],
    *,
    visible: frozenset[str] = EVERYTHING,
    rule: ScalingRule | None = RULE,
    under_load: int = 2,
    after: int = 1,
) -> Watched:
    """What an observer kept."""
    running = ((0.0, 1), (40.0, under_load), (150.0, after))
    return Watched(
        stages=visible,
        events=tuple(seen),
        samples=tuple(Sample("replicas_running", at_s, value) for at_s, value in running),
        now=Account(("the evidence at the end",)),
        under_load=Account(("the evidence under load",)),
        rule=rule,
        until_s=UNTIL_S,
    )
