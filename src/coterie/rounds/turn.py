"""The argument of a per-agent stage, and the return values of stages on their way to others."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from random import Random
from typing import Any

from coterie.errors import InvalidIntent, InvalidValue, TurnForfeited
from coterie.kernel import Address, check_instance, check_number, stream
from coterie.kernel.checkpoint import detach
from coterie.rounds.draws import Draws, stream_key
from coterie.rounds.graph import Stage
from coterie.rounds.proposals import Proposal
from coterie.rounds.selection import NOBODY, Selection
from coterie.world import Intent, View
from coterie.world.state.values import freeze, frozen_arguments, scalar

_WIDE = 2**63
_NO_FAILURES: dict[str, Exception] = {}
"""Of all turns of single agents."""


class Turn:
    """One agent in one stage of one round: its view and inputs, its intents and proposals.

    It belongs to the agent while the stage runs. After the end of the stage, or its deadline, `intend` and `propose`
    raise `TurnForfeited`.
    """

    __slots__ = (
        "_draw",
        "_forfeited",
        "_intents",
        "_left",
        "_proposals",
        "_random",
        "_seed",
        "_stage",
        "agent",
        "due",
        "failures",
        "inputs",
        "name",
        "over",
        "place",
        "roster",
        "round",
        "view",
        "visit",
        "waited",
        "waits",
    )

    def __init__(
        self,
        name: str,
        round: int,  # noqa: A002 - the field's own name
        stage: Stage,
        place: int,
        view: View,
        inputs: Mapping[str, Any],
        seed: int | str,
        visit: int,
        first: int,
    ) -> None:
        self.agent: Any = None
        """The agent itself, on whose thread the stage runs."""
        self.name = name
        """The agent's name."""
        self.round = round
        """Counted from 1."""
        self.view = view
        """The frozen view of the world that the agent sees."""
        self.inputs = inputs
        """The return values of this agent's earlier stages in this round, by stage name."""
        self.visit = visit
        """The number of earlier visits of the agent to this stage in this round."""
        self.place = place
        """The position of the stage in the graph."""
        self._draw: Draws | None = None
        self.failures: dict[str, Exception] = _NO_FAILURES
        """The errors of single agents, if it is the turn of a group."""
        self.roster = NOBODY
        """The agents of the round. Set by the engine."""
        self._stage = stage
        self._seed = seed
        self._random: Random | None = None
        self._intents: list[Intent] = []
        self._proposals: list[Proposal] = []
        self._forfeited = ""
        self._left = first
        self.due: float | None = None
        """The monotonic time of its deadline, in seconds; None before a thread has begun it."""
        self.waits: Callable[[], float] | None = None
        """Returns the seconds for which the executor has waited for a thread; None before a thread has begun the turn."""
        self.waited = 0.0
        """The part of these seconds that its deadline allows for."""
        self.over = False
        """Whether it has ended in any way."""

    @property
    def stage(self) -> str:
        """The name of the stage."""
        return self._stage.name

    @property
    def seed(self) -> int | str:
        """The seed of the simulation."""
        return self._seed

    @property
    def for_all(self) -> bool:
        """Whether the stage is done for all agents of a group at once."""
        return self._stage.for_all

    @property
    def draw(self) -> Draws:
        """Draws of this agent, round, stage and visit alone, which a stage for all agents at once makes in the same way.

        Cheaper than `random`, and independent of it.
        """
        if self._draw is None:
            self._draw = Draws(self.name, stream_key(self._seed, self.round, self.stage, self.visit))
        return self._draw

    @property
    def work(self) -> Any:
        """The function of the stage; None if it is a method of the agent."""
        return self._stage.work

    @property
    def origin(self) -> tuple[int | str, int]:
        """The seed of the simulation, and the index of the turn's first intent: with them it can be made again elsewhere."""
        return self._seed, self._left

    @property
    def random(self) -> Random:
        """A random stream of this agent, round, stage and visit alone; draws of other agents do not change it."""
        if self._random is None:
            self._random = stream(self._seed, "turn", self.name, self.round, self.stage, self.visit)
        return self._random

    @property
    def everyone(self) -> Selection:
        """All agents of the round, this one included, as a selection over the view; its draws use the stream of the turn."""
        return Selection(self.roster.names, self.view, self.roster.types, lambda: self.random)

    def bear(self, kind: str = "agent", values: Mapping[str, Any] | None = None, *, name: str | None = None) -> str:
        """Intend that an agent of a kind is born, with keys of its own, and return its name: by default a new one, ``kind-…``.

        It takes part from the next round on. The intent is refused if one of the keys exists. Raises the errors of `intend`.
        """
        made = name if name is not None else self.newborn(kind)
        if not Address.is_name(made) or "/" in made:
            raise InvalidIntent(f"the birth of {made!r}", "give a name that is text without '#' and '/'")
        self.intend("born", name=made, values=dict(values or {}))
        return made

    def newborn(self, kind: str = "agent") -> str:
        """Return a name for an agent that is born: the kind, the round, and a text that no other birth gets."""
        path = f"{self.name}/{self.stage}/{self.visit}/{self._left + len(self._intents)}"
        return f"{kind}-{self.round}-{hashlib.blake2b(path.encode(), digest_size=6).hexdigest()}"

    def die(self, name: str | None = None, *, keys: Iterable[str] = ()) -> None:
        """Intend that this agent, or another one, dies, with the `keys` of the world that end with it.

        Once the intent is granted, at the next commit, it does no further stage. Raises `InvalidIntent` for a second death of the
        same agent in one turn, for one of a group and for a name that does not take part, and the errors of `intend`.
        """
        who = self.name if name is None else name
        problem = self.roster.immortal(who)
        if problem:
            raise InvalidIntent(f"the death of {who!r} in {self.stage} of round {self.round}", problem)
        if any(each.action == "die" and each.arguments["name"] == who for each in self._intents):
            raise InvalidIntent(f"the death of {who} in {self.stage} of round {self.round}", "it dies already in this turn")
        self.intend("die", name=who, keys=list(keys))

    def intend(self, action: str, *, priority: int = 0, **arguments: Any) -> None:
        """Submit an intent: an action with arguments in plain data. The resolver decides on it at the next commit.

        Raises `InvalidValue`, `InvalidSetting`, `TurnForfeited`.
        """
        if self._forfeited or self.over:
            self._enter()
        # Checked here, where the traceback names this agent, and not at the commit.
        if action.__class__ is not str or not action.isascii():
            check_instance("intend.action", action, str, "the name of an action, as text")
            action = str(freeze(action, "action"))
        if priority.__class__ is not int or priority < -_WIDE:
            priority = scalar(priority)
            check_number("intend.priority", priority, least=-_WIDE, whole=True)
        wanted = frozen_arguments(arguments)
        intents = self._intents
        intents.append(Intent(self.name, action, wanted, priority, self.round, self.place, self._left + len(intents)))
        # The deadline may have passed meanwhile; the engine has then refused the intent or never saw it. Raise in both cases.
        if self._forfeited or self.over:
            self._enter()

    def propose(self, kind: str, **parameters: Any) -> None:
        """Propose a mechanism: a kind of rule with parameters in plain data. Raises the errors of `intend`."""
        self._enter()
        check_instance("propose.kind", kind, str, "the kind of a mechanism, as text")
        wanted = frozen_arguments(parameters)
        self._proposals.append(
            Proposal(self.name, str(freeze(kind, "kind")), wanted, self.round, self.place, len(self._proposals))
        )
        self._enter()

    def frozen(self, name: str, value: Any) -> Any:
        """Return the value of an argument as an intent has it. Raises `InvalidValue`."""
        return freeze(value, name)

    def intend_columns(self, make: Callable[[int], Any], action: str, priority: int) -> None:
        """Submit intents of a column; `make` makes them, given their index. For `ColumnTurn`. Raises the errors of `intend`."""
        self._enter()
        check_instance("intend.action", action, str, "the name of an action, as text")
        check_number("intend.priority", priority, least=-_WIDE, whole=True)
        self._intents.append(make(self._left + len(self._intents)))
        self._enter()

    def of_member(self, name: str, inputs: Mapping[str, Any]) -> Turn:
        """Return the turn of one agent of the group whose turn this is. For the executor."""
        made = Turn(name, self.round, self._stage, self.place, self.view, inputs, self._seed, self.visit, self._left)
        made.roster = self.roster
        return made

    def take(self, own: Turn) -> None:
        """Take the intents and proposals of one agent of the group. For the executor."""
        self._enter()
        self._intents.extend(own._intents)
        self._proposals.extend(own._proposals)

    def forfeit(self, reason: str) -> None:
        """Refuse intents and proposals from now on. For the engine."""
        self._forfeited = reason

    def wanted(self) -> tuple[list[Intent], list[Proposal]]:
        """Return the intents and proposals. For the engine."""
        return self._intents.copy(), self._proposals.copy()

    def _enter(self) -> None:
        if self._forfeited or self.over:
            why = self._forfeited or "it has ended; intend and propose only while the stage runs"
            raise TurnForfeited(self.name, self.stage, self.round, why)

    def __repr__(self) -> str:
        return f"<Turn of {self.name} in {self.stage} of round {self.round}>"

    def __deepcopy__(self, memo: object) -> Turn:
        return self


def own(value: Any, stage: str, *, plain: bool) -> Any:
    """Return a value for later stages of the same agent: frozen if it is plain data, else unchanged.

    Raises `InvalidValue` if it must be plain data, and is not.
    """
    if value is None:
        return None
    try:
        return freeze(value, stage)
    except InvalidValue:
        if plain:
            raise
        return value


class OwnCopy:
    """A value that several agents get, and which is copied for one of them when that one asks for it.

    `original` is shared and never changed. One thread at a time uses it.
    """

    __slots__ = ("_copy", "_made", "original")

    def __init__(self, original: Any) -> None:
        self.original = original
        self._copy: Any = None
        self._made = False

    def take(self) -> Any:
        """Return the agent's copy."""
        if not self._made:
            self._copy, self._made = detach(self.original), True
        return self._copy

    @property
    def value(self) -> Any:
        """The agent's copy if there is one, else the original."""
        return self._copy if self._made else self.original


class StageInputs(Mapping[str, Any]):
    """The inputs of a turn, with values that are copied when the agent asks for them."""

    __slots__ = ("_inputs",)

    def __init__(self, inputs: Mapping[str, Any]) -> None:
        self._inputs = inputs

    def __getitem__(self, stage: str) -> Any:
        value = self._inputs[stage]
        return value.take() if value.__class__ is OwnCopy else value

    def __iter__(self) -> Iterator[str]:
        return iter(self._inputs)

    def __len__(self) -> int:
        return len(self._inputs)

    def __repr__(self) -> str:
        return repr(dict(self))


def inputs_of(inputs: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the inputs of an agent as its turn has them."""
    if not inputs:
        return {}
    lazy = any(value.__class__ is OwnCopy for value in inputs.values())
    return StageInputs(dict(inputs)) if lazy else dict(inputs)


def outputs_of(inputs: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the inputs of several agents for a together-stage: frozen if they are plain data, else a copy.

    What several agents have got is frozen or copied once.
    """
    known: dict[int, Any] = {}

    def for_others(value: Any, stage: str) -> Any:
        value = value.value if value.__class__ is OwnCopy else value
        found = known.get(id(value), known)
        if found is known:
            try:
                found = freeze(value, stage)
            except InvalidValue:
                found = detach(value)
            known[id(value)] = found
        return found

    return {name: {stage: for_others(value, stage) for stage, value in given.items()} for name, given in inputs.items()}


def for_each(value: Any, stage: str, agents: int, *, plain: bool) -> list[Any]:
    """Return a value for each of several agents: one frozen value for all if it is plain data, else an `OwnCopy` for each.

    Raises `InvalidValue` if it must be plain data, and is not.
    """
    try:
        return [freeze(value, stage)] * agents
    except InvalidValue:
        if plain:
            raise
    original = detach(value)
    return [OwnCopy(original) for _ in range(agents)]
