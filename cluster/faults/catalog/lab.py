"""What no manifest shows: a component that does not run, a machine that does not come."""

from __future__ import annotations

from cluster.faults.fault import Fault, Named, Phase, Place

LAB = (
    Fault(
        "operator-dead",
        "KubeRay's operator does not run.",
        Place.COMPONENT,
        Phase.DEPLOY,
        without=("kuberay-operator",),
        verdict=Named("ray-demand-raised", "operator"),
    ),
    Fault(
        "operator-dies",
        "KubeRay's operator ends once the chatbot answers.",
        Place.COMPONENT,
        Phase.SCALE_OUT,
        without=("kuberay-operator",),
        verdict=Named("pod-created", "operator"),
    ),
    Fault(
        "karpenter-dead",
        "Karpenter stops after it has accepted the pools.",
        Place.COMPONENT,
        Phase.SCALE_OUT,
        without=("karpenter",),
        verdict=Named("nodeclaim-created", "Karpenter"),
    ),
    Fault(
        "serve-controller-dead",
        "Serve's controller hangs.",
        Place.COMPONENT,
        Phase.SCALE_OUT,
        without=("ServeController",),
        verdict=Named("serve-target-raised", "Serve"),
    ),
    Fault(
        "autoscaler-dead",
        "Ray's autoscaler hangs.",
        Place.COMPONENT,
        Phase.SCALE_OUT,
        without=("kuberay-autoscaler",),
        verdict=Named("ray-demand-raised", "autoscaler"),
    ),
    Fault(
        "zones-without-type",
        "The account's subnets lie in zones that do not offer the type.",
        Place.NODE,
        Phase.DEPLOY,
        scenario={"subnet_zones": ["a", "b"]},
        verdict=Named("nodeclaim-created", "instance type"),
    ),
    Fault(
        "nodes-never-join",
        "Instances start, are billed, and never join the cluster.",
        Place.NODE,
        Phase.DEPLOY,
        scenario={"broken": {"nodes_never_launch": True}},
        verdict=Named("node-registered", "join"),
    ),
    Fault(
        "nodes-never-ready",
        "Instances join the cluster and their kubelets never report them ready.",
        Place.NODE,
        Phase.DEPLOY,
        scenario={"broken": {"nodes_never_ready": True}},
        # Nothing runs on such a node, the device plugin included: so the devices are missing before the pod is.
        verdict=Named("device-advertised", "not ready"),
    ),
)
