"""One episode of a persona: decide and act, until there is a reason to end."""

from __future__ import annotations

import asyncio
import difflib
import inspect
import re
from collections.abc import Sequence
from random import Random
from typing import Any, Protocol

from coterie.errors import CoterieError, DeliveryError, ModelError, describe
from coterie.errors.personas import MindFailed
from coterie.kernel import stream
from coterie.personas.agent.state import EndReason, Episode, PersonaState
from coterie.personas.mind.actions import ActionSet
from coterie.personas.mind.context import ActionContext
from coterie.personas.mind.mind import Decision, Mind, Situation, as_decision
from coterie.personas.mind.state import ActionOutcome, ActionRecord, PersonaAction, Stimulus, StimulusKind
from coterie.runtime.references.logs import AgentLog
from coterie.telemetry import spans

_SHORT = 40
"""Shorter texts, in characters, must be equal to be the same: few letters make a difference there."""


class RepeatDetector:
    """Compares each step of an episode with those before it.

    Two steps are the same if they have the same actions with the same targets and arguments, and equal texts without regard to
    case, spaces and punctuation; longer texts need a ratio of `similarity` (`difflib.SequenceMatcher` over words: Ratcliff and
    Obershelp's "Gestalt" matching). In a cycle of several steps each step is a repeat.
    """

    def __init__(self, max_repeats: int, similarity: float) -> None:
        self._max_repeats = max_repeats
        self._similarity = similarity
        self._seen: list[list[tuple[str, list[str]]]] = []

    def note(self, actions: Sequence[PersonaAction]) -> bool:
        """Add a step; return whether it came more often than allowed."""
        step = [_normal(each) for each in actions]
        before = sum(self._same(step, other) for other in self._seen)
        self._seen.append(step)
        return bool(step) and before > self._max_repeats

    def _same(self, one: list[tuple[str, list[str]]], other: list[tuple[str, list[str]]]) -> bool:
        return len(one) == len(other) and all(map(self._alike, one, other))

    def _alike(self, one: tuple[str, list[str]], other: tuple[str, list[str]]) -> bool:
        if one[0] != other[0]:
            return False
        if one[1] == other[1]:
            return True
        if min(sum(map(len, one[1])), sum(map(len, other[1]))) < _SHORT:
            return False
        matcher = difflib.SequenceMatcher(None, one[1], other[1], autojunk=False)
        return matcher.real_quick_ratio() >= self._similarity and matcher.ratio() >= self._similarity


def _normal(action: PersonaAction) -> tuple[str, list[str]]:
    """Return the parts of an action that must be equal, and its words."""
    return f"{action.kind}|{action.target.casefold()}|{sorted(action.arguments.items(), key=repr)}", re.findall(
        r"\w+", action.content.casefold()
    )


class EpisodeSubject(ActionContext, Protocol):
    """The part of a persona agent that an episode needs."""

    @property
    def kinds(self) -> ActionSet: ...  # noqa: D102 - as `PersonaAgent` documents them, here and below

    @property
    def mind(self) -> Mind: ...  # noqa: D102

    @property
    def state(self) -> PersonaState: ...  # noqa: D102

    @property
    def log(self) -> AgentLog: ...  # noqa: D102

    @property
    def max_repeats(self) -> int: ...  # noqa: D102

    @property
    def similarity(self) -> float: ...  # noqa: D102

    @property
    def patience(self) -> float | None: ...  # noqa: D102

    @property
    def recent_memories(self) -> int: ...  # noqa: D102

    @property
    def seed(self) -> int | str: ...  # noqa: D102

    def begin_episode(self) -> None: ...  # noqa: D102

    def decided(self, decision: Decision, pending: tuple[Stimulus, ...]) -> None: ...  # noqa: D102

    def note_fallback(self, label: str, reason: str) -> None: ...  # noqa: D102

    def acted(self, action: PersonaAction, outcome: ActionOutcome, result: str) -> ActionRecord: ...  # noqa: D102


class EpisodeRunner:
    """Runs one episode of a persona agent, on the agent's own thread.

    It ends when the mind is done or decides on no action, after `steps` steps, or when it repeats itself, so it always ends. A
    decision fails after the agent's `patience` seconds, and so does an action.
    """

    def __init__(self, agent: EpisodeSubject, *, steps: int, label: str, random: Random | None, world: Any) -> None:
        self._agent = agent
        self._steps = steps
        self._number = agent.state.counts.episodes + 1
        self._label = label or f"episode {self._number}"
        self._random = random
        self._world = world
        self._records: list[ActionRecord] = []
        self._fallbacks: list[str] = []
        self._results: tuple[Stimulus, ...] = ()
        self._attempts = 0

    async def run(self) -> Episode:
        """Run the episode and return it. Raises `MindFailed`, and the errors of models; earlier actions count."""
        who = self._agent.who
        about = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": who, "coterie.episode": self._label}
        with spans.span(f"invoke_agent {who}", about) as span:
            episode = await self._run()
            span.set({"coterie.outcome": str(episode.ended), "coterie.steps": episode.steps})
            return episode

    async def _run(self) -> Episode:
        agent = self._agent
        agent.begin_episode()
        repeats = RepeatDetector(agent.max_repeats, agent.similarity)
        for step in range(1, self._steps + 1):
            decision = await self._decide(step)
            if not decision.actions:
                return self._ended(EndReason.NOTHING, step)
            if repeats.note([each for each in decision.actions if not self._ends(each)]):
                return self._ended(EndReason.REPEATED, step)
            if await self._carry_out(decision):
                return self._ended(EndReason.DONE, step)
        return self._ended(EndReason.STEPS, self._steps)

    def _ended(self, reason: EndReason, steps: int) -> Episode:
        who = self._agent.who
        return Episode(who, self._number, tuple(self._records), reason, steps, tuple(self._fallbacks), self._attempts)

    def _ends(self, action: PersonaAction) -> bool:
        kind = self._agent.kinds.find(action.kind)
        return kind is not None and kind.ends

    async def _decide(self, step: int) -> Decision:
        agent = self._agent
        pending = agent.state.pending
        situation = self._situation(step, pending)
        try:
            async with asyncio.timeout(agent.patience) as limit:
                deciding = agent.mind.decide(situation)
                if not inspect.isawaitable(deciding):
                    raise TypeError(f"its decide returned a {type(deciding).__qualname__} at once; make it async")  # noqa: TRY301
                decision = as_decision(await deciding)
        except TimeoutError as error:
            if not limit.expired():
                raise MindFailed(agent.who, describe(error)) from error
            raise MindFailed(agent.who, f"it took more than {agent.patience:g} s") from error
        except (ModelError, DeliveryError):
            # Callers handle a ModelError by its class; a DeliveryError is about another agent.
            raise
        except Exception as error:
            raise MindFailed(agent.who, describe(error)) from error
        agent.decided(decision, pending)
        self._attempts += decision.attempts
        if decision.fallback:
            self._fallbacks.append(decision.fallback)
            agent.note_fallback(situation.label, decision.fallback)
        return decision

    def _situation(self, step: int, pending: tuple[Stimulus, ...]) -> Situation:
        agent = self._agent
        random = self._random
        if random is None:
            random = stream(agent.seed, "persona", agent.who, self._number, step)
        return Situation(
            persona=agent.persona,
            who=agent.who,
            mental_state=agent.state.mental_state,
            actions=agent.kinds,
            stimuli=(*self._results, *pending),
            recent=agent.memory.recent(agent.recent_memories),
            accessible=agent.channel.accessible(),
            documents=tuple(agent.documents),
            location=agent.state.location,
            taken=tuple(self._records),
            label=f"{self._label}/step {step}",
            step=step,
            random=random,
            world=self._world,
        )

    async def _carry_out(self, decision: Decision) -> bool:
        """Carry out the actions of a step; return whether one of them ends the episode."""
        results: list[Stimulus] = []
        for action in decision.actions:
            kind = self._agent.kinds.find(action.kind)
            record = await self._take(action)
            self._records.append(record)
            if record.outcome is not ActionOutcome.DONE or (kind is not None and kind.answers):
                results.append(Stimulus(StimulusKind.RESULT, f"{action}: {record.result}"))
            if kind is not None and kind.ends and record.outcome is ActionOutcome.DONE:
                return True
        self._results = tuple(results)
        return False

    async def _take(self, action: PersonaAction) -> ActionRecord:
        agent = self._agent
        kind = agent.kinds.find(action.kind)
        outcome, result = ActionOutcome.DONE, ""
        if kind is None:
            outcome, result = (
                ActionOutcome.REFUSED,
                f"there is no action {action.kind!r}; there are {', '.join(agent.kinds.names)}",
            )
        elif problem := kind.problem(_given(action)):
            outcome, result = ActionOutcome.REFUSED, problem
        else:
            limit: asyncio.Timeout | None = None
            try:
                found = kind.run(agent, action)
                if inspect.isawaitable(found):
                    async with asyncio.timeout(agent.patience) as limit:
                        found = await found
                outcome, result = _read(found)
            except CoterieError as error:
                outcome, result = ActionOutcome.FAILED, describe(error)
            except TimeoutError as error:
                late = limit is not None and limit.expired() and agent.patience is not None
                result = f"it took more than {agent.patience:g} s" if late else describe(error)
                agent.log.warning("the action %s failed: %s", action.kind, result)
                outcome = ActionOutcome.FAILED
            except Exception as error:
                agent.log.exception("the action %s raised", action.kind)
                outcome, result = ActionOutcome.FAILED, describe(error)
        return agent.acted(action, outcome, result)


def _given(action: PersonaAction) -> dict[str, Any]:
    texts = {"content": action.content, "target": action.target}
    return {**action.arguments, **{name: text for name, text in texts.items() if text}}


def _read(found: Any) -> tuple[ActionOutcome, str]:
    """Return the outcome and the text of an action's result. Raises `TypeError` for an invalid result."""
    if not isinstance(found, tuple):
        return ActionOutcome.DONE, "" if found is None else str(found)
    if len(found) != 2 or not isinstance(found[0], ActionOutcome):  # noqa: PLR2004 - an outcome and a text
        raise TypeError(f"it returned {found!r:.100}; return None, a text, or an ActionOutcome and a text")
    return found[0], str(found[1])
