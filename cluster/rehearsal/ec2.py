"""The AWS account of the rehearsal: moto in memory, seeded with what an EKS cluster has, and two answers that it lacks.

    python -m cluster.rehearsal.ec2 ADDRESS PORT ZONES CACHE

ZONES as `a,b,c` are those that the cluster has subnets in; CACHE is the folder that `catalogue` keeps answers in.

Karpenter's AWS provider describes everything here: instance types with the zones that offer them, prices, subnets, security
groups, images, roles. What it launches it keeps in its own memory.
"""

from __future__ import annotations

import json
import re
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3  # type: ignore[import-untyped]
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

from cluster import instance_types
from cluster.rehearsal.addresses import CLUSTER, NODE_ROLE, REGION
from cluster.rehearsal.catalogue import Catalogue
from cluster.rehearsal.control_plane import SERVICE_ADDRESSES

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

# The releases of the EKS AMI that exist in this world: those that our manifests have pinned. Others are unknown here, as a
# mistyped one is to AWS.
AMI_RELEASES = frozenset({"v20260618"})
AMI_VARIANTS = {"x86_64": ("standard", "neuron", "nvidia"), "arm64": ("standard", "nvidia")}
# The provider refuses an empty list of bare-metal prices.
METAL_USD_PER_HOUR = {"m5.metal": 4.608}
SUBNET_TAGS = {"karpenter.sh/discovery": CLUSTER, "kubernetes.io/role/internal-elb": "1"}
SECURITY_GROUP_TAGS = {"karpenter.sh/discovery": CLUSTER}
READY_PATH = "/ready"
ACCOUNT = "123456789012"  # moto's

_AMI = re.compile(
    r"/aws/service/eks/optimized-ami/(?P<minor>1\.\d+)/amazon-linux-2023/(?P<architecture>\w+)/(?P<variant>\w+)/"
    r"(?:recommended|amazon-eks-node-al2023-(?P=architecture)-(?P=variant)-(?P=minor)-(?P<release>v\d+))/image_id"
)

# Image ids by architecture and variant.
Images = Mapping[tuple[str, str], str]


def image_of(parameter: str, images: Images) -> str | None:
    """What the SSM parameter of an EKS AMI holds, None where there is no such parameter."""
    name = _AMI.fullmatch(parameter)
    if name is None or (name["release"] is not None and name["release"] not in AMI_RELEASES):
        return None
    return images.get((name["architecture"], name["variant"]))


def price_list(filters: Iterable[Mapping[str, str]]) -> list[str]:
    """On-demand prices as the Price List Service answers GetProducts: a JSON document for each type."""
    family = {entry["Field"]: entry["Value"] for entry in filters}.get("productFamily", "")
    known = {name: row.usd_per_hour for name, row in instance_types.table().items() if row.usd_per_hour is not None}
    return [
        json.dumps(
            {
                "product": {"attributes": {"instanceType": name}},
                "terms": {"OnDemand": {"term": {"priceDimensions": {"hour": {"pricePerUnit": {"USD": str(usd)}}}}}},
            }
        )
        for name, usd in (METAL_USD_PER_HOUR if "bare metal" in family else known).items()
    ]


class Front:
    """A WSGI application: moto, and before it the two calls that it cannot answer."""

    def __init__(self, behind: WSGIApplication, images: Images) -> None:
        self._behind = behind
        self._images = images

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        if environ.get("PATH_INFO") == READY_PATH:
            start_response("200 OK" if self._images else "503 Service Unavailable", [("Content-Length", "0")])
            return []
        operation = environ.get("HTTP_X_AMZ_TARGET", "").rpartition(".")[2]
        if operation not in {"GetProducts", "GetParameter"}:
            return self._behind(environ, start_response)
        asked = json.loads(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)) or b"{}")
        status, answer = self._products(asked) if operation == "GetProducts" else self._parameter(asked)
        body = json.dumps(answer).encode()
        headers = [("Content-Type", "application/x-amz-json-1.1"), ("Content-Length", str(len(body)))]
        start_response(status, headers)
        return [body]

    def _products(self, asked: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
        return "200 OK", {"FormatVersion": "aws_v1", "PriceList": price_list(asked.get("Filters", []))}

    def _parameter(self, asked: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
        image = image_of(asked["Name"], self._images)
        if image is None:
            return "400 Bad Request", {"__type": "ParameterNotFound", "message": f"{asked['Name']} not found."}
        return "200 OK", {"Parameter": {"Name": asked["Name"], "Type": "String", "Version": 1, "Value": image}}


def seed(url: str, zones: Sequence[str]) -> Images:
    """Make VPC, subnets, security group, node role and cluster, and choose an image for each kind of AMI."""
    session = boto3.Session("rehearsal", "rehearsal", region_name=REGION)  # moto lets everybody in
    ec2, iam, eks = (session.client(service, endpoint_url=url) for service in ("ec2", "iam", "eks"))
    vpc = ec2.create_vpc(CidrBlock="10.44.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.44.{number}.0/24", AvailabilityZone=f"{REGION}{zone}")["Subnet"]
        for number, zone in enumerate(zones)
    ]
    ids = [subnet["SubnetId"] for subnet in subnets]
    if ids:
        ec2.create_tags(Resources=ids, Tags=_tags(SUBNET_TAGS))
    group = ec2.create_security_group(GroupName="nodes", Description="Of the nodes", VpcId=vpc)["GroupId"]
    ec2.create_tags(Resources=[group], Tags=_tags(SECURITY_GROUP_TAGS))
    iam.create_role(RoleName=NODE_ROLE, AssumeRolePolicyDocument="{}")
    eks.create_cluster(
        name=CLUSTER,
        roleArn=f"arn:aws:iam::{ACCOUNT}:role/cluster",
        resourcesVpcConfig={"subnetIds": ids},
        kubernetesNetworkConfig={"serviceIpv4Cidr": SERVICE_ADDRESSES},
    )
    return _choose_images(ec2.describe_images()["Images"])


def _choose_images(shipped: Sequence[Mapping[str, Any]]) -> Images:
    """A different one of moto's images for each kind, so that a node's image tells which AMI was taken."""
    chosen: dict[tuple[str, str], str] = {}
    for architecture, variants in AMI_VARIANTS.items():
        ids = [image["ImageId"] for image in shipped if image.get("Architecture") == architecture]
        chosen.update({(architecture, variant): ids[n] for n, variant in enumerate(variants)})
    return chosen


def _tags(values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in values.items()]


class _Quiet(WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        if not str(code).startswith(("2", "3")):
            super().log_request(code, size)


def serve(address: str, port: int, zones: Sequence[str], cache: Path) -> None:
    """Serve until the process ends; READY_PATH is answered with 200 once the account is seeded."""
    images: dict[tuple[str, str], str] = {}
    server = make_server(
        address,
        port,
        Front(Catalogue(DomainDispatcherApplication(create_backend_app), cache), images),
        threaded=True,
        request_handler=_Quiet,
    )
    thread = threading.Thread(target=server.serve_forever, daemon=True)  # it ends with an account that cannot be seeded
    thread.start()
    images.update(seed(f"http://{address}:{port}", zones))
    thread.join()


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]), [zone for zone in sys.argv[3].split(",") if zone], Path(sys.argv[4]))
