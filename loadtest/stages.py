"""The links of the chain from load to a new replica's first token, and back, in order. The names are a promise."""

from __future__ import annotations

SCALE_OUT = (
    "load-applied", "serve-target-raised", "ray-demand-raised", "pod-created", "nodeclaim-created", "node-launched",
    "node-registered", "device-advertised", "pod-scheduled", "image-pulled", "container-started", "ray-node-joined",
    "replica-started", "model-loaded", "replica-running", "first-token",
)  # fmt: skip
SCALE_IN = (
    "load-removed", "serve-target-lowered", "replica-drained", "ray-node-idle", "pod-deleted", "node-emptied",
    "node-deleted",
)  # fmt: skip
OURS = frozenset({"load-applied", "first-token", "load-removed"})  # seen by the load test itself, on every target

_MACHINE = SCALE_OUT[SCALE_OUT.index("ray-demand-raised") : SCALE_OUT.index("ray-node-joined") + 1]
# A deployment's first replica: workers are asked for at once, and Serve wants a replica when the head is there.
DEPLOY = ("load-applied", *_MACHINE, "serve-target-raised", *SCALE_OUT[SCALE_OUT.index("replica-started") :])
HEAD = ("load-applied", *(stage for stage in _MACHINE if stage != "device-advertised"))
