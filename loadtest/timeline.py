"""Events of all observers and the requests' own instants -> one chain of stages per new replica. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from loadtest.observers import Event
from loadtest.record import Record
from loadtest.stages import OURS, SCALE_IN, SCALE_OUT

Status = Literal["reached", "unseen", "missing", "skipped"]
NO_REPLICA = "(none)"  # a replica that was asked for and never came to be


@dataclass(frozen=True, slots=True)
class StageTime:
    """One link. `unseen`: nobody saw it, but a later link proves it; `skipped`: this target does not have it."""

    name: str
    status: Status
    at_s: float | None = None
    took_s: float | None = None  # since the link before it that was reached
    source: str | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Chain:
    """From the load to one replica's first token, or back to its end."""

    replica: str
    stages: tuple[StageTime, ...]

    @property
    def broken_at(self) -> StageTime | None:
        """The first missing link."""
        return next((stage for stage in self.stages if stage.status == "missing"), None)

    @property
    def last_reached(self) -> StageTime:
        """How far it came."""
        return [stage for stage in self.stages if stage.status == "reached"][-1]


def scale_out(
    events: Sequence[Event],
    records: Sequence[Record],
    *,
    known: Iterable[str],
    applied_s: float,
    until_s: float,
    wanted: int,
    visible: frozenset[str],
) -> tuple[Chain, ...]:
    """A chain for each replica that came between `applied_s` and `until_s`, and for each of `wanted` that did not.

    `known` are the replicas that ran before; `visible` the stages that somebody can see on this target.
    """
    within = [event for event in events if applied_s <= event.at_s <= until_s]
    old = {f"replica:{replica}" for replica in known}
    started = [Event("load-applied", applied_s, "client"), *within, *_first_tokens(records, until_s)]
    replicas = _in_order_of_appearance(
        event.subject for event in within if event.subject.startswith("replica:") and event.subject not in old
    )
    walks = {replica: _walk(within, replica) for replica in replicas}
    chains = [_chain(SCALE_OUT, started, subjects, replica, visible) for replica, subjects in walks.items()]
    unowned = _unowned(within, {subject for subjects in walks.values() for subject in subjects} | old)
    for i in range(wanted - len(replicas)):
        subjects = {""}.union(*(_walk(within, kind[i]) for kind in unowned if i < len(kind)))
        chains.append(_chain(SCALE_OUT, started, subjects, NO_REPLICA, visible))
    return tuple(chains)


def scale_in(events: Sequence[Event], *, removed_s: float, wanted: int, visible: frozenset[str]) -> tuple[Chain, ...]:
    """A chain for each replica that went after the load, and for each of `wanted` that stayed."""
    within = [Event("load-removed", removed_s, "client"), *(event for event in events if event.at_s >= removed_s)]
    gone = _in_order_of_appearance(event.subject for event in within if event.stage == "replica-drained")
    chains = [_chain(SCALE_IN, within, _walk(events, subject), subject, visible) for subject in gone]
    chains += [_chain(SCALE_IN, within, {""}, NO_REPLICA, visible) for _ in range(len(gone), wanted)]
    return tuple(chains)


def _first_tokens(records: Sequence[Record], until_s: float) -> list[Event]:
    """The first token that each replica sent, as its clients saw it."""
    first: dict[str, float] = {}
    for record in records:
        at_s = record.first_token_s
        if record.replica is not None and at_s is not None and at_s <= until_s:
            first[record.replica] = min(at_s, first.get(record.replica, at_s))
    return [Event("first-token", at_s, "client", f"replica:{replica}") for replica, at_s in first.items()]


def _walk(events: Sequence[Event], subject: str) -> set[str]:
    """What `subject` stands on, all the way down, and what is shared by all."""
    found, ahead = {""}, [subject]
    while ahead:
        here = ahead.pop()
        if here not in found:
            found.add(here)
            ahead += [event.on for event in events if event.subject == here and event.on]
    return found


def _unowned(events: Sequence[Event], owned: set[str]) -> list[list[str]]:
    """Pods, machines, … that no new replica stands on, by kind, in order of appearance.

    The n-th of each belongs to the n-th replica that is missing: while a chain is broken, nothing else joins them.
    """
    kinds: dict[str, list[str]] = {}
    for subject in _in_order_of_appearance(event.subject for event in events):
        if subject and subject not in owned:
            kinds.setdefault(subject.partition(":")[0], []).append(subject)
    return list(kinds.values())


def _chain(
    names: Sequence[str], events: Sequence[Event], subjects: set[str], replica: str, visible: frozenset[str]
) -> Chain:
    first: dict[str, Event] = {}
    for event in sorted(events, key=lambda event: event.at_s):
        if event.subject in subjects:
            first.setdefault(event.stage, event)
    reached = [name for name in names if name in first]
    last = names.index(reached[-1])
    stages, before_s = [], first[reached[0]].at_s
    for place, name in enumerate(names):
        if name in first:
            event = first[name]
            stages.append(
                StageTime(name, "reached", event.at_s, max(0.0, event.at_s - before_s), event.source, event.detail)
            )
            before_s = max(before_s, event.at_s)
        elif name not in visible | OURS:
            stages.append(StageTime(name, "skipped"))
        else:
            stages.append(StageTime(name, "unseen" if place < last else "missing"))
    return Chain(replica.removeprefix("replica:"), tuple(stages))


def _in_order_of_appearance(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
