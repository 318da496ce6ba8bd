"""The engine as a service: one thread owns the runner, and a router carries its news to the event loop.

`submit` and `Generation.abort` are called on the event loop and take effect at once, in the scheduler that both sides
share under one lock; the lock is never held while the runner runs. The thread sleeps on a condition while there is
nothing to do. One `call_soon_threadsafe` a step carries everything that the step brought.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from serving.engine.clock import Clock, RealClock
from serving.engine.core import WAITING_FAILED, EngineCore
from serving.engine.limits import EngineLimits
from serving.engine.observer import EngineObserver, Unobserved
from serving.engine.request import Finished, FinishReason, GenerationRequest, Token, Update
from serving.engine.runner import Runner
from serving.engine.scheduler import News, Scheduler
from serving.engine.state import GenerationState
from serving.errors import Refused, Unavailable

__all__ = ["Engine", "EngineLimits", "Figures", "Generation"]

STOPPED = "The server stopped before this answer was complete; try again."
LONGEST_STOP_S = 10.0  # for the step that runs when the engine is to stop; a usual one takes well under a second
UNAVAILABLE_RETRY_S = 5.0  # a guess: another replica may answer, or this one is back

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Figures:
    """The engine at one instant."""

    slots: int
    busy_slots: int
    waiting: int  # accepted and without a slot
    queue_length: int  # how many may wait
    healthy: bool
    draining: bool
    prompt_tokens_total: int  # computed since start
    tokens_total: int  # delivered since start
    drain_rate_per_s: float | None  # generations that end, per second; None until measured


class Generation(AsyncIterator[Update]):
    """The stream of one accepted generation; its last update has `finished`, and then it ends.

    Belongs to the event loop that submitted it. A reader that lags gets everything since its last read in one update.
    """

    def __init__(self, request: GenerationRequest, abort: Callable[[FinishReason], None]) -> None:
        self.request = request
        self._abort = abort
        self._tokens: list[Token] = []
        self._finished: Finished | None = None
        self._exhausted = False
        self._arrived = asyncio.Event()

    def abort(self, reason: FinishReason = FinishReason.CANCELLED) -> None:
        """End it now, as `reason`; CANCELLED for a caller who left.

        STOP for a stop string that was found, FAILED for an answer that cannot be completed.
        Idempotent, and nothing when it has ended already; its slot is free within one step.
        """
        self._abort(reason)

    async def __anext__(self) -> Update:
        """The next update; raises StopAsyncIteration after the one with `finished`."""
        if self._exhausted:
            raise StopAsyncIteration
        await self._arrived.wait()
        self._arrived.clear()
        update = Update(tuple(self._tokens), self._finished)
        self._tokens.clear()
        self._exhausted = self._finished is not None
        return update

    def deliver(self, update: Update) -> None:
        """Called by the engine's router, on the event loop."""
        self._tokens.extend(update.tokens)
        self._finished = update.finished
        self._arrived.set()


class Engine:
    """Slots, queue and thread around one runner."""

    def __init__(
        self,
        runner: Runner,
        limits: EngineLimits,
        *,
        clock: Clock | None = None,
        observer: EngineObserver | None = None,
    ) -> None:
        self.spec = runner.spec
        self._runner = runner
        self._clock = clock or RealClock()
        self._observer = observer or Unobserved()
        self._scheduler = Scheduler(runner.spec, limits, clock=self._clock)
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._core = EngineCore(runner, self._scheduler, lock=self._lock, clock=self._clock, observer=self._observer)
        self._thread = threading.Thread(target=self._live, name="engine", daemon=True)
        self._stopping = False  # under the lock
        self._draining = False
        self._broken = False  # the runner could not be reset, or the thread died
        self._loop: asyncio.AbstractEventLoop | None = None  # None until the first submit
        self._streams: dict[GenerationState, Generation] = {}  # those that have not ended; on the event loop only
        self._drained = asyncio.Event()

    def start(self) -> None:
        """Start the thread; from here on the runner is its own."""
        self._thread.start()

    def submit(self, requests: Sequence[GenerationRequest]) -> list[Generation]:
        """Accept all of `requests`, or none. Called on the event loop.

        Raises QueueFull, Unavailable when starting, draining, stopped or broken, and ValueError for a request that no
        slot could hold.
        """
        self._loop = asyncio.get_running_loop()
        try:
            with self._work:
                self._check_open()
                states = self._scheduler.submit(requests)
                self._work.notify()
        except Refused as error:
            self._observer.refused(error, count=len(requests))
            raise
        return [self._open_stream(state) for state in states]

    def figures(self) -> Figures:
        """Load and health at this instant; from any thread."""
        with self._lock:
            return Figures(
                slots=self.spec.slots,
                busy_slots=len(self._scheduler.slots),
                waiting=self._scheduler.waiting,
                queue_length=self._scheduler.limits.queue_length,
                healthy=self._thread.is_alive() and not self._broken,
                draining=self._draining,
                prompt_tokens_total=self._core.prompt_tokens_total,
                tokens_total=self._core.tokens_total,
                drain_rate_per_s=self._scheduler.drain_rate.per_second(self._clock.now()),
            )

    def check_health(self) -> None:
        """Raises Unavailable when the runner could not be reset, the thread is not running, or one step hangs."""
        if self._broken or not self._thread.is_alive():
            raise Unavailable("The model is not running here.", retry_after_s=UNAVAILABLE_RETRY_S)
        since_s = self._core.running_since_s
        if since_s is not None and self._clock.now() - since_s > self._scheduler.limits.longest_step_s:
            raise Unavailable("The model hangs here.", retry_after_s=UNAVAILABLE_RETRY_S)

    async def drain(self, timeout_s: float) -> bool:
        """Refuse new requests and wait for the accepted ones; whether all ended in time."""
        self._draining = True
        if not self._streams:
            return True
        try:
            await asyncio.wait_for(self._drained.wait(), timeout_s)
        except asyncio.TimeoutError:
            return False
        return True

    def stop(self, timeout_s: float = LONGEST_STOP_S) -> None:
        """End the thread after its current step; what has not ended fails, and the runner is closed. Idempotent.

        A step that does not end within `timeout_s` is left behind in its daemon thread, and the runner stays open.
        """
        with self._work:
            repeated, self._stopping = self._stopping, True
            self._work.notify()
        if self._thread.ident is not None:  # started: the thread closes the runner
            self._thread.join(timeout_s)
            if self._thread.is_alive():
                _log.critical("a step did not end within %g s; it is left behind, and the runner stays open", timeout_s)
                self._fail_the_rest()
        elif not repeated:
            self._runner.close()

    def _check_open(self) -> None:
        if self._draining or self._stopping:
            raise Unavailable("This replica is shutting down.", retry_after_s=UNAVAILABLE_RETRY_S)
        self.check_health()

    def _open_stream(self, state: GenerationState) -> Generation:
        def abort(reason: FinishReason) -> None:
            with self._work:
                self._scheduler.cancel(state, reason)
                self._work.notify()

        stream = Generation(state.request, abort)
        self._streams[state] = stream
        return stream

    def _live(self) -> None:
        """The thread: one step after the other, until `stop` or until the runner cannot be mended."""
        try:
            while self._wait_for_work():
                news = self._core.step()
                self._route(news)
                self._core.observe(news)
            self._core.fail_all(STOPPED, retry_after_s=UNAVAILABLE_RETRY_S)
        except Exception as error:  # noqa: BLE001 whatever ends the thread has to end the waiting ones, too
            _log.critical("the engine's thread ends", exc_info=error)
            with self._lock:
                self._broken = True  # before the queue is emptied: nobody may enter it afterwards
            self._core.fail_all(WAITING_FAILED)
        finally:
            news = self._core.take_news()
            self._route(news)
            self._runner.close()
            self._core.observe(news)

    def _fail_the_rest(self) -> None:
        self._core.fail_all(STOPPED, retry_after_s=UNAVAILABLE_RETRY_S)
        news = self._core.take_news()
        self._route(news)
        self._core.observe(news)

    def _wait_for_work(self) -> bool:
        """Sleep until there is work; False when it is time to stop."""
        with self._work:
            while not (self._stopping or self._scheduler.runnable or self._scheduler.has_news):
                self._scheduler.slots.check_integrity()
                self._work.wait()
            return not self._stopping

    def _route(self, news: Sequence[News]) -> None:
        if not news or self._loop is None:
            return
        try:
            self._loop.call_soon_threadsafe(self._deliver, news)
        except RuntimeError:
            _log.warning("the event loop is closed; %d updates have no reader", len(news))

    def _deliver(self, news: Sequence[News]) -> None:
        """On the event loop: hand each update to its stream."""
        for item in news:
            stream = self._streams.get(item.state)
            if stream is None:  # `stop` gave up on the thread, and the end that it sent overtook these tokens
                continue
            stream.deliver(item.update)
            if item.update.finished is not None:
                del self._streams[item.state]
        if self._draining and not self._streams:
            self._drained.set()
