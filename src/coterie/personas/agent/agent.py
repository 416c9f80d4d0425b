"""A persona on the runtime."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from random import Random
from typing import Any, ClassVar

import msgspec

from coterie.errors import CheckpointRefused, InvalidSetting, MeetingError, ModelError, PersonaError, ServiceMissing
from coterie.errors.personas import MindFailed
from coterie.kernel import Checkpointable, check_instance, check_number
from coterie.meetings import Accept, Invitation, MeetingCancelled, MeetingEnded, Meetings, Utterance, Welcome, YourTurn
from coterie.memory import AgentMemory, TieredMemory
from coterie.personas.agent import messages, rounds
from coterie.personas.agent.channels import MailboxChannel, MeetingChannel, SilentChannel, TurnChannel
from coterie.personas.agent.directory import PersonaDirectory
from coterie.personas.agent.episode import EpisodeRunner
from coterie.personas.agent.memory import NoteMemory, TieredPersonaMemory
from coterie.personas.agent.state import Episode, PersonaState
from coterie.personas.library import Library
from coterie.personas.mind.actions import STANDARD_ACTIONS, ActionKind, ActionSet, declared_in
from coterie.personas.mind.context import OutputChannel, PersonaMemory
from coterie.personas.mind.mind import Decision, Mind
from coterie.personas.mind.rules import RuleMind
from coterie.personas.mind.state import TALK, ActionOutcome, ActionRecord, MentalState, PersonaAction, Stimulus, StimulusKind
from coterie.personas.profile.persona import Persona, as_text
from coterie.rounds import Member, Turn
from coterie.rounds.member import GetSnapshot
from coterie.runtime import on
from coterie.runtime.references.logs import AgentLog

_MAX_NOTES = 200


class PersonaAgent(Member):
    """A persona that perceives, decides by its mind, acts and remembers, on a thread of its own.

    ::

        ada = runtime.spawn(PersonaAgent, Persona.load("ada.agent.json"), RuleMind(...), name="Ada")
        ada.tell(Listen("Good morning", speaker="Ben"))
        episode = ada.ask(Act()).result()

    `Population` is more convenient. The state of the agent is one frozen `PersonaState`, which its own thread replaces as a
    whole and publishes to the `PersonaDirectory` of the runtime; without a directory, it knows no other persona. Its memories
    are in the runtime's `TieredMemory`, with `memory` for the options of its `AgentMemory`; without one, in 200 notes of its
    state.

    `actions` are additional kinds of action of this agent; a subclass adds its own by `@action` or as `actions`. An episode
    has at most `max_steps` steps; a step may be repeated `max_repeats` times; a decision takes at most `patience` seconds, and
    so does an action. The latest `buffer_size` actions are kept, and as many stimuli. Raises `InvalidSetting`.
    """

    actions: ClassVar[ActionSet] = STANDARD_ACTIONS
    """The actions of this class."""

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        own = declared_in(cls)
        if own:
            cls.actions = cls.actions.adding(*own)

    def __init__(
        self,
        persona: Persona,
        mind: Mind | None = None,
        *,
        actions: Iterable[ActionKind] = (),
        mental_state: MentalState | None = None,
        max_steps: int = 8,
        max_repeats: int = 1,
        similarity: float = 0.95,
        patience: float | None = 120.0,
        buffer_size: int = 100,
        recent_memories: int = 10,
        memory: Mapping[str, Any] | None = None,
        seed: int | str = 0,
    ) -> None:
        check_instance("PersonaAgent.persona", persona, Persona, "a Persona: Persona.load(...) or Persona.of(...)")
        if mind is not None and (isinstance(mind, type) or not callable(getattr(mind, "decide", None))):
            raise InvalidSetting("PersonaAgent.mind", mind, "a mind: an object with `async def decide(self, situation)`")
        check_instance("PersonaAgent.actions", actions, Iterable, "ActionKind values")
        check_instance("PersonaAgent.mental_state", mental_state, (MentalState, type(None)), "a MentalState, or None")
        check_instance("PersonaAgent.memory", memory, (Mapping, type(None)), "options of AgentMemory by name, or None")
        check_number("PersonaAgent.max_steps", max_steps, least=1, whole=True)
        check_number("PersonaAgent.max_repeats", max_repeats, whole=True)
        check_number("PersonaAgent.similarity", similarity, above=0)
        check_number("PersonaAgent.patience", patience, above=0, optional=True)
        check_number("PersonaAgent.buffer_size", buffer_size, least=1, whole=True)
        check_number("PersonaAgent.recent_memories", recent_memories, whole=True)
        self._who = self.context.self_ref.name
        self.persona = persona
        self.mind: Mind = mind if mind is not None else RuleMind()
        self.kinds: ActionSet = type(self).actions.adding(*actions)
        """The actions of this agent."""
        self.max_steps = max_steps
        self.max_repeats = max_repeats
        self.similarity = similarity
        self.patience = patience
        self.recent_memories = recent_memories
        self.seed = seed
        self.state = PersonaState(mental_state if mental_state is not None else MentalState(goals=persona.goals))
        """The state. Replaced as a whole, on the agent's own thread only."""
        self.turn: Turn | None = None
        """The current turn in a simulation, for actions that submit intents; None outside a turn."""
        self._buffer_size = buffer_size
        self._memory_options = dict(memory or {})
        self._directory = self._service(PersonaDirectory)
        self.documents: Mapping[str, str] = self._directory.documents if self._directory is not None else {}
        """The documents to consult, by name."""
        if isinstance(self.documents, Library):
            self.kinds = self.kinds.adding(self.documents.action())
        self.memory: PersonaMemory = self._make_memory()
        """The memories."""
        self.channel: OutputChannel = self._usual_channel()
        """The channel that delivers its speech."""

    @property
    def who(self) -> str:
        """The name of the agent."""
        return self._who

    @property
    def log(self) -> AgentLog:
        """The log of the agent."""
        return self.context.log

    def on_start(self) -> None:
        """Publish the state, and enter the directory."""
        self.replace()
        if self._directory is not None:
            self._directory.enter(self.context.self_ref)

    def on_stop(self) -> None:
        """Leave the directory."""
        if self._directory is not None:
            self._directory.leave(self.context.self_ref)

    # Stimuli and state.

    @on
    def perceive(self, message: messages.Perceive) -> None:
        """Perceive stimuli."""
        self.take_in(*message.stimuli)

    @on
    def sense(self, message: messages.StimulusMessage) -> None:
        """Perceive a stimulus."""
        self.take_in(message.stimulus())

    @on
    def change_mind(self, message: messages.ChangeMind) -> MentalState:
        """Replace the mental state, and return the new one."""
        state = self.state.mental_state.changed(
            goals=message.goals, context=message.context, attention=message.attention, emotions=message.emotions
        )
        self.replace({"mental_state": state}, changes=1)
        return state

    @on
    def tell_state(self, message: messages.GetState) -> PersonaState:  # noqa: ARG002 - its type says everything
        """Return the state."""
        return self.state

    # Episodes.

    @on(raises=(PersonaError, ModelError, InvalidSetting))
    async def act(self, message: messages.StartEpisode) -> Episode:
        """Run one episode, and return it. Raises the errors of the mind."""
        self.take_in(*message.stimuli)
        channel = SilentChannel(self._usual_channel().accessible()) if message.silent else self._usual_channel()
        return await self.live_through(channel, steps=message.steps, label=message.label)

    async def live(self, turn: Turn) -> list[dict[str, Any]]:
        """Take a turn in a simulation: perceive stimuli from the world, act, and submit speech as intents.

        Returns its actions as plain data. See `coterie.personas.social_round`.
        """
        self.take_in(*rounds.heard_in(turn))
        self.turn = turn
        try:
            episode = await self.live_through(
                TurnChannel(turn, rounds.accessible_in(turn)),
                label=f"round {turn.round}/{turn.stage}" + (f"/visit {turn.visit + 1}" if turn.visit else ""),
                random=turn.random,
                world=rounds.seen_in(turn),
            )
        finally:
            self.turn = None
        return [
            {"kind": each.action.kind, "content": each.action.content, "target": each.action.target} for each in episode.records
        ]

    async def live_through(
        self,
        channel: OutputChannel,
        *,
        steps: int | None = None,
        label: str = "",
        random: Random | None = None,
        world: Any = None,
    ) -> Episode:
        """Run one episode whose speech goes to `channel`, and return it. Raises `InvalidSetting` and the errors of the mind."""
        check_number("StartEpisode.steps", steps, least=1, whole=True, optional=True)
        self.channel = channel
        try:
            steps = steps if steps is not None else self.max_steps
            seen = world if world is not None else {}
            return await EpisodeRunner(self, steps=steps, label=label, random=random, world=seen).run()
        finally:
            self.channel = self._usual_channel()

    # Meetings.

    @on
    def be_invited(self, message: Invitation) -> Accept:
        """Perceive the topic of an invitation, and return its acceptance."""
        self.take_in(Stimulus(StimulusKind.SOCIAL, f"a meeting about {message.topic} begins", message.caller))
        return Accept()

    @on
    def be_welcomed(self, message: Welcome) -> None:
        """Perceive the history of a meeting."""
        for utterance in () if message.again else message.history:
            self.hear(utterance)

    @on
    def hear(self, message: Utterance) -> None:
        """Perceive the utterance of another member."""
        if message.by != self._who:
            self.take_in(Stimulus(StimulusKind.CONVERSATION, as_text(message.content), message.by))

    @on(raises=(PersonaError, ModelError, MeetingError))
    async def take_the_floor(self, message: YourTurn) -> None:
        """Speak, or pass. After a failure of the mind or the end of the turn it passes too, so that the others need not wait.

        Raises the error of the mind, or `MindFailed` after the end of the turn.
        """
        meeting = self.context.use(Meetings).meeting(message.meeting)
        floor = MeetingChannel(meeting, self._who)
        try:
            async with asyncio.timeout(message.limit):
                await self.live_through(floor, label=f"meeting {meeting.topic}/turn {message.turn}")
        except TimeoutError as error:
            raise MindFailed(self._who, f"turn {message.turn} was over before it had decided") from error
        finally:
            if refused := await floor.speak():
                self.log.warning("turn %d of the meeting %r: %s", message.turn, meeting.topic, refused)

    @on
    def leave_meeting(self, message: MeetingEnded | MeetingCancelled) -> None:
        """Perceive the end of a meeting."""
        self.take_in(Stimulus(StimulusKind.SOCIAL, f"the meeting about {message.topic} is over"))

    # Memories.

    @on
    def remember(self, message: messages.Remember) -> str:
        """Store a memory, and return its id; an empty text if the runtime has no memory."""
        return self.memory.remember(message.content, "note", message.importance)

    @on
    def recollect(self, message: messages.Recall) -> tuple[str, ...]:
        """Return the best matches among the memories, best first."""
        return self.memory.recall(message.question, message.limit)

    @on
    async def consolidate(self, message: messages.Consolidate) -> int:
        """Consolidate its memories on another thread, and return the number of consolidated episodes."""
        memory = self.memory
        return await self.context.run_blocking(lambda: memory.consolidate(force=message.force))

    # Checkpoints.

    def snapshot(self) -> PersonaState:
        """Return the state, with that of the mind if it is `Checkpointable`."""
        # An isinstance check of a protocol takes long, and there is a snapshot after each message.
        own: object = self.mind if hasattr(self.mind, "snapshot") else None
        mind = own.snapshot() if own is not None and isinstance(own, Checkpointable) else None
        return msgspec.structs.replace(self.state, mark=self.memory.mark(), mind=mind)

    def restore(self, state: Any) -> None:
        """Restore a state of `snapshot`, also as plain data."""
        taken = state if isinstance(state, PersonaState) else msgspec.convert(state, PersonaState)
        if isinstance(self.mind, Checkpointable) and taken.mind is not None:
            self.mind.restore(taken.mind)
        self.state = msgspec.structs.replace(taken, mind=None, mark="")

    @on(raises=CheckpointRefused)
    def get_snapshot(self, message: GetSnapshot) -> Any:  # noqa: ARG002 - its type says everything
        """Return its state in plain data, for a checkpoint."""
        return msgspec.to_builtins(self.snapshot())

    @on
    def restore_snapshot(self, message: rounds.RestoreSnapshot) -> None:
        """Restore the state of a checkpoint, and delete later memories."""
        taken = msgspec.convert(message.state, PersonaState)
        self.restore(taken)
        self.memory.go_back(taken.mark)
        self.replace()

    # For the parts of the agent.

    def take_in(self, *stimuli: Stimulus) -> None:
        """Remember and count stimuli, and keep them for the next decision."""
        if not stimuli:
            return
        state = self.state
        mental, location, changes = state.mental_state, state.location, 0
        for stimulus in stimuli:
            if stimulus.kind is StimulusKind.LOCATION:
                location = stimulus.content
            elif stimulus.kind is StimulusKind.GOAL:
                others = tuple(each for each in mental.goals if each != stimulus.content)
                mental, changes = mental.changed(goals=(stimulus.content, *others)), changes + 1
        pending = (*state.pending, *stimuli)
        self.replace(
            {"mental_state": mental, "location": location, "pending": pending[-self._buffer_size :]},
            stimuli=len(stimuli),
            overlooked=max(0, len(pending) - self._buffer_size),
            changes=changes,
        )
        self.memory.remember_all([(str(each), f"stimulus/{each.kind}") for each in stimuli])

    def begin_episode(self) -> None:
        """Count an episode."""
        self.replace(episodes=1)

    def note_fallback(self, label: str, reason: str) -> None:
        """Log that a fallback decided, and publish it on the topic `PERSONAS`."""
        self.log.warning("%s: a fallback decides: %s", label, reason)
        self.context.publish(messages.PERSONAS, messages.FallbackUsed(self._who, label, reason))

    def decided(self, decision: Decision, pending: tuple[Stimulus, ...]) -> None:
        """Record a decision, and remove the stimuli that it answers."""
        state = self.state
        mental = decision.mental_state
        self.replace(
            {
                "pending": state.pending[len(pending) :],
                "mental_state": state.mental_state if mental is None else mental,
            },
            decisions=1,
            fallbacks=int(bool(decision.fallback)),
            changes=int(mental is not None),
        )

    def acted(self, action: PersonaAction, outcome: ActionOutcome, result: str) -> ActionRecord:
        """Record an action with its outcome, and return the record."""
        state = self.state
        record = ActionRecord(action, outcome, result, state.counts.actions + 1)
        mental = action.mental_state
        if outcome is not ActionOutcome.DONE:
            mental = None
        self.replace(
            {
                "actions": (*state.actions, record)[-self._buffer_size :],
                "mental_state": state.mental_state if mental is None else mental,
            },
            actions=1,
            refused=int(outcome is ActionOutcome.REFUSED),
            failed=int(outcome is ActionOutcome.FAILED),
            changes=int(mental is not None),
        )
        kind = self.kinds.find(action.kind)
        if kind is None or not kind.ends:
            said = f"I said to {action.target or 'all'}: {action.content}" if action.kind == TALK else f"I did {action}"
            self.memory.remember(said + (f" ({outcome}: {result})" if result else ""), f"action/{action.kind}")
        return record

    def replace(self, changes: Mapping[str, Any] | None = None, /, **more: int) -> None:
        """Replace the state at once: with fields changed, and numbers added to its counts."""
        state = self.state
        counts = state.counts
        if more:
            counts = msgspec.structs.replace(counts, **{name: getattr(counts, name) + each for name, each in more.items()})
        self.state = msgspec.structs.replace(state, counts=counts, **(changes or {}))
        if self._directory is not None:
            self._directory.publish(self._who, self.state)

    def _service(self, kind: type[Any]) -> Any:
        try:
            return self.context.use(kind)
        except ServiceMissing:
            return None

    def _make_memory(self) -> PersonaMemory:
        memory = self._service(TieredMemory)
        if memory is not None:
            return TieredPersonaMemory(AgentMemory(memory, self._who, **self._memory_options))
        return NoteMemory(lambda: self.state.notes, lambda notes: self.replace({"notes": notes}), _MAX_NOTES)

    def _usual_channel(self) -> OutputChannel:
        return MailboxChannel(self._who, self._directory) if self._directory is not None else SilentChannel({})
