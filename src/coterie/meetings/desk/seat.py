"""One member on this node: its replica, and how it is told what happens."""

from __future__ import annotations

from coterie.meetings.desk.batching import Batcher
from coterie.meetings.messages import (
    Accept,
    MeetingEnded,
    MeetingNews,
    Utterances,
    Welcome,
    YourTurn,
)
from coterie.meetings.minutes import events, rules
from coterie.meetings.minutes.events import Entry
from coterie.meetings.minutes.records import Utterance
from coterie.meetings.protocol.replica import Replica
from coterie.runtime import AgentRef

_UTTERANCES = frozenset(rules.UTTERANCES)


class Seat:
    """A member's place. Touched by the clerk's thread alone, but for `replica.log.entries`, which others only read."""

    def __init__(self, name: str, agent: AgentRef, accepted: Accept, replica: Replica) -> None:
        self.name = name
        self.agent = agent
        self.replica = replica
        self.person = accepted.person
        self.welcomed = False
        self.ended = False
        self.submissions = 0
        """Numbers of what it wanted to have in the minutes."""
        self._left: tuple[str, str] | None = None
        """Who said that it has left, and why."""
        self._told = 0
        self._turn = 0
        self._batcher = Batcher(accepted.batch) if accepted.batch is not None else None
        handles = agent.handles
        self._hears = handles(Utterance)
        self._hears_batches = handles(Utterances)
        self._takes_turns = handles(YourTurn)
        self._takes_news = handles(MeetingNews)
        self._wants_welcome = handles(Welcome)
        self._wants_end = handles(MeetingEnded)

    @property
    def batch_deadline(self) -> float | None:
        """When a batch is due."""
        return self._batcher.deadline if self._batcher is not None else None

    def tell(self, entry: Entry, now: float) -> None:
        """Tell the member of an entry that is final."""
        event = entry.event
        state = self.replica.state
        if type(event) in _UTTERANCES:
            utterance = state.spoken[self._told]
            self._told += 1
            if self.welcomed and utterance.by != self.name and (not utterance.to or self.name in utterance.to):
                self._hear(utterance, now)
            return
        if isinstance(event, events.Opened) or (isinstance(event, events.Joined) and event.member.name == self.name):
            self.welcome(again=False)
            return
        if isinstance(event, events.Left) and event.member == self.name:
            self._left = (entry.by, event.reason)
        if self._takes_news and self.welcomed and not isinstance(event, events.Closed):
            self.agent.post(MeetingNews(state.meeting, entry.sequence, entry.by, event))
        if isinstance(event, events.Closed) or not state.is_open:
            self.end(now)

    def settle(self) -> None:
        """Tell the member that the floor is its own, if that is news."""
        turn = self.replica.state.turn
        if turn.number == self._turn:
            return
        if self.name in turn.holders and self.welcomed and not self.ended:
            self._turn = turn.number
            self._flush()  # who is to speak hears first what was said
            if self._takes_turns:
                self.agent.post(YourTurn(self.replica.meeting, turn.number, turn.limit))

    def welcome(self, *, again: bool) -> None:
        """Tell the member that it is one, and what was said before."""
        self.welcomed = True
        state = self.replica.state
        if self._wants_welcome:
            history = tuple(state.spoken[: self._told] if not again else state.spoken)
            self.agent.post(
                Welcome(state.meeting, state.topic, tuple(state.places), history, dict(state.parameters), again=again)
            )
        if again and self._batcher is not None:
            self._batcher.take()  # it is in the history

    def due(self, now: float) -> None:
        """Bring a batch whose time has come."""
        deadline = self.batch_deadline
        if deadline is not None and now >= deadline:
            self._flush()

    def end(self, now: float) -> None:  # noqa: ARG002 - all that is told is told with the time
        """Tell the member how it ended."""
        if self.ended:
            return
        self.ended = True
        self._flush()
        state = self.replica.state
        reason = state.reason
        if self._left is not None and state.is_open:
            by, why = self._left
            if by == self.name:
                return  # it has left, and the meeting goes on
            reason = f"{self.name} is no member any more: {why}"
        if self._wants_end and self.welcomed:
            self.agent.post(MeetingEnded(state.meeting, state.topic, state.outcome, reason))

    def _hear(self, utterance: Utterance, now: float) -> None:
        if self._batcher is not None:
            if self._batcher.add(utterance, now):
                self._flush()
        elif self._hears:
            self.agent.post(utterance)

    def _flush(self) -> None:
        if self._batcher is None:
            return
        held = self._batcher.take()
        if held and self._hears_batches:
            self.agent.post(Utterances(self.replica.meeting, held))
        elif self._hears:
            for utterance in held:
                self.agent.post(utterance)
