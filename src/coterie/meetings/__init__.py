"""Meetings: agents come together, speak in turn, and nobody owns the minutes.

Each member folds a view of its own from events in one order, (epoch, sequence). The caller orders them first; when it
is gone a majority of the members agrees on who goes on. Who may speak is a policy that all of them check. A meeting
knows nothing of why agents speak, nor of rounds or minds.
"""

from coterie.meetings.ending import AllOf, AnyOf, Condition, Decided, Ending, Lasted, MaxTurns, Said, Silence
from coterie.meetings.floor import Chair, Contract, ContractNet, Floor, Open, RaisedHands, RoundRobin, Selector, Turn
from coterie.meetings.meeting import Meeting
from coterie.meetings.messages import (
    Accept,
    Batch,
    Decline,
    Invitation,
    MeetingCancelled,
    MeetingEnded,
    MeetingNews,
    Utterances,
    Welcome,
    YourTurn,
)
from coterie.meetings.minutes.events import Entry
from coterie.meetings.minutes.records import Missed, Motion, Reaction, Utterance
from coterie.meetings.minutes.state import MeetingState
from coterie.meetings.person import Person
from coterie.meetings.protocol.timing import Timing
from coterie.meetings.service import Meetings, MeetingStatus
from coterie.meetings.transcript import Transcript, read_minutes

__all__ = [
    "Accept",
    "AllOf",
    "AnyOf",
    "Batch",
    "Chair",
    "Condition",
    "Contract",
    "ContractNet",
    "Decided",
    "Decline",
    "Ending",
    "Entry",
    "Floor",
    "Invitation",
    "Lasted",
    "MaxTurns",
    "Meeting",
    "MeetingCancelled",
    "MeetingEnded",
    "MeetingNews",
    "MeetingState",
    "MeetingStatus",
    "Meetings",
    "Missed",
    "Motion",
    "Open",
    "Person",
    "RaisedHands",
    "Reaction",
    "RoundRobin",
    "Said",
    "Selector",
    "Silence",
    "Timing",
    "Transcript",
    "Turn",
    "Utterance",
    "Utterances",
    "Welcome",
    "YourTurn",
    "read_minutes",
]
