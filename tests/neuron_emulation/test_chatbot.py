"""A whole chatbot over the vendor's library: compiled, pushed, fetched, started, asked, drained."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import openai
import pytest

from serving.artifacts.compile import compile_artifacts
from serving.artifacts.store import Store
from serving.artifacts.transfer import push
from serving.assembly import assemble
from serving.settings import Settings
from tests.support import asgi
from tests.support.api import CountingSink
from tests.support.neuron_settings import neuron_settings

if TYPE_CHECKING:
    from tests.neuron_emulation.emulator.device import Device

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
USER: Any = [{"role": "user", "content": "Hi"}]


def _settings(model: Path, **neuron: Any) -> Settings:
    return neuron_settings(model, library="tests.neuron_emulation.library", amp="f32", **neuron)


@pytest.mark.parametrize("sampling", ["device", "host"])
async def test_from_compile_to_drain(sampling: str, checkpoint: Path, device: Device, tmp_path: Path) -> None:
    compile_artifacts(_settings(checkpoint, sampling=sampling), tmp_path / "made", with_checkpoint=False)
    push(tmp_path / "made", Store(str(tmp_path / "store")), workers=2)
    started = _settings(checkpoint, sampling=sampling, artifacts=str(tmp_path / "store"))
    chatbot = await assemble(started, replica_id="r", sink=CountingSink())
    try:
        assert list(chatbot.startup_s) == ["artifacts", "weights", "graphs", "runner", "tokenizer", "canary"]
        client = asgi.openai_client(chatbot.app)
        asked: dict[str, Any] = {"model": "tiny-mistral", "messages": USER, "temperature": 0, "max_tokens": 20}
        whole = await client.chat.completions.create(**asked, extra_body={"ignore_eos": True})
        assert whole.system_fingerprint == f"transformers-neuronx-source.emulated-f32-{sampling}"
        if sampling == "device":
            refused: list[dict[str, Any]] = [{"seed": 3}, {"logprobs": True}]
            for fields in refused:
                with pytest.raises(openai.BadRequestError, match=f"{next(iter(fields))} is not supported"):
                    await client.chat.completions.create(**(asked | fields))
        stream = await client.chat.completions.create(**asked, stream=True, extra_body={"ignore_eos": True})
        draining = asyncio.create_task(chatbot.engine.drain(60))
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
        assert text == whole.choices[0].message.content
        assert await draining
    finally:
        await chatbot.close(drain_s=0)
    assert device.overlapping_runs == 0
