"""The verbs of a target, on a Kubernetes cluster with Karpenter and KubeRay; targets differ in how they are reached."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from cluster.chat_request import stream_chat
from cluster.errors import ClusterError, NotReady, Refused
from cluster.objects import Manifest, condition, dig
from cluster.plan_text import plan_lines
from cluster.release import Release
from cluster.targets import Status
from cluster.upgrade import INSTANCE_TYPE

# Opens the front door: a context manager that yields the base URL.
FrontDoor = Callable[[], AbstractContextManager[str]]


def no_account(_desired: Sequence[Manifest], _kubernetes_minor: int) -> None:
    """The account check of a target that has no account behind it."""


@dataclass(frozen=True, slots=True)
class ClusterTarget:
    """Satisfies `cluster.targets.Target`."""

    release: Release
    front_door: FrontDoor
    way_in: str  # the command by which a person opens the front door; empty where it stands open
    account_check: Callable[[Sequence[Manifest], int], None] = no_account  # raises Refused; tells its warnings itself
    api_key: str | None = None
    name: str = ""
    _open: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def up(self) -> None:
        """Checks, plan, apply, wait, one chat request.

        Raises Refused before the first write, NotReady with the reason of what does not come up.
        """
        release = self.release
        self._check()
        plan = release.plan()
        for line in plan_lines(plan):
            release.tell(line)
        release.apply(plan)
        self._chat()
        if self.way_in:
            release.tell(f"To reach it from here, keep this open: {self.way_in}")

    def endpoint(self) -> str:
        """The base URL of the HTTP face, as long as this process lives. Raises NotReady where nothing stands."""
        if not self._service():
            raise NotReady(f"The chatbot does not stand on this cluster: run `make deploy TARGET={self.name}`.")
        return self._open.enter_context(self.front_door())

    def status(self) -> Status:
        """What stands there, in explain's words."""
        service = self._service()
        explanation = self.release.explain()
        answers = condition(service, "Ready").get("status") == "True"
        facts: dict[str, Any] = {
            "cluster": self.release.stage.api.name,
            "endpoints": int(dig(service, "status", "numServeEndpoints") or 0),
            "nodes": self._nodes(),
            "reach it": self.way_in if answers else "",
            "logs": "with the pods, and wherever the cluster sends them",
        }
        return Status(service is not None, answers, None, explanation.sentence, facts)

    def down(self) -> None:
        """Remove what deploys made, nodes included. Raises NotReady with what is left and paid for."""
        self.release.destroy()

    def _check(self) -> None:
        """Everything that stands in the way, before the first write. Raises Refused."""
        if self.release.unset_variables:
            raise Refused(self.release.unset_variables)
        self.release.refuse_lint_errors()
        facts = self.release.refuse_without_controllers()
        self.account_check(self.release.desired, facts.kubernetes_minor)
        self.release.refuse_without_rights()

    def _chat(self) -> None:
        self.release.tell("Asking it something")
        with self.front_door() as base_url:
            try:
                answer = "".join(stream_chat(base_url, "Say hello.", sampling={"max_tokens": 16}, api_key=self.api_key))
            except ClusterError as error:
                raise NotReady(f"It is ready and does not answer a chat request. {error}") from error
        if not answer:
            raise NotReady("The chatbot answered with nothing: read the replicas' logs.")

    def _service(self) -> Any:
        return next((live for m in self.release.desired if m.kind == "RayService" and (live := self._live(m))), None)

    def _live(self, manifest: Manifest) -> Any:
        resource = self.release.stage.api.resource(manifest.api_version, manifest.kind)
        return self.release.stage.api.get(resource, manifest.name, manifest.namespace) if resource else None

    def _nodes(self) -> list[dict[str, str]]:
        """Our NodeClaims with what each costs."""
        api, pools = self.release.stage.api, {m.name for m in self.release.desired if m.kind == "NodePool"}
        resource = api.resource("karpenter.sh/v1", "NodeClaim")
        claims = [Manifest(item) for item in api.listing(resource).items] if resource else []
        return [
            {
                "name": claim.name,
                "type": claim.labels.get(INSTANCE_TYPE, ""),
                "usd_per_hour": f"{self.release.usd_per_hour.get(claim.labels.get(INSTANCE_TYPE, ''), 0.0):.2f}",
            }
            for claim in claims
            if claim.labels.get("karpenter.sh/nodepool") in pools
        ]
