"""Have a model word sampled personas: names, biographies, beliefs. The sampled facts stay as they are."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from coterie.errors import ModelError, ModelHalted, describe
from coterie.errors.models import MalformedReply
from coterie.errors.personas import InvalidPersona, InvalidPopulation, WordingFailed
from coterie.kernel import check_number
from coterie.messaging import Request
from coterie.models import Model, ModelReply, ModelRequest, TextMessage
from coterie.models.extraction import Extraction
from coterie.personas.profile.persona import Fragment, Persona
from coterie.personas.sampling.sampling import SampledPopulation, file_name
from coterie.personas.sampling.specification import PopulationSpecification
from coterie.runtime import Agent, on

_ALIKE = 0.9
"""The part of common words from which two biographies are duplicates."""
_AGED = re.compile(r"\b(\d{1,3})[- ]years?[- ]old\b|\baged? (\d{1,3})\b", re.IGNORECASE)

# A change of these texts makes recordings miss: they are part of their keys.
_RULES = """\
You write the description of a fictional person for a study. The facts below are fixed: write nothing that contradicts them, and
repeat them in `facts` as they are. Invent a full name of their own, and a biography, beliefs, a style of speech, likes and
dislikes that fit. Do not use stereotypes; people differ."""


class PersonaWording(msgspec.Struct, frozen=True):
    """The words that a model finds for a sampled persona."""

    name: str
    biography: str = ""
    """A few sentences."""
    style: str = ""
    """The manner of speech."""
    beliefs: list[str] = []
    likes: list[str] = []
    dislikes: list[str] = []
    facts: dict[str, Any] = {}
    """The facts as the model repeats them; each must equal the sampled one."""


async def word_personas(
    model: Model, sampled: SampledPopulation, folder: Path | str, *, attempts: int = 3, batch: int = 32
) -> list[Persona]:
    """Have a model word all sampled personas, and return them, in order; each is a file in `folder` at once.

    A reply that contradicts the sampled facts, or duplicates another persona, goes back to the model with its problem, up to
    `attempts` replies. `batch` requests are made at once. Personas whose files exist are not asked for again, so that a run that
    was interrupted, or has spent its budget, goes on where it was. Raises `ModelHalted` at once; after all others are written,
    `WordingFailed` for those that are not; and `InvalidPopulation` for a folder of another sample.
    """
    check_number("word_personas.attempts", attempts, least=1, whole=True)
    check_number("word_personas.batch", batch, least=1, whole=True)
    return await _Wording(model, sampled, Path(folder), attempts, batch).run()


class Word(Request[list[Persona]]):
    """Asks for the wording of a sample; the values cannot be encoded, so it stays in the process."""

    folder: str
    attempts: int
    batch: int


class PersonaWriter(Agent):
    """Words a sample by a model; `get` returns both, because arguments of an agent are copied."""

    def __init__(self, get: Any) -> None:
        self._get = get

    @on(interleave=True, raises=(ModelError, WordingFailed, InvalidPopulation, InvalidPersona))
    async def word(self, message: Word) -> list[Persona]:
        """Return the worded personas."""
        model, sampled = self._get()
        return await word_personas(model, sampled, message.folder, attempts=message.attempts, batch=message.batch)


class _Wording:
    def __init__(self, model: Model, sampled: SampledPopulation, folder: Path, attempts: int, batch: int) -> None:
        self._model = model
        self._sampled = sampled
        self._folder = folder
        self._attempts = attempts
        self._batch = batch
        self._done: dict[int, Persona] = {}
        self._names: dict[str, int] = {}
        self._texts: dict[int, frozenset[str]] = {}

    async def run(self) -> list[Persona]:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._read()
        failed: dict[int, str] = {}
        missing = [number for number in range(1, len(self._sampled) + 1) if number not in self._done]
        for start in range(0, len(missing), self._batch):
            failed.update(await self._word(missing[start : start + self._batch]))
        if failed:
            raise WordingFailed(failed, self._folder)
        return [self._done[number] for number in sorted(self._done)]

    def _read(self) -> None:
        """Take the personas whose files exist. Raises `InvalidPopulation` if one is of another sample."""
        for path in sorted(self._folder.glob("[0-9]*-*.agent.json")):
            number = int(path.name.partition("-")[0])
            persona = Persona.load(path)
            if not 1 <= number <= len(self._sampled):
                raise InvalidPopulation(str(path), "it is no persona of this sample; choose another folder")
            sampled = self._sampled.personas[number - 1]
            for field, value in sampled.fields.items():
                if field != "name" and not _contains(persona.get(field), value):
                    raise InvalidPopulation(str(path), f"its {field} is not the sampled one; choose another folder")
            self._accept(number, persona)

    async def _word(self, numbers: Sequence[int]) -> dict[int, str]:
        """Word a batch; return the numbers that failed, with the reason. In each wave the order of numbers decides."""
        asked = {number: self._extraction(number) for number in numbers}
        problems: dict[int, str] = {}
        for attempt in range(1, self._attempts + 1):
            replies = await asyncio.gather(
                *(self._ask(number, asked[number], attempt) for number in asked), return_exceptions=True
            )
            halted: BaseException | None = None
            again: dict[int, Extraction[PersonaWording]] = {}
            for (number, extraction), reply in zip(asked.items(), replies, strict=True):
                if isinstance(reply, ModelReply):
                    if problem := self._take(number, extraction, reply):
                        problems[number] = problem
                        again[number] = extraction
                    else:
                        problems.pop(number, None)
                elif isinstance(reply, ModelHalted) or not isinstance(reply, ModelError):
                    halted = halted or reply
                else:
                    problems[number] = describe(reply)
                    again[number] = extraction
            if halted is not None:
                # What came back is written.
                raise halted
            asked = again
            if not asked:
                break
        return problems

    async def _ask(self, number: int, extraction: Extraction[PersonaWording], attempt: int) -> ModelReply:
        step = f"persona {number}" if attempt == 1 else f"persona {number}/attempt {attempt}"
        return await self._model.ask(msgspec.structs.replace(extraction.request, step=step))

    def _extraction(self, number: int) -> Extraction[PersonaWording]:
        facts = self._sampled.facts[number - 1]
        text = f"The facts: {json.dumps(facts, ensure_ascii=False)}"
        request = ModelRequest(instructions=_RULES, exchanges=(TextMessage("user", text),), agent="population")
        return Extraction(self._model.name, PersonaWording, request, attempts=self._attempts + 1)

    def _take(self, number: int, extraction: Extraction[PersonaWording], reply: ModelReply) -> str:
        """Accept a reply; return its problem, which the next request of `extraction` names, or an empty text."""
        try:
            whole = extraction.take(reply)
        except MalformedReply as error:
            return describe(error)
        if not whole:
            last = extraction.request.exchanges[-1]
            return last.text if isinstance(last, TextMessage) else "it cannot be read"
        wording = extraction.value
        if problem := self._problem(number, wording):
            told = (TextMessage("assistant", reply.text), TextMessage("user", f"That cannot be used: {problem}. Answer again."))
            extraction.request = msgspec.structs.replace(extraction.request, exchanges=(*extraction.request.exchanges, *told))
            return problem
        persona = _worded(self._sampled.personas[number - 1], wording)
        persona.save(self._folder / file_name(number, persona))
        self._accept(number, persona)
        return ""

    def _accept(self, number: int, persona: Persona) -> None:
        self._done[number] = persona
        self._names[persona.name.casefold()] = number
        text = persona.get("biography")
        if isinstance(text, str):
            self._texts[number] = _words(text)

    def _problem(self, number: int, wording: PersonaWording) -> str:
        facts = self._sampled.facts[number - 1]
        name = wording.name.strip()
        if not name:
            return "the name is empty"
        if name.casefold() in self._names:
            return f"another person is called {name}; invent another name"
        words = _words(wording.biography)
        if words and any(len(words & other) >= _ALIKE * len(words | other) for other in self._texts.values()):
            return "another person has nearly the same biography; write another one"
        return contradiction(self._sampled.specification, facts, wording)


def contradiction(specification: PopulationSpecification, facts: Mapping[str, Any], wording: PersonaWording) -> str:
    """Return how a wording contradicts the sampled facts; an empty text if it does not."""
    for attribute, value in wording.facts.items():
        if attribute in facts and str(value).casefold() != str(facts[attribute]).casefold():
            return f"{attribute} is {facts[attribute]}, not {value}"
    if "age" in facts:
        for match in _AGED.finditer(wording.biography):
            if int(match[1] or match[2]) != facts["age"]:
                return f"the age is {facts['age']}, not {match[1] or match[2]}"
    for attribute, value in facts.items():
        if isinstance(value, str) and not _names(wording.biography, value):
            other = next((label for label in specification.shares(attribute) if _names(wording.biography, label)), "")
            if other:
                return f"{attribute} is {value}, and the biography says {other}"
    return ""


def _worded(sampled: Persona, wording: PersonaWording) -> Persona:
    """Return a sampled persona with the words of a model, which replace none of its fields but the name."""
    fields: dict[str, Any] = {"biography": wording.biography, "style": wording.style, "beliefs": wording.beliefs}
    fields["preferences"] = {"likes": wording.likes, "dislikes": wording.dislikes}
    given = {name: value for name, value in fields.items() if value and value != {"likes": [], "dislikes": []}}
    worded = sampled.merge(Fragment.of(**given), on_conflict="keep")
    return worded.merge(Fragment.of(name=wording.name.strip()), on_conflict="replace")


def _contains(value: Any, sampled: Any) -> bool:
    """Return whether a value has all that was sampled."""
    if isinstance(sampled, Mapping):
        return isinstance(value, Mapping) and all(_contains(value.get(key), each) for key, each in sampled.items())
    if isinstance(sampled, list | tuple):
        return isinstance(value, list | tuple) and all(each in value for each in sampled)
    return bool(value == sampled)


def _names(text: str, label: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(label)}(?!\w)", text, re.IGNORECASE) is not None


def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", text.casefold()))
