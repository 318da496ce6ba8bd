"""In the pod template of the workers, and in what the namespace allows them."""

from __future__ import annotations

from typing import Any

from cluster.faults.edit import GONE, Edit
from cluster.faults.fault import Fault, Named, Phase

_POD = "/spec/rayClusterConfig/workerGroupSpecs/0/template/spec"


def _worker(path: str, value: Any) -> Edit:
    return Edit("RayService", "chatbot", f"{_POD}{path}", value)


def _deploy(name: str, sentence: str, *edits: Edit, lint: str | None = None, verdict: Named) -> Fault:
    return Fault(name, sentence, Phase.DEPLOY, edits=edits, lint=lint, verdict=verdict)


WORKER = (
    _deploy(
        "toleration-missing",
        "The workers do not tolerate the taint of the nodes that they select.",
        _worker("/tolerations", GONE),
        lint="taint-not-tolerated",
        verdict=Named("nodeclaim-created", "tolerate"),
    ),
    _deploy(
        "selector-misspelt",
        "The workers select a label that no pool gives its nodes.",
        _worker("/nodeSelector", {"neuron.amazonaws.com/neuron": "true"}),
        lint="selector-label-not-provided",
        verdict=Named("nodeclaim-created", "neuron.amazonaws.com/neuron"),
    ),
    _deploy(
        "pod-larger-than-instance",
        "The workers ask for more memory than a trn1.2xlarge leaves to pods, though less than it has.",
        _worker("/containers/0/resources/requests/memory", "30Gi"),
        _worker("/containers/0/resources/limits/memory", "30Gi"),
        lint="pod-exceeds-allowed-types",
        verdict=Named("nodeclaim-created", "enough resources"),
    ),
    _deploy(
        "device-misnamed",
        "The workers ask for a device by a name that no plugin advertises.",
        _worker("/containers/0/resources/requests", {"cpu": "6", "memory": "26Gi", "aws.amazon.com/neuron-core": "2"}),
        _worker("/containers/0/resources/limits", {"memory": "26Gi", "aws.amazon.com/neuron-core": "2"}),
        lint="device-name-unknown",
        verdict=Named("nodeclaim-created", "aws.amazon.com/neuron-core"),
    ),
    _deploy(
        "scheduler-not-installed",
        "The workers wait for a scheduler that is not there.",
        _worker("/schedulerName", "neuron-scheduler"),
        lint="scheduler-name-not-installed",
        verdict=Named("nodeclaim-created", "neuron-scheduler"),
    ),
    _deploy(
        "priority-class-missing",
        "The workers have a priority that nobody defined.",
        _worker("/priorityClassName", "serving"),
        lint="priority-class-not-rendered",
        verdict=Named("pod-created", "PriorityClass"),
    ),
    _deploy(
        "worker-account-missing",
        "The service account of the workers is not deployed.",
        Edit("ServiceAccount", "chatbot-worker", "", GONE),
        lint="worker-account-not-rendered",
        verdict=Named("pod-created", "chatbot-worker"),
    ),
    _deploy(
        "pod-security-restricted",
        "The namespace enforces a level that Ray's pods do not meet.",
        Edit("Namespace", "chatbot", "/metadata/labels/pod-security.kubernetes.io~1enforce", "restricted"),
        lint="restricted-needs-context",
        verdict=Named("pod-created", "PodSecurity"),
    ),
    _deploy(
        "secret-missing",
        "The workers read a variable from a Secret that is not there.",
        _worker(
            "/containers/0/env/-",
            {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hugging-face", "key": "token"}}},
        ),
        verdict=Named("container-started", "hugging-face"),
    ),
    _deploy(
        "image-missing",
        "The workers' image has a tag that was never pushed.",
        _worker("/containers/0/image", "chatbot-neuron:never-pushed"),
        verdict=Named("image-pulled", "chatbot-neuron:never-pushed"),
    ),
    _deploy(
        "readiness-cannot-pass",
        "The head's own readiness probe asks a port on which nobody listens.",
        Edit(
            "RayService",
            "chatbot",
            "/spec/rayClusterConfig/headGroupSpec/template/spec/containers/0/readinessProbe",
            {"tcpSocket": {"port": 9999}, "periodSeconds": 2},
        ),
        lint="probe-port-not-listed",
        verdict=Named("ray-node-joined", "ready"),
    ),
    Fault(
        "quota-too-small",
        "The namespace's quota ends after one worker.",
        Phase.SCALE_OUT,
        edits=(Edit("ResourceQuota", "chatbot", "/spec/hard/requests.aws.amazon.com~1neuroncore", "2"),),
        lint="quota-too-small",
        verdict=Named("pod-created", "exceeded quota"),
    ),
    Fault(
        "policy-blocks-operator",
        "No network policy lets KubeRay's operator reach the head.",
        Phase.DEPLOY,
        edits=(
            Edit("NetworkPolicy", "chatbot-operator", "", GONE),
            Edit(
                "NetworkPolicy", "chatbot-clients", "/spec/podSelector", {"matchLabels": {"ray.io/node-type": "worker"}}
            ),
        ),
        lint="policy-blocks-operator",
        not_rehearsed="nothing in the lab enforces network policies",
    ),
)
