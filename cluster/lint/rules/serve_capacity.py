"""Serve's replicas against Ray's workers: the arithmetic that decides whether a replica is ever placed."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from cluster.lint.capacity import amounts, fits, most_replicas
from cluster.lint.finding import Hit
from cluster.lint.ray import UNBOUNDED, Cluster
from cluster.lint.registry import rule
from cluster.lint.serve import Deployment, ServeConfig
from cluster.lint.stack import Stack

HOP = "ray autoscaler"


def _placed(stack: Stack) -> Iterator[tuple[Cluster, ServeConfig, Deployment]]:
    """Every deployment that says what its replicas need, with the cluster that has to hold them."""
    for cluster in stack.clusters:
        config = stack.config_of(cluster)
        if config is not None and cluster.head.value:
            yield from ((cluster, config, d) for d in config.deployments if d.demand is not None)


@rule(
    HOP,
    "error",
    fix="Ask for less in ray_actor_options, or give a worker group more in `resources`.",
    evidence="Ray's autoscaler calls such a demand infeasible and launches nothing",
)
def replica_exceeds_worker(stack: Stack) -> Iterator[Hit]:
    """One replica needs more than a worker of any group brings: it never starts, and no node is asked for."""
    for cluster, config, deployment in _placed(stack):
        found = fits(cluster, deployment)
        if found and not any(one.replicas for one in found) and not _only_missing_custom(cluster, deployment):
            offers = "; ".join(f"{f.group.name}: {amounts(f.group.believed or {})}" for f in found)
            message = f"{deployment.name}: a replica needs {amounts(deployment.demand or {})}; workers bring {offers}"
            yield Hit(config.manifest, config.at(f"{deployment.path}.ray_actor_options"), message)


def _only_missing_custom(cluster: Cluster, deployment: Deployment) -> bool:
    """Whether a custom resource is declared by no group at all; rules of their own speak of those."""
    custom = set(deployment.demand or {}) - {"CPU", "GPU", "memory"}
    declared = {name for group in cluster.groups for name in group.believed or {}}
    return bool(custom - declared) or any(group.believed is None for group in cluster.groups)


@rule(
    HOP,
    "error",
    fix="Raise maxReplicas of the worker group, or lower max_replicas.",
    evidence="ray-project/ray#46473: Serve goes on asking, and the autoscaler stops at maxReplicas in silence",
)
def serve_max_exceeds_workers(stack: Stack) -> Iterator[Hit]:
    """Serve may want more replicas than all groups at their maximum hold: the last ones stay pending for ever."""
    for cluster, config, deployment in _placed(stack):
        found = fits(cluster, deployment)
        most, arithmetic = most_replicas(cluster, found)
        if deployment.bounds and 0 < most < deployment.bounds[1]:
            message = f"{deployment.name}: max_replicas {deployment.bounds[1]} > {most} = {arithmetic}"
            yield Hit(config.manifest, config.at(f"{deployment.path}.autoscaling_config.max_replicas"), message)


@rule(
    HOP,
    "error",
    fix="Start with more workers, or lower min_replicas.",
    evidence="without in-tree autoscaling KubeRay keeps `replicas` as written",
)
def serve_min_exceeds_start(stack: Stack) -> Iterator[Hit]:
    """Autoscaling is off and the workers do not hold the fewest replicas: the service never becomes RUNNING."""
    for cluster, config, deployment in _placed(stack):
        most, arithmetic = most_replicas(cluster, fits(cluster, deployment))
        if not cluster.autoscaling and deployment.bounds and 0 < most < deployment.bounds[0]:
            message = f"{deployment.name}: at least {deployment.bounds[0]} replicas wanted > {most} = {arithmetic}"
            yield Hit(config.manifest, config.at(deployment.path), message)


@rule(
    HOP,
    "error",
    fix='Add `neuron_cores: "2"` (devices × cores) to the worker group\'s `resources`.',
    evidence="ray-project/ray#44361; Ray 2.60's autoscaling_config.py reads no aws.amazon.com/neuron limit",
)
def neuron_cores_not_declared(stack: Stack) -> Iterator[Hit]:
    """Replicas ask for neuron_cores and no group declares them: Ray's autoscaler never adds a worker."""
    yield from _undeclared(stack, lambda name: name == "neuron_cores", "the pod's device limit does not count here")


@rule(
    HOP,
    "error",
    fix="Declare `accelerator_type:NAME` in the worker group's `resources`.",
    evidence="ray-project/kuberay#863: the autoscaler does not know types that only running workers report",
)
def accelerator_type_not_declared(stack: Stack) -> Iterator[Hit]:
    """Replicas ask for an accelerator_type that no group declares: with no such worker up, none is ever added."""
    for cluster, config, deployment in _placed(stack):
        wanted = deployment.value["ray_actor_options"].get("accelerator_type")
        name = f"accelerator_type:{wanted}"
        if isinstance(wanted, str) and not any(name in (group.believed or {}) for group in cluster.workers):
            path = config.at(f"{deployment.path}.ray_actor_options.accelerator_type")
            yield Hit(config.manifest, path, f"{deployment.name} asks for {wanted}; no worker group declares {name}")


@rule(
    HOP,
    "error",
    fix="Declare the resource in the worker group's `resources`, or correct its name.",
    evidence="Ray's autoscaler calls a demand for an unknown resource infeasible",
)
def custom_resource_not_declared(stack: Stack) -> Iterator[Hit]:
    """Replicas ask for a custom resource that no group declares."""
    yield from _undeclared(stack, lambda name: name != "neuron_cores", "no group declares it")


def _undeclared(stack: Stack, concerns: object, why: str) -> Iterator[Hit]:
    for cluster, config, deployment in _placed(stack):
        if any(group.believed is None for group in cluster.groups):
            continue  # another rule says that the declaration cannot be read
        declared = {name for group in cluster.groups for name in group.believed or {}}
        for name, amount in (deployment.demand or {}).items():
            if name in declared or name in ("CPU", "GPU", "memory") or not callable(concerns) or not concerns(name):
                continue
            path = config.at(f"{deployment.path}.ray_actor_options.resources.{name}")
            groups = ", ".join(f"{g.name}: {amounts(g.believed or {})}" for g in cluster.workers) or "no worker group"
            yield Hit(config.manifest, path, f"{deployment.name} asks for {name} {float(amount):g}; {groups}; {why}")


@rule(
    HOP,
    "warning",
    fix="Ask for no CPU in the small deployment, give the head CPUs for it, or leave CPUs free beside the model.",
    evidence="a replica asks for one CPU by default, an ingress deployment too",
)
def ingress_cpu_starved(stack: Stack) -> Iterator[Hit]:
    """A deployment that needs only CPU does not fit beside the model, so it costs an accelerator node of its own."""
    for cluster in stack.clusters:
        config = stack.config_of(cluster)
        if config is None or (cluster.head.believed or {}).get("CPU", Fraction(1)) > 0:
            continue
        deployments = [d for d in config.deployments if d.demand is not None]
        heavy = [d for d in deployments if len(d.demand or {}) > 1]
        light = [d for d in deployments if set(d.demand or {}) == {"CPU"}]
        for group in cluster.workers:
            free = (group.believed or {}).get("CPU", Fraction(0)) - sum((_cpus(d) for d in heavy), Fraction(0))
            for deployment in light if heavy else []:
                if _cpus(deployment) > free:
                    message = f"{deployment.name} needs {float(_cpus(deployment)):g} CPU; beside the model a worker of "
                    message += f"{group.name} has {float(free):g} left, and the head has none"
                    yield Hit(config.manifest, config.at(deployment.path), message)


def _cpus(deployment: Deployment) -> Fraction:
    return (deployment.demand or {}).get("CPU", Fraction(0))


@rule(
    HOP,
    "error",
    fix="Set enableInTreeAutoscaling: true.",
    evidence="KubeRay v1.6.1: without it nothing changes the number of workers",
)
def intree_autoscaler_off(stack: Stack) -> Iterator[Hit]:
    """Serve scales its replicas, and nothing adds the workers that they need."""
    for cluster, _, deployment in _placed(stack):
        if cluster.autoscaling or not deployment.bounds:
            continue
        held, arithmetic = most_replicas(cluster, fits(cluster, deployment))
        if 0 < held < deployment.bounds[1] and deployment.bounds[0] <= held:
            path = f"{cluster.path}.enableInTreeAutoscaling"
            message = (
                f"{deployment.name} may want {deployment.bounds[1]} replicas, the workers hold {held} ({arithmetic})"
            )
            yield Hit(cluster.manifest, path, f"{message}, and in-tree autoscaling is off")


@rule(
    HOP,
    "warning",
    fix="Set maxReplicas to what you are ready to pay for.",
    evidence=f"KubeRay's CRD: maxReplicas defaults to {UNBOUNDED}",
)
def worker_max_unbounded(stack: Stack) -> Iterator[Hit]:
    """A worker group has no maximum: only the node pool's limits bound the bill."""
    for cluster in stack.clusters:
        for group in cluster.workers if cluster.autoscaling else []:
            if group.maximum >= UNBOUNDED:
                yield Hit(
                    cluster.manifest, f"{group.path}.maxReplicas", f"{group.name} may grow to {UNBOUNDED} workers"
                )
