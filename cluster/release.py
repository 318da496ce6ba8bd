"""One target's manifests on one cluster: what plan, deploy, explain and destroy have in common, whatever the target."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import cast

from cluster import permissions, preflight, targets
from cluster.apply import Execution
from cluster.client import FIELD_MANAGER, Api
from cluster.destroy import Destruction
from cluster.errors import NotReady, Refused
from cluster.explain import Explanation, explain
from cluster.explain.snapshot import gather
from cluster.lint.engine import lint
from cluster.lint.stack import Stack
from cluster.objects import Manifest
from cluster.observe import Stage
from cluster.permissions import Right
from cluster.plan import Plan, diff
from cluster.preflight import Facts
from cluster.settings import Settings


@dataclass(frozen=True, slots=True)
class Release:
    """Everything is looked up anew by each verb."""

    stage: Stage
    desired: Sequence[Manifest]
    tell: Callable[[str], None]
    usd_per_hour: Mapping[str, float]  # of instance types
    force_conflicts: bool = False
    unset_variables: str = ""  # the sentence that names them: nothing is planned then, but what stands can be removed
    facts: Callable[[Api], Facts] = preflight.gather  # what preflight judges, as this target's cluster shows it

    @property
    def namespace(self) -> str:
        """Where the RayService stands."""
        return next((manifest.namespace for manifest in self.desired if manifest.kind == "RayService"), "default")

    @property
    def service(self) -> str:
        """The RayService's name."""
        return next((manifest.name for manifest in self.desired if manifest.kind == "RayService"), "")

    def plan(self) -> Plan:
        """What `apply` would do now; writes nothing.

        Raises Refused where a variable of the manifests is not set, or the API server does not accept an object.
        """
        if self.unset_variables:
            raise Refused(self.unset_variables)
        return diff(
            self.desired,
            self.stage.observe(self.desired),
            self.stage.orphans(self.desired),
            field_manager=FIELD_MANAGER,
            usd_per_hour=self.usd_per_hour,
        )

    def apply(self, plan: Plan) -> None:
        """Carry the plan out and return when everything of it is ready.

        Raises Refused before the first write, NotReady with explain's sentence where something does not come up.
        """
        execution = Execution(
            self.stage, self.tell, force_conflicts=self.force_conflicts, why=lambda: self.explain().sentence
        )
        try:
            execution.run(plan, self.desired)
        except NotReady as error:
            explanation = self.explain()
            raise NotReady(f"{error}\n{explanation.sentence}" if explanation.pending else str(error)) from error

    def explain(self) -> Explanation:
        """Why what stands now is not ready, if it is not."""
        snapshot = gather(self.stage.api, self.namespace, datetime.now(timezone.utc))
        return explain(snapshot, namespace=self.namespace, name=self.service)

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

    def refuse_without_controllers(self) -> Facts:
        """What the cluster is. Raises Refused with what is wrong with Karpenter and KubeRay's operator."""
        facts = self.facts(self.stage.api)
        preflight.refuse(preflight.problems(facts))
        return facts

    def refuse_lint_errors(self) -> None:
        """Raises Refused with every finding of severity error: what would silently stop the chatbot from scaling."""
        errors = [finding for finding in lint(Stack(self.desired)).findings if finding.severity == "error"]
        preflight.refuse(
            [f"{finding.manifest.key}: {finding.message} ({finding.rule}). {finding.fix}" for finding in errors]
        )


def open_release(target: str, settings: Settings, tell: Callable[[str], None]) -> Release:
    """The release of a target that is a cluster. Raises Refused for another one."""
    module = importlib.import_module(f"{targets.__name__}.{target}") if target in targets.names() else None
    if not hasattr(module, "open_release"):
        raise Refused(f"{target!r} is no cluster: use eks or rehearsal.")
    return cast(Release, module.open_release(settings, tell))  # type: ignore[union-attr]
