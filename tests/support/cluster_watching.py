"""Both observers of a cluster over hand-made objects, on a clock of the test's own."""

from __future__ import annotations

from loadtest.observers.kubernetes import KubernetesObserver
from loadtest.observers.kubernetes.api import Api
from loadtest.observers.kubernetes.dashboard import ServiceProxy
from loadtest.observers.serve import ServeObserver
from loadtest.observers.watch import Watch
from loadtest.observers.watched import Watched
from tests.support.cluster_objects import START_UNIX_S, World


class Watching:
    """The run's clock is the world's: zero is START_UNIX_S."""

    def __init__(self, world: World, *, from_deploy: bool = True, usd_per_h: dict[str, float] | None = None) -> None:
        self.world = world
        self.now_s = 0.0
        api = Api(self._ask)
        dashboard = ServiceProxy(api, "chatbot", "chatbot")
        self.kubernetes = KubernetesObserver(
            api, dashboard, from_deploy=from_deploy, wall=self._wall, usd_per_h=usd_per_h
        )
        self.serve = ServeObserver(dashboard, from_deploy=from_deploy, wall=self._wall)
        self.watch = Watch([self.serve, self.kubernetes], lambda: self.now_s)

    def look(self, at_s: float, world: World | None = None) -> Watched:
        """Once through both, at `at_s`."""
        self.now_s = at_s
        self.world = world or self.world
        self.watch.look()
        return self.watch.so_far()

    def _ask(self, path: str, headers: object) -> tuple[int, bytes]:
        return self.world(path, headers)  # type: ignore[arg-type]

    def _wall(self) -> float:
        return START_UNIX_S + self.now_s
