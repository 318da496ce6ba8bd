"""A whole chatbot over the Neuron runner, on the contract fake: what it answers, what it refuses, and when it does not start."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import openai
import pytest

from serving import neuron
from serving.assembly import Chatbot, assemble
from serving.engine.clock import VirtualClock
from serving.engine.request import SamplingParams
from serving.errors import SetupError
from serving.settings import Settings, StartupSettings
from serving.startup import Stages
from tests.support import asgi
from tests.support.api import CountingSink
from tests.support.neuron_settings import checkpoint, neuron_settings

USER: Any = [{"role": "user", "content": "Hi"}]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return checkpoint(tmp_path / "tiny-mistral")


@pytest.fixture(params=["device", "host"])
async def chatbot(model: Path, request: pytest.FixtureRequest) -> AsyncIterator[Chatbot]:
    made = await _assembled(neuron_settings(model, sampling=request.param))
    yield made
    await made.close(drain_s=5)


def _stages() -> Stages:
    return Stages(CountingSink(), VirtualClock(), budget_s=60)


async def _assembled(settings: Settings) -> Chatbot:
    return await assemble(settings, replica_id="r", sink=CountingSink())


async def _ask(chatbot: Chatbot, **fields: Any) -> Any:
    return await asgi.openai_client(chatbot.app).chat.completions.create(
        **({"model": "tiny-mistral", "messages": USER, "max_tokens": 20, "temperature": 0} | fields)
    )


async def test_it_streams_what_it_answers_whole_and_says_which_library_computed(chatbot: Chatbot) -> None:
    whole = await _ask(chatbot)
    stream = [chunk async for chunk in await _ask(chatbot, stream=True)]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == whole.choices[0].message.content
    assert whole.usage.completion_tokens == 20
    assert whole.system_fingerprint.startswith("transformers-neuronx-contract.fake-bf16-")


async def test_more_callers_than_slots_get_what_each_gets_alone(chatbot: Chatbot) -> None:
    asked = [[{"role": "user", "content": text}] for text in ("a", "b", "c", "a", "bb", "b")]
    alone = [(await _ask(chatbot, messages=m)).choices[0].message.content for m in asked]
    crowd = await asyncio.gather(*(_ask(chatbot, messages=m) for m in asked))
    assert [answer.choices[0].message.content for answer in crowd] == alone


async def test_a_drain_lets_the_running_stream_end(chatbot: Chatbot) -> None:
    stream = await _ask(chatbot, stream=True, max_tokens=150, extra_body={"ignore_eos": True})
    draining = asyncio.create_task(chatbot.engine.drain(30))
    chunks = [chunk async for chunk in stream]
    assert await draining
    assert chunks[-1].choices[0].finish_reason == "length"
    with pytest.raises(openai.InternalServerError):
        await _ask(chatbot)


REFUSED: dict[str, dict[str, Any]] = {
    "seed": {"seed": 3},
    "logprobs": {"logprobs": True},
    "presence_penalty": {"presence_penalty": 0.5},
    "frequency_penalty": {"frequency_penalty": 0.5},
    "logit_bias": {"logit_bias": {"5": 1.0}},
    "min_p": {"extra_body": {"min_p": 0.1}},
    "min_tokens": {"extra_body": {"min_tokens": 2}},
}


@pytest.mark.parametrize("field", REFUSED)
async def test_sampling_on_the_device_refuses_by_name_what_it_cannot_do_and_on_the_host_does_it(
    field: str, model: Path
) -> None:
    device = await _assembled(neuron_settings(model))
    host = await _assembled(neuron_settings(model, sampling="host"))
    try:
        with pytest.raises(openai.BadRequestError, match=f"{field} is not supported.*on the device") as refused:
            await _ask(device, **REFUSED[field])
        assert refused.value.param == field
        assert (await _ask(host, **REFUSED[field])).usage.completion_tokens > 0
    finally:
        await device.close(drain_s=0)
        await host.close(drain_s=0)


async def test_a_start_beyond_its_budget_names_the_stages_that_ran_beyond_it(model: Path) -> None:
    late = neuron_settings(model).model_copy(update={"startup": StartupSettings(budget_s=1e-6)})
    sink = CountingSink()
    chatbot = await assemble(late, replica_id="r", sink=sink)
    await chatbot.close(drain_s=0)
    named = {dict(labels)["stage"] for name, labels in sink.gauges if name == "startup_over_budget_seconds"}
    assert named >= {"weights", "graphs", "canary"}


async def test_the_canary_proves_prefill_and_decode_before_anyone_is_let_in(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P20: the library's own warm-up swallows every exception."""

    class Broken:
        def forward(self, *_: object) -> None:
            raise RuntimeError("NRT_LOAD_NOT_ENOUGH_NC")

        def set_sampling_rows(self, _: object) -> None:
            raise RuntimeError("NRT_LOAD_NOT_ENOUGH_NC")

    library = neuron.library_of(neuron_settings(model).neuron)
    monkeypatch.setattr(library, "load_model", lambda *_args, **_named: Broken())
    with pytest.raises(Exception, match="canary"):
        await _assembled(neuron_settings(model))


def test_everything_that_needs_no_library_is_checked_without_it(model: Path) -> None:
    settings = neuron_settings(model, library="no.such.module")
    assert neuron.plan(settings).memory.fits
    with pytest.raises(SetupError, match=r"neuron\.library no\.such\.module cannot be imported"):
        neuron.open_neuron(settings, stages=_stages())


@pytest.mark.skipif(find_spec("transformers_neuronx") is not None, reason="the vendor's library is installed")
def test_without_the_vendors_library_the_start_says_what_is_needed(model: Path) -> None:
    with pytest.raises(SetupError, match="needs the Neuron image"):
        neuron.open_neuron(neuron_settings(model, library=neuron.LIBRARY), stages=_stages())


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"decode_buckets": [64, 128]}, "runner.positions is 256, the last of neuron.decode_buckets 128"),
        ({"prefill_buckets": [512]}, "largest prefill bucket 512 exceeds"),
        ({"tp_degree": 3}, "tp_degree 3 does not divide"),
        ({"core_memory_gib": 0.0001, "reserve_gib": 0}, "do not fit on a NeuronCore"),
    ],
)
def test_a_wrong_plan_is_refused_before_anything_is_loaded(model: Path, changes: Any, sentence: str) -> None:
    with pytest.raises(SetupError, match=sentence):
        neuron.plan(neuron_settings(model, **changes))


def test_a_model_name_that_is_no_folder_says_what_to_name(model: Path) -> None:
    with pytest.raises(SetupError, match=r"name the folder of Mistral-7B-Instruct-v0\.3"):
        neuron.plan(neuron_settings(model.with_name("absent")))


def test_a_checkpoint_with_a_window_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"as Mistral v0\.1 does"):
        neuron.plan(neuron_settings(checkpoint(tmp_path / "v01", sliding_window=128)))


def test_a_recommended_min_p_is_for_sampling_on_the_host(model: Path) -> None:
    (model / "generation_config.json").write_text('{"min_p": 0.05}')
    with pytest.raises(SetupError, match=r"recommends min_p 0\.05, .* set neuron\.sampling to host"):
        neuron.plan(neuron_settings(model))
    assert neuron.plan(neuron_settings(model, sampling="host")).folder.sampling.min_p == 0.05


def test_the_variables_that_must_be_unset_are_those_of_the_reference() -> None:
    assert {"CPU_COMM_ID", "HLO_SNAPSHOT_PATH", "NEURON_VOCAB_PAD_DIVISOR"} < set(neuron._MUST_BE_UNSET)


@pytest.mark.parametrize("name", neuron._MUST_BE_UNSET)
def test_variables_of_other_set_ups_are_refused(model: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "1")
    with pytest.raises(SetupError, match=f"{name}: unset"):
        neuron.plan(neuron_settings(model))


def test_p16_a_compile_cache_that_cannot_be_written_is_refused(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mounted").write_text("not a folder, which root cannot write to either")
    monkeypatch.setenv("NEURON_COMPILE_CACHE_URL", str(tmp_path / "mounted" / "cache"))
    with pytest.raises(SetupError, match=r"NEURON_COMPILE_CACHE_URL .* cannot be written"):
        neuron.plan(neuron_settings(model))
    monkeypatch.setenv("NEURON_COMPILE_CACHE_URL", str(tmp_path / "cache"))
    neuron.plan(neuron_settings(model))


def test_buckets_can_be_written_as_a_flag_writes_them(model: Path) -> None:
    settings = neuron_settings(model, decode_buckets="64,256")
    assert settings.neuron.decode_buckets == (64, 256)


def test_the_runner_says_of_itself_what_the_plan_says(model: Path) -> None:
    runner, folder = neuron.open_neuron(neuron_settings(model), stages=_stages())
    assert folder.model_id == "tiny-mistral"
    assert runner.spec == replace(runner.spec, slots=2, positions=256, longest_prompt=128, samples_on_device=True)
    assert (runner.spec.splits_prompts, runner.spec.reproducible) == (False, False)
    runner.set_sampling(0, SamplingParams())
    runner.close()
