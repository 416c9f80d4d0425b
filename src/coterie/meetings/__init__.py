"""Meetings: agents come together and speak in turn, over a log that all members replicate.

Each member folds its own state from events in one order, (term, sequence). The caller is the first leader of the log;
when it is gone, a majority of the members elects another. A floor policy decides which member may speak, and all members
check it. A meeting knows nothing of the agents' reasons, of rounds or of minds.
"""

from coterie.meetings.exposition import MeetingCollector
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
from coterie.meetings.minutes import Transcript, read_minutes
from coterie.meetings.person import Person
from coterie.meetings.raft.state import Timing
from coterie.meetings.service import Meetings
from coterie.meetings.state.floor import Chair, ContractNet, Floor, Open, RaisedHands, RoundRobin, Selector
from coterie.meetings.state.records import MeetingView, Utterance
from coterie.meetings.state.termination import Decided, Lasted, MaxTurns, Silence, TerminationCondition, TextSaid
from coterie.meetings.stored import StoredMinutes, minutes_line, stored_minutes

__all__ = [
    "Accept",
    "Batch",
    "Chair",
    "ContractNet",
    "Decided",
    "Decline",
    "Floor",
    "Invitation",
    "Lasted",
    "MaxTurns",
    "Meeting",
    "MeetingCancelled",
    "MeetingCollector",
    "MeetingEnded",
    "MeetingNews",
    "MeetingView",
    "Meetings",
    "Open",
    "Person",
    "RaisedHands",
    "RoundRobin",
    "Selector",
    "Silence",
    "StoredMinutes",
    "TerminationCondition",
    "TextSaid",
    "Timing",
    "Transcript",
    "Utterance",
    "Utterances",
    "Welcome",
    "YourTurn",
    "minutes_line",
    "read_minutes",
    "stored_minutes",
]
