"""In what a replica needs to start and to answer."""

from __future__ import annotations

from typing import Any

from cluster.faults.edit import Edit
from cluster.faults.fault import Fault, Named, Phase

_ARGS = "/spec/serveConfigV2/applications/0/args"
_WORKER = "/spec/rayClusterConfig/workerGroupSpecs/0/template/spec"
_FOLDER = "/faults"

# A machine whose first decode takes eleven days; the rest is what the simulated runner demands of a profile.
_NEVER = """
estimate: true
source: a seeded fault
weight_bits: 16
kv_bits: 16
kv_bytes_per_position: 1
splits_prompts: false
reads_all_slots: true
fraction_of_roofline: 1
decode_steps: [{slots: 32, positions: 4096, seconds: 1000000}]
prefills: [{tokens: 4096, seconds: 0}]
start_up: [{stage: import, seconds: 0}]
answer_tokens: {least: 1, most: 1}
"""


def _service(path: str, value: Any) -> Edit:
    return Edit("RayService", "chatbot", path, value)


def _mounted(**files: str) -> tuple[Edit, ...]:
    """The files in a ConfigMap, and the ConfigMap in the worker."""
    config_map = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "faults", "namespace": "chatbot"},
        "data": {name.replace("_", "."): content for name, content in files.items()},
    }
    return (
        Edit("ConfigMap", "faults", "", config_map),
        _service(f"{_WORKER}/volumes/-", {"name": "faults", "configMap": {"name": "faults"}}),
        _service(f"{_WORKER}/containers/0/volumeMounts/-", {"name": "faults", "mountPath": _FOLDER}),
    )


REPLICA = (
    Fault(
        "import-path-wrong",
        "The Serve config names a builder that the code does not have.",
        Phase.DEPLOY,
        edits=(_service("/spec/serveConfigV2/applications/0/import_path", "serving.app:build"),),
        verdict=Named("serve-target-raised", "build"),
    ),
    Fault(
        "model-missing",
        "The replica is told of a model that nobody put into the folder.",
        Phase.DEPLOY,
        edits=(
            _service(f"{_ARGS}/runner/kind", "openvino"),
            _service(f"{_ARGS}/model", {"name": "smollm2-135m-instruct", "cache_dir": "/models"}),
        ),
        verdict=Named("model-loaded", "smollm2-135m-instruct"),
    ),
    Fault(
        "model-corrupt",
        "A file of the model ends in its middle.",
        Phase.DEPLOY,
        edits=(
            *_mounted(config_json='{"vocab_size": 49', tokenizer_json="{}", model_xml="<net", model_bin="cut off, too"),
            _service(f"{_ARGS}/runner/kind", "openvino"),
            _service(f"{_ARGS}/model", {"name": _FOLDER}),
        ),
        verdict=Named("model-loaded", "config.json"),
    ),
    Fault(
        "canary-never-passes",
        "The replica loads its model, and its first answer never comes.",
        Phase.DEPLOY,
        edits=(*_mounted(never_yaml=_NEVER), _service(f"{_ARGS}/runner/profile", f"{_FOLDER}/never.yaml")),
        verdict=Named("replica-running", "canary"),
    ),
)
