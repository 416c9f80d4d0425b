"""Groups: many simple agents of one type, which do a stage as a column of arrays, or one after another on one thread."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any

import msgspec

from coterie.errors import InvalidIntent, InvalidSetting, InvalidValue
from coterie.kernel import Address, check_instance, check_number
from coterie.rounds.draws import ColumnDraws, stream_key
from coterie.rounds.turn import Turn
from coterie.world import Column, Intent, View
from coterie.world.state.column import Rows, checked, numpy

_CHANGES = frozenset(("set", "add", "take", "move"))
"""The actions whose values must have the type of the column that they change."""


class AgentGroup:
    """Many agents of one type, without objects of their own: their state is in the world. Immutable.

    ::

        traders = AgentGroup("trader", 1_000)  # trader-0001 to trader-1000
        world = World({"wealth": traders.column(1)})
        Simulation(world, [traders], Graph.chain(for_all(give)))

    In a simulation the group goes through the graph as one: a stage made by `for_all` gets arrays, and a stage of each agent is done
    for one agent of the group after another, on one thread. Give `names` instead of a number for names of your own.
    """

    __slots__ = ("name", "rows")

    def __init__(self, name: str, count: int = 0, *, names: Sequence[str] | None = None) -> None:
        check_instance("AgentGroup.name", name, str, "text")
        check_number("AgentGroup.count", count, whole=True)
        if not Address.is_name(name) or "/" in name or "-" in name:
            raise InvalidSetting("AgentGroup.name", name, "the type of its agents: text without '#', '/' and '-'")
        if (names is None) is (count == 0):
            raise InvalidSetting("AgentGroup", count, 'a number of agents, or names: AgentGroup("trader", 1_000)')
        self.name = name
        self.rows = Rows.numbers(f"{name}-", count) if names is None else Rows.of(sorted(names))

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its agents, sorted."""
        return self.rows.names

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return f"<AgentGroup {self.name!r} of {len(self)}>"

    def __deepcopy__(self, memo: object) -> AgentGroup:
        return self

    def column(self, values: Any) -> Column:
        """Return a column with a value for each agent: an array, a list, or one value for all. Raises `InvalidValue`."""
        return Column(self.rows, values)


class ElementKeys(msgspec.Struct, frozen=True, eq=False):
    """Keys of the world as an argument of intents: for each agent, the key of itself or of another agent. Made by `ColumnTurn.keys`."""

    prefix: str
    rows: Rows
    places: Any
    """An array with the place of the agent that each agent means; None for the agent itself."""

    def texts(self, chosen: Any) -> list[str]:
        """Return the keys for some agents, given by their places."""
        names = self.rows.names
        places = chosen if self.places is None else self.places[chosen]
        return [f"{self.prefix}/{names[place]}" for place in places.tolist()]


class ColumnIntents(msgspec.Struct, frozen=True, eq=False):
    """The intents of many agents of a group, with arrays as arguments."""

    agent: str
    """The name of the group."""
    rows: Rows
    action: str
    arguments: Mapping[str, Any]
    """`ElementKeys`, arrays with a value for each agent, and values for all."""
    chosen: Any
    """The places of the agents that intend it, in order."""
    priority: int
    round: int
    stage: int
    index: int

    def expanded(self) -> list[Intent]:
        """Return an intent for each agent, as if it had intended it in a turn of its own."""
        columns = {}
        for name, value in sorted(self.arguments.items()):
            if isinstance(value, ElementKeys):
                columns[name] = value.texts(self.chosen)
            elif hasattr(value, "dtype"):
                columns[name] = value[self.chosen].tolist()
            else:
                columns[name] = [value] * len(self.chosen)
        names = self.rows.names
        place = (self.priority, self.round, self.stage, self.index)
        arguments = zip(*columns.values(), strict=True) if columns else ((),) * len(self.chosen)
        return [
            Intent(names[row], self.action, dict(zip(columns, values, strict=True)), *place)
            for row, values in zip(self.chosen.tolist(), arguments, strict=False)
        ]


class ColumnTurn:
    """A group of agents in one stage of one round: arrays of their keys, their draws and their intents.

    ``turn["wealth"]`` is an array with the value of ``wealth/name`` for each agent, in the order of their names. It belongs to the
    stage while that runs.
    """

    __slots__ = ("_draw", "_turn", "group")

    def __init__(self, group: AgentGroup, turn: Turn) -> None:
        self.group = group
        self._turn = turn
        self._draw: ColumnDraws | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the agents, in the order of all arrays."""
        return self.group.names

    @property
    def round(self) -> int:
        """Counted from 1."""
        return self._turn.round

    @property
    def stage(self) -> str:
        """The name of the stage."""
        return self._turn.stage

    @property
    def visit(self) -> int:
        """The number of earlier visits of the group to this stage in this round."""
        return self._turn.visit

    @property
    def view(self) -> View:
        """The frozen view of the world that all agents of the group see."""
        return self._turn.view

    @property
    def inputs(self) -> Mapping[str, Any]:
        """The results of earlier stages of the round, by stage name."""
        return self._turn.inputs

    @property
    def draw(self) -> ColumnDraws:
        """The random draws of the agents: those that `Turn.draw` of each of them would make."""
        if self._draw is None:
            turn = self._turn
            self._draw = ColumnDraws(self.group.rows, stream_key(turn.seed, turn.round, turn.stage, turn.visit))
        return self._draw

    def __len__(self) -> int:
        return len(self.group)

    def __repr__(self) -> str:
        return f"<ColumnTurn of {len(self)} {self.group.name} in {self.stage} of round {self.round}>"

    def __getitem__(self, key: str) -> Any:
        return self.column(key)

    def column(self, key: str, default: Any = None) -> Any:
        """Return the values of ``key/name`` as a read-only array, with `default` for those that are missing.

        Raises `InvalidValue`, which names the agent and the round, for a missing one without a default.
        """
        found = self.view.get(key)
        if isinstance(found, Column) and found.rows is self.group.rows:
            return found.array
        values = []
        for name in self.group.names:
            value = self.view.get(f"{key}/{name}", default)
            if value is None:
                raise InvalidValue(f"{key}/{name}", f"it is not in the world in round {self.round}; set it, or give a default")
            values.append(value)
        array = numpy().asarray(values)
        array.setflags(write=False)
        return array

    def keys(self, key: str, places: Any = None, *, of: AgentGroup | None = None) -> ElementKeys:
        """Return the keys ``key/name`` as an argument of an intent: of the agents themselves, or of those at `places` of a group.

        Raises `InvalidIntent` for an array of another length or type, and for a place outside; it names the agent.
        """
        rows = (of if of is not None else self.group).rows
        if places is None:
            if of is not None:
                raise InvalidIntent(f"{key} of {of!r}", "give the place that each agent means, in an array")
            return ElementKeys(key, rows, None)
        np = numpy()
        array = np.asarray(places)
        if array.ndim == 0 and array.dtype.kind in "iu":
            array = np.full(len(self), array)
        if array.dtype.kind not in "iu" or array.shape != (len(self),):
            given = f"an array of {array.dtype} with the shape {array.shape}"
            raise self._wrong(key, f"{given} are no places; give {len(self)} whole numbers, one for each agent")
        outside = (array < 0) | (array >= len(rows))
        if bool(outside.any()):
            first = int(outside.argmax())
            raise self._wrong(key, f"{self.names[first]} means place {array[first]}, but there are {len(rows)}")
        return ElementKeys(key, rows, array.astype(np.int64))

    def intend(self, action: str, *, where: Any = None, priority: int = 0, **arguments: Any) -> None:
        """Submit an intent for each agent, or for those `where` an array is true, with arrays as arguments.

        A value that is no array holds for all. Equal to `Turn.intend` of each agent, in the order of their names. Raises
        `InvalidIntent` for an array of another length or type, or with NaN, and the errors of `Turn.intend`.
        """
        np = numpy()
        given: dict[str, Any] = {}
        for name, value in arguments.items():
            if isinstance(value, ElementKeys):
                given[name] = value
            elif isinstance(value, np.ndarray) and value.ndim:
                given[name] = self._checked(name, value)
            else:
                given[name] = self._turn.frozen(name, value)
        chosen = np.arange(len(self)) if where is None else np.flatnonzero(self._mask(where))
        if action in _CHANGES:
            self._check_types(given)
        self._turn.intend_columns(
            lambda index: ColumnIntents(
                self.group.name, self.group.rows, action, given, chosen, priority, self.round, self._turn.place, index
            ),
            action,
            priority,
        )

    def set(self, key: str, values: Any, where: Any = None) -> None:
        """Submit the intents to set ``key/name`` of each agent, or of those `where` an array is true, to its value."""
        self.intend("set", where=where, key=self.keys(key), value=self._checked(key, values))

    def finish(self, value: Any) -> None:
        """Take the return value of a stage: None, or a mapping of keys to arrays, which are set. For the executor."""
        if value is None:
            return
        if not isinstance(value, Mapping):
            raise InvalidSetting(f"the result of {self.stage!r}", value, "None, or a mapping of keys to arrays of new values")
        for key, values in value.items():
            self.set(key, values)

    def _checked(self, key: str, values: Any) -> Any:
        np = numpy()
        array = np.asarray(values)
        if array.dtype.kind in "US" and array.shape in ((), (len(self),)):
            return np.full(len(self), array) if array.ndim == 0 else array
        try:
            return checked(self.group.rows, array, key)
        except InvalidValue as error:
            raise self._wrong(key, error.problem) from error

    def _check_types(self, given: Mapping[str, Any]) -> None:
        """Raise `InvalidIntent` if an array has another type than the column that it is set in, added to, or moved in."""
        value = given.get("value", given.get("amount"))
        if value.__class__ in (list, tuple, dict) or value is None:
            return
        values = numpy().asarray(value)
        for keys in given.values():
            column = self.view.get(keys.prefix) if isinstance(keys, ElementKeys) else None
            if isinstance(column, Column) and not _fits(values.dtype.kind, column.array.dtype.kind):
                first = f"{values[0]} of {self.names[0]}" if values.ndim else repr(value)
                raise self._wrong(
                    keys.prefix, f"{first} does not fit a column of {column.array.dtype}; convert it to that type"
                )

    def _mask(self, where: Any) -> Any:
        mask = numpy().asarray(where)
        if mask.dtype.kind != "b" or mask.shape != (len(self),):
            given = f"an array of {mask.dtype} with the shape {mask.shape}"
            raise self._wrong("where", f"{given} is no choice of agents; give {len(self)} truth values")
        return mask

    def _wrong(self, key: str, why: str) -> InvalidIntent:
        return InvalidIntent(f"{key!r} for all {self.group.name} in {self.stage} of round {self.round}", why)


def _fits(kind: str, column: str) -> bool:
    """Return whether values of a kind of NumPy's types can be in a column of another, without a change."""
    return kind == column or (column == "f" and kind == "i")


def take_turns(group: AgentGroup, turn: Turn) -> dict[str, Any] | None:
    """Do a stage for a group: with arrays, or for one agent after another. Return the results by name, if there are any.

    The errors of single agents are kept in `turn.failures`. Raises the first one if all agents failed.
    """
    work = turn.work
    if turn.for_all:
        columns = ColumnTurn(group, turn)
        columns.finish(_plain_result(work(columns), turn))
        return None
    results: dict[str, Any] = {}
    turn.failures = {}
    for name in group.names:
        own = turn.of_member(name, _inputs_of(name, turn.inputs))
        try:
            value = _plain_result(work(own), turn)
        except Exception as error:  # noqa: BLE001 - it forfeits the turn of this agent alone
            turn.failures[name] = error
            continue
        finally:
            own.over = True
        turn.take(own)
        if value is not None:
            results[name] = value
    if len(turn.failures) == len(group):
        raise next(iter(turn.failures.values()))
    return results or None


def _plain_result(value: Any, turn: Turn) -> Any:
    """Return the result of a stage. Raises `InvalidSetting` if it is to be awaited."""
    if isinstance(value, Awaitable):
        if inspect.iscoroutine(value):
            value.close()
        raise InvalidSetting(f"the stage {turn.stage!r}", turn.work, "a plain function: agents of a group do not wait")
    return value


def _inputs_of(name: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the inputs of one agent: of earlier stages of each agent its own result, of others all."""
    found = {}
    for stage, value in inputs.items():
        found[stage] = value[name] if isinstance(value, Mapping) and name in value else value
    return found
