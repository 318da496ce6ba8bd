"""An EC2NodeClass: image, disks, metadata, network."""

from __future__ import annotations

import re
from collections.abc import Iterator

from cluster import support
from cluster.lint.capacity import open_pools
from cluster.lint.finding import Hit
from cluster.lint.karpenter import NodeClass, NodePool
from cluster.lint.pods import Pod
from cluster.lint.registry import rule
from cluster.lint.rules.node_pool import accelerated
from cluster.lint.stack import Stack
from cluster.objects import mapping, mappings, string_map, text
from cluster.quantity import parse

HOP = "node class"
CRD = "CRDs and CEL rules of karpenter-provider-aws v1.14.1"
AMI_FAMILIES = "pkg/providers/amifamily of karpenter-provider-aws v1.14.1"
RESERVED_TAGS = (
    "karpenter.sh/nodepool",
    "karpenter.sh/nodeclaim",
    "eks:eks-cluster-name",
    "karpenter.k8s.aws/ec2nodeclass",
)


def pools_of(stack: Stack, node_class: NodeClass) -> list[NodePool]:
    """The pools that refer to `node_class`."""
    return stack.once("pools by class", lambda: _by_class(stack)).get(node_class.name, [])


def _by_class(stack: Stack) -> dict[str, list[NodePool]]:
    found: dict[str, list[NodePool]] = {}
    for pool in stack.node_pools:
        found.setdefault(pool.class_name, []).append(pool)
    return found


def _accelerated(stack: Stack, node_class: NodeClass) -> list[NodePool]:
    return [pool for pool in pools_of(stack, node_class) if accelerated(pool)]


@rule(
    HOP,
    "warning",
    fix="Pin the alias: al2023@vYYYYMMDD.",
    evidence="Karpenter's nodeclass page: @latest drifts nodes whenever AWS publishes an AMI",
)
def ami_alias_floating(stack: Stack) -> Iterator[Hit]:
    """The AMI floats: nodes are replaced when AWS publishes one, with a driver that nobody tried."""
    for node_class in stack.node_classes:
        for index, term in enumerate(mappings(node_class.spec.get("amiSelectorTerms"))):
            written = text(term.get("alias")) or text(term.get("name"))
            if written.endswith("@latest") or "*" in written:
                yield Hit(node_class.manifest, f"spec.amiSelectorTerms[{index}]", f"{written} moves by itself")


ALIAS_VERSIONS = {  # of each family; Karpenter looks the version up as it is written, but for Bottlerocket's v
    "al2": r"latest|v\d{8}",
    "al2023": r"latest|v\d{8}",
    "bottlerocket": r"latest|v?\d+\.\d+\.\d+\S*",
    "windows2019": "latest",
    "windows2022": "latest",
    "windows2025": "latest",
}


@rule(
    HOP,
    "error",
    fix="Write family@version: al2023@vYYYYMMDD, bottlerocket@v1.20.3.",
    evidence=f"{CRD}; {AMI_FAMILIES}: the version is part of the image's name in SSM",
)
def ami_alias_invalid(stack: Stack) -> Iterator[Hit]:
    """An alias of a form that names no AMI: the API server refuses the class, or it never becomes ready."""
    for node_class in stack.node_classes:
        for index, term in enumerate(mappings(node_class.spec.get("amiSelectorTerms"))):
            alias = text(term.get("alias"))
            family, _, version = alias.partition("@")
            if not alias or "$" in alias or re.fullmatch(ALIAS_VERSIONS.get(family, r"(?!)"), version):
                continue
            known = f"none of {', '.join(ALIAS_VERSIONS)}" if family not in ALIAS_VERSIONS else ""
            meant = f"; did you mean {family}@v{version}?" if re.fullmatch(r"\d{8}", version) and not known else ""
            reason = f"the family is {known}" if known else f"`{version}` is no version of {family}{meant}"
            yield Hit(node_class.manifest, f"spec.amiSelectorTerms[{index}].alias", f"`{alias}`: {reason}")


@rule(
    HOP,
    "error",
    fix="Use al2023 or bottlerocket.",
    evidence="awslabs/amazon-eks-ami#2545: no AL2 AMIs for Kubernetes 1.33 and later, support ended on 26 November 2025",
)
def ami_al2(stack: Stack) -> Iterator[Hit]:
    """Amazon Linux 2 has no AMI for a supported Kubernetes: the class never becomes ready."""
    for node_class in stack.node_classes:
        if node_class.family == "al2":
            yield Hit(node_class.manifest, "spec.amiSelectorTerms", "AL2 ended")


@rule(
    HOP,
    "warning",
    fix="Select by alias: Karpenter then takes the neuron variant for types with accelerators.",
    evidence=AMI_FAMILIES,
)
def ami_variant_unknown(stack: Stack) -> Iterator[Hit]:
    """An AMI chosen by id, name or tag on a pool of accelerators: nothing ensures that it has the driver."""
    for node_class in stack.node_classes:
        for pool in _accelerated(stack, node_class):
            if mappings(node_class.spec.get("amiSelectorTerms")) and not node_class.aliases:
                yield Hit(
                    node_class.manifest,
                    "spec.amiSelectorTerms",
                    f"no alias, and {pool.name} makes {pool.types[0].name}",
                )


@rule(HOP, "error", fix="Write what is missing.", evidence=CRD)
def node_class_incomplete(stack: Stack) -> Iterator[Hit]:
    """Selector terms, or exactly one of role and instanceProfile, are missing: the API server refuses the class."""
    for node_class in stack.node_classes:
        for key in ("amiSelectorTerms", "subnetSelectorTerms", "securityGroupSelectorTerms"):
            if not mappings(node_class.spec.get(key)):
                yield Hit(node_class.manifest, f"spec.{key}", f"{key} is missing or empty")
        count = sum(bool(node_class.spec.get(key)) for key in ("role", "instanceProfile"))
        if count != 1:
            yield Hit(node_class.manifest, "spec.role", f"{'both' if count else 'neither'} of role and instanceProfile")


@rule(HOP, "error", fix="Let the alias stand alone, of the same family as amiFamily.", evidence=CRD)
def ami_alias_mixed(stack: Stack) -> Iterator[Hit]:
    """An alias beside other selectors, or of another family: the API server refuses the class."""
    for node_class in stack.node_classes:
        terms = mappings(node_class.spec.get("amiSelectorTerms"))
        if node_class.aliases and (len(terms) > 1 or any(len(term) > 1 for term in terms)):
            yield Hit(node_class.manifest, "spec.amiSelectorTerms", "alias must stand alone")
        family = text(node_class.spec.get("amiFamily")).lower()
        of_alias = node_class.aliases[0].partition("@")[0].lower() if node_class.aliases else family
        if family and family not in (of_alias, "custom"):
            yield Hit(node_class.manifest, "spec.amiFamily", f"amiFamily {family}, alias of {of_alias}")


@rule(HOP, "error", fix="Remove the tag.", evidence=CRD)
def reserved_tag(stack: Stack) -> Iterator[Hit]:
    """A tag that Karpenter sets itself: the API server refuses the class."""
    for node_class in stack.node_classes:
        for key in string_map(node_class.spec.get("tags")):
            if key in RESERVED_TAGS or key.startswith("kubernetes.io/cluster/"):
                yield Hit(node_class.manifest, f"spec.tags.{key}", f"{key} is reserved")


@rule(
    HOP,
    "warning",
    fix="Select by karpenter.sh/discovery alone.",
    evidence="AWS Load Balancer Controller accepts one security group per interface with the tag kubernetes.io/cluster/NAME",
)
def cluster_tag_selected(stack: Stack) -> Iterator[Hit]:
    """Security groups are chosen by kubernetes.io/cluster/NAME: a literal name, and load balancers refuse the second group."""
    for node_class in stack.node_classes:
        for index, term in enumerate(mappings(node_class.spec.get("securityGroupSelectorTerms"))):
            for key in string_map(term.get("tags")):
                if key.startswith("kubernetes.io/cluster/"):
                    yield Hit(node_class.manifest, f"spec.securityGroupSelectorTerms[{index}]", f"by tag {key}")


@rule(
    HOP,
    "info",
    fix="Leave instanceStorePolicy out, or name types with NVMe.",
    evidence="Karpenter's nodeclass page; inf2 has no instance store",
)
def raid0_without_nvme(stack: Stack) -> Iterator[Hit]:
    """RAID0 is asked for, and an admitted type has no local disk: storage falls back to the root volume."""
    for node_class in stack.node_classes:
        for pool in pools_of(stack, node_class) if node_class.raid0 else []:
            bare = [kind.name for kind in pool.types if not kind.nvme_gb]
            if bare:
                yield Hit(
                    node_class.manifest,
                    "spec.instanceStorePolicy",
                    f"{pool.name} admits {', '.join(bare[:3])} without NVMe",
                )


@rule(
    HOP,
    "warning",
    fix="100Gi or more, or RAID0 on a type with NVMe.",
    evidence="10 GB of Neuron image unpacked twice, 14.5 GB of weights; Karpenter's default root volume has 20Gi",
)
def root_volume_small(stack: Stack) -> Iterator[Hit]:
    """The volume that images are unpacked on is too small for an accelerator image and a model."""
    for node_class in stack.node_classes:
        for pool in _accelerated(stack, node_class):
            if node_class.images_gib < 50 and not (node_class.raid0 and all(kind.nvme_gb for kind in pool.types)):
                path = "spec.blockDeviceMappings"
                message = f"{node_class.images_device} has {float(node_class.images_gib):g}Gi < 50Gi for {pool.name}"
                yield Hit(node_class.manifest, path, message)


@rule(HOP, "warning", fix="Size /dev/xvda on AL2023 and /dev/xvdb on Bottlerocket.", evidence=AMI_FAMILIES)
def data_volume_on_wrong_family(stack: Stack) -> Iterator[Hit]:
    """The sized volume is not the one that holds images in this AMI family."""
    for node_class in stack.node_classes:
        devices = set(node_class.volumes)
        if node_class.family == "al2023" and "/dev/xvdb" in devices:
            yield Hit(node_class.manifest, "spec.blockDeviceMappings", "/dev/xvdb is unused on AL2023, and billed")
        if node_class.family == "bottlerocket" and devices == {"/dev/xvda"}:
            yield Hit(
                node_class.manifest,
                "spec.blockDeviceMappings",
                "Bottlerocket keeps images on /dev/xvdb, which has 20Gi",
            )


@rule(
    HOP,
    "warning",
    fix="Use gp3; set throughput above 125 for images of many GB.",
    evidence="gp3 gives 125 MiB/s unless more is asked for: a 10 GB image needs 80 s to write",
)
def root_volume_slow(stack: Stack) -> Iterator[Hit]:
    """The image volume of an accelerator pool writes at gp3's base rate, or is gp2: minutes of each cold start."""
    for node_class in stack.node_classes:
        volume = node_class.volumes.get(node_class.images_device, {})
        for pool in _accelerated(stack, node_class):
            if node_class.raid0 and all(kind.nvme_gb for kind in pool.types):
                continue
            throughput = parse(volume.get("throughput"))
            if text(volume.get("volumeType"), "gp3") == "gp2" or throughput is None or throughput <= 125:
                shown = "125" if throughput is None else f"{float(throughput):g}"
                yield Hit(
                    node_class.manifest, "spec.blockDeviceMappings", f"{shown} MiB/s for {pool.name}", severity="info"
                )


@rule(
    HOP,
    "warning",
    fix="Give the pods' ServiceAccount a role by Pod Identity or IRSA.",
    evidence="IMDSv2 with hop limit 2 and more hands the node's credentials to every pod",
)
def imds_open_to_pods(stack: Stack) -> Iterator[Hit]:
    """The instance metadata is reachable from pods: whoever runs code in one has the node's role."""
    for node_class in stack.node_classes:
        options = mapping(node_class.spec.get("metadataOptions"))
        hops = parse(options.get("httpPutResponseHopLimit"))
        if text(options.get("httpTokens")) == "optional":
            yield Hit(node_class.manifest, "spec.metadataOptions.httpTokens", "IMDSv1 is allowed")
        elif hops is not None and hops > 1:
            yield Hit(
                node_class.manifest, "spec.metadataOptions.httpPutResponseHopLimit", f"hop limit {float(hops):g} > 1"
            )


@rule(
    HOP,
    "warning",
    fix="encrypted: true.",
    evidence="EBS volumes are unencrypted unless the account's default says otherwise",
)
def volume_unencrypted(stack: Stack) -> Iterator[Hit]:
    """A volume of the node is explicitly not encrypted."""
    for node_class in stack.node_classes:
        for device, volume in node_class.volumes.items():
            if volume.get("encrypted") is False:
                yield Hit(node_class.manifest, "spec.blockDeviceMappings", f"{device} is not encrypted")


@rule(
    HOP,
    "warning",
    fix="Select subnets by tag, in several zones; EC2 offers trn1 in few.",
    evidence="EC2 offers each accelerator type in some zones of a region only",
)
def single_subnet(stack: Stack) -> Iterator[Hit]:
    """One subnet by id: one zone's shortage, or a zone without the type, and no node is ever made."""
    for node_class in stack.node_classes:
        terms = mappings(node_class.spec.get("subnetSelectorTerms"))
        if len(terms) == 1 and text(terms[0].get("id")):
            yield Hit(node_class.manifest, "spec.subnetSelectorTerms", f"only {text(terms[0].get('id'))}")


@rule(
    HOP,
    "info",
    fix="Subtract them when you size pods.",
    evidence="allocatable is computed here with Karpenter's defaults",
)
def kubelet_shifts_allocatable(stack: Stack) -> Iterator[Hit]:
    """Reserved resources are set by hand, so allocatable differs from what this lint computes."""
    for node_class in stack.node_classes:
        kubelet = mapping(node_class.spec.get("kubelet"))
        keys = [
            key
            for key in ("kubeReserved", "systemReserved", "evictionHard", "maxPods", "podsPerCore")
            if key in kubelet
        ]
        if keys:
            yield Hit(node_class.manifest, "spec.kubelet", f"{', '.join(keys)} set")


@rule(
    HOP,
    "error",
    fix="Pin an AMI or an image that goes with the other: `python -m cluster support` prints which.",
    evidence="Neuron runtime notes: driver 2.29 requires runtime library 2.33; EKS's AMI takes the newest driver when it is built",
)
def sdk_driver_pair(stack: Stack) -> Iterator[Hit]:
    """The AMI's Neuron driver refuses the runtime in the image (SDK 2.30 and older): nrt_init fails on every replica."""
    for pod in stack.ray_pods:
        sdk = _sdk(pod)
        for ami in _amis(stack, pod) if sdk else ():
            pair = support.Combination(sdk=sdk, library=False, ami=ami)
            for problem in support.errors(pair):
                yield Hit(pod.manifest, f"{pod.spec_path}.containers", problem.message)


def _sdk(pod: Pod) -> str | None:
    """Of the image whose tag names one, else of this code's own workers where the pod runs them."""
    named = next((sdk for c in pod.containers if (sdk := support.sdk_of_image(c.image))), None)
    ours = any(container.env.get("CHATBOT_RUNNER__KIND") == "neuron" for container in pod.containers)
    return named or (support.served_sdk() if ours else None)


def _amis(stack: Stack, pod: Pod) -> list[str]:
    """The aliases of the nodes with accelerators that the pod may run on."""
    classes = [stack.node_class(pool) for pool in open_pools(stack, pod) if accelerated(pool)]
    return sorted({alias for node_class in classes if node_class for alias in node_class.aliases})
