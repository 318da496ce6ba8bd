"""For each rule the smallest change to the clean stack that breaks it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tests.support.lint_stack import GONE, HEAD, HEAD_POD, WORKER, WORKER_POD, Add, Edit

Changes = Sequence[Edit | Add]
NEURON = "aws\\.amazon\\.com/neuron"
CHAT = "applications[0].deployments[0]"


def serve(path: str, value: Any) -> Edit:
    return Edit("serve", path, value)


def service(path: str, value: Any) -> Edit:
    return Edit("service", path, value)


def cluster(path: str, value: Any) -> Edit:
    return service(f"spec.rayClusterConfig.{path}", value)


def worker(path: str, value: Any) -> Edit:
    return service(f"{WORKER_POD}.{path}", value)


def container(path: str, value: Any) -> Edit:
    return worker(f"containers[0].{path}", value)


def env(name: str, value: str) -> Edit:
    return container("env[9]", {"name": name, "value": value})


def head(path: str, value: Any) -> Edit:
    return service(f"{HEAD_POD}.{path}", value)


def pool(path: str, value: Any) -> Edit:
    return Edit("pool", f"spec.{path}", value)


def node_class(path: str, value: Any) -> Edit:
    return Edit("class", f"spec.{path}", value)


def requirement(key: str, *values: str, operator: str = "In") -> Edit:
    return pool("template.spec.requirements[0]", {"key": key, "operator": operator, "values": list(values)})


def daemon(name: str, image: str) -> Add:
    return Add(
        f"{{apiVersion: apps/v1, kind: DaemonSet, metadata: {{name: {name}, namespace: kube-system}}, spec: {{selector: {{}}, "
        f"template: {{spec: {{containers: [{{name: a, image: {image}, resources: {{requests: {{cpu: 1m, memory: 1Mi}}}}}}]}}}}}}}}"
    )


MANIFEST: Mapping[str, Changes] = {
    "placeholder-unresolved": [node_class("role", "${NODE_ROLE}")],
    "unknown-field": [cluster("networkPolicy", {"mode": "DenyAll"})],
    "pod-field-misplaced": [service(f"{WORKER}.template.nodeSelector", {"a": "b"})],
    "kind-unknown": [service("kind", "RayServices")],
    "version-unknown": [Edit("pool", "apiVersion", "karpenter.sh/v2")],
    "quantity-invalid": [container("resources.requests.memory", "26GB")],
    "schema-mismatch": [cluster("rayVersion", 2.6)],
    "karpenter-api-removed": [pool("disruption.consolidationPolicy", "WhenUnderutilized")],
    "ray-api-old": [service("apiVersion", "ray.io/v1alpha1")],
    "secret-literal": [env("HF_TOKEN", "hf_" + "a" * 34)],
}

FRONT_DOOR: Mapping[str, Changes] = {
    "dashboard-exposed": [
        Edit(
            "uiservice",
            "spec",
            {"type": "LoadBalancer", "selector": {"a": "b"}, "ports": [{"port": 80, "targetPort": 8265}]},
        )
    ],
    "public-lb-without-auth": [
        Edit("ingress", "metadata.annotations.alb\\.ingress\\.kubernetes\\.io/scheme", "internet-facing"),
        serve("applications[0].args.api", GONE),
    ],
    "open-chatbot-behind-load-balancer": [serve("applications[0].args.api", GONE)],
    "open-chatbot-without-policy": [
        serve("applications[0].args.api", GONE),
        Edit("ingress", "", GONE),
        Edit("policy", "spec.ingress[0].from", []),
    ],
    "lb-idle-short": [
        Edit("ingress", "metadata.annotations.alb\\.ingress\\.kubernetes\\.io/load-balancer-attributes", "")
    ],
    "lb-deregistration-short": [
        Edit(
            "ingress",
            "metadata.annotations.alb\\.ingress\\.kubernetes\\.io/target-group-attributes",
            "deregistration_delay.timeout_seconds=30",
        )
    ],
    "service-selects-across-clusters": [
        Add(
            "{apiVersion: v1, kind: Service, metadata: {name: own, namespace: chat}, spec: {selector: {app: chat}, ports: [{port: 8000}]}}"
        )
    ],
    "serve-service-name-collision": [
        Add(
            "{apiVersion: v1, kind: Service, metadata: {name: chat-serve-svc, namespace: chat}, spec: {ports: [{port: 8000}]}}"
        )
    ],
    "selector-never-set": [Edit("pdb", "spec.selector.matchLabels", {"ray.io/cluster": "chat"})],
    "serveservice-port-dropped": [service("spec.serveService", {"spec": {"ports": [{"name": "http", "port": 80}]}})],
    "proxy-head-only": [serve("proxy_location", "HeadOnly")],
    "lb-health-path": [Edit("ingress", "metadata.annotations.alb\\.ingress\\.kubernetes\\.io/healthcheck-path", "/")],
    "endpoint-not-rendered": [
        Edit("ui", "spec.template.spec.containers[0].env[0].value", "http://chat-svc.chat.svc.cluster.local:8000")
    ],
    "ingress-port-missing": [
        Edit("ingress", "metadata.namespace", "web"),
        Edit("ingress", "spec.rules[0].http.paths[0].backend.service", {"name": "ui", "port": {"number": 81}}),
    ],
}

SERVE: Mapping[str, Changes] = {
    "serve-removed-field": [serve(f"{CHAT}.max_concurrent_queries", 8)],
    "serve-unknown-key": [serve(f"{CHAT}.autoscaling_config.max_replica", 3)],
    "serve-value-invalid": [serve(f"{CHAT}.autoscaling_config.upscale_delay_s", "30s")],
    "serve-config-unreadable": [service("spec.serveConfigV2", "a: [")],
    "no-applications": [serve("applications", [])],
    "serve-fixed-scale": [serve(f"{CHAT}.autoscaling_config.max_replicas", 1)],
    "max-ongoing-below-target": [serve(f"{CHAT}.max_ongoing_requests", 6)],
    "serve-bounds-invalid": [serve(f"{CHAT}.num_replicas", 2)],
    "serve-application-invalid": [serve("applications[0].import_path", "app")],
    "scaling-delays-short": [serve(f"{CHAT}.autoscaling_config.look_back_period_s", 5)],
    "unbounded-queue": [serve(f"{CHAT}.max_queued_requests", -1)],
    "mutable-working-dir": [
        serve("applications[0].runtime_env", {"working_dir": "https://x/y/archive/refs/heads/main.zip"})
    ],
    "pip-at-start": [serve("applications[0].runtime_env", {"pip": ["torch"]})],
    "serve-port-disagrees": [serve("http_options.port", 8001)],
}

CAPACITY: Mapping[str, Changes] = {
    "replica-exceeds-worker": [serve(f"{CHAT}.ray_actor_options.num_cpus", 8)],
    "serve-max-exceeds-workers": [serve(f"{CHAT}.autoscaling_config.max_replicas", 3)],
    "serve-min-exceeds-start": [
        cluster("enableInTreeAutoscaling", False),
        serve(f"{CHAT}.autoscaling_config.min_replicas", 2),
    ],
    "neuron-cores-not-declared": [service(f"{WORKER}.resources", {"CPU": "6"})],
    "accelerator-type-not-declared": [serve(f"{CHAT}.ray_actor_options.accelerator_type", "aws-neuron-core")],
    "custom-resource-not-declared": [serve(f"{CHAT}.ray_actor_options.resources.disk", 1)],
    "ingress-cpu-starved": [
        serve(
            "applications[0].deployments[1]",
            {"name": "Ingress", "num_replicas": 1, "ray_actor_options": {"num_cpus": 3}},
        )
    ],
    "intree-autoscaler-off": [cluster("enableInTreeAutoscaling", False)],
    "worker-max-unbounded": [service(f"{WORKER}.maxReplicas", GONE)],
}

AUTOSCALER: Mapping[str, Changes] = {
    "custom-resource-quoting": [
        service(f"{WORKER}.resources", GONE),
        service(f"{WORKER}.rayStartParams", {"resources": '{"neuron_cores": 2}'}),
    ],
    "group-without-cpu": [service(f"{HEAD}.resources", GONE), head("containers[0].resources", {})],
    "resources-lowercase-cpu": [service(f"{WORKER}.resources.cpu", "6")],
    "start-param-type": [service(f"{HEAD}.rayStartParams", {"num-cpus": "0.5"}), service(f"{HEAD}.resources", GONE)],
    "ray-container-not-first": [
        worker("containers[0]", {"name": "log", "image": "fluent:1"}),
        worker("containers[1]", {"name": "ray-worker", "image": "ray:1"}),
    ],
    "ray-start-drift": [container("command", ["bash", "-c", "ray start --num-cpus=8 --block"])],
    "autoscaler-token-missing": [head("automountServiceAccountToken", False)],
    "neuron-mapping-lost": [
        service(f"{WORKER}.resources", GONE),
        service(f"{WORKER}.rayStartParams", {"resources": '"{\\"other\\": 2}"'}),
    ],
    "idle-timeout-short": [cluster("autoscalerOptions.idleTimeoutSeconds", 5)],
}

CLUSTER: Mapping[str, Changes] = {
    "resources-and-start-params": [service(f"{WORKER}.rayStartParams", {"num-cpus": "6"})],
    "start-param-labels": [service(f"{WORKER}.rayStartParams", {"labels": "a=b"})],
    "worker-bounds-invalid": [service(f"{WORKER}.minReplicas", 3)],
    "headservice-name-set": [service(f"{HEAD}.headService", {"metadata": {"name": "chat"}})],
    "v2-restart-policy": [worker("restartPolicy", "Always")],
    "autoscaler-version-implicit": [cluster("autoscalerOptions.version", GONE)],
    "dead-rayservice-field": [service("spec.serviceUnhealthySecondThreshold", 900)],
    "ray-version-missing": [cluster("rayVersion", GONE)],
    "ray-version-mismatch": [container("image", "rayproject/ray:2.55.0")],
    "auth-needs-version": [cluster("rayVersion", "2.40.0")],
    "auth-mode-implicit": [cluster("authOptions", GONE)],
    "ray-name-invalid": [service("metadata.name", "c" * 48)],
    "initializing-timeout-short": [service("metadata.annotations", {"ray.io/initializing-timeout": "5m"})],
    "incremental-upgrade-unmet": [service("spec.upgradeStrategy", {"type": "NewClusterWithIncrementalUpgrade"})],
    "gcs-ft-absent": [service(f"{HEAD}.template.metadata.annotations", GONE)],
    "gcs-redis-ephemeral": [
        cluster("gcsFaultToleranceOptions", {"redisAddress": "redis:6379"}),
        Edit("ui", "spec.template.spec.containers[0].image", "redis:7.4.1"),
    ],
    "head-account-not-rendered": [head("serviceAccountName", "head")],
    "worker-account-not-rendered": [Edit("account", "", GONE)],
    "priority-class-not-rendered": [worker("priorityClassName", "serving")],
    "policy-blocks-operator": [Edit("policy", "spec.ingress", [])],
    "policy-blocks-egress": [Edit("policy", "spec.policyTypes", ["Ingress", "Egress"])],
    "head-memory-small": [head("containers[0].resources.limits.memory", "1Gi")],
    "quota-too-small": [Edit("quota", "spec.hard.requests\\.cpu", "20")],
}

POD: Mapping[str, Changes] = {
    "accelerator-pod-without-requests": [container("resources", {"limits": {"aws.amazon.com/neuroncore": "2"}})],
    "visible-cores-form": [env("NEURON_RT_VISIBLE_CORES", "0-1")],
    "visible-cores-shared": [
        env("NEURON_RT_VISIBLE_CORES", "0,1"),
        env("RAY_EXPERIMENTAL_NOSET_NEURON_RT_VISIBLE_CORES", "1"),
        serve(f"{CHAT}.ray_actor_options.resources.neuron_cores", 1),
    ],
    "cores-disagree": [env("NEURON_RT_NUM_CORES", "4")],
    "device-request-form": [
        container(f"resources.requests.{NEURON}", "1"),
        container(f"resources.limits.{NEURON}", "1"),
    ],
    "device-name-unknown": [container("resources.limits.aws\\.amazon\\.com/neuron-core", "2")],
    "hostpath-nvme": [
        node_class("instanceStorePolicy", GONE),
        worker("volumes[0]", {"name": "models", "hostPath": {"path": "/mnt/k8s-disks/0"}}),
    ],
    "memory-volume-size": [
        worker("volumes[1]", {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "20Gi"}})
    ],
    "env-dollar": [env("LD_LIBRARY_PATH", "/opt/lib:$LD_LIBRARY_PATH")],
    "pod-security-refuses": [
        Edit("namespace", "metadata.labels", {"pod-security.kubernetes.io/enforce": "baseline"}),
        worker("hostNetwork", True),
    ],
    "restricted-needs-context": [
        Edit("namespace", "metadata.labels", {"pod-security.kubernetes.io/enforce": "restricted"})
    ],
    "volume-smaller-than-model": [worker("volumes[0].emptyDir.sizeLimit", "10Gi")],
    "rwo-across-nodes": [worker("volumes[0]", {"name": "models", "persistentVolumeClaim": {"claimName": "files"}})],
    "volume-not-declared": [container("volumeMounts[1]", {"name": "cache", "mountPath": "/cache"})],
}

SCHEDULER: Mapping[str, Changes] = {
    "selector-label-not-provided": [worker("nodeSelector", {"accelerator": "inf2"})],
    "label-domain-mismatch": [requirement("eks.amazonaws.com/instance-family", "trn1")],
    "taint-not-tolerated": [worker("tolerations[0].effect", "NoExecute")],
    "pod-exceeds-allowed-types": [container("resources.requests.cpu", "8")],
    "next-size-jump": [
        requirement("karpenter.k8s.aws/instance-family", "trn1"),
        container("resources.requests.cpu", "8"),
    ],
    "size-cliff": [container("resources.requests.memory", "28672Mi")],
    "scheduler-name-not-installed": [worker("schedulerName", "my-scheduler")],
    "topology-key-unknown": [
        worker(
            "topologySpreadConstraints",
            [{"topologyKey": "kubernetes.io/zone", "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule"}],
        )
    ],
    "arch-open": [
        Edit(
            "x86",
            "spec.template.spec.requirements",
            [{"key": "karpenter.k8s.aws/instance-family", "operator": "In", "values": ["m5", "m7g"]}],
        )
    ],
    "partial-device": [
        requirement("node.kubernetes.io/instance-type", "trn1.32xlarge"),
        container("resources.requests.aws\\.amazon\\.com/neuroncore", "1"),
        container("resources.limits.aws\\.amazon\\.com/neuroncore", "1"),
    ],
    "zone-conflict": [
        pool(
            "template.spec.requirements[9]", {"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["a"]}
        ),
        Edit(
            "x86",
            "spec.template.spec.requirements[9]",
            {"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["a"]},
        ),
        worker("nodeSelector.topology\\.kubernetes\\.io/zone", "b"),
    ],
    "pause-pod-wrong": [Edit("ui", "spec.template.spec.containers[0].image", "registry.k8s.io/pause:3.10")],
    "pdb-missing": [
        Edit("pdb", "", GONE),
        service(f"{HEAD}.template.metadata.annotations", GONE),
        service(f"{WORKER}.template.metadata.annotations", GONE),
    ],
    "pdb-holds-daemon-set": [
        Edit("pdb", "metadata.namespace", "kube-system"),
        Edit("pdb", "spec", {"maxUnavailable": 0, "selector": {"matchLabels": {"app": "plugin"}}}),
    ],
    "pdb-blocks-for-ever": [
        Edit("pdb", "spec", {"maxUnavailable": 0, "selector": {}}),
        Edit("x86", "spec.template.spec.expireAfter", "720h"),
    ],
}

NODE_POOL: Mapping[str, Changes] = {
    "nodeclassref-incomplete": [pool("template.spec.nodeClassRef.group", GONE)],
    "nodeclassref-unresolved": [pool("template.spec.nodeClassRef.name", "trainium")],
    "disruption-without-consolidate-after": [pool("disruption.consolidateAfter", GONE)],
    "limit-below-max-workers": [pool("limits", {"aws.amazon.com/neuron": "1"})],
    "upgrade-doubles-accelerators": [pool("limits", {"aws.amazon.com/neuron": "2"})],
    "limit-key-unknown": [pool("limits.aws\\.amazon\\.com/neuroncores", "8")],
    "limit-binding-mismatch": [pool("limits.cpu", "24")],
    "limit-below-one-node": [pool("limits.memory", "8Gi")],
    "accelerator-pool-without-limits": [pool("limits", GONE)],
    "open-instance-family": [requirement("karpenter.k8s.aws/instance-family", "trn1")],
    "inf1-admitted": [requirement("karpenter.k8s.aws/instance-category", "inf")],
    "no-type-admitted": [pool("template.spec.requirements[1].values", ["arm64"])],
    "requirement-value-unreachable": [requirement("node.kubernetes.io/instance-type", "trn1.2xlarge", "trn1.4xlarge")],
    "requirement-value-unknown": [pool("template.spec.requirements[2].values", ["ondemand"])],
    "accelerator-pool-untainted": [pool("template.spec.taints", [])],
    "accelerator-name-value": [requirement("karpenter.k8s.aws/instance-accelerator-name", "neuron")],
    "startup-taint-no-remover": [
        pool("template.spec.startupTaints", [{"key": "example.com/agent", "effect": "NoSchedule"}])
    ],
    "reservation-mismatch": [node_class("capacityReservationSelectorTerms", [{"id": "cr-1"}])],
    "spot-for-streams": [pool("template.spec.requirements[2].values", ["spot", "on-demand"])],
    "static-pool-invalid": [pool("replicas", 2)],
}

DISRUPTION: Mapping[str, Changes] = {
    "budget-zero-always": [pool("disruption.budgets", [{"nodes": "0"}])],
    "budget-window-inverted": [pool("disruption.budgets", [{"nodes": "0", "schedule": "0 9 * * *", "duration": "8h"}])],
    "default-budget-small-pool": [
        Edit("x86", "spec.disruption.budgets", [{"nodes": "10%"}]),
        Edit("x86", "spec.limits", {"nodes": "1"}),
        service(f"{HEAD}.template.metadata.annotations", GONE),
    ],
    "consolidation-evicts-serving": [service(f"{HEAD}.template.metadata.annotations", GONE)],
    "head-unprotected": [service(f"{HEAD}.template.metadata.annotations", GONE)],
    "tgp-opens-drift": [pool("disruption.budgets", [{"nodes": "1"}])],
    "expiry-hangs": [Edit("x86", "spec.template.spec.expireAfter", "720h")],
    "expiry-forceful": [pool("template.spec.expireAfter", "720h")],
    "consolidate-after-short": [pool("disruption.consolidateAfter", "30s")],
    "empty-nodes-stay": [pool("disruption.consolidateAfter", "Never")],
    "spot-on-demand-churn": [
        Edit(
            "x86",
            "spec.template.spec.requirements[9]",
            {"key": "karpenter.sh/capacity-type", "operator": "In", "values": ["spot", "on-demand"]},
        ),
        service(f"{HEAD}.template.metadata.annotations", GONE),
    ],
    "downscale-below-cold-start": [serve(f"{CHAT}.autoscaling_config.downscale_delay_s", 60)],
}

NODE_CLASS: Mapping[str, Changes] = {
    "ami-alias-floating": [node_class("amiSelectorTerms", [{"alias": "al2023@latest"}])],
    "ami-alias-invalid": [node_class("amiSelectorTerms", [{"alias": "al2023@20260618"}])],
    "ami-al2": [node_class("amiSelectorTerms", [{"alias": "al2@v20240601"}]), node_class("amiFamily", "AL2")],
    "ami-variant-unknown": [node_class("amiSelectorTerms", [{"id": "ami-0123456789abcdef0"}])],
    "node-class-incomplete": [node_class("role", GONE)],
    "ami-alias-mixed": [node_class("amiFamily", "Bottlerocket")],
    "reserved-tag": [node_class("tags.karpenter\\.sh/nodepool", "trn")],
    "cluster-tag-selected": [
        node_class("securityGroupSelectorTerms", [{"tags": {"kubernetes.io/cluster/blue": "owned"}}])
    ],
    "raid0-without-nvme": [requirement("node.kubernetes.io/instance-type", "inf2.xlarge")],
    "root-volume-small": [node_class("blockDeviceMappings", []), node_class("instanceStorePolicy", GONE)],
    "data-volume-on-wrong-family": [
        node_class("blockDeviceMappings[1]", {"deviceName": "/dev/xvdb", "ebs": {"volumeSize": "100Gi"}})
    ],
    "root-volume-slow": [node_class("instanceStorePolicy", GONE)],
    "imds-open-to-pods": [node_class("metadataOptions.httpPutResponseHopLimit", 2)],
    "volume-unencrypted": [node_class("blockDeviceMappings[0].ebs.encrypted", False)],
    "single-subnet": [node_class("subnetSelectorTerms", [{"id": "subnet-0123456789abcdef0"}])],
    "kubelet-shifts-allocatable": [node_class("kubelet", {"maxPods": 20})],
    "sdk-driver-pair": [
        node_class("amiSelectorTerms", [{"alias": "al2023@v20260801"}]),
        container("image", "public.ecr.aws/neuron/pytorch-inference-neuronx:2.7.0-neuronx-py310-sdk2.25.0-ubuntu22.04"),
    ],
}

DEVICE_PLUGIN: Mapping[str, Changes] = {
    "plugin-missing": [Edit("plugin", "", GONE)],
    "plugin-not-tolerating": [Edit("plugin", "spec.template.spec.tolerations", [])],
    "plugin-type-list": [
        Edit(
            "plugin",
            "spec.template.spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms",
            [
                {
                    "matchExpressions": [
                        {"key": "node.kubernetes.io/instance-type", "operator": "In", "values": ["inf2.xlarge"]}
                    ]
                }
            ],
        )
    ],
    "plugin-and-dra": [daemon("dra", "public.ecr.aws/neuron/neuron-dra-driver:1.0")],
    "daemonset-not-tolerating": [daemon("neuron-monitor", "monitor:1.0")],
    "daemonset-without-requests": [Edit("plugin", "spec.template.spec.containers[0].resources", {})],
    "device-not-on-pool": [requirement("node.kubernetes.io/instance-type", "m5.2xlarge")],
}

IMAGE: Mapping[str, Changes] = {
    "image-floating": [container("image", "rayproject/ray:latest")],
    "image-pull-always": [container("imagePullPolicy", "Always")],
    "sdk-without-library": [
        container("image", "neuron:2.8.0-neuronx-py311-sdk2.26.1-ubuntu22.04"),
        env("BACKEND", "transformers-neuronx"),
    ],
    "image-lacks-tools": [container("image", "python:3.11-slim")],
    "head-worker-image-differ": [container("image", "example/neuron:1.0")],
}

ARTEFACTS: Mapping[str, Changes] = {
    "artifact-not-pinned": [env("MODEL_ID", "somebody/mistral-7b")],
    "pod-needs-aws-identity": [env("ARTIFACTS", "s3://bucket/mistral")],
    "remote-code-on": [env("TRUST_REMOTE_CODE", "true")],
    "compile-cache-ephemeral": [env("NEURON_COMPILE_CACHE_URL", "/models/cache")],
    "model-exceeds-device": [serve("applications[0].args.runner", {"slots": 64, "positions": 4096})],
    "shared-folder-race": [
        container("resources", {"requests": {"cpu": "6", "memory": "26Gi"}}),
        worker("volumes[0]", {"name": "models", "hostPath": {"path": "/mnt/k8s-disks/0"}}),
    ],
}

READINESS: Mapping[str, Changes] = {
    "user-probe-drops-serve-check": [container("readinessProbe", {"httpGet": {"path": "/api/healthz", "port": 52365}})],
    "liveness-kills-load": [
        container("livenessProbe", {"httpGet": {"path": "/ready", "port": 8000}, "periodSeconds": 5})
    ],
    "probe-timeout-short": [
        container("livenessProbe", {"exec": {"command": ["ray", "health-check"]}, "timeoutSeconds": 2})
    ],
    "probe-port-not-listed": [head("containers[0].readinessProbe", {"tcpSocket": {"port": 9999}, "timeoutSeconds": 5})],
    "readiness-missing": [
        Edit("uiservice", "spec.type", "LoadBalancer"),
        Edit("ui", "spec.template.spec.containers[0].readinessProbe", GONE),
    ],
    "serve-port-missing": [head("containers[0].ports", [{"name": "dashboard", "containerPort": 8265}])],
}

DRAIN: Mapping[str, Changes] = {
    "drain-chain-short": [worker("terminationGracePeriodSeconds", 30)],
    "prestop-ray-stop": [container("lifecycle", {"preStop": {"exec": {"command": ["sh", "-c", "ray stop"]}}})],
    "no-sigterm-drain": [container("env[2].value", "0")],
    "haproxy-hard-stop": [container("env[1].value", "60")],
    "env-flags-one-side": [container("env[0].value", "0")],
    "env-flags-in-runtime-env": [
        serve("applications[0].runtime_env", {"env_vars": {"RAY_SERVE_THROUGHPUT_OPTIMIZED": "1"}})
    ],
    "grace-shorter-than-generation": [serve(f"{CHAT}.graceful_shutdown_timeout_s", 20)],
    "request-timeout-cuts-stream": [serve("http_options.request_timeout_s", 60)],
    "upgrade-cuts-streams": [service("spec.rayClusterDeletionDelaySeconds", GONE)],
}

CASES: Mapping[str, Changes] = {
    rule: changes
    for table in (
        MANIFEST, FRONT_DOOR, SERVE, CAPACITY, AUTOSCALER, CLUSTER, POD, SCHEDULER, NODE_POOL, DISRUPTION, NODE_CLASS,
        DEVICE_PLUGIN, IMAGE, ARTEFACTS, READINESS, DRAIN,
    )
    for rule, changes in table.items()
}  # fmt: skip
