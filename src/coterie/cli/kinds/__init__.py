"""The kinds of scenarios at the command line: what can be changed of each, how it is run, replayed and shown.

A new kind is a `Kind` in a module of its own, and one entry here.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from coterie.cli.kinds.commons import CommonsKind
from coterie.cli.kinds.games import GamesKind
from coterie.cli.kinds.interviews import InterviewKind
from coterie.cli.kinds.kind import Kind, Watching
from coterie.orchestrator import AnyScenario, GameScenario, InterviewScenario, Scenario

KINDS: Mapping[type[AnyScenario], Kind[Any]] = MappingProxyType(
    {Scenario: CommonsKind(), GameScenario: GamesKind(), InterviewScenario: InterviewKind()}
)
"""What commands do with a scenario, by its class."""


def kind_of(scenario: AnyScenario) -> Kind[Any]:
    """Return what commands do with a scenario."""
    return KINDS[type(scenario)]


__all__ = ["KINDS", "Kind", "Watching", "kind_of"]
