"""The resolver of moves in spaces."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

from coterie.errors import InvalidSetting
from coterie.kernel import check_instance
from coterie.world.intent import Intent
from coterie.world.resolvers import Effects, FirstCome, IntentOutcome, Resolution, Resolver, granted, refused
from coterie.world.spaces.space import Position, Space


class Movement:
    """Decides the moves, births and removals of one or more spaces together; another resolver decides all other intents.

    ::

        Simulation(world, agents, graph, resolver=Movement(grid, otherwise=resolvers.Lottery()))

    Intents go by priority, and agents of equal priority in an order from the seed: if two want one cell, the seed decides, and the
    other stays where it is. A move into a cell whose agent moves away in the same commit succeeds, also along a chain of agents.
    Intents of other actions that would change the keys of a space are refused.
    """

    def __init__(self, *spaces: Space, otherwise: Resolver | None = None) -> None:
        if not spaces:
            raise InvalidSetting("Movement", spaces, "at least one space")
        for space in spaces:
            check_instance("Movement", space, Space, "spaces: Movement(grid)")
        if len({space.name for space in spaces}) < len(spaces):
            raise InvalidSetting("Movement", [space.name for space in spaces], "spaces of different names")
        check_instance("Movement.otherwise", otherwise, (Callable, type(None)), "a resolver")  # type: ignore[arg-type] # an abstract class will do
        self.spaces = spaces
        self.otherwise = otherwise if otherwise is not None else FirstCome()
        self._of = {action: space for space in spaces for action in space.actions}
        self._prefixes = tuple(space.prefix for space in spaces)

    def __repr__(self) -> str:
        return f"Movement({', '.join(space.name for space in self.spaces)})"

    def __call__(self, view: Mapping[str, Any], intents: Sequence[Intent], random: Random) -> list[Resolution]:
        """Return one resolution for each intent: first those of the spaces, then the others."""
        mine = [each for each in intents if each.action in self._of]
        others = [each for each in intents if each.action not in self._of]
        decisions = _Moves(view, self._of).decide(mine, random) if mine else []
        changed = {key for decision in decisions for key in decision.effects.touched()} if others else set()
        rest = others
        while rest:
            found = list(self.otherwise(view, rest, random))
            wrong = [each for each in found if self._touches(each, changed)]
            if not wrong:
                return [*decisions, *found]
            decisions += [refused(each.intent, self._reason(each)) for each in wrong]
            excluded = {id(each.intent) for each in wrong}
            rest = [each for each in rest if id(each) not in excluded]
        return decisions

    def _touches(self, decision: Resolution, changed: set[str]) -> bool:
        if decision.outcome is IntentOutcome.REFUSED:
            return False
        effects = decision.effects
        keys = (*effects.sets, *effects.adds, *effects.removes)
        return any(key in changed or key.startswith(self._prefixes) for key in keys)

    def _reason(self, decision: Resolution) -> str:
        key = min((key for key in decision.effects.touched() if key.startswith(self._prefixes)), default="")
        if not key:
            return "the birth or death of an agent changes that key"
        return f"{key} is changed by {key.partition('/')[0]}.move, .born and .die only"


class _Moves:
    """The decisions of one commit: positions and sites after the intents that are decided so far."""

    def __init__(self, view: Mapping[str, Any], spaces: Mapping[str, Space]) -> None:
        self._view = view
        self._spaces = spaces
        self._now: dict[str, Any] = {}
        """The changed keys of spaces; None for a removed one."""
        self._values: set[str] = set()
        """The other keys that births and deaths have changed."""
        self._decisions: list[Resolution] = []
        self._waiting: dict[str, deque[Intent]] = {}
        """The moves that wait for a place, by the key of the site."""

    def decide(self, intents: Sequence[Intent], random: Random) -> list[Resolution]:
        agents = sorted({intent.agent for intent in intents})
        random.shuffle(agents)
        places = {agent: place for place, agent in enumerate(agents)}
        last = {intent.agent: intent for intent in intents}
        for intent in sorted(intents, key=lambda each: (each.round, each.stage, -each.priority, places[each.agent])):
            self._try(intent, may_wait=last[intent.agent] is intent)
        for key, waiting in self._waiting.items():
            there = ", ".join(self._get(key) or ())
            self._decisions += [refused(each, f"{key} is full: {there} is there") for each in waiting]
        return self._decisions

    def _get(self, key: str) -> Any:
        return self._now[key] if key in self._now else self._view.get(key)

    def _try(self, intent: Intent, *, may_wait: bool) -> None:
        space = self._spaces[intent.action]
        what = space.actions[intent.action]
        name = intent.agent if what == "move" else intent.arguments.get("name")
        if not isinstance(name, str) or not name:
            self._decisions.append(refused(intent, f"{intent.action} needs the name of an agent"))
            return
        at = self._get(space.key_of(name))
        if (at is None) is (what != "born"):
            why = f"{name} is not in {space.name}" if at is None else f"{name} is in {space.name} already"
            self._decisions.append(refused(intent, why))
        elif what == "die":
            self._leave(intent, space, name, at)
        else:
            self._go(intent, space, name, at, may_wait=may_wait and what == "move")

    def _go(self, intent: Intent, space: Space, name: str, at: Position | None, *, may_wait: bool) -> None:
        try:
            to = space.checked(intent.arguments.get("to"))
        except ValueError as error:
            self._decisions.append(refused(intent, str(error)))
            return
        values = intent.arguments.get("values", {})
        if problem := self._problem(values, space) or self._taken(values):
            self._decisions.append(refused(intent, problem))
            return
        sets: dict[str, Any] = {**values, space.key_of(name): to}
        removes: tuple[str, ...] = ()
        target = space.key_of_site(space.site(to))
        source = space.key_of_site(space.site(at)) if at is not None else ""
        if target != source:
            there = self._get(target) or ()
            if space.capacity is not None and len(there) >= space.capacity:
                if may_wait:
                    self._waiting.setdefault(target, deque()).append(intent)
                else:
                    self._decisions.append(refused(intent, f"{target} is full: {', '.join(there)} is there"))
                return
            sets[target] = tuple(sorted((*there, name)))
            if source:
                removes = self._vacate(source, name, sets)
        self._carry_out(intent, sets, removes)
        self._values.update(values)
        self._wake(source, target)

    def _leave(self, intent: Intent, space: Space, name: str, at: Position) -> None:
        given = intent.arguments.get("keys", ())
        keys = [key for key in given if isinstance(key, str) and key in self._view and key not in self._values]
        sets: dict[str, Any] = {}
        source = space.key_of_site(space.site(at))
        removes = (*self._vacate(source, name, sets), space.key_of(name), *dict.fromkeys(keys))
        self._carry_out(intent, sets, removes)
        self._values.update(keys)
        self._wake(source, "")

    def _vacate(self, source: str, name: str, sets: dict[str, Any]) -> tuple[str, ...]:
        """Take an agent out of a site: add the others there to `sets`, or return the key to remove."""
        rest = tuple(each for each in self._get(source) if each != name)
        if rest:
            sets[source] = rest
            return ()
        return (source,)

    def _carry_out(self, intent: Intent, sets: dict[str, Any], removes: tuple[str, ...]) -> None:
        self._now.update(sets)
        self._now.update(dict.fromkeys(removes))
        self._decisions.append(granted(intent, Effects(sets, {}, removes)))

    def _wake(self, source: str, target: str) -> None:
        """Try the first move that waits for a site which an agent has left."""
        waiting = self._waiting.get(source) if source and source != target else None
        if waiting:
            self._try(waiting.popleft(), may_wait=True)

    def _problem(self, values: Any, space: Space) -> str:
        if not isinstance(values, Mapping):
            return "the values of a birth are a mapping of keys to plain data"
        spaces = {each.prefix for each in self._spaces.values()}
        wrong = next((key for key in values if not key or key.startswith(tuple(spaces))), None)
        return f"{wrong!r} is no key that a birth in {space.name} may set" if wrong is not None else ""

    def _taken(self, values: Mapping[str, Any]) -> str:
        key = next((key for key in values if key in self._values or key in self._view), None)
        return f"{key} is there already" if key is not None else ""
