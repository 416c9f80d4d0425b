"""A population: the personas of a runtime, for use from other threads."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from coterie.concurrency import Rank, new_lock
from coterie.errors import AgentStopped, CoterieError, InvalidPersona, InvalidSetting, NameTaken, StartFailed
from coterie.errors.personas import PersonaUnknown
from coterie.kernel import check_instance, check_number
from coterie.meetings import Meetings
from coterie.memory import TieredMemory
from coterie.models import Model
from coterie.personas.agent.agent import PersonaAgent
from coterie.personas.agent.directory import PersonaDirectory, Relation, Relations
from coterie.personas.agent.messages import Dialogue, GetState
from coterie.personas.agent.state import PersonaState
from coterie.personas.focus_group import FocusGroup, HoldFocusGroup, Interviewer
from coterie.personas.mind.mind import Mind
from coterie.personas.moderator import Converse, Moderator
from coterie.personas.profile.persona import Persona
from coterie.personas.profile.reading import MAX_BYTES
from coterie.personas.reference import PersonaRef, name_of
from coterie.personas.sampling.sampling import SampledPopulation
from coterie.personas.sampling.specification import PopulationSpecification
from coterie.personas.sampling.weights import weights_of
from coterie.personas.sampling.wording import PersonaWriter, Word
from coterie.personas.survey import AnswerTable, Question, SurveyAnswer, Tabulate, Tabulator, checked_questions
from coterie.personas.surveyor import HoldSurvey, Survey, Surveyor
from coterie.runtime import AgentRef, Dispatcher, Reply, Runtime

MakeMind = Callable[[Persona], Mind]
"""Creates the mind of a persona."""


class Population:
    """Spawns personas on a runtime, relates them, and runs conversations. Safe from any thread.

    ::

        with Runtime() as runtime:
            population = Population(runtime)
                        ada, ben = population.add(Persona.load("ada.agent.json")), population.add(Persona.of("Ben"))
                        population.relate(ada, ben, "old friends")
                        print(population.converse(ada, ben, opening="What about breakfast?").result())

    `mind` creates the minds of personas that are added without one; by default they have no rules and say nothing. `memory` is
    provided to the runtime, for the memories of all; `documents` can be consulted by name; `meetings` are the `Meetings` that
    the runtime has, otherwise they are provided when needed. The runtime stops the personas. Raises `InvalidSetting`.
    """

    def __init__(
        self,
        runtime: Runtime,
        *,
        mind: MakeMind | None = None,
        memory: TieredMemory | None = None,
        relations: Relations | None = None,
        documents: Mapping[str, str] | None = None,
        meetings: Meetings | None = None,
        timeout: float | None = 300.0,
    ) -> None:
        check_instance("Population.runtime", runtime, Runtime, "a Runtime")
        check_number("Population.timeout", timeout, above=0, optional=True)
        self.runtime = runtime
        self.directory = runtime.provide(PersonaDirectory(relations, documents))
        """The directory that its personas share."""
        self._memory = runtime.provide(memory, TieredMemory) if memory is not None else None
        self._meetings = meetings
        self._mind = mind
        self._timeout = timeout
        self._lock = new_lock(Rank.RECORDS)  # guards `_members`, `_meetings` and `_moderator`
        self._members: dict[str, PersonaRef] = {}
        self._moderator: AgentRef | None = None

    @property
    def relations(self) -> Relations:
        """The relations of all."""
        return self.directory.relations

    def add(
        self,
        persona: Persona,
        mind: Mind | None = None,
        *,
        name: str | None = None,
        kind: type[PersonaAgent] = PersonaAgent,
        dispatcher: Dispatcher | None = None,
        **options: Any,
    ) -> PersonaRef:
        """Put a persona on the runtime, and return its reference; `options` are those of `PersonaAgent`.

        The agent has the persona's name, or `name`; another persona of the same name gets a number. Raises `InvalidSetting`,
        `NameTaken` for a `name` in use, and the errors of `Runtime.spawn`.
        """
        if not isinstance(persona, Persona):
            raise InvalidSetting("Population.add", persona, "a Persona: Persona.load(...) or Persona.of(...)")
        if mind is None and self._mind is not None:
            mind = self._mind(persona)
        agent = self._spawn(kind, persona, mind, name, dispatcher, options)
        return self._enter(agent, persona, agent.ask(GetState(), timeout=self._timeout))

    def _enter(self, agent: AgentRef, persona: Persona, state: Reply[PersonaState]) -> PersonaRef:
        # Wait for the first state, so that the reference can read it, and errors of the constructor are raised here.
        try:
            state.result()
        except AgentStopped as error:
            refused = error.__cause__.__cause__ if isinstance(error.__cause__, StartFailed) else None
            if isinstance(refused, CoterieError):
                raise refused from error
            raise
        reference = PersonaRef(agent, persona, self.directory, self._memory, self._timeout)
        with self._lock:
            self._members[agent.name] = reference
        return reference

    def add_all(
        self,
        personas: Iterable[Persona],
        mind: Mind | None = None,
        *,
        kind: type[PersonaAgent] = PersonaAgent,
        dispatcher: Dispatcher | None = None,
        **options: Any,
    ) -> list[PersonaRef]:
        """Put many personas on the runtime, and return their references in order; see `add`.

        It waits for all first states together, which is several times faster than one `add` after another.
        """
        added = []
        for persona in personas:
            check_instance("Population.add_all.personas", persona, Persona, "Personas: Persona.load(...) or a sample")
            own = mind if mind is not None or self._mind is None else self._mind(persona)
            added.append((persona, self._spawn(kind, persona, own, None, dispatcher, options)))
        states = [agent.ask(GetState(), timeout=self._timeout) for _, agent in added]
        return [self._enter(agent, persona, state) for (persona, agent), state in zip(added, states, strict=True)]

    def load(self, folder: Path | str, *, max_bytes: int = MAX_BYTES, **options: Any) -> list[PersonaRef]:
        """Put the personas of a folder's ``*.agent.json`` files on the runtime; return their references in the files' order.

        Raises `InvalidPersona` for the first invalid file, before any persona is added, and for a folder without files.
        """
        personas = load_personas(folder, max_bytes=max_bytes)
        return [self.add(persona, **options) for persona in personas]

    def remove(self, persona: PersonaRef | str) -> None:
        """Stop a persona, and delete its relations. Raises `PersonaUnknown`."""
        reference = self[persona] if isinstance(persona, str) else persona
        with self._lock:
            self._members.pop(reference.name, None)
        reference.stop().result()
        self.relations.forget(reference.name)

    def relate(
        self, one: PersonaRef | str, other: PersonaRef | str, description: str = "", *, back: str | None = None
    ) -> Relation:
        """Let two talk to one another, and return their relation; see `Relations.relate`. Raises `PersonaUnknown`."""
        return self.relations.relate(self._known(one), self._known(other), description, back=back)

    def relate_all(self, personas: Iterable[PersonaRef | str] | None = None, description: str = "") -> None:
        """Let several personas, by default all, talk to one another."""
        names = [name_of(each) for each in (personas if personas is not None else self)]
        for index, one in enumerate(names):
            for other in names[index + 1 :]:
                self.relations.relate(one, other, description)

    def separate(self, one: PersonaRef | str, other: PersonaRef | str) -> bool:
        """Delete the relation of two; return whether there was one."""
        return self.relations.separate(name_of(one), name_of(other))

    def converse(
        self,
        *personas: PersonaRef | str,
        opening: str = "",
        turns: int = 12,
        steps: int | None = None,
        label: str = "conversation",
    ) -> Reply[Dialogue]:
        """Run a conversation in which personas take turns, at most `turns` in total; return the reply with the dialogue.

        Speech without a target reaches all. Raises `PersonaUnknown`, and `InvalidSetting` without personas.
        """
        check_number("converse.turns", turns, least=1, whole=True)
        check_number("converse.steps", steps, least=1, whole=True, optional=True)
        members = self._members_of(personas)
        if not members:
            raise InvalidSetting("converse.personas", personas, "at least one persona")
        request = Converse(tuple(each.agent for each in members), opening, turns, steps, label)
        return self._get_moderator().ask(request, timeout=self._timeout)

    def focus_group(
        self,
        topic: str,
        questions: Iterable[Question],
        personas: Iterable[PersonaRef | str] | None = None,
        *,
        turn_limit: float | None = 120.0,
        interviewer: str | None = None,
    ) -> Reply[FocusGroup]:
        """Ask several personas, by default all, questions in a meeting; return the reply with the answers.

        Each hears the answers of the others, and has `turn_limit` seconds for an answer. The interviewer's agent is called
        `interviewer`, by default "Interviewer", with a number if that is taken. Raises `InvalidSetting` without personas or
        questions, `PersonaUnknown`, and `NameTaken` if `interviewer` is in use.
        """
        check_number("focus_group.turn_limit", turn_limit, above=0, optional=True)
        asked = checked_questions("focus_group", questions)
        members = self._members_of(personas if personas is not None else self)
        if not members:
            raise InvalidSetting("focus_group.personas", members, "at least one persona")
        with self._lock:
            if self._meetings is None:
                self._meetings = self.runtime.provide(Meetings())
        agent = self._spawn_interviewer(interviewer)
        request = HoldFocusGroup(topic, tuple(each.agent for each in members), asked, turn_limit)
        reply = agent.ask(request, timeout=None)
        reply.add_callback(agent.stop)
        return reply

    def survey(
        self,
        questions: Iterable[Question],
        personas: Iterable[PersonaRef | str] | None = None,
        *,
        weights: Mapping[str, float] | PopulationSpecification | None = None,
        model: Model | None = None,
        at_once: int = 100,
        label: str = "survey",
    ) -> Reply[Survey]:
        """Ask several personas, by default all, questions, each for itself; return the reply with the answers as a table.

        No persona hears the others. `at_once` personas are asked at the same time, each of them one question after another.
        `weights` are numbers by agent, or a specification whose shares the answers are to have together. Values are found by
        rules, or extracted by `model`. Raises `InvalidSetting`, `PersonaUnknown` and `InvalidPopulation`.
        """
        check_number("survey.at_once", at_once, least=1, whole=True)
        asked = checked_questions("survey", questions)
        members = self._members_of(personas if personas is not None else self)
        if not members:
            raise InvalidSetting("survey.personas", members, "at least one persona")
        if isinstance(weights, PopulationSpecification):
            found = weights_of(weights, [each.persona for each in members])
            weights = {each.name: weight for each, weight in zip(members, found, strict=True)}
        for name, weight in (weights or {}).items():
            check_number(f"survey.weights[{name!r}]", weight)
        agent = self.runtime.spawn(Surveyor, lambda: model)
        request = HoldSurvey(tuple(each.agent for each in members), asked, dict(weights or {}), at_once, label)
        reply = agent.ask(request, timeout=None)
        reply.add_callback(agent.stop)
        return reply

    def write(
        self, sampled: SampledPopulation, model: Model, folder: Path | str, *, attempts: int = 3, batch: int = 32
    ) -> Reply[list[Persona]]:
        """Have a model word a sample, and return the reply with the personas; see `word_personas`."""
        agent = self.runtime.spawn(PersonaWriter, lambda: (model, sampled))
        reply = agent.ask(Word(str(folder), attempts, batch), timeout=None)
        reply.add_callback(agent.stop)
        return reply

    def tabulate(self, questions: Iterable[Question], answers: Iterable[SurveyAnswer], model: Model) -> Reply[AnswerTable]:
        """Extract the values of answers with a model, and return the reply with the table; see `table_by_model`.

        Without a model use `table_by_rules`.
        """
        agent = self.runtime.spawn(Tabulator, lambda: model)
        reply = agent.ask(Tabulate(tuple(questions), tuple(answers)), timeout=None)
        reply.add_callback(agent.stop)
        return reply

    def __getitem__(self, name: str) -> PersonaRef:
        with self._lock:
            if name not in self._members:
                raise PersonaUnknown(name, list(self._members))
            return self._members[name]

    def __iter__(self) -> Iterator[PersonaRef]:
        with self._lock:
            return iter(list(self._members.values()))

    def __len__(self) -> int:
        return len(self._members)

    def __contains__(self, persona: object) -> bool:
        return name_of(persona) in self._members if isinstance(persona, str | PersonaRef) else False

    def __deepcopy__(self, memo: object) -> Population:
        return self

    def _members_of(self, personas: Iterable[PersonaRef | str]) -> list[PersonaRef]:
        return [self[name_of(each)] if isinstance(each, str) or not isinstance(each, PersonaRef) else each for each in personas]

    def _known(self, persona: PersonaRef | str) -> str:
        name = name_of(persona)
        if isinstance(persona, str) and name not in self and name not in self.directory.names:
            raise PersonaUnknown(name, sorted({*self.directory.names}))
        return name

    def _spawn(
        self,
        kind: type[PersonaAgent],
        persona: Persona,
        mind: Mind | None,
        name: str | None,
        dispatcher: Dispatcher | None,
        options: Mapping[str, Any],
    ) -> AgentRef:
        base = name if name is not None else re.sub(r"[#\x00-\x1f]+", " ", persona.name).strip() or "persona"

        def spawn(called: str) -> AgentRef:
            return self.runtime.spawn(kind, persona, mind, name=called, dispatcher=dispatcher, **options)

        return spawn(base) if name is not None else _numbered(base, spawn)

    def _spawn_interviewer(self, name: str | None) -> AgentRef:
        def spawn(called: str) -> AgentRef:
            return self.runtime.spawn(Interviewer, name=called)

        return spawn(name) if name is not None else _numbered("Interviewer", spawn)

    def _get_moderator(self) -> AgentRef:
        with self._lock:
            moderator = self._moderator
        if moderator is None or not moderator.is_alive:
            moderator = self.runtime.spawn(Moderator)
            with self._lock:
                self._moderator = moderator
        return moderator


def load_personas(folder: Path | str, *, max_bytes: int = MAX_BYTES) -> list[Persona]:
    """Return the personas of all ``*.agent.json`` files of a folder, in the order of their names.

    Raises `InvalidPersona` for the first invalid file, and for a folder without files.
    """
    paths = sorted(Path(folder).glob("*.agent.json"))
    if not paths:
        raise InvalidPersona(folder, "", "there is no *.agent.json in it; give the folder of the personas' files")
    return [Persona.load(path, max_bytes=max_bytes) for path in paths]


def _numbered(base: str, spawn: Callable[[str], AgentRef]) -> AgentRef:
    """Spawn an agent under `base`, or under `base` with the first free number."""
    number = 1
    while True:
        try:
            return spawn(base if number == 1 else f"{base} {number}")
        except NameTaken:
            number += 1
