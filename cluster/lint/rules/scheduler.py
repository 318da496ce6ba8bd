"""Between a pending pod and the node pools: whether any node that Karpenter may make can hold the pod."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from cluster.instance_types import GPU, NEURON, NEURON_CORE, InstanceType
from cluster.lint.capacity import (
    aims_at_pools,
    holding_types,
    open_pools,
    overhead,
    provides,
    selectable_pools,
    untolerated,
    wanted_devices,
)
from cluster.lint.finding import Hit, Severity
from cluster.lint.karpenter import AUTO_MODE_DOMAIN, TYPE_DOMAIN, ZONE, NodePool
from cluster.lint.pods import Pod
from cluster.lint.registry import rule
from cluster.lint.rules.node_pool import accelerated
from cluster.lint.stack import Stack
from cluster.objects import dig, mappings, text
from cluster.quantity import MIB, show, show_all, total

HOP = "scheduler"
SCHEDULING = "Karpenter's scheduling: a pod's labels, taints and requests against each pool and type"
TOPOLOGY_KEYS = frozenset(
    {
        "kubernetes.io/hostname",
        ZONE,
        "topology.kubernetes.io/region",
        "karpenter.sh/capacity-type",
        "topology.k8s.aws/zone-id",
    }
)
JUMP = 1.5  # a fit that costs this many times the pool's cheapest type deserves a word


def _severity(stack: Stack, pod: Pod) -> Severity:
    """An error where the pod surely waits for these pools.

    One without devices may run on nodes that nobody rendered, unless there is a pool for such pods.
    """
    general = any(not accelerated(pool) for pool in stack.node_pools)
    return "error" if general or wanted_devices(pod) else "warning"


def _aimed(stack: Stack) -> Iterator[Pod]:
    yield from (pod for pod in stack.pods if aims_at_pools(stack, pod))


@rule(
    HOP,
    "error",
    fix="Give a NodePool that label in spec.template.metadata.labels, or correct the selector.",
    evidence=SCHEDULING,
)
def selector_label_not_provided(stack: Stack) -> Iterator[Hit]:
    """No node pool makes nodes with the labels that the pod requires: it stays pending, and no node is made."""
    for pod in _aimed(stack):
        if selectable_pools(stack, pod):
            continue
        alone = [
            (key, values, path)
            for key, operator, values, path in pod.required_labels
            if not any(provides(pool, key, operator, values) for pool in stack.node_pools)
        ]
        pools = ", ".join(pool.name for pool in stack.node_pools)
        for key, values, path in alone:
            message = f"{key} in [{', '.join(values)}]: none of the pools {pools} provides it"
            yield Hit(pod.manifest, path, message, severity=_severity(stack, pod))
        if not alone:
            wanted = ", ".join(f"{key}={'|'.join(values)}" for key, _, values, _ in pod.required_labels)
            message = f"{wanted}: no single pool of {pools} provides them all"
            yield Hit(pod.manifest, pod.spec_path, message, severity=_severity(stack, pod))


@rule(
    HOP,
    "error",
    fix="Use karpenter.k8s.aws/ with EC2NodeClass, eks.amazonaws.com/ with EKS Auto Mode.",
    evidence="Karpenter's scheduling page and EKS Auto Mode's list of labels",
)
def label_domain_mismatch(stack: Stack) -> Iterator[Hit]:
    """Labels of EKS Auto Mode with self-managed Karpenter, or the reverse: such labels are on no node."""
    for pool in stack.node_pools:
        auto = text(dig(pool.node, "nodeClassRef", "group")) == "eks.amazonaws.com"
        for need in pool.requirements:
            if need.key.startswith(TYPE_DOMAIN if auto else AUTO_MODE_DOMAIN):
                kind = "Auto Mode's NodeClass" if auto else "EC2NodeClass"
                yield Hit(pool.manifest, need.path, f"{need.key} with {kind}")
    kinds = {text(dig(pool.node, "nodeClassRef", "group")) for pool in stack.node_pools}
    for pod in _aimed(stack):
        for key, _, _, path in pod.required_labels:
            wrong = TYPE_DOMAIN if kinds == {"eks.amazonaws.com"} else AUTO_MODE_DOMAIN
            if key.startswith(wrong) and len(kinds) == 1:
                yield Hit(pod.manifest, path, f"{key}, and every pool is of group {next(iter(kinds))}")


@rule(HOP, "error", fix="Add a toleration with the taint's key and effect and operator Exists.", evidence=SCHEDULING)
def taint_not_tolerated(stack: Stack) -> Iterator[Hit]:
    """The pools that the pod selects are tainted, and it tolerates none of them fully: it stays pending."""
    for pod in _aimed(stack):
        pools = _meant(stack, pod)
        if pools and all(untolerated(pool, pod) for pool in pools):
            shown = "; ".join(f"{pool.name}: {', '.join(untolerated(pool, pod))}" for pool in pools)
            path = f"{pod.spec_path}.tolerations"
            yield Hit(pod.manifest, path, f"not tolerated: {shown}", severity=_severity(stack, pod))


def _meant(stack: Stack, pod: Pod) -> list[NodePool]:
    """The selectable pools that have the devices the pod asks for; where it names none, all that it selects."""
    pools = selectable_pools(stack, pod)
    devices = wanted_devices(pod)
    if not devices and not pod.required_labels:
        return [] if any(not pool.taints for pool in pools) else pools
    return [p for p in pools if all(any(k.allocatable.get(d) for k in p.types) for d in devices)]


@rule(
    HOP,
    "error",
    fix="Ask for less, or allow a larger type.",
    evidence=f"{SCHEDULING}; allocatable as Karpenter's AWS provider computes it",
)
def pod_exceeds_allowed_types(stack: Stack) -> Iterator[Hit]:
    """No type of any pool that the pod may use holds it beside the daemon sets: it stays pending for ever."""
    for pod in _aimed(stack):
        pools = [pool for pool in open_pools(stack, pod) if pool.types]
        if not pools or any(holding_types(stack, pool, pod) for pool in pools):
            continue
        pool = pools[0]
        best = max(pool.types, key=_size)
        wanted = {name: amount for name, amount in pod.requests.items() if name != "ephemeral-storage"}
        message = f"it asks for {show_all(wanted)}; daemon sets take {show_all(overhead(stack, pool))}; "
        message += f"{best.name}, the largest of {pool.name}, offers {show_all(best.allocatable)}"
        yield Hit(pod.manifest, f"{pod.spec_path}.containers", message, severity=_severity(stack, pod))


def _size(kind: InstanceType) -> tuple[Fraction, Fraction]:
    return kind.allocatable.get(NEURON_CORE, Fraction(0)) + kind.allocatable.get(GPU, Fraction(0)), kind.allocatable[
        "cpu"
    ]


@rule(
    HOP,
    "warning",
    fix="Ask for a little less, or allow only the type that you mean.",
    evidence=f"{SCHEDULING}; on-demand prices of us-east-1",
)
def next_size_jump(stack: Stack) -> Iterator[Hit]:
    """The pod misses the pool's cheapest type with its devices, and Karpenter buys a dearer one."""
    for pod in _aimed(stack):
        for pool in open_pools(stack, pod):
            devices = wanted_devices(pod)
            candidates = [k for k in pool.types if all(k.allocatable.get(d, 0) >= n for d, n in devices.items())]
            held = holding_types(stack, pool, pod)
            if not devices or not candidates or not held or held[0] is candidates[0]:
                continue
            low, high = candidates[0], held[0]
            if low.usd_per_hour and high.usd_per_hour and high.usd_per_hour > JUMP * low.usd_per_hour:
                times = high.usd_per_hour / low.usd_per_hour
                missing = _missing(stack, pool, pod, low)
                message = f"{low.name} (${low.usd_per_hour:.2f}/h) misses it by {missing}; {high.name} costs ${high.usd_per_hour:.2f}/h, ×{times:.0f}"
                yield Hit(pod.manifest, f"{pod.spec_path}.containers", message)


def _missing(stack: Stack, pool: NodePool, pod: Pod, kind: InstanceType) -> str:
    wanted = total([pod.requests, overhead(stack, pool)])
    over = {n: v - kind.allocatable[n] for n, v in wanted.items() if n in kind.allocatable and v > kind.allocatable[n]}
    return show_all(over) or "nothing"


@rule(HOP, "info", fix="Leave 512Mi or 5 %, for the next daemon set.", evidence=SCHEDULING)
def size_cliff(stack: Stack) -> Iterator[Hit]:
    """An accelerator pod fits its type with almost nothing to spare: one more daemon set and it fits no more."""
    for pod in _aimed(stack):
        for pool in open_pools(stack, pod) if wanted_devices(pod) else []:
            held = holding_types(stack, pool, pod)
            if not held:
                continue
            spare = held[0].allocatable["memory"] - total([pod.requests, overhead(stack, pool)]).get(
                "memory", Fraction(0)
            )
            if spare < 512 * MIB:
                yield Hit(
                    pod.manifest,
                    f"{pod.spec_path}.containers",
                    f"{show('memory', spare)} are left on {held[0].name} of {pool.name}",
                )


@rule(
    HOP,
    "error",
    fix="Remove schedulerName, or install that scheduler.",
    evidence="Karpenter core pkg/utils/pod/scheduling.go: a pod that no scheduler looked at is not provisionable",
)
def scheduler_name_not_installed(stack: Stack) -> Iterator[Hit]:
    """The pod waits for a scheduler that is not among the manifests: no event, no condition, no node."""
    commands = " ".join(c.command_line for pod in stack.plain_pods for c in pod.all_containers)
    names = {m.name for m in stack.manifests if m.kind in ("Deployment", "ConfigMap", "ServiceAccount")}
    well_known = ("default-scheduler", "volcano", "yunikorn", "kai-scheduler", "scheduler-plugins-scheduler")
    for pod in stack.pods:
        name = text(pod.spec.get("schedulerName"))
        if name and name not in well_known and name not in names and name not in commands:
            yield Hit(pod.manifest, f"{pod.spec_path}.schedulerName", f"nothing here runs a scheduler called {name}")


@rule(
    HOP,
    "warning",
    fix="Use a label that nodes have: kubernetes.io/hostname, topology.kubernetes.io/zone.",
    evidence="Kubernetes well-known labels; failure-domain.beta.kubernetes.io ended with 1.26 for most clouds",
)
def topology_key_unknown(stack: Stack) -> Iterator[Hit]:
    """A topologyKey that no node carries: a required term keeps the pod pending, a preferred one does nothing."""
    labels = {key for pool in stack.node_pools for key in pool.labels}
    for pod in stack.pods:
        for path, key in _topology_keys(pod):
            if (
                key not in TOPOLOGY_KEYS
                and key not in labels
                and not key.startswith(("karpenter", "node.kubernetes.io/"))
            ):
                bad = key.startswith(("kubernetes.io/", "failure-domain."))
                if bad or stack.node_pools:
                    yield Hit(pod.manifest, path, f"no node is labelled {key}")


def _topology_keys(pod: Pod) -> Iterator[tuple[str, str]]:
    for item in mappings(pod.spec.get("topologySpreadConstraints")):
        yield f"{pod.spec_path}.topologySpreadConstraints", text(item.get("topologyKey"))
    for kind in ("podAffinity", "podAntiAffinity"):
        path = f"{pod.spec_path}.affinity.{kind}"
        for term in mappings(dig(pod.spec, "affinity", kind, "requiredDuringSchedulingIgnoredDuringExecution")):
            yield path, text(term.get("topologyKey"))
        for term in mappings(dig(pod.spec, "affinity", kind, "preferredDuringSchedulingIgnoredDuringExecution")):
            yield path, text(dig(term, "podAffinityTerm", "topologyKey"))


@rule(
    HOP,
    "warning",
    fix="Pin kubernetes.io/arch in the pool, or select it in the pod.",
    evidence="Neuron and Ray's -py images are amd64; an arm64 node fails with exec format error",
)
def arch_open(stack: Stack) -> Iterator[Hit]:
    """A Ray pod may land on arm64, where its amd64 image does not start."""
    for pod in _aimed(stack):
        if not pod.role or any(key == "kubernetes.io/arch" for key, _, _, _ in pod.required_labels):
            continue
        if any("arm" in c.image or "aarch64" in c.image for c in pod.containers):
            continue
        for pool in open_pools(stack, pod):
            archs = {kind.arch for kind in pool.types}
            if archs == {"amd64", "arm64"}:
                yield Hit(
                    pool.manifest,
                    "spec.template.spec.requirements",
                    f"it admits amd64 and arm64; {pod.role} of {pod.manifest.name} selects neither",
                )


@rule(
    HOP,
    "error",
    fix="Ask for all devices of the node, or install Neuron's scheduler extension.",
    evidence="Neuron needs contiguous devices; Karpenter's scheduling page on Neuron resources",
)
def partial_device(stack: Stack) -> Iterator[Hit]:
    """A pod takes some, not all, cores of one device: two such pods cannot be placed apart without the extension."""
    for pod in _aimed(stack):
        cores, devices = pod.device(NEURON_CORE), pod.device(NEURON)
        if not cores or devices or text(pod.spec.get("schedulerName")):
            continue
        for pool in open_pools(stack, pod):
            kind = next(iter(holding_types(stack, pool, pod)), None)
            per_device = kind.neuron_cores // kind.neuron_devices if kind and kind.neuron_devices else 0
            if kind and per_device and kind.neuron_devices > 1 and cores % per_device:
                message = f"{float(cores):g} cores of {kind.name}, whose devices have {per_device} each"
                yield Hit(pod.manifest, f"{pod.spec_path}.containers", message)


@rule(
    HOP,
    "error",
    fix="Let the zones intersect.",
    evidence="a volume or a subnet in one zone is of no use to a node in another",
)
def zone_conflict(stack: Stack) -> Iterator[Hit]:
    """A pod that must run in one zone selects pools whose nodes are all in others."""
    for pod in _aimed(stack):
        zones = {v for key, op, values, _ in pod.required_labels if key == ZONE and op == "In" for v in values}
        pools = [p for p in stack.node_pools if p.values(ZONE)]
        if zones and len(pools) == len(stack.node_pools) and all(zones.isdisjoint(p.values(ZONE)) for p in pools):
            offered = sorted({zone for pool in pools for zone in pool.values(ZONE)})
            yield Hit(
                pod.manifest,
                pod.spec_path,
                f"it wants {', '.join(sorted(zones))}; the pools are in {', '.join(offered)}",
            )


@rule(
    HOP,
    "warning",
    fix="Copy the worker's device request and tolerations, with a priority below 0.",
    evidence="a placeholder warms the node that it needs itself",
)
def pause_pod_wrong(stack: Stack) -> Iterator[Hit]:
    """A placeholder that keeps no accelerator node warm: no device request, or no lower priority."""
    priorities = {m.name: m.get("value") for m in stack.of("PriorityClass")}
    neuron = any(wanted_devices(pod) for pod in stack.ray_pods)
    for pod in stack.plain_pods:
        if not neuron or not any("/pause" in container.image for container in pod.containers):
            continue
        priority = priorities.get(text(pod.spec.get("priorityClassName")))
        if not wanted_devices(pod):
            yield Hit(pod.manifest, pod.spec_path, "it asks for no device, so any node will do for it")
        if not (isinstance(priority, int) and priority < 0):
            yield Hit(
                pod.manifest,
                f"{pod.spec_path}.priorityClassName",
                "its priority is not below 0, so a worker does not displace it",
            )
