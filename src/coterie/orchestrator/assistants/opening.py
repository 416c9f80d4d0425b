"""A scenario of kind ``conversation``, read, checked whole, and opened; and the folder that it keeps."""

from __future__ import annotations

import contextlib
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
from pydantic import ValidationError

from coterie.conversation import Conversations, RecallRecent, RecallRelevant, UserMemories
from coterie.errors import ScenarioError, StorageError, describe
from coterie.errors.orchestrator import RunFolderFailed, RunUnknown
from coterie.kernel import Clock, SystemClock
from coterie.memory import MemoryConfig, TieredMemory
from coterie.models import Model, ModelGateway
from coterie.orchestrator.assistants.assistant import Assistant, Place
from coterie.orchestrator.assistants.scenario import KIND, AssistantScenario, AssistantSettings, conversation_faults
from coterie.orchestrator.assistants.servers import servers_of
from coterie.orchestrator.assistants.simulations import SimulationTools
from coterie.orchestrator.code import Provider, load
from coterie.orchestrator.problems import problem
from coterie.orchestrator.scenario import read_scenario

_LATEST = "latest.json"


class ChatFolder:
    """Records the latest conversation of each user. Used by one process at a time, like the databases beside it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def choose(self, user: str, namespace: str | None, *, resume: bool) -> str:
        """Return the name of the conversation: the requested one, the user's latest, or a new one.

        Raises `RunUnknown` if the user has no conversation to resume.
        """
        if namespace is not None:
            return namespace
        if not resume:
            return datetime.fromtimestamp(SystemClock().time(), UTC).strftime("%Y%m%d-%H%M%S-%f")
        latest = self._latest().get(user)
        if latest is None:
            raise RunUnknown(self.path, f"{user} has no conversation to resume there; talk without --resume first")
        return latest

    def remember(self, user: str, namespace: str) -> None:
        """Record the latest conversation of a user. Raises `RunFolderFailed`."""
        latest = self._latest() | {user: namespace}
        temporary = self.path / f".{_LATEST}.part"
        try:
            temporary.write_bytes(msgspec.json.encode(latest))
            temporary.replace(self.path / _LATEST)
        except OSError as error:
            raise RunFolderFailed(self.path, error) from error

    def _latest(self) -> dict[str, str]:
        try:
            return msgspec.json.decode((self.path / _LATEST).read_bytes(), type=dict[str, str])
        except (OSError, msgspec.DecodeError):
            # Only a convenience: `--namespace` can name a conversation.
            return {}


RULES = "rules"
"""The name of the provider's own model in a scenario file."""


@dataclass(frozen=True)
class LoadedAssistant:
    """A checked scenario, and the code that it names."""

    path: Path
    scenario: AssistantScenario
    provider: Provider


def load_assistant(path: Path | str) -> LoadedAssistant:
    """Return the checked scenario of kind ``conversation`` in a file, with the settings of its provider.

    It imports the provider's module for that. Raises `ScenarioError`, which has a line for every fault: the key, the fault
    and the remedy.
    """
    path = Path(path)
    try:
        data = tomllib.loads(read_scenario(path))
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(path, [f"it is not TOML: {error}"]) from error
    if (kind := data.get("kind")) not in (None, KIND) and isinstance(kind, str):
        raise ScenarioError(path, [f"kind: {kind!r} is not talked to; use `coterie run`, or write kind = {KIND!r}"])
    faults = conversation_faults(data.get("conversation"))
    scenario: AssistantScenario | None = None
    try:
        scenario = AssistantScenario.model_validate(data)
    except ValidationError as error:
        faults = [problem(each, data, AssistantScenario) for each in error.errors()] + faults
    provider = _provider(data, path.parent)
    if isinstance(provider, str):
        faults.append(f"assistant.provider: {provider}")
    elif provider is not None and isinstance(given := data.get("settings", {}), dict):
        faults += provider.problems(given)
    if scenario is None or not isinstance(provider, Provider) or faults:
        # The whole file was checked, so that one round mends all; the same fault may have been found twice.
        raise ScenarioError(path, list(dict.fromkeys(faults)))
    return LoadedAssistant(path, scenario, provider)


def _provider(data: dict[str, Any], folder: Path) -> Provider | str | None:
    """Return the provider, or its fault; None if the table that names it is wrong itself."""
    try:
        return load(AssistantSettings.model_validate(data.get("assistant")), folder)
    except ValidationError:
        return None


class OpenAssistant:
    """An open assistant with its conversations. Use it in a ``with`` block.

    Its data are in one folder, so that it goes on after the end of the process: ``conversations.db``, and the files of the
    provider. Safe from any thread.
    """

    def __init__(
        self,
        loaded: LoadedAssistant,
        assistant: Assistant,
        conversations: Conversations,
        model: Model,
        parts: Iterable[ModelGateway | TieredMemory] = (),
        simulations: SimulationTools | None = None,
    ) -> None:
        self.name = loaded.scenario.name
        self.greeting = assistant.greeting
        self.conversations = conversations
        self.model = model
        self.simulations = simulations
        """Its simulations, if its scenario names some."""
        self.parts: tuple[Conversations | ModelGateway | TieredMemory, ...] = (conversations, *parts)
        """All that a console can show of it."""
        self._ending = contextlib.ExitStack()

    def ends_with(self, ending: contextlib.ExitStack) -> Self:
        """Register an object to be closed with the assistant."""
        self._ending = ending
        return self

    def close(self) -> None:
        """Close the conversations, the model and the provider's objects, in that order.

        The next opening resumes unfinished operations.
        """
        self._ending.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        self.close()


def open_assistant(
    loaded: LoadedAssistant,
    folder: Path | str,
    *,
    model: str | None = None,
    base_url: str | None = None,
    notice: Callable[[str], None] = lambda _: None,
    clock: Clock | None = None,
    store: str | None = None,
) -> OpenAssistant:
    """Return an assistant, opened over its folder, which is created if missing. `model` and `base_url` replace the scenario's.

    `store`, an address of PostgreSQL, has the conversations and the memories of users instead of files in the folder.

    Raises `ScenarioError` if the provider fails, `RunFolderFailed`, the errors of models, and those of storage: a folder
    is used by one process at a time.
    """
    folder = Path(folder)
    clock = clock if clock is not None else SystemClock()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunFolderFailed(folder, error) from error
    with contextlib.ExitStack() as stack:
        assistant = _open(loaded, Place(folder, clock, notice))
        if assistant.close is not None:
            stack.callback(assistant.close)
        answering = _model(loaded, assistant, model, base_url, clock, stack)
        settings = loaded.scenario.behaviour(assistant.instructions)
        memory = stack.enter_context(_memory(loaded, folder, store))
        simulations = _simulations(loaded, folder)
        own = [*assistant.tools, *(simulations.tools() if simulations is not None else [])]
        servers = [stack.enter_context(each) for each in servers_of(loaded.path, loaded.scenario.mcp)]
        conversations = stack.enter_context(
            Conversations(
                answering,
                [*own, *servers],
                store=store if store is not None else folder / "conversations.db",
                provide=assistant.provide,
                memory=_memories(loaded, memory),
                settings=settings,
                clock=clock,
            )
        )
        parts = (part for part in (answering, memory) if isinstance(part, ModelGateway | TieredMemory))
        opened = OpenAssistant(loaded, assistant, conversations, answering, parts, simulations)
        return opened.ends_with(stack.pop_all())
    raise AssertionError("unreachable")


def _simulations(loaded: LoadedAssistant, folder: Path) -> SimulationTools | None:
    """Return the simulations that the scenario names, with their runs in the assistant's folder; None if it names none."""
    if not loaded.scenario.simulations:
        return None
    return SimulationTools(folder / "runs", [loaded.path.parent / each for each in loaded.scenario.simulations])


def _memory(loaded: LoadedAssistant, folder: Path, store: str | None) -> contextlib.AbstractContextManager[TieredMemory | None]:
    """Return the memory of users, open, or None without the table for it."""
    if loaded.scenario.memory is None:
        return contextlib.nullcontext()
    if store is not None:
        return TieredMemory(MemoryConfig(postgres_url=store))
    return TieredMemory(MemoryConfig(path=folder / "memory.db"))


def _memories(loaded: LoadedAssistant, memory: TieredMemory | None) -> UserMemories | None:
    table = loaded.scenario.memory
    if table is None or memory is None:
        return None
    policy = RecallRecent(table.recall) if table.newest else RecallRelevant(table.recall)
    return UserMemories(memory, recall=policy, summarise=table.summarise)


def _open(loaded: LoadedAssistant, place: Place) -> Assistant:
    try:
        return loaded.provider.open(place, loaded.scenario.settings)
    except StorageError:
        raise  # its text has the place and the remedy already
    except Exception as error:
        line = f"assistant.provider: {loaded.scenario.assistant.provider} failed: {describe(error)}"
        raise ScenarioError(loaded.path, [line]) from error


def _model(
    loaded: LoadedAssistant,
    assistant: Assistant,
    name: str | None,
    base_url: str | None,
    clock: Clock,
    stack: contextlib.ExitStack,
) -> Model:
    settings = loaded.scenario.model
    chosen = name or settings.name
    if chosen != RULES:
        address = base_url or settings.base_url
        gateway: Any = ModelGateway(chosen, base_url=address, clock=clock)
        stack.enter_context(gateway)
        return gateway  # type: ignore[no-any-return] # it is a model, as its room says
    if base_url is not None:
        raise ScenarioError(loaded.path, ["model.base_url: rules need no server; name a model too, such as openai:NAME"])
    if assistant.model is None:
        raise ScenarioError(
            loaded.path, ["model.name: this assistant brings no rules; name a model, such as openai:gpt-5-mini"]
        )
    return assistant.model
