"""One step of a round."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec

from coterie.errors import InvalidGraph

Work: TypeAlias = Callable[[Any], Any]
"""What is done in a stage: a plain or an ``async`` function of one argument."""


class Stage(msgspec.Struct, frozen=True, eq=False):
    """A step of a round: done by each agent, or once for all together. Made by `per_agent` and `together`."""

    name: str
    work: Work | None
    """What is done; None if each agent does it itself, by its method of the stage's name."""
    together: bool

    def __call__(self, turn: Any) -> Any:
        """Do it, so that a decorated function can still be called. Raises `TypeError` for what agents do themselves."""
        if self.work is None:
            raise TypeError(f"the stage {self.name!r} is a method of each agent")
        return self.work(turn)


def per_agent(work: Work | str) -> Stage:
    """Return a stage that each agent does for itself: a function of a `Turn`, or the name of a method of the agents.

    A function may be ``async``. Both run on the agent's own thread. Serves as a decorator.
    """
    if isinstance(work, str):
        return Stage(work, None, together=False)
    return Stage(_name_of(work), work, together=False)


def together(work: Work) -> Stage:
    """Return a stage that is done once for all agents that have come to it: a function of a `Gathering`.

    It may be ``async``, and runs on a thread of its own. Serves as a decorator.
    """
    return Stage(_name_of(work), work, together=True)


def as_stage(work: Stage | Work | str) -> Stage:
    """Return `work` as a stage; what is none yet is done per agent."""
    return work if isinstance(work, Stage) else per_agent(work)


def _name_of(work: Any) -> str:
    if not callable(work) or inspect.isclass(work):
        raise InvalidGraph([f"{work!r} is no stage; give a function, or the name of a method"])
    name = getattr(work, "__name__", type(work).__name__)
    return "stage" if name == "<lambda>" else name
