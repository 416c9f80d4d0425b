"""One member on this node: its replica, and the messages that tell its agent about the meeting."""

from __future__ import annotations

from coterie.meetings.messages import (
    Accept,
    Batch,
    MeetingEnded,
    MeetingNews,
    Utterances,
    Welcome,
    YourTurn,
)
from coterie.meetings.raft.replica import Replica
from coterie.meetings.state import events, rules
from coterie.meetings.state.events import LogEntry
from coterie.meetings.state.records import Utterance
from coterie.runtime import AgentRef

_UTTERANCES = frozenset(rules.UTTERANCES)


class Batcher:
    """Collects utterances for one member, up to a rolling deadline with a ceiling. Pure."""

    __slots__ = ("_batch", "_ceiling", "_deadline", "_held")

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._held: list[Utterance] = []
        self._deadline = 0.0
        self._ceiling = 0.0

    @property
    def deadline(self) -> float | None:
        """When the batch is due; None for an empty batch."""
        return self._deadline if self._held else None

    def add(self, utterance: Utterance, now: float) -> bool:
        """Add an utterance. Return whether the batch is due at once."""
        if not self._held:
            self._ceiling = now + self._batch.ceiling
        self._held.append(utterance)
        self._deadline = min(now + self._batch.wait, self._ceiling)
        return bool(utterance.to) or utterance.person

    def take(self) -> tuple[Utterance, ...]:
        """Return the batch, and begin a new one."""
        held, self._held = self._held, []
        return tuple(held)


class LocalMember:
    """A member on this node. Only its host's thread may use it; other threads may read `replica.log.entries`."""

    def __init__(self, name: str, agent: AgentRef, accepted: Accept, replica: Replica) -> None:
        self.name = name
        self.agent = agent
        self.replica = replica
        self.person = accepted.person
        self.welcomed = False
        self.ended = False
        self.proposals = 0
        """The number of proposals so far; proposal ids are made of it."""
        self._left: tuple[str, str] | None = None
        """The author and the reason of the event by which it left."""
        self._told = 0
        self._turn = 0
        self._batcher = Batcher(accepted.batch) if accepted.batch is not None else None
        handles = agent.handles
        self._handles_utterances = handles(Utterance)
        self._handles_batches = handles(Utterances)
        self._handles_turns = handles(YourTurn)
        self._handles_news = handles(MeetingNews)
        self._handles_welcome = handles(Welcome)
        self._handles_end = handles(MeetingEnded)

    @property
    def batch_deadline(self) -> float | None:
        """When a batch is due; None without one."""
        return self._batcher.deadline if self._batcher is not None else None

    def tell(self, entry: LogEntry, now: float) -> None:
        """Tell the member about a committed entry."""
        event = entry.event
        state = self.replica.state
        if type(event) in _UTTERANCES:
            utterance = state.spoken[self._told]
            self._told += 1
            if self.welcomed and utterance.by != self.name and (not utterance.to or self.name in utterance.to):
                self._tell_utterance(utterance, now)
            return
        if isinstance(event, events.MeetingOpened) or (isinstance(event, events.Joined) and event.member.name == self.name):
            self.welcome(again=False)
            return
        if isinstance(event, events.Left) and event.member == self.name:
            self._left = (entry.by, event.reason)
        if self._handles_news and self.welcomed and not isinstance(event, events.Closed):
            self.agent.post(MeetingNews(state.meeting, entry.sequence, entry.by, event))
        if isinstance(event, events.Closed) or not state.is_open:
            self.end()

    def tell_turn(self) -> None:
        """Tell the member that it has the floor, once for each turn."""
        turn = self.replica.state.turn
        if turn.number == self._turn:
            return
        if self.name in turn.holders and self.welcomed and not self.ended:
            self._turn = turn.number
            self._flush()  # before it speaks it hears the utterances so far
            if self._handles_turns:
                self.agent.post(YourTurn(self.replica.meeting, turn.number, turn.limit))

    def welcome(self, *, again: bool) -> None:
        """Tell the member that it is one, with all earlier utterances. `again` after a restart of its agent."""
        self.welcomed = True
        state = self.replica.state
        if self._handles_welcome:
            history = tuple(state.spoken[: self._told] if not again else state.spoken)
            self.agent.post(
                Welcome(state.meeting, state.topic, tuple(state.locations), history, dict(state.parameters), again=again)
            )
        if again and self._batcher is not None:
            self._batcher.take()  # it is in the history

    def flush_due(self, now: float) -> None:
        """Send a batch that is due."""
        deadline = self.batch_deadline
        if deadline is not None and now >= deadline:
            self._flush()

    def end(self) -> None:
        """Tell the member that the meeting is over for it, and why."""
        if self.ended:
            return
        self.ended = True
        self._flush()
        state = self.replica.state
        reason = state.reason
        if self._left is not None and state.is_open:
            by, why = self._left
            if by == self.name:
                return  # it left by itself, and the meeting goes on
            reason = f"{self.name} is not a member any more: {why}"
        if self._handles_end and self.welcomed:
            self.agent.post(MeetingEnded(state.meeting, state.topic, state.outcome, reason))

    def _tell_utterance(self, utterance: Utterance, now: float) -> None:
        if self._batcher is not None:
            if self._batcher.add(utterance, now):
                self._flush()
        elif self._handles_utterances:
            self.agent.post(utterance)

    def _flush(self) -> None:
        if self._batcher is None:
            return
        held = self._batcher.take()
        if held and self._handles_batches:
            self.agent.post(Utterances(self.replica.meeting, held))
        elif self._handles_utterances:
            for utterance in held:
                self.agent.post(utterance)
