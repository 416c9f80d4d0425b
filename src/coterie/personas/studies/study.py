"""A study: what is asked of a population from other threads, and the record of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from coterie.concurrency import Rank, new_lock
from coterie.errors import CoterieError, InvalidSetting
from coterie.kernel import check_instance, check_number
from coterie.messaging import Request
from coterie.models import Model, ModelRequest, TextMessage, extract
from coterie.personas.population import Population
from coterie.personas.reference import PersonaRef
from coterie.personas.studies.intervention import Intervention, InterventionRecord
from coterie.personas.studies.proposition import Judgement, Proposition
from coterie.personas.studies.stories import tell_story
from coterie.personas.studies.texts import text_of
from coterie.personas.studies.validation import PersonaValidation, validate_persona
from coterie.runtime import Agent, Reply, on
from coterie.tables import DataTable

# A change of this text makes recordings miss: it is part of their keys.
_RULES = """\
You extract values from the record below. Take only what it tells; give null, or no row, where it does not."""


class _Perform(Request[Any]):
    """Asks for the work of the agent."""


class StudyWorker(Agent):
    """Does one piece of work on a loop of its own; `work` is a function, because arguments of an agent are copied."""

    def __init__(self, work: Callable[[], Awaitable[Any]]) -> None:
        self._work = work

    @on(raises=CoterieError)
    async def perform(self, message: _Perform) -> Any:  # noqa: ARG002 - its type says everything
        """Return the result of the work."""
        return await self._work()


class Study:
    """Propositions, interventions, extraction, validation and stories of a population. Safe from any thread.

    ::

        study = Study(population, model=gateway)
        study.judge(Proposition("Ada is worried", model=gateway), ada).result()
        study.intervene(Intervention("calm", when=..., then=lambda ada: ada.think("..."))).result()
        study.validate(ada).result().score
        study.extract(Complaint, {"Ada": dialogue}).result().frame()

    All methods return a `Reply`: ``await`` it, or call ``.result()``. `model` judges, extracts and tells where a method needs one.
    """

    def __init__(self, population: Population, *, model: Model | None = None) -> None:
        check_instance("Study.population", population, Population, "a Population")
        self.population = population
        self._model = model
        self._lock = new_lock(Rank.RECORDS)  # guards `_records`
        self._records: list[InterventionRecord] = []

    @property
    def records(self) -> tuple[InterventionRecord, ...]:
        """The interventions that were made, in order."""
        with self._lock:
            return tuple(self._records)

    def judge(self, proposition: Proposition, target: Any) -> Reply[Judgement]:
        """Judge a proposition about a target, and return the reply with the judgement."""
        check_instance("Study.judge.proposition", proposition, Proposition, "a Proposition")
        return self._do(lambda: proposition.judge(target))

    def intervene(self, *interventions: Intervention, each: bool = True) -> Reply[tuple[InterventionRecord, ...]]:
        """Make the interventions whose condition holds now; return the reply with their records.

        With `each`, a condition is asked, and the intervention made, for each persona by its reference; otherwise once, with the
        population. Raises `InvalidSetting`.
        """
        for intervention in interventions:
            check_instance("Study.intervene", intervention, Intervention, "an Intervention")
        targets: list[tuple[str, Any]] = [(ref.name, ref) for ref in self.population] if each else [("", self.population)]

        async def apply() -> tuple[InterventionRecord, ...]:
            made = []
            for intervention in interventions:
                for name, target in targets:
                    before = sum((r.intervention, r.target) == (intervention.name, name) for r in self.records)
                    if (record := await intervention.apply(target, name, before)) is not None:
                        with self._lock:
                            self._records.append(record)
                        made.append(record)
            return tuple(made)

        return self._do(apply)

    def validate(self, persona: PersonaRef | str, *, model: Model | None = None, most: int = 12) -> Reply[PersonaValidation]:
        """Interview a persona about its own file; return the reply with how its answers agree. See `validate_persona`.

        Rules compare words, unless a `model` is given. Raises `PersonaUnknown`.
        """
        check_number("Study.validate.most", most, least=1, whole=True)
        ref = self.population[persona] if isinstance(persona, str) else persona
        return self._do(lambda: validate_persona(ref, model=model, most=most))

    def extract(
        self, kind: type[Any], sources: Mapping[str, Any], *, objective: str = "", several: bool = False
    ) -> Reply[DataTable]:
        """Extract a row of the type `kind` from each source, or `several` rows; return the reply with their table.

        `kind` is a dataclass, a pydantic model or a msgspec struct, whose fields are the columns; the first column is the name of
        the source. A source is whatever a `Proposition` can be about. Raises `InvalidSetting`.
        """
        check_instance("Study.extract.sources", sources, Mapping, "a mapping of names to records")
        model = self._needed("extract")

        async def found() -> DataTable:
            rows: list[dict[str, Any]] = []
            for name, source in sources.items():
                asked = f"{objective or 'Extract what the schema asks for.'}\n\nThe record:\n{text_of(source)}"
                request = ModelRequest(
                    instructions=_RULES, exchanges=(TextMessage("user", asked),), agent="extraction", step=f"rows of {name}"
                )
                wanted: Any = list[kind] if several else kind  # type: ignore[valid-type] # a type at run time
                values = await extract(model, wanted, request)
                rows += [{"source": name, **_fields(value)} for value in (values if several else [values])]
            return DataTable.of_rows(rows, ["source"])

        return self._do(found)

    def tell(self, title: str, *sources: Any, style: str = "") -> Reply[str]:
        """Have the model tell a story in Markdown from records; return the reply with it. Without a model see `story`."""
        model = self._needed("tell")
        return self._do(lambda: tell_story(model, title, *sources, style=style))

    def _needed(self, what: str) -> Model:
        if self._model is None:
            raise InvalidSetting(f"Study.{what}", None, "a study with a model: Study(population, model=...)")
        return self._model

    def _do(self, work: Callable[[], Awaitable[Any]]) -> Reply[Any]:
        agent = self.population.runtime.spawn(StudyWorker, work)
        reply = agent.ask(_Perform(), timeout=None)
        reply.add_callback(agent.stop)
        return reply


def _fields(value: Any) -> dict[str, Any]:
    data = value.model_dump() if hasattr(value, "model_dump") else msgspec.to_builtins(value)
    return data if isinstance(data, dict) else {"value": data}
