"""A NodePool by itself and against the workers that it has to hold."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches

from cluster.instance_types import InstanceType, table
from cluster.lint.capacity import bound_groups
from cluster.lint.finding import Hit, Severity
from cluster.lint.karpenter import CAPACITY_TYPE, TYPE_DOMAIN, NodePool, type_label
from cluster.lint.registry import rule
from cluster.lint.stack import Stack
from cluster.objects import dig, mapping, mappings, text

HOP = "node pool"
CRD = "CRDs of karpenter-provider-aws v1.14.1"
LIMITS = "Karpenter core scheduler.go: a type whose capacity exceeds what is left of any limit is left out"
PRICES = "on-demand prices of us-east-1, Karpenter's static table"
WIDE = 8.0


def accelerated(pool: NodePool) -> bool:
    """Whether every type of the pool has an accelerator, as on a pool made for them."""
    kinds = pool.types
    return bool(kinds) and all(kind.neuron_devices or kind.nvidia_gpus for kind in kinds)


@rule(HOP, "error", fix="Write group, kind and name.", evidence=f"{CRD}: all three are required")
def nodeclassref_incomplete(stack: Stack) -> Iterator[Hit]:
    """NodeClassRef lacks group, kind or name: the API server refuses the pool."""
    for pool in stack.node_pools:
        lacking = [key for key in ("group", "kind", "name") if not text(dig(pool.node, "nodeClassRef", key))]
        if lacking:
            yield Hit(pool.manifest, "spec.template.spec.nodeClassRef", f"it lacks {', '.join(lacking)}")


@rule(
    HOP,
    "error",
    fix="Render that node class, or correct the name.",
    evidence="Karpenter: a pool whose class is missing is not ready and makes nothing",
)
def nodeclassref_unresolved(stack: Stack) -> Iterator[Hit]:
    """The pool refers to an EC2NodeClass that is not among the manifests."""
    for pool in stack.node_pools:
        kind = text(dig(pool.node, "nodeClassRef", "kind"))
        if stack.node_classes and kind == "EC2NodeClass" and pool.class_name and stack.node_class(pool) is None:
            known = ", ".join(c.name for c in stack.node_classes)
            yield Hit(pool.manifest, "spec.template.spec.nodeClassRef", f"{pool.class_name} is not among {known}")


@rule(HOP, "error", fix="Write consolidateAfter.", evidence=f"{CRD}: required inside disruption")
def disruption_without_consolidate_after(stack: Stack) -> Iterator[Hit]:
    """`disruption` is written without consolidateAfter: the API server refuses the pool."""
    for pool in stack.node_pools:
        if pool.disruption and "consolidateAfter" not in pool.disruption:
            yield Hit(pool.manifest, "spec.disruption", "consolidateAfter is missing")


def price(kind: InstanceType) -> float:
    """Dollars an hour, 0 where the table has no price."""
    return kind.usd_per_hour or 0.0


@rule(HOP, "warning", fix="Name the types.", evidence=PRICES)
def open_instance_family(stack: Stack) -> Iterator[Hit]:
    """A pool of accelerators admits types of very different price."""
    for pool in stack.node_pools:
        prices = sorted((price(kind), kind.name) for kind in pool.types if kind.usd_per_hour)
        if accelerated(pool) and prices and prices[-1][0] >= WIDE * prices[0][0]:
            (low, cheap), (high, dear) = prices[0], prices[-1]
            yield Hit(
                pool.manifest,
                "spec.template.spec.requirements",
                f"{cheap} ${low:.2f}/h to {dear} ${high:.2f}/h, ×{high / low:.0f}",
            )


@rule(
    HOP,
    "warning",
    fix="Exclude inf1: name the types, or generation Gt 1.",
    evidence="inf1 has NeuronCore-v1: no transformers-neuronx, no SDK since 2.26's driver split",
)
def inf1_admitted(stack: Stack) -> Iterator[Hit]:
    """The pool admits inf1 beside newer accelerators, and nothing of today's runs there."""
    for pool in stack.node_pools:
        families = {kind.family for kind in pool.types if kind.neuron_devices}
        if "inf1" in families and len(families) > 1:
            yield Hit(pool.manifest, "spec.template.spec.requirements", f"it admits {', '.join(sorted(families))}")


@rule(
    HOP,
    "error",
    fix="Make the requirements meet: at least one type must pass all of them.",
    evidence="Karpenter logs `nodepool requirements filtered out all instance types`, and pods stay pending",
)
def no_type_admitted(stack: Stack) -> Iterator[Hit]:
    """The requirements exclude every instance type that is known here."""
    for pool in stack.node_pools:
        about = [need for need in pool.requirements if type_label(need.key) in _type_keys()]
        if about and not pool.types and all(_known(need.values, need.key) for need in about):
            shown = "; ".join(f"{need.key} {need.operator} [{', '.join(need.values)}]" for need in about)
            severity: Severity = "error" if all(_listed(need.values, need.key) for need in about) else "warning"
            message = f"no type passes {shown[:300]}"
            yield Hit(pool.manifest, "spec.template.spec.requirements", message, severity=severity)


@rule(
    HOP,
    "info",
    fix="Remove it, or lift the requirement that excludes it.",
    evidence="EC2's types as moto 5.2 lists them",
)
def requirement_value_unreachable(stack: Stack) -> Iterator[Hit]:
    """A listed instance type is unknown here, or excluded by another requirement."""
    for pool in stack.node_pools:
        names = {kind.name for kind in pool.types}
        for need in pool.requirements:
            listed = (
                need.values
                if type_label(need.key) == "node.kubernetes.io/instance-type" and need.operator == "In"
                else ()
            )
            unreachable = [name for name in listed if name not in names and ".metal" not in name]
            if unreachable and names:
                yield Hit(pool.manifest, need.path, f"{', '.join(unreachable[:5])} can never be made")


LABEL_VALUES = {  # the values that a node of EC2's can have
    CAPACITY_TYPE: ("on-demand", "spot", "reserved"),
    "kubernetes.io/arch": ("amd64", "arm64"),
    "kubernetes.io/os": ("linux", "windows"),
}
OTHER_NAMES = {"x86_64": "amd64", "x86": "amd64", "aarch64": "arm64"}


@rule(
    HOP,
    "error",
    fix="Write the value as Karpenter and the kubelet label nodes.",
    evidence="Karpenter's well-known labels; a requirement that no offering meets makes nothing, and pods stay pending",
)
def requirement_value_unknown(stack: Stack) -> Iterator[Hit]:
    """A capacity type, architecture or operating system that no node has."""
    for pool in stack.node_pools:
        for need in pool.requirements:
            known = LABEL_VALUES.get(need.key, need.values) if need.operator in ("In", "NotIn") else need.values
            unknown = [value for value in need.values if value not in known and "$" not in value]
            if unknown:
                near = OTHER_NAMES.get(unknown[0]) or next(iter(get_close_matches(unknown[0].lower(), known, n=1)), "")
                meant = f"did you mean {near}?" if near else f"it is {', '.join(known)}"
                # Beside a value that exists, or in NotIn, it changes nothing today.
                severity: Severity = (
                    "error" if need.operator == "In" and len(unknown) == len(need.values) else "warning"
                )
                message = f"no node has {need.key} {', '.join(unknown)}; {meant}"
                yield Hit(pool.manifest, need.path, message, severity=severity)


def _type_keys() -> set[str]:
    return set(next(iter(table().values())).labels)


def _known(values: tuple[str, ...], key: str) -> bool:
    """Whether the table has every listed value or its family, so that an empty result is the pool's fault."""
    families = {kind.family for kind in table().values()}
    return _listed(values, key) or all(value.partition(".")[0] in families for value in values)


def _listed(values: tuple[str, ...], key: str) -> bool:
    """Whether the table has every listed value."""
    if type_label(key) not in ("node.kubernetes.io/instance-type", f"{TYPE_DOMAIN}family"):
        return True
    have = {kind.labels[type_label(key)] for kind in table().values()}
    return all(value in have for value in values)


@rule(
    HOP,
    "warning",
    fix="Taint it, and tolerate the taint where it is meant.",
    evidence="anything without a selector may land there and keep a node of accelerators up",
)
def accelerator_pool_untainted(stack: Stack) -> Iterator[Hit]:
    """A pool of accelerators has no taint: any pod of the cluster may keep its nodes alive."""
    for pool in stack.node_pools:
        hard = [taint for taint in pool.taints if text(taint.get("effect")) != "PreferNoSchedule"]
        if accelerated(pool) and not hard:
            yield Hit(pool.manifest, "spec.template.spec.taints", f"{pool.types[0].name} and no taint")


@rule(
    HOP,
    "error",
    fix="Use trainium, inferentia2 or inferentia as Karpenter labels them.",
    evidence="Karpenter 1.1 notes: instance-accelerator-name tells inferentia from inferentia2 since then",
)
def accelerator_name_value(stack: Stack) -> Iterator[Hit]:
    """instance-accelerator-name asks for a name that no type carries, or for inferentia where inf2 is meant."""
    names = {kind.accelerator for kind in table().values() if kind.neuron_devices}
    for pool in stack.node_pools:
        for need in pool.requirements:
            if type_label(need.key) != f"{TYPE_DOMAIN}accelerator-name" or need.operator != "In":
                continue
            wrong = [value for value in need.values if value not in names]
            families = pool.values(f"{TYPE_DOMAIN}family")
            if wrong:
                yield Hit(pool.manifest, need.path, f"{', '.join(wrong)} is none of {', '.join(sorted(names))}")
            elif need.values == ("inferentia",) and "inf2" in families:
                yield Hit(pool.manifest, need.path, "inferentia is inf1; inf2 carries inferentia2")


@rule(
    HOP,
    "error",
    fix="Remove it, or install what removes it.",
    evidence="Karpenter core initialization.go: a node with a startup taint is never initialised, and never consolidated",
)
def startup_taint_no_remover(stack: Stack) -> Iterator[Hit]:
    """A startup taint that nothing among the manifests is known to remove: nodes stay unusable and are paid for."""
    known = (
        "ebs.csi.aws.com",
        "efs.csi.aws.com",
        "node.cilium.io",
        "readiness.k8s.io",
        "nvidia.com",
        "node.istio.io",
        "node.cloudprovider",
    )
    named = " ".join(
        f"{c.command_line} {' '.join(v or '' for v in c.env.values())}"
        for pod in stack.plain_pods
        for c in pod.all_containers
    )
    for pool in stack.node_pools:
        for index, taint in enumerate(mappings(pool.node.get("startupTaints"))):
            key = text(taint.get("key"))
            path = f"spec.template.spec.startupTaints[{index}]"
            if key.startswith("karpenter.sh/"):
                yield Hit(pool.manifest, path, f"{key} belongs to Karpenter itself")
            elif not key.startswith(known) and key not in named:
                yield Hit(pool.manifest, path, f"nothing here removes {key}")


@rule(
    HOP,
    "warning",
    fix="Add reserved to the capacity types, or remove the reservation terms.",
    evidence="Karpenter's ODCR page: without `reserved` the reservation is paid for and not used",
)
def reservation_mismatch(stack: Stack) -> Iterator[Hit]:
    """A capacity reservation is selected and the pool does not ask for reserved capacity, or the reverse."""
    for pool in stack.node_pools:
        node_class = stack.node_class(pool)
        if node_class is None:
            continue
        terms = mappings(node_class.spec.get("capacityReservationSelectorTerms"))
        reserved = "reserved" in pool.values(CAPACITY_TYPE)
        if terms and not reserved:
            yield Hit(
                pool.manifest,
                "spec.template.spec.requirements",
                f"{node_class.name} selects reservations; capacity types are {', '.join(pool.values(CAPACITY_TYPE)) or 'not restricted'}",
            )
        elif reserved and not terms:
            yield Hit(
                pool.manifest,
                "spec.template.spec.requirements",
                f"capacity type reserved, and {node_class.name} selects no reservation",
            )


@rule(
    HOP,
    "warning",
    fix="Use on-demand or reserved, or two replicas and more and short answers.",
    evidence="spot is reclaimed two minutes after its notice; a stream of five minutes is cut",
)
def spot_for_streams(stack: Stack) -> Iterator[Hit]:
    """Serving workers may run on spot with one replica: a reclaim ends every stream, and the service."""
    for pool in stack.node_pools:
        for cluster, group in bound_groups(stack, pool):
            config = stack.config_of(cluster)
            least = min((d.bounds[0] for d in config.deployments if d.bounds), default=0) if config else 0
            if "spot" in pool.values(CAPACITY_TYPE) and cluster.is_service and least < 2:
                yield Hit(
                    pool.manifest,
                    "spec.template.spec.requirements",
                    f"spot for {group.name}, whose service may have {least} replica(s)",
                )


@rule(HOP, "error", fix="Static pools take `replicas` and limits.nodes, nothing else.", evidence=CRD)
def static_pool_invalid(stack: Stack) -> Iterator[Hit]:
    """A static pool (`replicas`) with a weight or other limits: the API server refuses it."""
    for pool in stack.node_pools:
        if "replicas" in pool.manifest.spec:
            wrong = [key for key in mapping(pool.manifest.spec.get("limits")) if key != "nodes"]
            wrong += ["weight"] if "weight" in pool.manifest.spec else []
            if wrong:
                yield Hit(pool.manifest, "spec.replicas", f"replicas together with {', '.join(map(str, wrong))}")
