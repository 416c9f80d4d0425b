"""Floor policies: which member may speak, and which is next.

A policy is data, and its methods are pure functions of a meeting's state. The leader refuses events by it, and every
member folds by it, so an event that a faulty leader let through counts nowhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import msgspec

from coterie.errors import InvalidSetting
from coterie.kernel import check_number
from coterie.meetings.state.events import Announced, Awarded, Bid, MeetingEvent, Reported
from coterie.meetings.state.records import MeetingView


class Floor(msgspec.Struct, frozen=True, kw_only=True):
    """Base of the floor policies. To write your own, subclass it at the top of a module and override `next`.

    A method that raises does no harm: the failure is logged, and the floor goes to the next member in the order of
    joining.
    """

    stored_name: ClassVar[str] = ""
    """The name under which logs store this class, not its subclasses; digests of meetings depend on it. Set it before the
    class moves to another module, so that recorded meetings keep their digests. Empty for module and class name."""

    turn_limit: float | None = None
    """Seconds for a turn; None sets no limit. After them the turn is logged as missed, and the floor passes on."""

    def __post_init__(self) -> None:
        check_number(f"{type(self).__name__}.turn_limit", self.turn_limit, above=0, optional=True)

    @property
    def chooses(self) -> bool:
        """True if a function on the leader's node chooses the holders, instead of a rule that every member can compute."""
        return False

    def next(self, state: MeetingView, last: str) -> tuple[str, ...]:  # noqa: ARG002 - for overriding
        """Return the members that have the floor after `last`; an empty tuple to decide by `objection` alone."""
        return ()

    def objection(self, state: MeetingView, by: str, event: MeetingEvent) -> str:  # noqa: ARG002 - for overriding
        """Return why a member may not say this now; an empty text if it may."""
        return turn_objection(state, by)

    def keeps_floor(self, state: MeetingView, event: MeetingEvent) -> bool:  # noqa: ARG002 - for overriding
        """Return whether the holders of the floor keep it after this event."""
        return False

    def limit(self, state: MeetingView, holders: tuple[str, ...]) -> float | None:  # noqa: ARG002 - for overriding
        """Return the seconds for which the new holders may keep the floor; None for no limit."""
        return self.turn_limit


def turn_objection(state: MeetingView, by: str) -> str:
    """Return why a member may not speak where only the holders of the floor may; an empty text if it may.

    Without a holder, any member may.
    """
    turn = state.turn
    if turn.choosing:
        return "the next speaker is being chosen"
    if turn.holders and by not in turn.holders:
        return f"it is the turn of {' and '.join(turn.holders)}"
    return ""


def next_in_order(state: MeetingView, last: str, order: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the member after `last` in an order of names, by default that of joining; it wraps around."""
    names = list(order) or list(state.order)
    start = names.index(last) + 1 if last in names else 0
    for name in names[start:] + names[:start]:
        if name in state.members:
            return (name,)
    return ()


class Open(Floor, frozen=True, kw_only=True):
    """All members may speak at any time."""

    stored_name = "coterie.meetings.floor.policy:Open"

    def objection(self, state: MeetingView, by: str, event: MeetingEvent) -> str:  # noqa: ARG002, D102 - see Floor
        return ""


class RoundRobin(Floor, frozen=True, kw_only=True):
    """Members speak in turn, one utterance each, in the order of joining with the caller first, or in `order`.

    Raises `InvalidSetting` for an order that is not a list of names or references.
    """

    stored_name = "coterie.meetings.floor.policy:RoundRobin"

    order: tuple[Any, ...] = ()
    """Names of the members that take turns, or references, whose names are kept; the others only listen. Empty for all."""

    def __post_init__(self) -> None:
        Floor.__post_init__(self)
        names = tuple(getattr(member, "name", member) for member in self.order)
        if not all(isinstance(name, str) for name in names):
            raise InvalidSetting("RoundRobin.order", self.order, "names or references, in their order")
        msgspec.structs.force_setattr(self, "order", names)

    def next(self, state: MeetingView, last: str) -> tuple[str, ...]:  # noqa: D102 - see Floor
        return next_in_order(state, last, self.order)

    def objection(self, state: MeetingView, by: str, event: MeetingEvent) -> str:  # noqa: ARG002, D102 - see Floor
        return turn_objection(state, by) or ("" if state.turn.holders else "no member that takes turns is present")


class RaisedHands(Floor, frozen=True, kw_only=True):
    """Members speak in the order in which they raised their hands, one utterance for each hand."""

    stored_name = "coterie.meetings.floor.policy:RaisedHands"

    def next(self, state: MeetingView, last: str) -> tuple[str, ...]:  # noqa: ARG002, D102 - see Floor
        return state.hands[:1]

    def objection(self, state: MeetingView, by: str, event: MeetingEvent) -> str:  # noqa: ARG002, D102 - see Floor
        return turn_objection(state, by) or ("" if state.turn.holders else "raise a hand first")


class Chair(Floor, frozen=True, kw_only=True):
    """The chair speaks at any time and gives the floor to members; each says one thing and gives it back.

    When the chair has left, the member that joined first replaces it.
    """

    stored_name = "coterie.meetings.floor.chaired:Chair"

    chair: str = ""
    """Its name, or a reference, whose name is kept; empty for the caller."""

    def __post_init__(self) -> None:
        Floor.__post_init__(self)
        msgspec.structs.force_setattr(self, "chair", getattr(self.chair, "name", self.chair))

    def presides(self, state: MeetingView) -> str:
        """Return the name of the present chair."""
        return _present_or_first(state, self.chair or state.caller)

    def next(self, state: MeetingView, last: str) -> tuple[str, ...]:  # noqa: ARG002, D102 - see Floor
        chair = self.presides(state)
        return (chair,) if chair else ()

    def objection(self, state: MeetingView, by: str, event: MeetingEvent) -> str:  # noqa: ARG002, D102 - see Floor
        return "" if by == self.presides(state) else turn_objection(state, by)

    def keeps_floor(self, state: MeetingView, event: MeetingEvent) -> bool:  # noqa: ARG002, D102 - see Floor
        # The chair may go on, and a member with the floor does not lose it when the chair interrupts.
        return state.turn.holders == (self.presides(state),)

    def limit(self, state: MeetingView, holders: tuple[str, ...]) -> float | None:  # noqa: D102 - see Floor
        return None if holders == (self.presides(state),) else self.turn_limit


class Selector(Floor, frozen=True, kw_only=True):
    """A function of the meeting's state picks the next speaker.

    ::

        Selector(function=lambda state: "Ada" if state.turns % 2 else "Ben")

    It returns a name or a reference, or None to let all members speak. It runs on the caller's node, on the thread that
    keeps the log there, so it must be quick and must not touch an agent. Its choice is logged. If the caller's whole node
    is lost, members speak in the order of joining. Raises `InvalidSetting` unless `function` is callable.
    """

    stored_name = "coterie.meetings.floor.chaired:Selector"

    function: Any
    """The function, of a `MeetingView`; on the wire an empty text."""

    def __post_init__(self) -> None:
        Floor.__post_init__(self)
        if not callable(self.function) and not isinstance(self.function, str):
            raise InvalidSetting("Selector.function", self.function, "a function of the meeting's state")

    @property
    def chooses(self) -> bool:  # noqa: D102 - see Floor
        return True

    def choose(self, state: MeetingView) -> str:
        """Return the chosen member; an empty text for all. Raises `InvalidSetting`, and the errors of the function."""
        if isinstance(self.function, str):
            raise InvalidSetting("Selector.function", self.function, "a function that this node knows")
        chosen = self.function(state)
        name = "" if chosen is None else getattr(chosen, "name", chosen)
        if name and name not in state.members:
            raise InvalidSetting("the selector's choice", chosen, f"one of {', '.join(state.members)}, or None")
        return str(name)


_ALLOWED: dict[str, tuple[tuple[type[MeetingEvent], ...], str]] = {
    "idle": ((Announced,), "an announcement"),
    "bidding": ((Bid,), "bids"),
    "awarding": ((Announced, Awarded), "an award"),
    "working": ((Reported,), "a report"),
}
"""The events that each phase of a contract net allows, and their description."""


class ContractNet(Floor, frozen=True, kw_only=True):
    """The manager announces a task, the others bid, the manager awards it, the winner reports.

    `turn_limit` holds for each bid, award and report. Once all others have bid or missed their time, the manager awards
    the task to a bidder or withdraws it. A winner that does not report in time loses the task, and the manager may award
    it to another bidder. After R. G. Smith, "The Contract Net Protocol", IEEE Transactions on Computers C-29 (12), 1980.
    """

    stored_name = "coterie.meetings.floor.contract_net:ContractNet"

    manager: str = ""
    """Its name, or a reference, whose name is kept; empty for the caller."""

    def __post_init__(self) -> None:
        Floor.__post_init__(self)
        msgspec.structs.force_setattr(self, "manager", getattr(self.manager, "name", self.manager))

    def manages(self, state: MeetingView) -> str:
        """Return the name of the present manager. When it has left, the member that joined first replaces it."""
        return _present_or_first(state, self.manager or state.caller)

    def next(self, state: MeetingView, last: str) -> tuple[str, ...]:  # noqa: ARG002, D102 - see Floor
        contract = state.contract
        if contract is not None and contract.state == "bidding":
            return tuple(name for name in state.bidders if name in state.members)
        if contract is not None and contract.state == "working":
            return (contract.winner,)
        manager = self.manages(state)
        return (manager,) if manager else ()

    def objection(self, state: MeetingView, by: str, event: MeetingEvent) -> str:  # noqa: D102 - see Floor
        contract = state.contract
        phase = contract.state if contract is not None and contract.state not in ("done", "failed") else "idle"
        if by == self.manages(state) and not isinstance(event, Announced | Bid | Awarded | Reported):
            return ""  # the manager may always say something
        if problem := turn_objection(state, by):
            return problem
        allowed, wanted = _ALLOWED[phase]
        if not isinstance(event, allowed):
            return f"the contract net is waiting for {wanted}"
        if isinstance(event, Awarded) and event.to and (contract is None or event.to not in contract.bids):
            return f"{event.to} has not bid for it"
        return ""

    def keeps_floor(self, state: MeetingView, event: MeetingEvent) -> bool:  # noqa: ARG002, D102 - see Floor
        return not isinstance(event, Announced | Bid | Awarded | Reported)

    def limit(self, state: MeetingView, holders: tuple[str, ...]) -> float | None:  # noqa: ARG002, D102 - see Floor
        contract = state.contract
        idle = contract is None or contract.state in ("done", "failed")
        return None if idle else self.turn_limit


def _present_or_first(state: MeetingView, wanted: str) -> str:
    """Return the wanted member if it is present, otherwise the present member that joined first."""
    return wanted if wanted in state.members else next((name for name in state.order if name in state.members), "")
