"""The membership of one process: it reports to the directory, and keeps the latest view of the cluster."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

from coterie.cluster import rays
from coterie.cluster.placement import Homes
from coterie.cluster.wire import CallResult, ClusterMember, ClusterSettings, ClusterView, MemberReport, decode, encode
from coterie.concurrency import AutoResetEvent, Rank, Thread, new_lock, start_thread
from coterie.errors import describe
from coterie.errors.cluster import ClusterUnavailable, UnknownNode
from coterie.kernel import SystemClock

_log = logging.getLogger(__name__)

_clock = SystemClock()
_REFRESH = 0.05
"""Seconds between two questions of this process for a member that it does not know."""
_GONE_KEPT = 1_000
_LEAVING = 2.0
"""Seconds for which the end waits for a report that is under way."""


class Membership:
    """The client of the directory. Safe from any thread: `_view` is replaced as a whole by a younger one, under `_lock`.

    `describe_self` returns the present entry of this process. The functions `changed` are called with each new view, on the thread
    that reports; `lost` is called with the reason if the directory has given this process up.
    """

    def __init__(self, address: str, settings: ClusterSettings, describe_self: Callable[[], MemberReport]) -> None:
        self.address = address
        self.settings = settings
        self._describe_self = describe_self
        self._lock = new_lock(Rank.RECORDS)
        self._directory: Any = None
        self._view = ClusterView([])
        self._by_runtime: dict[str, ClusterMember] = {}
        self._asked_at = 0.0
        self._told = ""
        """The directory that knows what this process knows; a view of another one may miss members."""
        self._gone: dict[str, None] = {}
        """The runtimes that have left the cluster."""
        self._homes = Homes([])
        self._wakes = AutoResetEvent()
        self._left = False
        self._thread: Thread | None = None
        self._changed: list[Callable[[ClusterView], None]] = []
        self._lost: Callable[[str], None] = lambda why: None  # noqa: ARG005 - as the others
        self._handles: dict[str, Any] = {}
        self.problem = ""
        """Why the directory cannot be reached; empty if it can."""
        self._verdict = ""
        """Why this process is no longer a member, because it was given up or has left; empty if it is."""

    def start(self, changed: Iterable[Callable[[ClusterView], None]], lost: Callable[[str], None]) -> None:
        """Report once, and then again and again, on a thread. Raises `ClusterUnavailable`."""
        self._changed, self._lost = list(changed), lost
        self.refresh(report=True)
        if self.problem:
            raise ClusterUnavailable(self.address, self.problem)
        self._notify()
        self._thread = start_thread(self._run, "cluster-membership")

    def leave(self) -> None:
        """Report no more, and say goodbye to the directory."""
        self._left = True
        self._wakes.set()
        if self._thread is not None:
            # It must not call Ray once the process is disconnected: Ray would start itself on this machine.
            self._thread.join(_LEAVING)
        report = self._describe_self()
        try:
            self._ask("report", encode(MemberReport(report.member, leaving=True)), timeout=2.0)
        except ClusterUnavailable as error:
            _log.debug("left without a goodbye: %s", error)

    def end(self, why: str) -> None:
        """Refuse each further call, which would need a connection to Ray."""
        self._verdict = self._verdict or why

    # The view.

    @property
    def view(self) -> ClusterView:
        """The latest view."""
        return self._view

    def check(self) -> None:
        """Raise `ClusterUnavailable` if this process was given up, or has closed its connection."""
        if self._verdict:
            raise ClusterUnavailable(self.address, f"this program is no longer part of it: {self._verdict}; connect again")

    def nodes(self) -> list[ClusterMember]:
        """Return the living nodes, in the order of their names."""
        return sorted((each for each in self._view.members if each.is_node), key=lambda each: each.name)

    def node(self, name: str) -> ClusterMember:
        """Return the living node of a name; ask the directory if it is not known here. Raises `UnknownNode`."""
        for _ in range(2):
            found = next((each for each in self._view.members if each.is_node and each.name == name), None)
            if found is not None:
                return found
            self.refresh()
        raise UnknownNode(name, [each.name for each in self.nodes()])

    def member(self, runtime: str) -> ClusterMember | None:
        """Return the living member with a runtime; ask the directory if it is not known here."""
        member = self._by_runtime.get(runtime)
        if member is None and _clock.monotonic() - self._asked_at > _REFRESH:
            self.refresh()
            member = self._by_runtime.get(runtime)
        return member

    def reason(self, runtime: str) -> str:
        """Return why a runtime is not a member."""
        known = ", ".join(each.name for each in self.nodes()) or "none"
        return f"{runtime} is not part of the cluster, or no longer; its nodes are {known}"

    def runtimes(self) -> list[str]:
        """Return the runtimes of all living members."""
        return list(self._by_runtime)

    @property
    def homes(self) -> Homes:
        """The homes of durable agents, by the latest view. A change of the nodes makes a new object."""
        return self._homes

    def home(self, name: str) -> str | None:
        """Return the runtime of a durable agent by its name in addresses; None if no node can have it."""
        return self._homes.home(name)

    def handle(self, member: ClusterMember) -> Any:
        """Return the handle of a node's Ray actor. Raises `ClusterUnavailable` if this process was given up."""
        self.check()
        handle = self._handles.get(member.actor)
        if handle is None:
            handle = self._handles[member.actor] = rays.actor(member.actor)
        return handle

    # Calls.

    def ask_directory(self, method: str, value: Any = None, timeout: float = 10.0) -> Any:
        """Call the directory, and return the result. Raises `ClusterUnavailable`."""
        self.check()
        outcome = decode(self._ask("call", method, encode(value), timeout=timeout), CallResult)
        if outcome.error:
            raise ClusterUnavailable(self.address, f"its directory failed: {outcome.error}")
        return outcome.value

    def refresh(self, *, report: bool = False) -> None:
        """Ask the directory for its view; with `report` as a sign of life of this process."""
        self._asked_at = _clock.monotonic()
        try:
            view = self._report(whole=not self._told) if report else decode(self._ask("view", timeout=5.0), ClusterView)
            if not view.verdict and not self._left and (view.wants_names or view.directory != self._told):
                view = self._report(whole=True)
        except ClusterUnavailable as error:
            if not self.problem:
                _log.warning("%s", error)
            self.problem = str(error)
            return
        self.problem = ""
        if view.verdict:
            self.problem = view.verdict
            if view.lost:
                self._verdict = view.verdict
                self._lost(view.verdict)
            return
        self._take(view)
        self._wakes.set()

    def _report(self, *, whole: bool) -> ClusterView:
        """Report to the directory; with `whole` also what a new one has to know."""
        said, timeout = self._describe_self(), max(1.0, self.settings.lost_after / 2)
        if whole:
            view = self._view
            said = MemberReport(said.member, said.ended, said.names or {}, view.members, list(self._gone), view.classes)
        else:
            said = MemberReport(said.member, said.ended)
        view = decode(self._ask("report", encode(said), timeout=timeout), ClusterView)
        if whole and not view.verdict:
            self._told = view.directory
        return view

    def _take(self, view: ClusterView) -> None:
        by_runtime = {each.runtime: each for each in view.members}
        homes = Homes(sorted((each for each in view.members if each.is_node), key=lambda each: each.name))
        with self._lock:
            if view.directory == self._view.directory and view.number < self._view.number:
                return
            self._gone.update(dict.fromkeys(self._by_runtime.keys() - by_runtime.keys()))
            while len(self._gone) > _GONE_KEPT:
                del self._gone[next(iter(self._gone))]
            self._view, self._by_runtime = view, by_runtime
            if homes != self._homes:
                self._homes = homes

    def _notify(self) -> None:
        view = self._view
        for changed in self._changed:
            changed(view)

    def _run(self) -> None:
        due = _clock.monotonic()
        while not self._left:
            # A view that another thread has asked for is told at once.
            self._wakes.wait(max(0.0, due - _clock.monotonic()))
            try:
                if _clock.monotonic() >= due and not self._left:
                    due = _clock.monotonic() + self.settings.beat
                    self.refresh(report=True)
                self._notify()
            except Exception:  # noqa: BLE001 - without this thread the process would count as lost
                _log.exception("a report to the directory raised")

    def _ask(self, method: str, *arguments: Any, timeout: float) -> bytes:
        self.check()
        try:
            if self._directory is None:
                self._directory = rays.actor(rays.DIRECTORY)
            return rays.call(self._directory, method, *arguments, timeout=timeout)
        except Exception as error:
            self._directory = None
            text = describe(error).strip().splitlines()[0]
            raise ClusterUnavailable(self.address, f"its directory does not answer: {text}; is Ray's head alive?") from error
