"""The contract of spaces: positions as keys of a world, sites that hold agents, and the intents to move."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, Protocol, TypeAlias

from coterie.errors import InvalidIntent, InvalidSetting
from coterie.kernel import check_instance, check_number

Position: TypeAlias = Any
"""A cell ``(x, y)`` of a grid, a node of a network, or a point ``(x, y)`` of a plane."""
Site: TypeAlias = Hashable
"""The part of a space that keeps a list of its agents: a cell, a node, or a tile of a plane."""
_COLOURS = ("#1f6f8b", "#e07a5f", "#81b29a", "#f2cc8f", "#3d405b", "#b56576", "#6d597a", "#457b9d", "#a7c957", "#bc6c25")


class IntentSender(Protocol):
    """An object through which an agent submits intents: the turn of a round."""

    @property
    def name(self) -> str:
        """The name of the agent."""
        ...

    def intend(self, action: str, *, priority: int = 0, **arguments: Any) -> None:
        """Submit an intent."""
        ...


class Space(ABC):
    """A space with agents. Immutable, and the same for all agents: the positions are in the world.

    ::

        grid = Grid(20, 20, torus=True)
        world = World(grid.placed({"ada": (3, 4), "ben": (5, 5)}))
        simulation = Simulation(world, ["ada", "ben"], graph, resolver=Movement(grid))

    The key ``space/at/ada`` holds the position of an agent, and ``space/in/3,4`` the names of the agents in a cell, in order,
    where "space" is the `name` of the space. Only the intents of `move`, `bear` and `remove` change these keys, and only a
    `Movement` decides them. `capacity` is the maximum number of agents in a cell; None sets no limit.
    """

    def __init__(self, name: str, capacity: int | None) -> None:
        check_instance("Space.name", name, str, "text without '/'")
        if not name or "/" in name or "." in name:
            raise InvalidSetting("Space.name", name, "text that is not empty, without '/' and '.'")
        check_number("Space.capacity", capacity, least=1, whole=True, optional=True)
        self.name = name
        self.capacity = capacity
        self.prefix = f"{name}/"
        """The prefix of its keys."""
        self.actions = {f"{name}.{what}": what for what in ("move", "born", "die")}
        """The actions that change positions."""

    # To be defined by a kind of space.

    @abstractmethod
    def checked(self, position: Position) -> Position:
        """Return a position as it is stored. Raises `ValueError`, which says why it is outside."""

    @abstractmethod
    def site(self, position: Position) -> Site:
        """Return the site of a position."""

    @abstractmethod
    def sites_near(self, position: Position, radius: float) -> Iterable[Site]:
        """Return the sites that may hold agents within `radius`, that of the position included."""

    @abstractmethod
    def distance(self, one: Position, other: Position) -> float:
        """Return the distance of two positions."""

    @abstractmethod
    def drawn(self, position: Position) -> tuple[float, float]:
        """Return the point of a plot, in units of which an agent's mark is one wide."""

    @property
    @abstractmethod
    def extent(self) -> tuple[float, float]:
        """The width and height of a plot, in the same units."""

    # For everybody.

    def placed(self, positions: Mapping[str, Position]) -> dict[str, Any]:
        """Return the keys of a new world for agents at positions. Raises `InvalidSetting`, which names the agent and the position."""
        check_instance("Space.placed", positions, Mapping, "a mapping of names of agents to positions")
        keys: dict[str, Any] = {}
        inside: dict[str, list[str]] = {}
        for agent, position in positions.items():
            try:
                at = self.checked(position)
            except ValueError as error:
                raise InvalidSetting(f"{self.name}.placed[{agent!r}]", position, f"a position inside; {error}") from None
            there = inside.setdefault(self.key_of_site(self.site(at)), [])
            if self.capacity is not None and len(there) >= self.capacity:
                need = f"another one: {', '.join(there)} fills it, and the capacity is {self.capacity}"
                raise InvalidSetting(f"{self.name}.placed[{agent!r}]", position, need)
            there.append(agent)
            keys[f"{self.prefix}at/{agent}"] = at
        return {**keys, **{key: tuple(sorted(names)) for key, names in inside.items()}}

    def key_of(self, agent: str) -> str:
        """Return the key of the position of an agent."""
        return f"{self.prefix}at/{agent}"

    def key_of_site(self, site: Site) -> str:
        """Return the key of the agents of a site."""
        text = ",".join(map(str, site)) if isinstance(site, tuple) else str(site)
        return f"{self.prefix}in/{text}"

    def position(self, view: Mapping[str, Any], agent: str) -> Position:
        """Return the position of an agent; None if it is not in the space."""
        return view.get(self.key_of(agent))

    def agents_at(self, view: Mapping[str, Any], position: Position) -> tuple[str, ...]:
        """Return the names of the agents at a position: in the cell, at the node, or at exactly that point. Raises `ValueError`."""
        at = self.checked(position)
        site = self.site(at)
        there: tuple[str, ...] = view.get(self.key_of_site(site), ())
        return there if site == at else tuple(name for name in there if view[self.key_of(name)] == at)

    def agents(self, view: Mapping[str, Any]) -> dict[str, Position]:
        """Return the positions of all agents in the space, by name."""
        under = getattr(view, "under", None)
        if under is not None:
            return dict(under(f"{self.prefix}at/"))
        start = f"{self.prefix}at/"
        return {key.removeprefix(start): view[key] for key in view if key.startswith(start)}

    def neighbours(self, view: Mapping[str, Any], agent: str, radius: float = 1) -> tuple[str, ...]:
        """Return the names of the other agents within `radius` of an agent, in a fixed order; none if it is not in the space.

        It takes time in proportion to the cells, nodes or tiles within the radius and the agents there.
        """
        at = self.position(view, agent)
        return () if at is None else tuple(name for name in self.agents_near(view, at, radius) if name != agent)

    def agents_near(self, view: Mapping[str, Any], position: Position, radius: float = 1) -> tuple[str, ...]:
        """Return the names of the agents within `radius` of a position, those at the position included. Raises `ValueError`."""
        at = self.checked(position)
        found: list[str] = []
        for site in self.sites_near(at, radius):
            found.extend(view.get(self.key_of_site(site), ()))
        return tuple(found)

    # The intents of an agent, in its turn.

    def move(self, turn: IntentSender, position: Position, *, priority: int = 0) -> None:
        """Intend to move the turn's agent to a position. Raises `InvalidIntent` for a position outside."""
        turn.intend(f"{self.name}.move", priority=priority, to=self._inside(turn, turn.name, position))

    def bear(self, turn: IntentSender, name: str, position: Position, values: Mapping[str, Any] | None = None) -> None:
        """Intend that an agent is born at a position, with keys of its own; it takes part from the next round on.

        If the position is full, or the name is taken, the intent is refused as a whole. Raises `InvalidIntent`.
        """
        turn.intend(f"{self.name}.born", name=name, to=self._inside(turn, name, position), values=dict(values or {}))

    def remove(self, turn: IntentSender, name: str | None = None, keys: Iterable[str] = ()) -> None:
        """Intend that an agent, by default the turn's own, leaves the space and the simulation, with the `keys` of the world."""
        turn.intend(f"{self.name}.die", name=turn.name if name is None else name, keys=list(keys))

    def _inside(self, turn: IntentSender, agent: str, position: Position) -> Position:
        try:
            return self.checked(position)
        except ValueError as error:
            raise InvalidIntent(
                f"the position {position!r} of {agent} in {self.name}", f"{error}; its turn is {turn!r}"
            ) from None

    def plot(
        self,
        view: Mapping[str, Any],
        label: Callable[[str], object] | None = None,
        *,
        colours: Mapping[object, str] | None = None,
        title: str = "",
    ) -> str:
        """Return a picture of the space as SVG. Agents with one `label`, by default all, have one colour; `colours` chooses it."""
        width, height = self.extent
        scale = max(2.0, min(24.0, 600 / max(width, height, 1)))
        groups = {name: (label(name) if label is not None else "agents") for name in self.agents(view)}
        kinds = sorted({str(kind) for kind in groups.values()})
        palette = {kind: _COLOURS[place % len(_COLOURS)] for place, kind in enumerate(kinds)}
        palette.update({str(kind): colour for kind, colour in (colours or {}).items()})
        parts = [
            f'<rect x="0" y="0" width="{width * scale:.6g}" height="{height * scale:.6g}" fill="#f6f6f3"/>',
            *self._ground(scale),
        ]
        for name, position in self.agents(view).items():
            x, y = self.drawn(position)
            text = _escaped(f"{name}: {groups[name]}" if label is not None else name)
            circle = f'cx="{x * scale:.6g}" cy="{y * scale:.6g}" r="{0.45 * scale:.6g}" fill="{palette[str(groups[name])]}"'
            parts.append(f"<circle {circle}><title>{text}</title></circle>")
        for place, kind in enumerate(kinds if label is not None else ()):
            y = height * scale + 16 * (place + 1)
            parts.append(f'<circle cx="8" cy="{y - 4:.6g}" r="5" fill="{palette[kind]}"/>')
            parts.append(f'<text x="18" y="{y:.6g}" font-size="12" font-family="sans-serif">{_escaped(kind)}</text>')
        tall = height * scale + (16 * len(kinds) + 8 if label is not None else 0)
        head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width * scale:.6g} {tall:.6g}" role="img">'
        return f"{head}<title>{_escaped(title or self.name)}</title>{''.join(parts)}</svg>"

    def _ground(self, scale: float) -> Iterable[str]:  # noqa: ARG002 - a network draws its edges
        """Return the parts of a plot under the agents."""
        return ()

    def __deepcopy__(self, memo: object) -> Space:
        return self


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
