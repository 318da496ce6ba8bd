"""Events of all observers and the requests' own instants -> one chain of stages per new replica. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from loadtest.observers import Event, Link
from loadtest.record import Record
from loadtest.stages import DEPLOY, HEAD, OURS, SCALE_IN, SCALE_OUT

Status = Literal["reached", "unseen", "missing", "skipped"]
NO_REPLICA = "(none)"  # a replica that was asked for and never came to be
HEAD_POD = "(head)"
_NUMBERS = OURS | {"serve-target-raised", "ray-demand-raised", "serve-target-lowered"}
_ENDS = frozenset({"pod-deleted", "node-deleted"})
STAMP_S = (
    2.0  # objects carry whole seconds, and a look is a second apart: by so much a cause may seem to follow its effect
)


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
    subjects: frozenset[str] = frozenset()  # all that it stands on

    @property
    def broken_at(self) -> StageTime | None:
        """The first missing link."""
        return next((stage for stage in self.stages if stage.status == "missing"), None)

    @property
    def last_reached(self) -> StageTime:
        """How far it came: the latest link, which on a deployment need not be the last in order."""
        return max((stage for stage in self.stages if stage.status == "reached"), key=lambda stage: stage.at_s or 0.0)


def scale_out(
    events: Sequence[Event],
    records: Sequence[Record],
    *,
    known: Iterable[str],
    applied: Sequence[Event],
    until_s: float,
    wanted: int,
    visible: frozenset[str],
    links: Iterable[Link] = (),
) -> tuple[Chain, ...]:
    """A chain for each replica that came between the first of `applied` and `until_s`, and for each of `wanted` that did not.

    `known` are the replicas that ran before; `applied` the load's steps, in order; `visible` the stages that somebody can see
    on this target; `links` say what stands on what besides the events.
    """
    visible |= OURS
    within = [event for event in events if applied[0].at_s <= event.at_s <= until_s]
    old = {f"replica:{replica}" for replica in known}
    started = [*applied, *within, *_first_tokens(records, until_s)]
    below = _below(within, links)
    replicas = _in_order_of_appearance(
        event.subject for event in within if event.subject.startswith("replica:") and event.subject not in old
    )
    walks = [_walk(below, [replica]) for replica in replicas]
    chains = [
        _chain(SCALE_OUT, started, walk, replica, visible, place=place)
        for place, (replica, walk) in enumerate(zip(replicas, walks, strict=True), 1)
    ]
    heads = {event.subject for event in within if event.subject.startswith("head:")}
    roots = _roots(SCALE_OUT, within, below, _walk(below, heads | old).union(*walks))
    for i in range(wanted - len(replicas)):
        walk = _walk(below, [kind[i] for kind in roots if i < len(kind)])
        chains.append(_chain(SCALE_OUT, started, walk, NO_REPLICA, visible, place=len(replicas) + i + 1))
    return tuple(chains)


def deployment(
    events: Sequence[Event],
    records: Sequence[Record],
    *,
    applied: Event,
    visible: frozenset[str],
    asks: bool = True,
    links: Iterable[Link] = (),
) -> tuple[Chain, ...]:
    """The head's chain, where there are pods, and that of the first replica, from before they were made.

    Without `asks` no client waits for a token.
    """
    visible = visible | OURS if asks else (visible | OURS) - {"first-token"}
    started = [applied, *events, *_first_tokens(records, float("inf"))]
    below = _below(events, links)
    heads = _in_order_of_appearance(event.subject for event in events if event.subject.startswith("head:"))
    head = _walk(below, sorted(heads, key=lambda subject: _reach(HEAD, events, _walk(below, [subject])))[-1:])
    chains = [_chain(HEAD, started, head, HEAD_POD, visible)] if "pod-created" in visible else []
    replicas = _in_order_of_appearance(event.subject for event in events if event.subject.startswith("replica:"))
    ran = [event.subject for event in events if event.stage == "replica-running"]
    placed = [subject for subject in replicas if subject in below]
    first = (*ran, *placed, *replicas)[:1]
    walk = _walk(below, first)
    if not (ran or placed):  # nobody saw where it stood, or it never came to be
        walk |= _walk(below, [kind[0] for kind in _roots(DEPLOY, events, below, walk | _walk(below, heads)) if kind])
    return (*chains, _chain(DEPLOY, started, walk, first[0] if first else NO_REPLICA, visible))


def scale_in(
    events: Sequence[Event], *, removed_s: float, wanted: int, visible: frozenset[str], links: Iterable[Link] = ()
) -> tuple[Chain, ...]:
    """A chain for each replica that went after the load, and for each of `wanted` that stayed."""
    visible |= OURS
    within = [Event("load-removed", removed_s, "client"), *(event for event in events if event.at_s >= removed_s)]
    below = _below(events, links)
    drained = _in_order_of_appearance(event.subject for event in within if event.stage == "replica-drained")
    # A replica that never had a place leaves none behind.
    gone = [subject for subject in drained if subject in below or "ray-node-idle" not in visible]
    chains = [_chain(SCALE_IN, within, _walk(below, [subject]), subject, visible) for subject in gone]
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


def _below(events: Iterable[Event], links: Iterable[Link]) -> dict[str, set[str]]:
    """What each subject stands on."""
    found: dict[str, set[str]] = {}
    for subject, on in (*((event.subject, event.on) for event in events if event.on), *links):
        found.setdefault(subject, set()).add(on)
    return found


def _walk(below: dict[str, set[str]], subjects: Iterable[str]) -> set[str]:
    """What `subjects` stand on, all the way down, and what is shared by all."""
    found, ahead = {""}, list(subjects)
    while ahead:
        here = ahead.pop()
        if here not in found:
            found.add(here)
            ahead += below.get(here, ())
    return found


def _roots(
    names: Sequence[str], events: Sequence[Event], below: dict[str, set[str]], owned: set[str]
) -> list[list[str]]:
    """Pods, machines, … that no new replica stands on, nor another of them, by kind; the n-th is the n-th missing replica's.

    First those that came farthest, and of these the ones that are still there: a pod that ended is replaced, and how far
    one like it came says more than where its successor happens to be.
    """
    free = [s for s in _in_order_of_appearance(event.subject for event in events) if s not in owned | {""}]
    carried = {on for subject in free for on in _walk(below, [subject]) - {subject}}
    gone = {event.subject for event in events if event.stage in _ENDS}

    def rank(subject: str) -> tuple[int, bool]:
        return -_reach(names, events, _walk(below, [subject])), subject in gone

    kinds: dict[str, list[str]] = {}
    for subject in sorted((subject for subject in free if subject not in carried), key=rank):
        kinds.setdefault(subject.partition(":")[0], []).append(subject)
    return list(kinds.values())


def _reach(names: Sequence[str], events: Sequence[Event], walk: set[str]) -> int:
    """How far along the chain the things of one walk came by themselves."""
    own = [event for event in events if event.subject and event.subject in walk]
    return max((names.index(event.stage) for event in own if event.stage in names), default=0)


def _chain(
    names: Sequence[str],
    events: Sequence[Event],
    subjects: set[str],
    replica: str,
    visible: frozenset[str],
    *,
    place: int = 1,
) -> Chain:
    """`place`: of the replica among the new ones; a shared number has to have been raised by so much for it."""
    own: dict[str, Event] = {}
    for event in sorted(events, key=lambda event: event.at_s):
        if event.subject and event.subject in subjects:
            own.setdefault(event.stage, event)
    first = own | _shared(names, [event for event in events if not event.subject], own, place)
    stages: list[StageTime] = []
    before_s = next(first[name].at_s for name in names if name in first)
    for i, name in enumerate(names):
        if name in first:
            event = first[name]
            took_s = max(0.0, event.at_s - before_s)
            stages.append(StageTime(name, "reached", event.at_s, took_s, event.source, event.detail))
            before_s = max(before_s, event.at_s)
        elif name not in visible:
            stages.append(StageTime(name, "skipped"))
        else:
            later = {each for each in names[i + 1 :] if each in first}
            stages.append(StageTime(name, "unseen" if _proves(later, name, own) else "missing"))
    return Chain(replica.removeprefix("replica:"), tuple(stages), frozenset(subjects - {""}))


def _proves(later: set[str], name: str, own: dict[str, Event]) -> bool:
    """A later link of the replica's own proves all before it; a number that is raised for all proves only such numbers."""
    return any(each in own or name in _NUMBERS for each in later)


def _shared(names: Sequence[str], events: Sequence[Event], own: dict[str, Event], place: int) -> dict[str, Event]:
    """Of what all replicas share, the event that made this one: the last one that came before what it caused.

    Backwards from the replica's own first link, so that a second step of the load is not charged with the first one's wait.
    """
    found: dict[str, Event] = {}
    limit_s = min((event.at_s for event in own.values()), default=float("inf")) + STAMP_S
    for name in reversed(names):
        mine = sorted((event for event in events if event.stage == name), key=lambda event: event.at_s)
        if not mine:
            continue
        raised = [event for event in mine if _reaches(event, mine[0], place)] or (mine if name in OURS else [])
        before = [event for event in raised if event.at_s <= limit_s]
        if not raised:
            continue
        found[name] = before[-1] if before and (own or found) else raised[0]
        limit_s = min(limit_s, found[name].at_s + STAMP_S)
    return found


def _reaches(event: Event, first: Event, place: int) -> bool:
    """Whether this step up of a number crosses what the replica at `place` needs; what is no step up serves all."""
    if event.step is None or first.step is None or event.step[1] < event.step[0]:
        return True
    needed = first.step[0] + place
    return event.step[0] < needed <= event.step[1]


def _in_order_of_appearance(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
