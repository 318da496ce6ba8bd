"""One target's manifests on one cluster: what plan, deploy, explain and destroy have in common, whatever the target."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from cluster import permissions, preflight
from cluster.apply import Execution, refuse_conflicts
from cluster.client import FIELD_MANAGER
from cluster.destroy import Destruction
from cluster.objects import Manifest
from cluster.observe import Stage
from cluster.permissions import Right
from cluster.plan import Plan, diff


@dataclass(frozen=True, slots=True)
class Release:
    """Everything is looked up anew by each verb."""

    stage: Stage
    desired: Sequence[Manifest]
    tell: Callable[[str], None]
    usd_per_hour: Mapping[str, float]  # of instance types
    force_conflicts: bool = False

    def plan(self) -> Plan:
        """What `apply` would do now; writes nothing."""
        return diff(
            self.desired,
            self.stage.observe(self.desired),
            self.stage.orphans(self.desired),
            field_manager=FIELD_MANAGER,
            usd_per_hour=self.usd_per_hour,
        )

    def apply(self, plan: Plan) -> None:
        """Carry the plan out and return when everything of it is ready. Raises Refused or NotReady."""
        refuse_conflicts(plan, force=self.force_conflicts)
        Execution(self.stage, self.tell, force_conflicts=self.force_conflicts).run(plan, self.desired)

    def destroy(self) -> None:
        """Remove what deploys have made. Raises NotReady with what is left and paid for."""
        Destruction(self.stage, self.desired, self.tell, self.usd_per_hour).run()

    def rights(self) -> list[Right]:
        """What the caller has to be allowed."""
        return permissions.required(self.desired, preflight.plurals(self.stage.api, self.desired))

    def refuse_without_rights(self) -> None:
        """Raises Refused with every right that the caller lacks."""
        missing = preflight.missing_rights(self.stage.api, self.rights())
        preflight.refuse([f"you are not allowed to {right}" for right in missing])
