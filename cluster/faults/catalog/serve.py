"""In the Serve config and between Serve and Ray's autoscaler."""

from __future__ import annotations

from typing import Any

from cluster.faults.edit import Edit
from cluster.faults.fault import Fault, Named, Phase

_APPLICATION = "/spec/serveConfigV2/applications/0"
_CHAT = f"{_APPLICATION}/deployments/0"
_CLUSTER = "/spec/rayClusterConfig"
_GROUP = f"{_CLUSTER}/workerGroupSpecs/0"
_HEAD = f"{_CLUSTER}/headGroupSpec/template/spec"


def _service(path: str, value: Any) -> Edit:
    return Edit("RayService", "chatbot", path, value)


SERVE = (
    Fault(
        "max-replicas-is-min",
        "Serve may have as many replicas as it has at least.",
        Phase.SCALE_OUT,
        edits=(_service(f"{_CHAT}/autoscaling_config/max_replicas", 1),),
        lint="serve-fixed-scale",
        verdict=Named("serve-target-raised", "max_replicas is 1"),
    ),
    Fault(
        "max-replicas-below-min",
        "Serve may have fewer replicas than it must.",
        Phase.DEPLOY,
        edits=(_service(f"{_CHAT}/autoscaling_config/min_replicas", 4),),
        lint="serve-bounds-invalid",
        verdict=Named("serve-target-raised", "max_replicas"),
    ),
    Fault(
        "target-above-capacity",
        "A replica takes fewer requests at once than the number above which Serve would add another.",
        Phase.SCALE_OUT,
        edits=(_service(f"{_CHAT}/max_ongoing_requests", 4),),
        lint="max-ongoing-below-target",
        verdict=Named("serve-target-raised", "max_ongoing_requests is 4"),
    ),
    Fault(
        "replica-larger-than-worker",
        "A replica asks for more CPUs than a worker declares.",
        Phase.DEPLOY,
        edits=(_service(f"{_CHAT}/ray_actor_options/num_cpus", 7),),
        lint="replica-exceeds-worker",
        verdict=Named("replica-started", "CPU"),
    ),
    Fault(
        "neuron-cores-not-declared",
        "The worker group does not tell Ray of its Neuron cores.",
        Phase.SCALE_OUT,
        edits=(_service(f"{_GROUP}/resources", {"CPU": "6"}),),
        lint="neuron-cores-not-declared",
        verdict=Named("ray-demand-raised", "neuron_cores"),
    ),
    Fault(
        "worker-group-below-serve",
        "The worker group may have one worker, Serve three replicas.",
        Phase.SCALE_OUT,
        edits=(_service(f"{_GROUP}/maxReplicas", 1),),
        lint="serve-max-exceeds-workers",
        verdict=Named("ray-demand-raised", "maxReplicas"),
    ),
    Fault(
        "autoscaler-off",
        "Ray's autoscaler is switched off.",
        Phase.SCALE_OUT,
        edits=(_service(f"{_CLUSTER}/enableInTreeAutoscaling", False),),
        lint="intree-autoscaler-off",
        verdict=Named("ray-demand-raised", "has no autoscaler"),
    ),
    Fault(
        "autoscaler-without-rights",
        "The head's pod gets no service account token, so Ray's autoscaler may not change the RayCluster.",
        Phase.DEPLOY,  # its container ends at once, so the head is never ready
        edits=(_service(f"{_HEAD}/automountServiceAccountToken", False),),
        lint="autoscaler-token-missing",
        verdict=Named("ray-node-joined", "serviceaccount"),
    ),
)
