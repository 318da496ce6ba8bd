"""The model's files: which ones, from where, with whose rights, into which memory."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cluster.instance_types import NEURON_CORE, table
from cluster.lint.finding import Hit
from cluster.lint.pods import Container, Pod
from cluster.lint.registry import rule
from cluster.lint.stack import NEURON_DEVICES, Stack
from cluster.objects import dig, mappings, text

HOP = "artefacts"
HUB_ID = re.compile(r"^[A-Za-z0-9][\w.-]*/[\w.-]+$")
MODEL_VARIABLES = ("MODEL_ID", "HF_MODEL_ID", "MODEL_NAME", "MODEL_REPO")
REVISION_VARIABLES = ("MODEL_REVISION", "HF_REVISION", "REVISION", "HF_MODEL_REVISION")
KV_BYTES_PER_POSITION = 131_072  # Mistral-7B: 2 × 32 layers × 8 heads × 128 × 2 bytes
WEIGHT_BYTES = 14_220_000_000  # Mistral-7B in bf16, linears and head
SPARE_BYTES_PER_CORE = 3 * 1024**3  # runtime, code, scratch


def _containers(stack: Stack) -> Iterator[tuple[Pod, Container]]:
    for pod in stack.pods:
        yield from ((pod, container) for container in pod.all_containers)


@rule(
    HOP,
    "warning",
    fix="Name a revision (a commit) beside the id.",
    evidence="a hub repository's main branch moves, and anybody's account may go",
)
def artifact_not_pinned(stack: Stack) -> Iterator[Hit]:
    """A model is named by its hub id without a revision: the next replica may load other weights."""
    for pod, container in _containers(stack):
        env = container.env
        pinned = any(env.get(name) for name in REVISION_VARIABLES) or "--revision" in container.command_line
        for name in MODEL_VARIABLES:
            if HUB_ID.match(env.get(name) or "") and not pinned:
                yield Hit(pod.manifest, f"{container.path}.env", f"{name}={env[name]} without a revision")


@rule(
    HOP,
    "warning",
    fix="Remove it, or pin the revision and read the code.",
    evidence="trust_remote_code runs the repository's Python in the replica",
)
def remote_code_on(stack: Stack) -> Iterator[Hit]:
    """Code of the model's repository is executed."""
    for pod, container in _containers(stack):
        switched = container.env.get("TRUST_REMOTE_CODE") or container.env.get("HF_TRUST_REMOTE_CODE") or ""
        if "--trust-remote-code" in container.command_line or switched.lower() in ("1", "true"):
            yield Hit(pod.manifest, container.path, "trust_remote_code is on")


@rule(
    HOP,
    "warning",
    fix="Keep it in S3, or bake it into the image.",
    evidence="Neuron's persistent cache is keyed by compiler and graph; a new pod starts with an empty one",
)
def compile_cache_ephemeral(stack: Stack) -> Iterator[Hit]:
    """The compile cache is in a volume that ends with the pod: every new replica compiles for minutes."""
    for pod, container in _containers(stack):
        url = container.env.get("NEURON_COMPILE_CACHE_URL") or ""
        if not url.startswith("/"):
            continue
        for mount in mappings(container.value.get("volumeMounts")):
            place = text(mount.get("mountPath")).rstrip("/")
            volume = pod.volumes.get(text(mount.get("name")), {})
            if place and url.startswith(place) and "emptyDir" in volume:
                yield Hit(pod.manifest, f"{container.path}.env", f"{url} is in emptyDir {text(mount.get('name'))}")


@rule(
    HOP,
    "error",
    fix="Fewer slots or positions, or more cores.",
    evidence="arithmetic of Mistral-7B in bf16 on NeuronCore-v2, 16 GiB a core",
)
def model_exceeds_device(stack: Stack) -> Iterator[Hit]:
    """Weights and the cache of all slots exceed the memory of the cores that a replica has."""
    core = table()["trn1.2xlarge"].neuron_device_memory_mib * 1024**2 // 2
    for config in stack.serve_configs:
        ours = any(text(app.get("import_path")).startswith("serving.") for _, app in config.applications)
        slots, positions = config.setting("runner", "slots") or 8, config.setting("runner", "positions") or 2048
        for deployment in config.deployments if ours else []:
            cores = float((deployment.demand or {}).get("neuron_cores", 0))
            needed, room = (
                WEIGHT_BYTES + slots * positions * KV_BYTES_PER_POSITION,
                cores * (core - SPARE_BYTES_PER_CORE),
            )
            if cores and needed > room:
                message = (
                    f"Mistral-7B: 14.2 GB weights + {slots:g} × {positions:g} × 128 KiB = {needed / 1e9:.1f} GB > "
                )
                message += f"{cores:g} cores × 13 GiB = {room / 1e9:.1f} GB"
                yield Hit(config.manifest, config.at("applications[0].args.runner"), message)


@rule(
    HOP,
    "warning",
    fix="One download a node, by an init container with a lock, or an emptyDir a pod.",
    evidence="two pods of one node start together after a scale-out",
)
def shared_folder_race(stack: Stack) -> Iterator[Hit]:
    """A hostPath is written by every pod of the group: two downloads on one node overwrite each other."""
    for pod in stack.ray_pods:
        for name, volume in pod.volumes.items():
            mounts = [
                m
                for c in pod.all_containers
                for m in mappings(c.value.get("volumeMounts"))
                if text(m.get("name")) == name
            ]
            shared = text(dig(volume, "hostPath", "path")).startswith("/mnt/k8s-disks")
            alone = pod.device(NEURON_CORE) or any(pod.device(device) for device in NEURON_DEVICES)
            if shared and not alone and any(m.get("readOnly") is not True for m in mounts):
                yield Hit(pod.manifest, f"{pod.spec_path}.volumes", f"{name} is one folder for every pod of the node")


@rule(
    HOP,
    "warning",
    fix="Let pods that need AWS have a ServiceAccount with a role.",
    evidence="with hop limit 1, Karpenter's default, a pod never reaches the node's credentials",
)
def pod_needs_aws_identity(stack: Stack) -> Iterator[Hit]:
    """A pod's settings name S3 and its ServiceAccount has no IAM role among the manifests (a Pod Identity association would do)."""
    roles = {(m.namespace, m.name): "eks.amazonaws.com/role-arn" in m.annotations for m in stack.of("ServiceAccount")}
    for pod in stack.pods:
        account = text(pod.spec.get("serviceAccountName"), "default")
        for container in pod.all_containers:
            uses = [name for name, value in container.env.items() if (value or "").startswith("s3://")]
            secret = any(name == "AWS_ACCESS_KEY_ID" for name in container.env)
            if uses and not secret and not roles.get((pod.manifest.namespace, account)):
                head = ".headGroupSpec." in container.path  # it reads the settings, and fetches nothing by itself
                known = head or ((pod.manifest.namespace, account) in roles and account != "default")
                names = f"{', '.join(uses)} name{'s' if len(uses) == 1 else ''} s3://"
                message = f"{names}, and ServiceAccount {account} has no eks.amazonaws.com/role-arn"
                yield Hit(pod.manifest, f"{container.path}.env", message, severity="info" if known else "warning")
