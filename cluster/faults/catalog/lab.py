"""What no manifest shows: a component that does not run, a machine that does not come."""

from __future__ import annotations

from cluster.faults.fault import STAGE_ONLY, Fault, Named, Phase

LAB = (
    Fault(
        "operator-dead",
        "KubeRay's operator does not run.",
        Phase.DEPLOY,
        without=("kuberay-operator",),
        verdict=Named("ray-demand-raised", "operator"),
    ),
    Fault(
        "operator-dies",
        "KubeRay's operator ends once the chatbot answers.",
        Phase.SCALE_OUT,
        without=("kuberay-operator",),
        verdict=Named("pod-created", "operator"),
    ),
    Fault(
        "karpenter-dead",
        "Karpenter stops after it has accepted the pools.",
        Phase.SCALE_OUT,
        without=("karpenter",),
        verdict=Named("nodeclaim-created", "Karpenter says nothing of it"),
    ),
    Fault(
        "serve-controller-dead",
        "Serve's controller hangs.",
        Phase.SCALE_OUT,
        without=("ServeController",),
        # Only the controller knows how many replicas there are, so a load test cannot begin: void, with the link named.
        verdict=Named("serve-target-raised", "does not answer for Serve", verdict="void"),
    ),
    Fault(
        "autoscaler-dead",
        "Ray's autoscaler hangs.",
        Phase.SCALE_OUT,
        without=("kuberay-autoscaler",),
        # A hanging process says nothing, and its RayCluster looks as if nothing were to do.
        verdict=Named("ray-demand-raised", STAGE_ONLY),
    ),
    Fault(
        "subnets-without-type",
        "The account's subnets lie in zones that do not offer the type.",
        Phase.DEPLOY,
        scenario={"subnet_zones": ["a", "b"]},
        verdict=Named("nodeclaim-created", "instance-type In trn1.2xlarge"),
    ),
    Fault(
        "nodes-never-join",
        "Instances start, are billed, and never join the cluster.",
        Phase.DEPLOY,
        scenario={"broken": {"nodes_never_launch": True}},
        verdict=Named("node-registered", "its instance has not joined"),
    ),
    Fault(
        "nodes-never-ready",
        "Instances join the cluster and their kubelets never report them ready.",
        Phase.DEPLOY,
        scenario={"broken": {"nodes_never_ready": True}},
        # Nothing runs on such a node, the device plugin included: so the devices are missing before the pod is.
        verdict=Named("device-advertised", "not ready"),
    ),
)
