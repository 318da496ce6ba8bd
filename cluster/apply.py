"""Carrying out a plan: phase by phase, each ready before the next; the same again after an interruption.

Nothing is remembered between runs: every step is an apply or a delete that is right whether or not it was done before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from cluster import order
from cluster.client import Collection
from cluster.errors import NotReady, Refused
from cluster.objects import Key, Manifest
from cluster.observe import Stage, conflicts_of
from cluster.order import Phase
from cluster.plan import Action, Plan
from cluster.transport import ApiError
from cluster.wait import Patience, until_gone, until_ready

DELETE_TIMEOUT_S = 300.0
# Until KubeRay answers: a node, a 10 GB image, a model on the device.
READY_TIMEOUT_S = {Phase.NODE_CLASS: 120.0, Phase.NODE_POOL: 120.0, Phase.PLATFORM: 300.0, Phase.WORKLOAD: 2400.0}
# Deleting and making one of these anew costs nothing but a moment.
_REPLACEABLE = frozenset({"DaemonSet", "Deployment", "Job", "RoleBinding", "ClusterRoleBinding", "PriorityClass"})
_AWAITED = frozenset({"EC2NodeClass", "NodePool", "RayService"})


@dataclass(frozen=True, slots=True)
class Execution:
    """One run of a plan."""

    stage: Stage
    tell: Callable[[str], None]
    force_conflicts: bool = False
    timeouts_s: Mapping[Phase, float] | None = None
    why: Callable[[], str] | None = None  # what the workload waits for, in a sentence

    def run(self, plan: Plan, desired: Sequence[Manifest]) -> None:
        """Make the cluster what the plan says.

        Raises Refused before the first write where others own fields and `force_conflicts` is off, NotReady with the
        reason where an object does not become ready in time.
        """
        refuse_conflicts(plan, force=self.force_conflicts)
        refuse_replacements(plan)
        actions = {change.key: change.action for change in plan.changes}
        wanted = sorted(desired, key=lambda m: order.position(m.key))
        for phase in Phase:
            here = [manifest for manifest in wanted if order.phase(manifest.key) is phase]
            for manifest in here:
                self._carry_out(manifest, actions.get(manifest.key, Action.CREATE))
            for manifest in here:
                if manifest.kind in _AWAITED:
                    self._await(manifest, phase)
        for change in plan.changes:
            if change.action is Action.DELETE:
                self.remove(change.key)

    def remove(self, key: Key) -> None:
        """Delete an object that is ours and return when it is gone."""
        api_version = next(
            version for version, kind in order.KINDS if _identity(version, kind) == (key.group, key.kind)
        )
        resource = self.stage.resource(api_version, key.kind)
        live = self.stage.api.get(resource, key.name, key.namespace)
        if live is None:
            return
        self.tell(f"delete {key}")
        self.stage.api.delete(live, resource, foreground=order.phase(key) is Phase.WORKLOAD)
        alone = Collection(self.stage.api, resource, key.namespace, fields=f"metadata.name={key.name}")
        until_gone(alone, key.kind, Patience(DELETE_TIMEOUT_S, self.tell))

    def _carry_out(self, manifest: Manifest, action: Action) -> None:
        if action is Action.KEEP:
            return
        if action is Action.REPLACE:
            self.remove(manifest.key)
        self.tell(f"{action.value} {manifest.key}")
        resource = self.stage.resource(manifest.api_version, manifest.kind)
        body = self.stage.body(manifest, self.stage.live(manifest))
        try:
            self.stage.api.apply(body, resource, force=self.force_conflicts)
        except ApiError as error:
            if conflicts := conflicts_of(error):  # somebody was quicker than our plan
                fields = ", ".join(f"{conflict.path} ({conflict.manager})" for conflict in conflicts)
                raise NotReady(f"{manifest.key}: others have taken {fields} since the plan was made.") from error
            raise

    def _await(self, manifest: Manifest, phase: Phase) -> None:
        timeout_s = (self.timeouts_s or READY_TIMEOUT_S)[phase]
        resource = self.stage.resource(manifest.api_version, manifest.kind)
        why = self.why if phase is Phase.WORKLOAD else None
        until_ready(self.stage.api, resource, manifest.key, Patience(timeout_s, self.tell, why=why))


def refuse_conflicts(plan: Plan, *, force: bool) -> None:
    """Raises Refused with each field that somebody else manages."""
    if force or not plan.conflicts:
        return
    lines = [f"  {key} {conflict.path} is managed by {conflict.manager}" for key, conflict in plan.conflicts]
    raise Refused(
        "Others manage fields that the manifests set to another value; agree with them, take the fields out of the "
        "manifests, or take them over with --force-conflicts:\n" + "\n".join(lines)
    )


def refuse_replacements(plan: Plan) -> None:
    """Raises Refused where an object would have to be deleted to be changed, and that takes more than itself with it."""
    lines = [
        f"  {change.key}: {change.reason}"
        for change in plan.changes
        if change.action is Action.REPLACE and (change.adopted or change.key.kind not in _REPLACEABLE)
    ]
    if lines:
        raise Refused(
            "These cannot be changed in place, and deleting them takes nodes, data or others' work along; delete them "
            "yourself, or take the change back:\n" + "\n".join(lines)
        )


def _identity(api_version: str, kind: str) -> tuple[str, str]:
    return (api_version.rpartition("/")[0], kind)
