"""A small, well-formed stack that no rule complains about, and a way to break one thing in it."""

from __future__ import annotations

import copy
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from cluster.documents import read
from cluster.lint.stack import Stack
from cluster.objects import Manifest

SERVE = """
proxy_location: EveryNode
http_options: {host: 0.0.0.0, port: 8000, request_timeout_s: 330}
applications:
  - name: chatbot
    route_prefix: /
    import_path: serving.app:build_app
    args: {runner: {slots: 8, positions: 2048}, engine: {longest_answer_s: 300}, api: {api_keys_file: /etc/chatbot/keys}}
    deployments:
      - name: Chat
        max_ongoing_requests: 24
        max_queued_requests: 24
        graceful_shutdown_timeout_s: 335
        autoscaling_config:
          {min_replicas: 1, max_replicas: 2, target_ongoing_requests: 6, downscale_delay_s: 600, look_back_period_s: 30}
        ray_actor_options: {num_cpus: 4, resources: {neuron_cores: 2}}
"""

# The keys are the names by which cases address an object.
CLEAN = """
namespace: {apiVersion: v1, kind: Namespace, metadata: {name: chat}}
pool:
  apiVersion: karpenter.sh/v1
  kind: NodePool
  metadata: {name: trn}
  spec:
    template:
      metadata: {labels: {accelerator: trn}}
      spec:
        taints: [{key: aws.amazon.com/neuron, value: "true", effect: NoSchedule}]
        requirements:
          - {key: node.kubernetes.io/instance-type, operator: In, values: [trn1.2xlarge]}
          - {key: kubernetes.io/arch, operator: In, values: [amd64]}
          - {key: karpenter.sh/capacity-type, operator: In, values: [on-demand]}
        expireAfter: Never
        terminationGracePeriod: 30m
        nodeClassRef: {group: karpenter.k8s.aws, kind: EC2NodeClass, name: trn}
    limits: {aws.amazon.com/neuron: "4"}
    disruption:
      consolidationPolicy: WhenEmpty
      consolidateAfter: 300s
      budgets:
        - {nodes: "100%", reasons: [Empty]}
        - {nodes: "0", reasons: [Underutilized, Drifted]}
class:
  apiVersion: karpenter.k8s.aws/v1
  kind: EC2NodeClass
  metadata: {name: trn}
  spec:
    amiFamily: AL2023
    amiSelectorTerms: [{alias: al2023@v20260618}]
    role: nodes
    instanceStorePolicy: RAID0
    subnetSelectorTerms: [{tags: {karpenter.sh/discovery: blue}}]
    securityGroupSelectorTerms: [{tags: {karpenter.sh/discovery: blue}}]
    metadataOptions: {httpTokens: required, httpPutResponseHopLimit: 1}
    blockDeviceMappings:
      - {deviceName: /dev/xvda, ebs: {volumeType: gp3, volumeSize: 100Gi, encrypted: true}}
    tags: {team: chat}
x86:
  apiVersion: karpenter.sh/v1
  kind: NodePool
  metadata: {name: x86}
  spec:
    template:
      metadata: {labels: {workload: head}}
      spec:
        requirements:
          - {key: karpenter.k8s.aws/instance-family, operator: In, values: [m5, r5]}
          - {key: kubernetes.io/arch, operator: In, values: [amd64]}
        expireAfter: Never
        nodeClassRef: {group: karpenter.k8s.aws, kind: EC2NodeClass, name: x86}
    limits: {cpu: "64"}
    disruption: {consolidationPolicy: WhenEmptyOrUnderutilized, consolidateAfter: 300s, budgets: [{nodes: "1"}]}
x86class:
  apiVersion: karpenter.k8s.aws/v1
  kind: EC2NodeClass
  metadata: {name: x86}
  spec:
    amiSelectorTerms: [{alias: al2023@v20260618}]
    role: nodes
    subnetSelectorTerms: [{tags: {karpenter.sh/discovery: blue}}]
    securityGroupSelectorTerms: [{tags: {karpenter.sh/discovery: blue}}]
plugin:
  apiVersion: apps/v1
  kind: DaemonSet
  metadata: {name: neuron-device-plugin, namespace: kube-system}
  spec:
    selector: {matchLabels: {app: plugin}}
    template:
      metadata: {labels: {app: plugin}}
      spec:
        tolerations: [{key: aws.amazon.com/neuron, operator: Exists}]
        containers:
          - name: plugin
            image: public.ecr.aws/neuron/neuron-device-plugin:2.22.4.0
            resources: {requests: {cpu: 10m, memory: 64Mi}}
account: {apiVersion: v1, kind: ServiceAccount, metadata: {name: worker, namespace: chat}}
claim:
  apiVersion: v1
  kind: PersistentVolumeClaim
  metadata: {name: files, namespace: chat}
  spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 50Gi}}}
pdb:
  apiVersion: policy/v1
  kind: PodDisruptionBudget
  metadata: {name: workers, namespace: chat}
  spec: {minAvailable: 1, selector: {matchLabels: {app: chat, ray.io/node-type: worker}}}
quota:
  apiVersion: v1
  kind: ResourceQuota
  metadata: {name: chat, namespace: chat}
  spec: {hard: {requests.cpu: "40", requests.memory: 160Gi, requests.aws.amazon.com/neuroncore: "8"}}
policy:
  apiVersion: networking.k8s.io/v1
  kind: NetworkPolicy
  metadata: {name: chat, namespace: chat}
  spec:
    podSelector: {matchLabels: {app: chat}}
    policyTypes: [Ingress]
    ingress:
      - from: [{namespaceSelector: {}, podSelector: {matchLabels: {app.kubernetes.io/name: kuberay-operator}}}]
        ports: [{port: 8265}, {port: 8000}]
ingress:
  apiVersion: networking.k8s.io/v1
  kind: Ingress
  metadata:
    name: chat
    namespace: chat
    annotations:
      alb.ingress.kubernetes.io/scheme: internal
      alb.ingress.kubernetes.io/healthcheck-path: /-/healthz
      alb.ingress.kubernetes.io/load-balancer-attributes: idle_timeout.timeout_seconds=330
      alb.ingress.kubernetes.io/target-group-attributes: deregistration_delay.timeout_seconds=330
  spec:
    ingressClassName: alb
    rules:
      - http:
          paths:
            - {path: /, pathType: Prefix, backend: {service: {name: chat-serve-svc, port: {number: 8000}}}}
ui:
  apiVersion: apps/v1
  kind: Deployment
  metadata: {name: ui, namespace: web}
  spec:
    selector: {matchLabels: {app: ui}}
    template:
      metadata: {labels: {app: ui}}
      spec:
        containers:
          - name: ui
            image: ui:1.0
            env: [{name: ENDPOINT, value: "http://chat-serve-svc.chat.svc.cluster.local:8000"}]
            resources: {requests: {cpu: 100m, memory: 128Mi}}
            readinessProbe: {httpGet: {path: /, port: 80}}
uiservice:
  apiVersion: v1
  kind: Service
  metadata: {name: ui, namespace: web}
  spec: {type: ClusterIP, selector: {app: ui}, ports: [{port: 80}]}
service:
  apiVersion: ray.io/v1
  kind: RayService
  metadata: {name: chat, namespace: chat}
  spec:
    serveConfigV2: ""
    upgradeStrategy: {type: NewCluster}
    rayClusterDeletionDelaySeconds: 360
    rayClusterConfig:
      rayVersion: "2.60.0"
      authOptions: {mode: token}
      enableInTreeAutoscaling: true
      autoscalerOptions: {version: v2, idleTimeoutSeconds: 60}
      headGroupSpec:
        resources: {CPU: "0"}
        template:
          metadata: {labels: {app: chat}, annotations: {karpenter.sh/do-not-disrupt: "true"}}
          spec:
            nodeSelector: {workload: head}
            containers:
              - name: ray-head
                image: rayproject/ray:2.60.0
                env: [{name: RAY_SERVE_ENABLE_HA_PROXY, value: "1"}, {name: RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S, value: "340"}]
                ports: [{name: dashboard, containerPort: 8265}, {name: serve, containerPort: 8000}]
                resources: {requests: {cpu: "2", memory: 8Gi}, limits: {memory: 8Gi}}
      workerGroupSpecs:
        - groupName: trn
          replicas: 1
          minReplicas: 1
          maxReplicas: 2
          resources: {CPU: "6", neuron_cores: "2"}
          template:
            metadata: {labels: {app: chat}, annotations: {karpenter.sh/do-not-disrupt: "true"}}
            spec:
              serviceAccountName: worker
              nodeSelector: {accelerator: trn}
              tolerations: [{key: aws.amazon.com/neuron, operator: Exists, effect: NoSchedule}]
              terminationGracePeriodSeconds: 420
              containers:
                - name: ray-worker
                  image: rayproject/ray:2.60.0
                  env:
                    - {name: RAY_SERVE_ENABLE_HA_PROXY, value: "1"}
                    - {name: RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S, value: "340"}
                    - {name: RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S, value: "340"}
                  resources:
                    requests: {cpu: "6", memory: 26Gi, aws.amazon.com/neuroncore: "2"}
                    limits: {memory: 26Gi, aws.amazon.com/neuroncore: "2"}
                  volumeMounts: [{name: models, mountPath: /models}]
              volumes: [{name: models, emptyDir: {sizeLimit: 100Gi}}]
"""

HEAD = "spec.rayClusterConfig.headGroupSpec"
WORKER = "spec.rayClusterConfig.workerGroupSpecs[0]"
WORKER_POD = f"{WORKER}.template.spec"
HEAD_POD = f"{HEAD}.template.spec"
_STEP = re.compile(r"\[(\d+)\]|((?:[^.\[\\]|\\.)+)")


class Gone:
    """A value that means: take the key away."""


GONE = Gone()


@dataclass(frozen=True)
class Edit:
    """Set `path` of the object called `target` to `value`; the target `serve` is the Serve config's content."""

    target: str
    path: str  # a.b[0].c; a dot inside a key is written \\.
    value: Any


@dataclass(frozen=True)
class Add:
    """One more document."""

    content: str


def build(changes: Sequence[Edit | Add] = ()) -> Stack:
    """The clean stack with `changes`."""
    objects: dict[str, Any] = copy.deepcopy(next(iter(read(CLEAN))).value)
    serve: dict[str, Any] = next(iter(read(SERVE))).value
    added: list[Manifest] = []
    for change in changes:
        if isinstance(change, Add):
            added += [Manifest(document.value, "added.yaml", document.line) for document in read(change.content)]
        elif change.target == "serve":
            _put(serve, change.path, change.value)
        elif change.path:
            _put(objects[change.target], change.path, change.value)
        else:
            del objects[change.target]
    if "service" in objects and objects["service"]["spec"].get("serveConfigV2") == "":
        objects["service"]["spec"]["serveConfigV2"] = yaml.safe_dump(serve)
    return Stack([*(Manifest(value, f"{name}.yaml") for name, value in objects.items()), *added])


def _put(target: Any, path: str, value: Any) -> None:
    steps = [int(index) if index else name.replace("\\.", ".") for index, name in _STEP.findall(path)]
    for step, following in itertools.pairwise(steps):
        if isinstance(target, dict) and not isinstance(target.get(step), dict | list):
            target[step] = [] if isinstance(following, int) else {}
        target = target[step]
    last = steps[-1]
    if isinstance(value, Gone):
        del target[last]
    elif isinstance(target, list) and isinstance(last, int) and last >= len(target):
        target.append(value)
    else:
        target[last] = value
