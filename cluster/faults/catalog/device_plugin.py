"""In the Neuron device plugin: without it a trn1 node is an expensive x86 node."""

from __future__ import annotations

from cluster.faults.edit import GONE, Edit
from cluster.faults.fault import Fault, Named, Phase

_NAME = "neuron-device-plugin"

DEVICE_PLUGIN = (
    Fault(
        "device-plugin-absent",
        "Nobody installed the Neuron device plugin.",
        Phase.DEPLOY,
        edits=(Edit("DaemonSet", _NAME, "", GONE),),
        lint="plugin-missing",
        verdict=Named("device-advertised", "no device plugin is installed"),
    ),
    Fault(
        "device-plugin-does-not-tolerate",
        "The device plugin does not tolerate the taint of the nodes that it is for.",
        Phase.DEPLOY,
        edits=(Edit("DaemonSet", _NAME, "/spec/template/spec/tolerations", GONE),),
        lint="plugin-not-tolerating",
        verdict=Named("device-advertised", "tolerate"),
    ),
)
