"""The contract net: a manager announces a task, the others bid, the manager awards it, who got it reports.

After R. G. Smith, "The Contract Net Protocol", IEEE Transactions on Computers C-29 (12), 1980.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from coterie.meetings.floor.policy import Floor, not_its_turn
from coterie.meetings.minutes.events import Announced, Awarded, Bid, Event, Reported

if TYPE_CHECKING:
    from coterie.meetings.minutes.state import MeetingState


_ALLOWED: dict[str, tuple[type[Event], ...]] = {
    "idle": (Announced,),
    "bidding": (Bid,),
    "awarding": (Announced, Awarded),
    "working": (Reported,),
}


class Contract(msgspec.Struct, frozen=True):
    """One task, and how far it has got."""

    task: Any
    announced: int
    """The sequence number of its announcement."""
    bids: dict[str, Any] = {}
    """Offers by bidder."""
    winner: str = ""
    result: Any = None
    state: str = "bidding"
    """"bidding", "awarding", "working", "done" or "failed"."""


class ContractNet(Floor, frozen=True, kw_only=True):
    """Announce, bid, award, report; `turn_limit` holds for each bid, each award and each report.

    Once all others have bid, or have let their time pass, the manager awards the task to one of the bidders, or to
    nobody. A winner that does not report in time loses the task, and the manager may award it to another bidder.
    """

    manager: str = ""
    """Its name (or a reference, of which the name is kept); empty for the caller."""

    def __post_init__(self) -> None:
        Floor.__post_init__(self)
        msgspec.structs.force_setattr(self, "manager", getattr(self.manager, "name", self.manager))

    def manages(self, state: MeetingState) -> str:
        """Return who the manager is at present: if it is gone, who has been a member for longest."""
        wanted = self.manager or state.caller
        return wanted if wanted in state.members else next((name for name in state.order if name in state.members), "")

    def next(self, state: MeetingState, last: str) -> tuple[str, ...]:  # noqa: ARG002, D102 - see Floor
        contract = state.contract
        if contract is not None and contract.state == "bidding":
            return tuple(name for name in state.bidders if name in state.members)
        if contract is not None and contract.state == "working":
            return (contract.winner,)
        manager = self.manages(state)
        return (manager,) if manager else ()

    def objection(self, state: MeetingState, by: str, event: Event) -> str:  # noqa: D102 - see Floor
        contract = state.contract
        phase = contract.state if contract is not None and contract.state not in ("done", "failed") else "idle"
        manager = self.manages(state)
        allowed = _ALLOWED[phase]
        if by == manager and not isinstance(event, Announced | Bid | Awarded | Reported):
            return ""  # the manager may always say something
        if turn := not_its_turn(state, by):
            return turn
        if not isinstance(event, allowed):
            wanted = {"idle": "an announcement", "bidding": "bids", "awarding": "an award", "working": "a report"}[phase]
            return f"what is due now is {wanted}"
        if isinstance(event, Awarded) and event.to and (contract is None or event.to not in contract.bids):
            return f"{event.to} has not bid for it"
        return ""

    def keeps_floor(self, state: MeetingState, event: Event) -> bool:  # noqa: ARG002, D102 - see Floor
        return not isinstance(event, Announced | Bid | Awarded | Reported)

    def limit(self, state: MeetingState, holders: tuple[str, ...]) -> float | None:  # noqa: ARG002, D102 - see Floor
        contract = state.contract
        idle = contract is None or contract.state in ("done", "failed")
        return None if idle else self.turn_limit
