"""The two Ray actors: the directory, of which there is one, and the node, of which each machine has one. Bytes in, bytes out.

The host of a node is named, and loaded in the process of its actor: a directory has no runtime.
"""

from __future__ import annotations

import logging
import threading
from typing import Any

import ray

from coterie.cluster import rays
from coterie.cluster.directory import Directory
from coterie.cluster.loading import load
from coterie.cluster.wire import CallResult, ClusterMember, ClusterSettings, MemberReport, decode, encode
from coterie.concurrency import start_thread
from coterie.errors import describe
from coterie.kernel import SystemClock

_log = logging.getLogger(__name__)

CALLS = 8
"""The calls that a node handles at once."""
_ACTOR = "coterie-node-"
"""The beginning of the names of the actors of nodes, before Ray's number of the machine."""
_SHOWN = 2_000
"""Characters of a problem that are shown."""
_AGAIN = 5.0
"""Seconds before a node that did not start is started again."""


# Ray's own types do not know all of it.
_remote: Any = ray.remote


class _NodeActor:
    """Hosts the runtime of one machine. If its process ends, Ray starts it again on the same machine, with a new runtime."""

    def __init__(self, name: str, actor: str, settings: bytes) -> None:
        self._host = load("coterie.cluster.host:NodeHost")(name, actor, decode(settings, ClusterSettings))

    def call(self, method: str, payload: bytes) -> Any:
        """Do what the cluster asks."""
        return self._host.call(method, payload)


NodeActor: Any = _remote(num_cpus=0, max_restarts=-1, max_task_retries=0, max_concurrency=CALLS)(_NodeActor)


class _DirectoryActor:
    """Keeps the directory, and starts a node on each machine that has none."""

    def __init__(self, settings: bytes) -> None:
        self._settings = decode(settings, ClusterSettings)
        clock = SystemClock()
        try:
            living = [each["name"] for each in ray.util.list_named_actors(all_namespaces=True)]
        except Exception as error:  # noqa: BLE001 - then it waits for none
            _log.warning("cannot list the nodes that exist: %s", describe(error))
            living = []
        expected = [name for name in living if name.startswith(_ACTOR)]
        self._directory = Directory(self._settings, clock.monotonic, expected)
        self._started: dict[str, Any] = {}
        self._failed_at: dict[str, float] = {}
        self._stopped: set[str] = set()
        self._problems: dict[str, str] = {}
        self._clock = clock
        start_thread(self._run, "cluster-directory")

    def report(self, report: bytes) -> bytes:
        """Take a sign of life; return the view."""
        return encode(self._directory.report(decode(report, MemberReport)))

    def view(self) -> bytes:
        """Return the view."""
        return encode(self._directory.view())

    def call(self, method: str, payload: bytes) -> bytes:
        """Change or read the tables."""
        try:
            return encode(CallResult(getattr(self, f"_{method}")(decode(payload, object))))
        except Exception as error:  # noqa: BLE001 - the caller gets it
            return encode(CallResult(error=describe(error), kind=type(error).__name__))

    # The methods of `call`.

    def _settings_of(self, _: Any) -> bytes:
        return encode(self._settings)

    def _take_name(self, value: Any) -> Any:
        name, member = value
        given, holder = self._directory.take_name(name, decode(encode(member), ClusterMember))
        return [given, holder and [holder.node, holder.runtime, holder.address]]

    def _set_address(self, value: Any) -> None:
        self._directory.set_address(*value)

    def _holder(self, name: Any) -> Any:
        holder = self._directory.holder(name)
        return holder and [holder.node, holder.runtime, holder.address]

    def _add_classes(self, classes: Any) -> None:
        self._directory.add_classes(classes)

    def _stop_machine(self, machine: Any) -> None:
        """Start no more node on a machine."""
        self._stopped.add(machine)
        self._started.pop(machine, None)

    def _end_node(self, actor: Any) -> None:
        """End a node that has stopped: Ray would start its process again."""
        rays.end_actor(actor)

    def _problems_of(self, _: Any) -> Any:
        return self._problems

    # The machines.

    def _run(self) -> None:
        pause = threading.Event()
        while not pause.wait(self._settings.beat / 2):
            try:
                machines = rays.machines()
                self._directory.expire(machines)
                self._start_nodes(machines)
            except Exception as error:  # noqa: BLE001 - it is tried again
                _log.warning("cannot look after the machines: %s", describe(error))

    def _start_nodes(self, machines: dict[str, dict[str, Any]]) -> None:
        for number, machine in machines.items():
            if number in self._stopped or not machine["Resources"].get("CPU"):
                continue
            handle = self._started.get(number)
            if handle is None:
                name = rays.name_of(machine)
                other = self._namesake(number, name, machines)
                if other is not None:
                    self._problems[number] = (
                        f"the machine {other[:6]} has the name {name!r} as well; give each its own by "
                        "`coterie cluster join --name`, or stop the other"
                    )
                elif self._clock.monotonic() - self._failed_at.get(number, -_AGAIN) >= _AGAIN:
                    try:
                        self._started[number] = self._start_node(number, name)
                    except Exception as error:  # noqa: BLE001 - it is shown by the status, and tried again
                        self._note(number, error)
                continue
            self._look_at(number, handle)
        for table in (self._started, self._problems, self._failed_at):
            for number in table.keys() - machines.keys():
                table.pop(number, None)

    def _note(self, number: str, error: Exception) -> None:
        """Record that the node of a machine did not start. Ray's text has a traceback; its last line is the error itself."""
        text = str(error).strip()
        problem = (text.splitlines()[-1] if "\n" in text else describe(error))[-_SHOWN:]
        if self._problems.get(number) != problem:
            _log.warning("the machine %s has no node: %s", number, text)
        self._problems[number] = problem
        self._failed_at[number] = self._clock.monotonic()

    def _namesake(self, number: str, name: str, machines: dict[str, dict[str, Any]]) -> str | None:
        """Return another living machine whose node has a name, or is starting: a second one would replace it, and it that one."""
        nodes = {each.machine for each in self._directory.view().members if each.is_node and each.name == name}
        nodes |= {other for other, (_, ready) in self._started.items() if ready is not None}
        nodes |= {actor.removeprefix(_ACTOR) for actor in self._directory.expected}
        found = (other for other in machines if other != number and rays.name_of(machines[other]) == name)
        return next((other for other in found if other in nodes), None)

    def _start_node(self, number: str, name: str) -> tuple[Any, Any]:
        # The node inherits the `runtime_env` of this actor, in which Ray has replaced the folders of the program by packages.
        actor = f"{_ACTOR}{number}"
        options = NodeActor.options(
            name=actor,
            namespace=rays.NAMESPACE,
            lifetime="detached",
            get_if_exists=True,
            scheduling_strategy=rays.on_machine(number),
        )
        handle = options.remote(name, actor, encode(self._settings))
        return handle, handle.call.remote("ready", encode(None))

    def _look_at(self, number: str, started: tuple[Any, Any]) -> None:
        """Record the problem of a node that did not start."""
        handle, ready = started
        if ready is None:
            return
        done, _ = ray.wait([ready], timeout=0)
        if not done:
            return
        try:
            ray.get(ready)
        except ray.exceptions.ActorUnavailableError:
            self._started[number] = handle, handle.call.remote("ready", encode(None))
        except Exception as error:  # noqa: BLE001 - it is shown by the status, and tried again
            self._note(number, error)
            del self._started[number]
        else:
            self._problems.pop(number, None)
            self._started[number] = handle, None


DirectoryActor: Any = _remote(num_cpus=0, max_restarts=-1, max_task_retries=0, max_concurrency=16)(_DirectoryActor)
