"""What can go wrong with a request to a component. The tree is drawn in `coterie.errors`."""

from __future__ import annotations

from collections.abc import Iterable

from coterie.errors.root import CoterieError


class ComponentError(CoterieError):
    """A request to a component was not done."""


class UnknownComponent(ComponentError, LookupError):
    """There is no component of that name."""

    def __init__(self, name: object, known: Iterable[str]) -> None:
        super().__init__(f"there is no component {name!r}, only {', '.join(known) or 'none at all'}")


class MalformedRequest(ComponentError, ValueError):
    """A component cannot make sense of a request."""

    def __init__(self, component: str, problem: str) -> None:
        super().__init__(f"the component {component} cannot do this: {problem}")


class ComponentDown(ComponentError):
    """A component has failed its checks, and could not be restarted."""

    def __init__(self, component: str, reason: str) -> None:
        super().__init__(f"the component {component} is down: {reason}")
