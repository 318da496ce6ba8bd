"""The Neuron runner behind Ray Serve and HAProxy, on the contract fake: `build_app` with the settings of a Serve config."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.e2e.local_deployment import LocalDeployment
from tests.support.neuron_settings import NEURON, checkpoint
from tests.support.ports import free_port

pytestmark = pytest.mark.ray
USER: Any = [{"role": "user", "content": "Hi"}]


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalDeployment]:
    folder = tmp_path_factory.mktemp("neuron")
    settings: dict[str, object] = {"runner.kind": "neuron", "runner.slots": 4, "runner.positions": 256}
    settings["api.page"] = "false"
    settings["model.name"] = checkpoint(folder / "tiny-mistral")
    settings |= {f"neuron.{name}": value for name, value in NEURON.items()}
    flags = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    flags += ["--set", "deployment.ray_actor_options={num_cpus: 0.5}"]
    made = LocalDeployment(folder / "cache", free_port(), flags)
    try:
        deployed = made.deploy()
        assert deployed.returncode == 0, deployed.stderr
        yield made
    finally:
        made.destroy()


@pytest.fixture
def client(deployment: LocalDeployment) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{deployment.base_url}/v1", api_key="unused", max_retries=0)


def test_it_streams_and_says_which_library_computed(client: openai.OpenAI) -> None:
    asked: dict[str, Any] = {"model": "tiny-mistral", "messages": USER, "temperature": 0, "max_tokens": 50}
    whole = client.chat.completions.create(**asked, extra_body={"ignore_eos": True})
    stream = client.chat.completions.create(**asked, stream=True, extra_body={"ignore_eos": True})
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == whole.choices[0].message.content
    assert whole.system_fingerprint == "transformers-neuronx-contract.fake-bf16-device"


REFUSED: dict[str, dict[str, Any]] = {"seed": {"seed": 3}, "logprobs": {"logprobs": True}}


@pytest.mark.parametrize("field", REFUSED)
def test_what_the_device_cannot_do_is_refused_by_name(client: openai.OpenAI, field: str) -> None:
    with pytest.raises(openai.BadRequestError, match=f"{field} is not supported"):
        client.chat.completions.create(model="tiny-mistral", messages=USER, **REFUSED[field])
