"""The model of a scenario: its settings, its gateway, and the errors that stop a run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from coterie.errors import ModelError, ModelHalted
from coterie.models import Budget, Model, ModelGateway, ModelReply, ModelRequest, RateLimits, TextDelta, Timeouts, cost_table
from coterie.models.recording import recorded_spending
from coterie.orchestrator.folder import RunFolder

RECORDING = "model.jsonl"
"""The file of model requests and replies, in the folder of a run."""
COSTS = "costs.json"
"""The file of costs by agent, in the folder of a run."""
SPENT = "spent.json"
"""The file of spent budgets, in the folder of a run, so that a resumed run goes on counting."""


class ModelSettings(BaseModel):
    """The language model of a run, and its limits."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    name: str = Field(min_length=1)
    """A Pydantic AI model string, such as "openai:gpt-5-mini" or "ollama:qwen3"."""
    base_url: str | None = None
    """The address of an OpenAI-compatible server."""
    temperature: float | None = Field(default=None, ge=0, le=2)
    concurrency: int = Field(default=32, ge=1)
    """Requests at once."""
    requests_per_minute: int | None = Field(default=None, ge=1)
    tokens_per_minute: int | None = Field(default=None, ge=1)
    timeout: float = Field(default=120.0, gt=0)
    """Seconds that one attempt may take."""
    max_requests: int | None = Field(default=None, ge=0)
    """The maximum number of requests of the run."""
    max_tokens: int | None = Field(default=None, ge=0)
    """The maximum number of tokens of the run."""
    max_dollars: float | None = Field(default=None, ge=0)
    """The same, in US dollars."""
    fallback: bool = True
    """Whether rules decide after a failure of the model; otherwise the failure is an error."""

    @property
    def patience(self) -> float:
        """Seconds that a request may take with all its attempts."""
        return 5 * self.timeout


def open_gateway(settings: ModelSettings, recording: Path | None, *, replay: bool = False) -> ModelGateway:
    """Return a gateway that records, and answers recorded requests from the recording. With `replay` it answers only those.

    Without a recording, it neither records nor replays. Raises `ModelError` and `ExtraMissing`.
    """
    return ModelGateway(
        settings.name,
        base_url=None if replay else settings.base_url,
        limits=RateLimits(settings.concurrency, settings.requests_per_minute, settings.tokens_per_minute),
        timeouts=Timeouts(total=settings.patience, attempt=settings.timeout, first_token=settings.timeout),
        budget=Budget() if replay else Budget(settings.max_requests, settings.max_tokens, settings.max_dollars),
        record=None if replay else recording,
        replay=recording,
    )


class StopOnErrorModel:
    """A model that records the first error that must stop a run. Safe from any thread if its model is."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self.stopped: ModelError | None = None
        """The first such error. Threads may set it more than once, each time by one assignment; each of these errors is valid."""

    @property
    def name(self) -> str:
        """The name of the model."""
        return self._model.name

    async def ask(self, request: ModelRequest) -> ModelReply:
        """Return the reply of the model. Raises its errors."""
        try:
            return await self._model.ask(request)
        except ModelHalted as error:
            self.stopped = self.stopped or error
            raise

    def stream(self, request: ModelRequest) -> AsyncIterator[TextDelta | ModelReply]:
        """Yield the pieces of the reply, and the whole reply last. Raises the errors of the model."""
        return self._model.stream(request)

    def check(self) -> None:
        """Raise the error that must stop the run, if there was one."""
        if self.stopped is not None:
            raise self.stopped

    def __deepcopy__(self, memo: object) -> StopOnErrorModel:
        return self


@contextmanager
def recorded_model(settings: ModelSettings | None, folder: RunFolder) -> Iterator[StopOnErrorModel | None]:
    """Open the model of a run, if it has one; record its replies, and at the end its costs.

    The spending before an interruption counts against the budgets of the run. Raises `ModelError`, `ExtraMissing`.
    """
    if settings is None:
        yield None
        return
    with open_gateway(settings, folder.path / RECORDING) as gateway:
        gateway.restore({"spent": _spent_in(folder.path), "asked": []})
        try:
            yield StopOnErrorModel(gateway)
        finally:
            # Not the counts of each request: requests of unsettled steps are repeated, under their earlier keys.
            folder.write(SPENT, {**gateway.snapshot(), "asked": []})
            write_costs(folder, gateway)


def _spent_in(path: Path) -> dict[str, Any]:
    """Return the spending of a run: as written when it stopped, or, if it was killed since, as its recording shows."""
    file, recording = path / SPENT, path / RECORDING
    written: dict[str, Any] = msgspec.json.decode(file.read_bytes())["spent"] if file.is_file() else {"run": {}, "agents": {}}
    shown = recorded_spending(recording) if recording.is_file() and recording.stat().st_size else {"run": {}, "agents": {}}
    agents = sorted({*written["agents"], *shown["agents"]})
    return {
        "run": _larger(written["run"], shown["run"]),
        "agents": {name: _larger(written["agents"].get(name, {}), shown["agents"].get(name, {})) for name in agents},
    }


def _larger(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    return {name: max(one.get(name, 0), other.get(name, 0)) for name in ("requests", "tokens", "dollars")}


@contextmanager
def replayed_model(settings: ModelSettings | None, path: Path) -> Iterator[StopOnErrorModel | None]:
    """Open the recording of a run, if it has a model: no network, no cost. Raises `ModelError`, `ExtraMissing`."""
    if settings is None:
        yield None
        return
    with open_gateway(settings, path / RECORDING, replay=True) as gateway:
        yield StopOnErrorModel(gateway)


@contextmanager
def unrecorded_model(settings: ModelSettings | None) -> Iterator[StopOnErrorModel | None]:
    """Open the model of a run that leaves no folder, if it has one. Raises `ModelError`, `ExtraMissing`."""
    if settings is None:
        yield None
        return
    with open_gateway(settings, None) as gateway:
        yield StopOnErrorModel(gateway)


def costs_of(path: Path) -> list[dict[str, Any]]:
    """Return the costs of a run, by agent and in total; empty if it had no model, or has not ended."""
    file = path / COSTS
    costs: list[dict[str, Any]] = msgspec.json.decode(file.read_bytes()) if file.is_file() else []
    return costs


def write_costs(folder: RunFolder, gateway: ModelGateway) -> list[dict[str, Any]]:
    """Write the costs of a run, by agent and in total, as CSV and JSON; return them as plain values."""
    table = cost_table(gateway)
    folder.write_text("costs.csv", table.csv())
    folder.write(COSTS, table.rows())
    return table.rows()
