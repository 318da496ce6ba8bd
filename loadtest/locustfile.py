"""Chat users that stream: an ordinary Locust file.

`locust -f loadtest/locustfile.py`, with all that Locust offers: its web page, `--headless`, `--master` and `--worker`.
Without --chat-profile it is an ordinary closed loop: `-u` users who hold conversations. With one, the profile's stages
decide when and how much, as a Locust shape. `python -m loadtest run` runs this very file and adds report and verdict.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gevent
from locust import LoadTestShape, User, events, task
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.exception import StopUser
from locust.runners import WorkerRunner

from loadtest import profiles, prompts, session
from loadtest.client.connection import Endpoint
from loadtest.openloop import OpenLoop
from loadtest.profiles.reader import read
from loadtest.record import Outcome
from loadtest.settings import DEFAULT_URL, Settings
from loadtest.spec import Profile
from loadtest.traffic import Due

ORDINARY = "conversation"  # whose prompts are used when no profile is named


class ChatUser(User):
    """Holds one conversation after another; its next request waits for its last answer (closed loop)."""

    host = DEFAULT_URL

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self.session = session.of(environment)
        self.number = self.session.next_user()
        self.turns = self._talk()
        self.upcoming = next(self.turns)

    def wait_time(self) -> float:
        """Reading and thinking before the next turn."""
        self.upcoming = next(self.turns)
        return self.upcoming[1].think_time_s

    @task
    def chat(self) -> None:
        """One turn."""
        traffic = self.session.traffic
        if traffic.over():
            raise StopUser
        place, turn = self.upcoming
        due_s, index = self.session.clock.now(), self.session.next_index()
        request = prompts.request(self.session.profile, index, turn=turn, history=tuple(self.history))
        answer = traffic.perform(request, Due(index, due_s, traffic.stage_at(due_s), self.number, place))
        if answer.outcome() is Outcome.OK:  # what was refused or broke off was not said
            self.history += [("user", turn.content), ("assistant", "".join(answer.text))]

    def _talk(self) -> Iterator[tuple[int, prompts.Turn]]:
        """Turns without end; a new conversation forgets the last one."""
        for conversation in prompts.conversations(self.session.profile, self.number):
            self.history: list[prompts.Message] = []
            yield from enumerate(conversation)


class ArrivalUser(User):
    """Stands for everybody: sends this process' share of a schedule (open loop)."""

    host = DEFAULT_URL

    @task
    def send_all(self) -> None:
        """The whole run."""
        own = session.of(self.environment)
        senders = session.position(self.environment)[1]
        loop = OpenLoop(own.share(), own.traffic, in_flight_cap=max(1, own.profile.sending.in_flight_cap // senders))
        try:
            loop.run()
        except gevent.GreenletExit:
            loop.sever()
            raise
        raise StopUser


class ProfileShape(LoadTestShape):
    """The profile's stages as Locust wants them: how many users now; None when all has ended and drained."""

    abstract = True  # set on the environment, never picked up by name

    def __init__(self, environment: Environment, profile: Profile) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._environment = environment
        self._profile = profile

    def tick(self) -> tuple[int, float] | None:
        """Users, and how many may start in a second."""
        own = session.find(self._environment)  # None at the first tick: it is what starts the test
        if own is not None and own.complete:
            return None
        if self._profile.loop == "open":
            senders = session.position(self._environment)[1]
            return senders, float(senders)
        users = self._profile.stages[own.traffic.stage_at(own.clock.now()) if own else 0].users or 0
        return users, float(max(users, 1))


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator] # Locust
def add_arguments(parser: LocustArgumentParser, **_: Any) -> None:
    """Locust's own command line gets one more flag."""
    parser.add_argument(
        "--chat-profile",
        default="",
        env_var="CHATBOT_LOADTEST_PROFILE",
        help=f"Profile whose stages to run: a YAML file or one of {', '.join(profiles.names())}",
    )


def profile_of(environment: Environment) -> tuple[Profile, bool]:
    """The profile, and whether it was asked for: else only its prompts are used.

    `python -m loadtest run` hands it over whole, to its workers too, which then need no file.
    """
    options = environment.parsed_options
    if text := getattr(options, session.PROFILE_JSON, ""):
        return Profile.model_validate_json(text), True
    name = getattr(options, "chat_profile", "")
    return read(profiles.find(name or ORDINARY)), bool(name)


@events.init.add_listener  # type: ignore[untyped-decorator] # Locust
def prepare(environment: Environment, **_: Any) -> None:
    """Once for each process: messages, and on the one that decides the load, users and shape."""
    session.wire(environment)
    if isinstance(environment.runner, WorkerRunner):
        return
    profile, asked = profile_of(environment)
    environment.user_classes = [ArrivalUser if asked and profile.loop == "open" else ChatUser]
    if asked:
        environment.shape_class = ProfileShape(environment, profile)
        environment.shape_class.runner = environment.runner
    if not environment.stop_timeout:
        environment.stop_timeout = profile.sending.timeout_s  # drained, never severed


@events.test_start.add_listener  # type: ignore[untyped-decorator] # Locust
def begin(environment: Environment, **_: Any) -> None:
    """At the start of every test: a session of its own, and time zero."""
    profile, asked = profile_of(environment)
    endpoint = Endpoint.parse(environment.host or DEFAULT_URL, api_key=Settings().api_key)
    own = session.Session(environment, profile, endpoint, endless=not asked)
    session.attach(environment, own)
    own.begin()


@events.test_stopping.add_listener  # type: ignore[untyped-decorator] # Locust
def close(environment: Environment, **_: Any) -> None:
    """Locust stops: send nothing new, drain."""
    if own := session.find(environment):
        own.close()


@events.test_stop.add_listener  # type: ignore[untyped-decorator] # Locust
def forget(environment: Environment, **_: Any) -> None:
    """The next test, started from the web page, begins anew."""
    session.detach(environment)
