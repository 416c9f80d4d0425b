"""Personas in simulations: stimuli from the world, speech as intents.

Speech passes through the world, so its delivery does not depend on timing: each round hears the speech of the last.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import immutables

from coterie.personas.agent.directory import Relations
from coterie.personas.mind.state import Stimulus, StimulusKind
from coterie.rounds import Closing, Graph, Turn
from coterie.rounds.member import RestoreSnapshot
from coterie.world import Intent, View
from coterie.world.resolvers import FirstCome
from coterie.world.resolvers.resolution import Effects
from coterie.world.state.values import FrozenMapping

HEARD = "heard/"
"""The prefix of the keys with the speech that each persona heard in the last round."""
ACCESSIBLE = "accessible/"
"""The prefix of the keys with the names that each persona can talk to."""


def social_world(names: Iterable[str], relations: Relations | None = None) -> dict[str, Any]:
    """Return the initial world of a social simulation: every persona is accessible to all, or as `relations` allow."""
    known = list(names)
    world: dict[str, Any] = {f"{HEARD}{name}": [] for name in known}
    for name in known:
        others = (
            dict.fromkeys((each for each in known if each != name), "") if relations is None else relations.accessible(name)
        )
        world[f"{ACCESSIBLE}{name}"] = others
    return world


def social_round() -> Graph:
    """Return the round of a social simulation: each persona runs one episode (see `PersonaAgent.live`)."""
    return Graph.chain("live")


def social_resolver() -> FirstCome:
    """Return a resolver for the usual actions and for those of personas: ``talk`` and ``reach_out``."""
    return FirstCome({"talk": _talk, "reach_out": _reach_out})


def hear(closing: Closing) -> None:
    """Close a round: deliver speech in the order of the events, and make reached personas accessible.

    For `settle`, alone or in a function of yours.
    """
    heard: dict[str, list[Mapping[str, str]]] = {name: [] for name in closing.view.under(HEARD)}
    accessible = {name: dict(each) for name, each in closing.view.under(ACCESSIBLE).items()}
    before = {name: dict(each) for name, each in accessible.items()}
    for event in closing.events:
        if event.kind != "granted" or event.action not in ("talk", "reach_out"):
            continue
        speaker, to, content = event.agent, str(event.details.get("to", "")), str(event.details.get("content", ""))
        if event.action == "talk":
            # One value for all that hear it, so that it is frozen once.
            line = FrozenMapping({"kind": "conversation", "content": content, "source": speaker})
            for name in [to] if to else sorted(before.get(speaker, {})):
                if name in heard:
                    heard[name].append(line)
        elif to in accessible and speaker in accessible and to != speaker:
            accessible[speaker].setdefault(to, content)
            accessible[to].setdefault(speaker, content)
            heard[to].append({"kind": "social", "content": f"{speaker} is within reach now", "source": speaker})
    for name, lines in heard.items():
        closing.set(f"{HEARD}{name}", lines)
    for name, others in accessible.items():
        if others != before[name]:
            closing.set(f"{ACCESSIBLE}{name}", others)


def heard_in(turn: Turn) -> list[Stimulus]:
    """Return the speech that the turn's agent has heard, on its first visit to the stage."""
    if turn.visit:
        return []
    return [
        Stimulus(StimulusKind(each["kind"]), each["content"], each.get("source", ""))
        for each in turn.view.get(f"{HEARD}{turn.name}", ())
    ]


def accessible_in(turn: Turn) -> Mapping[str, str]:
    """Return the names that the turn's agent can talk to, sorted."""
    return dict(sorted(turn.view.get(f"{ACCESSIBLE}{turn.name}", immutables.Map()).items()))


def seen_in(turn: Turn) -> Mapping[str, Any]:
    """Return the view of the turn's agent, without the keys that carry speech."""
    return _Seen(turn.view)


class _Seen(Mapping[str, Any]):
    """A lazy view without the keys that carry speech."""

    def __init__(self, view: View) -> None:
        self._view = view

    def __getitem__(self, key: str) -> Any:
        if key.startswith((HEARD, ACCESSIBLE)):
            raise KeyError(key)
        return self._view[key]

    def __iter__(self) -> Iterator[str]:
        return self._view.outside(HEARD, ACCESSIBLE)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _talk(view: Mapping[str, Any], intent: Intent) -> Effects | str:
    to = intent.arguments.get("to", "")
    if to and f"{HEARD}{to}" not in view:
        return f"nobody called {to} is here"
    return Effects()


def _reach_out(view: Mapping[str, Any], intent: Intent) -> Effects | str:
    to = intent.arguments.get("to", "")
    return Effects() if f"{ACCESSIBLE}{to}" in view else f"nobody called {to} is here"


__all__ = [
    "ACCESSIBLE",
    "HEARD",
    "RestoreSnapshot",
    "accessible_in",
    "hear",
    "heard_in",
    "seen_in",
    "social_resolver",
    "social_round",
    "social_world",
]
