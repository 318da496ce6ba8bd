"""One chatbot out of settings: runner, tokenizer, engine, canary, API. The same under Ray Serve and under uvicorn."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from starlette.types import ASGIApp

from serving.api.app import build_api
from serving.api.frontend import Frontend
from serving.backends import open_runner
from serving.chat.canary import check_decoding, run_canary
from serving.chat.prompt import PromptEncoder, load_tokenizer
from serving.chat.template import ChatTemplate
from serving.chat.vocabulary import Vocabulary, read_vocabulary
from serving.engine.clock import Clock, RealClock
from serving.engine.request import SamplingParams
from serving.engine.runner import RunnerSpec
from serving.engine.service import LONGEST_STOP_S, Engine, EngineLimits
from serving.errors import Unavailable
from serving.model.folder import ModelFolder
from serving.page.mount import mount_page
from serving.settings import ApiSettings, Settings
from serving.startup import Stages
from serving.telemetry import metrics
from serving.telemetry.metrics import Sink
from serving.telemetry.observer import MetricsObserver
from serving.telemetry.request_log import log_request

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Chatbot:
    """A chatbot that has answered once: what a server needs to run it and to end it."""

    app: ASGIApp
    engine: Engine
    startup_s: dict[str, float]  # seconds by stage

    def check_ready(self) -> None:
        """Raises Unavailable with the reason when no request would be accepted."""
        check_ready(self.engine)

    async def close(self, *, drain_s: float, stop_s: float = LONGEST_STOP_S) -> bool:
        """Refuse what is new, wait for what is running, end the engine; whether all ended in time.

        A step that does not end within `stop_s` is left behind.
        """
        drained = await self.engine.drain(drain_s)
        await asyncio.to_thread(self.engine.stop, stop_s)
        return drained


async def assemble(
    settings: Settings,
    *,
    replica_id: str,
    sink: Sink,
    exposition: Callable[[], bytes] | None = None,
    clock: Clock | None = None,
) -> Chatbot:
    """Load the model, start the engine, see it prefill and decode, and only then hand out the API.

    `exposition` gives `/metrics`; None where someone else exports what `sink` gets.
    Raises SetupError for what a person must mend, and GenerationFailed when the canary did not pass.
    """
    clock = clock or RealClock()
    stages = Stages(sink, clock, settings.startup.budget_s)
    with stages.watched():
        return await _assemble(settings, stages, replica_id=replica_id, exposition=exposition)


async def _assemble(
    settings: Settings, stages: Stages, *, replica_id: str, exposition: Callable[[], bytes] | None
) -> Chatbot:
    sink, clock = stages.sink, stages.clock
    with stages.timed("runner"):
        # In a thread: minutes of loading must not stop the loop, which answers signals and health checks meanwhile.
        runner, folder = await asyncio.to_thread(open_runner, settings, clock=clock, stages=stages)
    engine = Engine(runner, engine_limits(settings), clock=clock, observer=MetricsObserver(sink))
    sink.set(metrics.SLOTS, runner.spec.slots)
    try:
        with stages.timed("tokenizer"):
            encoder, vocabulary = _open_text(folder, runner.spec)
        app = build_api(
            _frontend(
                settings.api,
                engine,
                encoder,
                vocabulary,
                defaults=folder.sampling,
                capacity=settings.capacity,
                clock=clock,
            ),
            replica_id=replica_id,
            sink=sink,
            check_ready=lambda: check_ready(engine),
            longest_body_bytes=settings.api.longest_body_bytes,
            api_keys_file=settings.api.api_keys_file,
            exposition=exposition,
            mount_page=mount_page if settings.api.page else None,
        )
        engine.start()
        with stages.timed("canary"):
            await run_canary(engine, encoder)
    except BaseException:
        await asyncio.to_thread(engine.stop)
        raise
    _log.info("ready", extra={"model": runner.spec.model_id, "slots": runner.spec.slots})
    return Chatbot(app, engine, stages.seconds)


def check_ready(engine: Engine) -> None:
    """Raises Unavailable with the reason when `engine` would accept no request."""
    engine.check_health()
    if engine.figures().draining:
        raise Unavailable("This replica is shutting down.", retry_after_s=5.0)


def engine_limits(settings: Settings) -> EngineLimits:
    """The settings of the group `engine`, as the engine takes them."""
    return EngineLimits(**settings.engine.model_dump())


def _open_text(folder: ModelFolder, spec: RunnerSpec) -> tuple[PromptEncoder, Vocabulary]:
    """Both ways between text and ids. Raises SetupError for files that this server cannot use."""
    tokenizer = load_tokenizer(folder.tokenizer_json)
    vocabulary = read_vocabulary(tokenizer, rows=spec.vocabulary)
    check_decoding(tokenizer, vocabulary)
    template = None
    if folder.chat_template:
        template = ChatTemplate(folder.chat_template, bos_token=folder.bos_token, eos_token=folder.eos_token)
    return PromptEncoder(tokenizer, template, bos_token=folder.bos_token), vocabulary


def _frontend(
    settings: ApiSettings,
    engine: Engine,
    encoder: PromptEncoder,
    vocabulary: Vocabulary,
    *,
    defaults: SamplingParams,
    capacity: int,
    clock: Clock,
) -> Frontend:
    return Frontend(
        engine,
        encoder,
        vocabulary=vocabulary,
        defaults=defaults,
        capacity=capacity,
        first_byte_wait_s=settings.first_byte_wait_s,
        heartbeat_s=settings.heartbeat_s,
        clock=clock,
        on_finished=log_request,
    )
