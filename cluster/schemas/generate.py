"""Makes `crds.json` and `cluster/instance_types.json` from the pinned Go modules and from moto's copy of EC2's answers.

    python -m cluster.schemas.generate           writes both
    python -m cluster.schemas.generate --check   exits 1 where a committed file differs

Needs Go and the Go module proxy, and moto (the dev extra). The files are committed, so that nothing else needs them.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import subprocess
import sys
from collections.abc import Mapping
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import yaml

KARPENTER = "github.com/aws/karpenter-provider-aws@v1.14.1"
KUBERAY = "github.com/ray-project/kuberay/ray-operator@v1.6.1"
CRDS = {  # module -> folder and files; the provider's copies of Karpenter's own CRDs are the stricter ones
    KARPENTER: (
        "pkg/apis/crds",
        (
            "karpenter.sh_nodepools.yaml",
            "karpenter.sh_nodeclaims.yaml",
            "karpenter.sh_nodeoverlays.yaml",
            "karpenter.k8s.aws_ec2nodeclasses.yaml",
        ),
    ),
    KUBERAY: (
        "config/crd/bases",
        ("ray.io_rayclusters.yaml", "ray.io_rayservices.yaml", "ray.io_rayjobs.yaml", "ray.io_raycronjobs.yaml"),
    ),
}
LICENCE = "Apache-2.0"
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
PRICES = "pkg/providers/pricing/zz_generated.pricing_aws.go"
PRICE_REGION = "us-east-1"

HERE = Path(__file__).parent
SCHEMAS_FILE = HERE / "crds.json"
INSTANCE_TYPES_FILE = HERE.parent / "instance_types.json"


def module_folder(module: str) -> Path:
    """Where the Go module cache holds `path@version`, downloaded if need be."""
    done = subprocess.run(["go", "mod", "download", "-json", module], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"go mod download {module} failed: {done.stdout}{done.stderr}")
    return Path(json.loads(done.stdout)["Dir"])


class _Nodes:
    """Schema nodes, each kept once."""

    def __init__(self) -> None:
        self.nodes: list[dict[str, Any]] = []
        self._index: dict[str, int] = {}

    def add(self, schema: Mapping[str, Any]) -> int:
        node = self._compact(schema)
        key = json.dumps(node, sort_keys=True)
        if key not in self._index:
            self._index[key] = len(self.nodes)
            self.nodes.append(node)
        return self._index[key]

    def _compact(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        node: dict[str, Any] = {
            key: schema[key] for key in ("type", "enum", "pattern", "minimum", "maximum") if key in schema
        }
        if schema.get("x-kubernetes-int-or-string"):
            node = {"int_or_string": True}
        if schema.get("x-kubernetes-preserve-unknown-fields"):
            node["open"] = True
        # The API server fills in defaults before it looks for what is missing.
        defaulted = {name for name, child in schema.get("properties", {}).items() if "default" in child}
        if set(schema.get("required", ())) - defaulted:
            node["required"] = sorted(set(schema["required"]) - defaulted)
        if "properties" in schema:
            node["properties"] = {name: self.add(child) for name, child in sorted(schema["properties"].items())}
        if isinstance(schema.get("additionalProperties"), Mapping):
            node["values"] = self.add(schema["additionalProperties"])
        if "items" in schema:
            node["items"] = self.add(schema["items"])
        if "x-kubernetes-validations" in schema:
            node["rules"] = [[rule["rule"], rule.get("message", "")] for rule in schema["x-kubernetes-validations"]]
        return node


def schemas() -> str:
    """The text of `crds.json`."""
    nodes, kinds, sources = _Nodes(), {}, []
    for module, (folder, files) in CRDS.items():
        for file in files:
            text = (module_folder(module) / folder / file).read_text(encoding="utf-8")
            definition = yaml.load(text, Loader=_LOADER)["spec"]  # noqa: S506 - a safe loader, the C one where there is one
            for version in definition["versions"]:
                root = version["schema"]["openAPIV3Schema"]
                if version["name"] == "v1alpha1" and len(definition["versions"]) > 1:
                    continue  # served for old clients only; what it knew is in v1
                kinds[f"{definition['group']}/{version['name']}/{definition['names']['kind']}"] = nodes.add(root)
                if definition["names"]["kind"] == "RayCluster":
                    kinds["PodTemplate"] = nodes.add(_pod_template(root))
            sources.append({"module": module, "file": f"{folder}/{file}", "licence": LICENCE})
    return _document({"sources": sources, "kinds": kinds}, "nodes", [json.dumps(node) for node in nodes.nodes])


def _pod_template(cluster: Mapping[str, Any]) -> Mapping[str, Any]:
    spec: Mapping[str, Any] = cluster["properties"]["spec"]["properties"]["headGroupSpec"]["properties"]["template"]
    return spec


def instance_types() -> str:
    """The text of `instance_types.json`: one line a type."""
    text = (module_folder(KARPENTER) / PRICES).read_text(encoding="utf-8")
    stamp = re.search(r"generated at (\d{4}-\d{2}-\d{2})", text)
    region = re.search(rf'"{PRICE_REGION}": \{{(.*?)\n\t\}},', text, re.DOTALL)
    if not stamp or not region:
        raise SystemExit(f"{PRICES} has another form than expected")
    prices = {name: float(price) for name, price in re.findall(r'"([a-z0-9.-]+)": ([0-9.]+)', region[1])}
    packed = (resources.files("moto") / "ec2/resources/instance_types.json.gz").read_bytes()
    described: Mapping[str, Any] = json.loads(gzip.decompress(packed))
    sources = [
        {
            "what": f"on-demand $/h in {PRICE_REGION}",
            "date": stamp[1],
            "from": f"{KARPENTER} {PRICES}",
            "licence": LICENCE,
        },
        {
            "what": "everything else: EC2's answers to DescribeInstanceTypes",
            "from": f"moto {metadata.version('moto')} ec2/resources/instance_types.json.gz",
            "licence": LICENCE,
        },
    ]
    rows = [
        f"{json.dumps(name)}: {json.dumps(_row(described[name], prices.get(name)))}"
        for name in sorted(described)
        if not described[name].get("BareMetal")
    ]
    head = json.dumps({"sources": sources, "columns": COLUMNS}, indent=1)[:-2]
    return f'{head},\n "types": {{\n' + ",\n".join(rows) + "\n}}\n"


COLUMNS = [
    "vcpus", "memory_mib", "arch", "network_interfaces", "addresses_per_interface", "nvme_gb", "accelerator",
    "neuron_devices", "neuron_cores", "neuron_device_memory_mib", "nvidia_gpus", "usd_per_hour",
]  # fmt: skip


def _row(info: Mapping[str, Any], price: float | None) -> list[Any]:
    network = info["NetworkInfo"]
    card = network["NetworkCards"][network.get("DefaultNetworkCardIndex", 0)]
    neuron = info.get("NeuronInfo", {}).get("NeuronDevices", [])
    gpus = [gpu for gpu in info.get("GpuInfo", {}).get("Gpus", []) if gpu["Manufacturer"] == "NVIDIA"]
    device = neuron[0] if neuron else {}
    return [
        info["VCpuInfo"]["DefaultVCpus"],
        info["MemoryInfo"]["SizeInMiB"],
        {"x86_64": "amd64", "arm64": "arm64"}.get(info["ProcessorInfo"]["SupportedArchitectures"][-1], "amd64"),
        card["MaximumNetworkInterfaces"],
        network["Ipv4AddressesPerInterface"],
        info.get("InstanceStorageInfo", {}).get("TotalSizeInGB", 0),
        str(device.get("Name") or (gpus[0]["Name"] if gpus else "")).lower(),
        sum(item["Count"] for item in neuron),
        sum(item["Count"] * item["CoreInfo"]["Count"] for item in neuron),
        device.get("MemoryInfo", {}).get("SizeInMiB", 0),
        sum(int(gpu["Count"]) for gpu in gpus),
        price,
    ]


def _document(head: Mapping[str, Any], name: str, rows: list[str]) -> str:
    return json.dumps(head, indent=1)[:-2] + f',\n "{name}": [\n' + ",\n".join(rows) + "\n]}\n"


def main() -> int:
    """Write, or compare with what is committed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the committed files instead of writing")
    check = parser.parse_args().check
    different = []
    for file, content in ((SCHEMAS_FILE, schemas()), (INSTANCE_TYPES_FILE, instance_types())):
        if check and file.read_text(encoding="utf-8") != content:
            different.append(file.name)
        elif not check:
            file.write_text(content, encoding="utf-8")
    if different:
        sys.stderr.write(f"not what the modules give: {', '.join(different)}; run python -m cluster.schemas.generate\n")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
