"""Real pods in real namespaces."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest

from cluster.client import Resource
from cluster.objects import dig
from cluster.rehearsal import control
from cluster.rehearsal.kubelet.api import NODES
from cluster.rehearsal.kubelet.machine.cgroup import FOLDER
from tests.cluster.rehearsal.kubelet.conftest import Cluster, is_ready, phase_is, root_of, state, waits_for

pytestmark = pytest.mark.cluster

SLEEP = ("sleep", "1000")
SERVE = ("python3", "-m", "http.server", "8000", "--directory", "/dev/shm")  # noqa: S108
READINESS = {"httpGet": {"path": "/", "port": 8000}, "periodSeconds": 1}
ON_TERM = "trap 'echo asked to end; exit 0' TERM; echo started; while :; do sleep 0.1; done"


def shell(script: str) -> tuple[str, str, str]:
    return ("sh", "-c", script)


def test_a_pod_gets_its_init_containers_environment_volumes_and_token(cluster: Cluster) -> None:
    cluster.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"level": "7"}})
    cluster.create({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "stringData": {"key": "k1"}})
    volumes = [
        {"name": "shared", "emptyDir": {"medium": "Memory", "sizeLimit": "16Mi"}},
        {"name": "settings", "configMap": {"name": "settings"}},
    ]
    mounts = [{"name": "shared", "mountPath": "/shared"}, {"name": "settings", "mountPath": "/settings"}]
    token = "/var/run/secrets/kubernetes.io/serviceaccount/token"
    ask = (
        'import os, ssl, urllib.request as u; t = open(os.environ["TOKEN"]).read(); '
        'c = ssl.create_default_context(cafile=os.path.dirname(os.environ["TOKEN"]) + "/ca.crt"); '
        'h = os.environ["KUBERNETES_SERVICE_HOST"] + ":" + os.environ["KUBERNETES_SERVICE_PORT"]; '
        'print(u.urlopen(u.Request(f"https://{h}/version", headers={"Authorization": "Bearer " + t}), context=c).status)'
    )
    container = {
        "env": [
            {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "key"}}},
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "TOKEN", "value": token},
        ],
        "volumeMounts": mounts,
    }
    first = {"name": "first", "image": "chatbot-cpu:rehearsal", "command": list(shell("echo before > /shared/note"))}
    script = f"cat /shared/note /settings/level; echo; echo $KEY $IP $(hostname); python3 -c '{ask}'"
    cluster.run(
        "whole",
        *shell(script),
        container=container,
        initContainers=[{**first, "volumeMounts": mounts}],
        volumes=volumes,
        restartPolicy="Never",
    )
    pod = cluster.until("whole", phase_is("Succeeded", "Failed"))
    assert cluster.logs("whole", "-c", "c").split() == [
        "before",
        "7",
        "k1",
        dig(pod, "status", "podIP"),
        "whole",
        "200",
    ]
    assert dig(pod, "status", "phase") == "Succeeded"


def test_a_restricted_pod_runs_the_images_python_as_another_user(cluster: Cluster) -> None:
    restricted = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    report = "import os, loadtest; print(os.getuid(), [g for g in os.getgroups() if g == 2000])"
    script = f"python3 -c '{report}'; grep -E 'CapBnd|NoNewPrivs' /proc/self/status; touch /data/file && stat -c %g /data/file"
    cluster.run(
        "restricted",
        *shell(script),
        container={"securityContext": restricted, "volumeMounts": [{"name": "data", "mountPath": "/data"}]},
        volumes=[{"name": "data", "emptyDir": {}}],
        securityContext={"runAsNonRoot": True, "runAsUser": 1000, "fsGroup": 2000},
        restartPolicy="Never",
    )
    said = cluster.output("restricted").split()
    assert said == ["1000", "[2000]", "CapBnd:", "0000000000000000", "NoNewPrivs:", "1", "2000"]


def test_a_container_sees_neither_the_machines_processes_nor_its_files_in_tmp_nor_the_lab(cluster: Cluster) -> None:
    script = f"ls /proc | grep -c '^[0-9]'; ls /tmp /run/netns {cluster.lab.home} 2>&1 | grep -v secrets"
    cluster.run("apart", *shell(script), restartPolicy="Never")
    said = cluster.output("apart")
    assert int(said.split()[0]) < 6
    assert "kubeconfig" not in said
    assert "pytest" not in said.replace(str(cluster.lab.home), "")


def test_a_ready_pod_is_found_by_its_services_names(cluster: Cluster) -> None:
    for name, address in (("web", None), ("web-headless", "None")):
        spec = {"selector": {"app": "server"}, "ports": [{"port": 8000}], "clusterIP": address}
        cluster.create({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec})
    cluster.run("server", *SERVE, container={"readinessProbe": READINESS}, hostname="one", subdomain="web-headless")
    pod = cluster.until("server", is_ready)
    ask = (
        "for name in web web-headless one.web-headless web.default.svc.cluster.local; do "
        "until getent hosts $name; do sleep 0.2; done; done; wget -qO /dev/null http://web:8000 && echo reached; "
        "getent hosts nobody || echo unknown"
    )
    cluster.run("client", *shell(ask), restartPolicy="Never")
    said = cluster.output("client").split()
    assert said.count(str(dig(pod, "status", "podIP"))) == 4
    assert said[-2:] == ["reached", "unknown"]


def test_whoever_asks_for_an_address_outside_is_told_at_once_that_there_is_no_way(cluster: Cluster) -> None:
    ask = "import socket; print(socket.socket().connect_ex(('169.254.169.254', 80)))"
    cluster.run("outward", "timeout", "20", "python3", "-c", ask, restartPolicy="Never")
    assert cluster.output("outward") == f"{errno.ENETUNREACH}\n"


@pytest.mark.skipif(
    not any(Path("/sys/fs/cgroup", name).exists() for name in ("memory/memory.limit_in_bytes", "cgroup.controllers")),
    reason="this machine has no memory cgroups that we may use",
)
def test_a_container_beyond_its_memory_limit_is_killed_and_that_is_said(cluster: Cluster) -> None:
    greedy = ("python3", "-c", "b'x' * (300 << 20)")
    cluster.run("greedy", *greedy, container={"resources": {"limits": {"memory": "64Mi"}}}, restartPolicy="Never")
    ended = state(cluster.until("greedy", phase_is("Failed", "Succeeded")))["terminated"]
    assert (ended["reason"], ended["exitCode"]) == ("OOMKilled", 137)


def test_an_image_that_nobody_knows_is_backed_off_from(cluster: Cluster) -> None:
    cluster.run("lost", *SLEEP, container={"image": "nowhere:1"})
    cluster.until("lost", waits_for("ImagePullBackOff"))
    failed = {"Error: ErrImagePull", "Error: ImagePullBackOff"}
    cluster.eventually(lambda: cluster.events("lost").get("Failed") in failed)  # events are told in the background
    assert "Pulling" in cluster.events("lost")


def test_a_container_waits_for_its_secret_and_starts_when_it_is_there(cluster: Cluster) -> None:
    late = {"name": "LATE", "valueFrom": {"secretKeyRef": {"name": "late", "key": "key"}}}
    cluster.run("patient", *shell("echo $LATE; sleep 1000"), container={"env": [late]})
    pod = cluster.until("patient", waits_for("CreateContainerConfigError"))
    assert dig(state(pod), "waiting", "message") == 'secret "late" not found'
    cluster.create({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "late"}, "stringData": {"key": "came"}})
    cluster.until("patient", is_ready)
    cluster.eventually(lambda: cluster.logs("patient") == "came\n")


def test_a_pod_waits_for_its_volume_and_says_which(cluster: Cluster) -> None:
    mount = {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    cluster.run("mounting", *SLEEP, container=mount, volumes=[{"name": "v", "configMap": {"name": "tardy"}}])
    cluster.eventually(lambda: "FailedMount" in cluster.events("mounting"))
    assert cluster.events("mounting")["FailedMount"].endswith('for volume "v" : configmap "tardy" not found')
    cluster.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "tardy"}, "data": {"a": "1"}})
    cluster.until("mounting", is_ready)


def test_a_command_that_is_not_there_is_a_start_error(cluster: Cluster) -> None:
    cluster.run("wrong", "no-such-program", restartPolicy="Never")
    ended = state(cluster.until("wrong", phase_is("Failed")))["terminated"]
    assert ended["reason"] == "StartError"
    assert 'exec: "no-such-program": executable file not found in $PATH' in ended["message"]


def test_a_crashing_container_is_started_again_and_its_last_words_are_kept(cluster: Cluster) -> None:
    cluster.run("crashing", *shell("echo run; exit 3"))
    pod = cluster.until("crashing", waits_for("CrashLoopBackOff"))
    assert dig(pod, "status", "containerStatuses", 0, "lastState", "terminated", "exitCode") == 3
    assert cluster.logs("crashing", "--previous") == "run\n"


def test_a_container_that_fails_its_liveness_probe_is_restarted(cluster: Cluster) -> None:
    probe = {"exec": {"command": ["test", "-f", "/tmp/alive"]}, "periodSeconds": 1, "failureThreshold": 2}  # noqa: S108
    script = "[ -f /data/again ] && touch /tmp/alive; touch /data/again; exec sleep 1000"
    mount = {"volumeMounts": [{"name": "data", "mountPath": "/data"}], "livenessProbe": probe}
    data = [{"name": "data", "emptyDir": {}}]
    cluster.run("unwell", *shell(script), container=mount, volumes=data, terminationGracePeriodSeconds=1)
    pod = cluster.until("unwell", lambda pod: dig(pod, "status", "containerStatuses", 0, "restartCount") == 1)
    assert dig(pod, "status", "containerStatuses", 0, "lastState", "terminated", "exitCode") == 137
    cluster.until("unwell", is_ready)


def test_a_deleted_pod_is_asked_to_end_after_its_hook_and_leaves_nothing(cluster: Cluster) -> None:
    hook = {"preStop": {"exec": {"command": list(shell("echo hook > /proc/1/fd/1"))}}}
    cluster.run("polite", *shell(ON_TERM), container={"lifecycle": hook}, terminationGracePeriodSeconds=60)
    pod = cluster.until("polite", is_ready)
    cluster.eventually(lambda: "started" in cluster.logs("polite"))
    ended = cluster.until(
        "polite",
        lambda pod: "terminated" in state(pod) or dig(pod, "status", "phase") == "Succeeded",
        once_watched=lambda: cluster.delete("polite", gracePeriodSeconds=60),
    )
    assert dig(state(ended), "terminated", "exitCode") == 0
    cluster.until_gone("polite")
    assert not root_of(cluster.lab, pod).exists()
    uid = str(dig(pod, "metadata", "uid"))
    cluster.eventually(lambda: not list(Path("/sys/fs/cgroup").glob(f"*/{FOLDER}/{uid}*")))  # removed in the background


def test_a_pod_that_ignores_term_is_killed_when_its_grace_is_over(cluster: Cluster) -> None:
    cluster.run("stubborn", *SLEEP, terminationGracePeriodSeconds=1)  # as pid 1 it has no default action
    cluster.until("stubborn", is_ready)
    cluster.delete("stubborn")
    cluster.until_gone("stubborn")


def test_an_eviction_ends_a_pod_as_a_deletion_does(cluster: Cluster) -> None:
    cluster.run("evicted", *SLEEP, terminationGracePeriodSeconds=1)
    cluster.until("evicted", is_ready)
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "evicted", "namespace": "default"}}
    cluster.api.transport.ask("post", "/api/v1/namespaces/default/pods/evicted/eviction", body=eviction)
    cluster.until_gone("evicted")


def test_a_pod_that_is_made_again_under_its_name_is_another(cluster: Cluster) -> None:
    cluster.run("twin", *shell("echo first; exec sleep 1000"))
    first = cluster.until("twin", is_ready)
    cluster.delete("twin", gracePeriodSeconds=0)
    cluster.until_gone("twin")
    cluster.run("twin", *shell("echo second; exec sleep 1000"))
    second = cluster.until("twin", is_ready)
    assert dig(first, "metadata", "uid") != dig(second, "metadata", "uid")
    cluster.eventually(lambda: cluster.logs("twin") == "second\n")


def test_pods_deleted_while_they_start_are_gone(cluster: Cluster) -> None:
    names = [f"brief-{n}" for n in range(6)]
    for name in names:
        cluster.run(name, *SLEEP, terminationGracePeriodSeconds=1)
    for n, name in enumerate(names):
        cluster.delete(name, gracePeriodSeconds=n % 2)
    for name in names:
        cluster.until_gone(name)


def test_a_node_that_vanishes_takes_its_pods_processes_along(cluster: Cluster) -> None:
    cluster.node("n2")
    cluster.run("orphan", *SLEEP, nodeName="n2")
    pod = cluster.until("orphan", is_ready)
    assert root_of(cluster.lab, pod).exists()
    cluster.api.transport.ask("delete", NODES.path("n2"))
    cluster.eventually(lambda: not root_of(cluster.lab, pod).exists())


def test_what_kubectl_cannot_do_here_is_said_by_a_sentence(cluster: Cluster) -> None:
    cluster.run("plain", *shell("echo one; echo two; exec sleep 1000"))
    cluster.until("plain", is_ready)
    cluster.eventually(lambda: cluster.logs("plain") == "one\ntwo\n")
    assert cluster.logs("plain", "--tail=1") == "two\n"
    assert "keeps no times with its logs" in cluster.logs("plain", "--timestamps")
    assert "process kubelet has no exec" in cluster.kubectl("exec", "plain", "--", "true")


def test_a_followed_log_ends_with_its_container(cluster: Cluster) -> None:
    cluster.run("telling", *shell("for n in 1 2 3; do echo $n; sleep 0.5; done"), restartPolicy="Never")
    cluster.until("telling", phase_is("Running", "Succeeded"))
    assert cluster.logs("telling", "--follow") == "1\n2\n3\n"


def test_containers_end_with_their_kubelet_and_start_again_with_the_next(cluster: Cluster) -> None:
    cluster.run("survivor", *SLEEP)
    cluster.until("survivor", is_ready)
    cluster.lab.restart_component("kubelet")
    pod = cluster.until(
        "survivor", lambda pod: is_ready(pod) and bool(dig(pod, "status", "containerStatuses", 0, "restartCount"))
    )
    assert dig(pod, "status", "containerStatuses", 0, "lastState", "terminated", "reason") == "ContainerStatusUnknown"
    assert len(dig(pod, "status", "podIPs")) == 1
    assert control.holder() is not None


def test_the_simulated_device_plugin_brings_the_nodes_resources_and_says_that_it_is_simulated(cluster: Cluster) -> None:
    roles = Resource("rbac.authorization.k8s.io/v1", "ClusterRole", "clusterroles", False)
    bindings = Resource("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "clusterrolebindings", False)
    rules = [
        {"apiGroups": [""], "resources": ["nodes"], "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["nodes/status"], "verbs": ["patch"]},
    ]
    version = "rbac.authorization.k8s.io/v1"
    role = {"apiVersion": version, "kind": "ClusterRole", "metadata": {"name": "plugin"}, "rules": rules}
    binding = {
        "apiVersion": version,
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "plugin"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "plugin"},
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": "default"}],
    }
    cluster.api.apply(role, roles)
    cluster.api.apply(binding, bindings)
    cluster.node("trn", **{"node.kubernetes.io/instance-type": "trn1.2xlarge"})
    name = {"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}
    plugin = {"image": "public.ecr.aws/neuron/neuron-device-plugin:2.22.4.0", "env": [name]}
    cluster.run("plugin", container=plugin, nodeName="trn")
    cluster.eventually(lambda: "now has" in cluster.logs("plugin"))
    node = cluster.api.get(NODES, "trn")
    allocatable = json.loads(json.dumps(dig(node, "status", "allocatable")))
    assert allocatable["aws.amazon.com/neuroncore"] == "2"
    assert "SIMULATED" in cluster.logs("plugin")
