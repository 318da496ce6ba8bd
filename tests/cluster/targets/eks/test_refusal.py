"""What `cluster support` calls broken is refused before the cluster is asked anything."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from cluster.errors import ClusterError, Refused
from cluster.placeholders import declared
from cluster.settings import Settings
from cluster.targets import Options, eks
from cluster.targets.eks.target import EksTarget

MANIFESTS = Path(__file__).parents[4] / "manifests"
# Nothing listens there: whoever asks it anything fails with another sentence.
KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: nowhere
contexts: [{name: nowhere, context: {cluster: nowhere, user: nobody}}]
clusters: [{name: nowhere, cluster: {server: "https://127.0.0.1:9"}}]
users: [{name: nobody, user: {token: none}}]
"""
OVERLAY = """
resources: [%s]
patches:
  - target: {kind: EC2NodeClass, name: trainium-trn1}
    patch: '- {op: replace, path: /spec/amiSelectorTerms/0/alias, value: %s}'
"""


@pytest.fixture
def open_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], EksTarget]:
    """The target of our manifests with another AMI on the accelerator nodes, on a cluster that cannot be reached."""
    (tmp_path / "kubeconfig").write_text(KUBECONFIG)
    environment = {name: placeholder.example for name, placeholder in declared(MANIFESTS).items()}
    environment |= {"PATH": os.environ["PATH"], "KUBECONFIG": str(tmp_path / "kubeconfig")}

    def open_target(ami: str) -> EksTarget:
        overlay = tmp_path / "overlay"
        overlay.mkdir()
        (overlay / "kustomization.yaml").write_text(
            OVERLAY % (os.path.relpath(MANIFESTS / "clusters" / "eks", overlay), ami)
        )
        (overlay / "placeholders.yaml").write_text((MANIFESTS / "placeholders.yaml").read_text())
        monkeypatch.setattr(eks, "MANIFESTS", overlay)
        return eks.open_target(Settings(tmp_path, environment), lambda _: None, Options())

    return open_target


@pytest.mark.parametrize(
    ("ami", "sentence"),
    [
        ("al2023@v20260801", r"driver 2\.29\.0 \(of AMI al2023@v20260801\) needs runtime 2\.33 or later, the image has 2\.27\.23"),
        ("al2023@latest", r"al2023@latest brings the newest driver, and from 2\.29 on that refuses runtime 2\.27\.23"),
    ],
)  # fmt: skip
def test_an_ami_whose_driver_refuses_the_images_runtime_is_one_sentence_before_the_cluster_is_asked(
    ami: str, sentence: str, open_with: Callable[[str], EksTarget]
) -> None:
    with pytest.raises(
        Refused, match=rf"Nothing was changed, because:\n  - RayService chatbot/chatbot: {sentence}"
    ) as no:
        open_with(ami).up()
    assert str(no.value).count("\n") == 1


def test_an_ami_that_goes_with_the_image_gets_as_far_as_the_cluster(
    open_with: Callable[[str], EksTarget], monkeypatch: pytest.MonkeyPatch
) -> None:
    target = open_with("al2023@v20260618")
    api = target.release.stage.api
    monkeypatch.setattr(api.transport, "_pace", replace(api.pace, sleep=lambda _: None))
    with pytest.raises(ClusterError, match="does not answer"):
        target.up()
