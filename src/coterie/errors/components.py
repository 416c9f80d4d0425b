"""Errors of requests to components. See `coterie.errors` for the tree."""

from __future__ import annotations

from collections.abc import Iterable

from coterie.errors.root import CoterieError


class ComponentError(CoterieError):
    """A request to a component failed."""


class UnknownComponent(ComponentError, LookupError):
    """No component has that name."""

    def __init__(self, name: object, known: Iterable[str]) -> None:
        super().__init__(f"there is no component {name!r}, only {', '.join(known) or 'none at all'}")


class MalformedRequest(ComponentError, ValueError):
    """A component cannot read a request."""

    def __init__(self, component: str, problem: str) -> None:
        super().__init__(f"the component {component} cannot do this: {problem}")


class ComponentDown(ComponentError):
    """A component failed its checks and could not be restarted."""

    def __init__(self, component: str, reason: str) -> None:
        super().__init__(f"the component {component} is down: {reason}")
