"""Designs of experiments: which settings are run, with which seeds."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from coterie.errors import InvalidSetting
from coterie.kernel import check_instance, check_number, stream

_MOST = 100_000
"""Runs of one experiment."""


class Design(msgspec.Struct, frozen=True):
    """The cells of an experiment: a combination of settings each. Raises `InvalidSetting` for a design without cells."""

    kind: str
    """``factorial``, ``latin-hypercube`` or ``list``."""
    cells: tuple[dict[str, Any], ...]

    def __post_init__(self) -> None:
        if not self.cells:
            raise InvalidSetting("Design.cells", self.cells, "at least one combination of settings; the design has no runs")
        first = set(self.cells[0])
        for cell in self.cells:
            check_instance("Design.cells", cell, Mapping, "combinations of settings: {'growth': 1.5}")
            if set(cell) != first:
                raise InvalidSetting("Design.cells", dict(cell), f"the same settings in all cells: {', '.join(sorted(first))}")

    @property
    def factors(self) -> tuple[str, ...]:
        """The names of the settings that differ between cells."""
        names = list(self.cells[0])
        return tuple(n for n in names if any(cell[n] != self.cells[0][n] for cell in self.cells)) or tuple(names)

    def runs(self, seeds: Sequence[int], *, paired: bool) -> list[tuple[dict[str, Any], int]]:
        """Return the settings and the seed of each run.

        `paired` gives all cells the same seeds, so that differences between cells are not those of chance; otherwise each cell
        has seeds of its own, which follow from the given ones.
        """
        if not seeds:
            raise InvalidSetting("Experiment.seeds", list(seeds), "at least one seed; the design has no runs")
        if len(self.cells) * len(seeds) > _MOST:
            raise InvalidSetting("Experiment", len(self.cells) * len(seeds), f"at most {_MOST} runs; give fewer cells or seeds")
        return [
            (dict(cell), seed if paired else stream(seed, "cell", place).randrange(2**31))
            for place, cell in enumerate(self.cells)
            for seed in seeds
        ]


def factorial(factors: Mapping[str, Iterable[Any]]) -> Design:
    """Return the design of all combinations of the values of each factor. Raises `InvalidSetting` for a factor without values."""
    check_instance("factorial.factors", factors, Mapping, 'a mapping of names to values: {"growth": [1.5, 2.0]}')
    values: dict[str, list[Any]] = {}
    for name, several in factors.items():
        if isinstance(several, str) or not isinstance(several, Iterable):
            raise InvalidSetting(f"factorial[{name!r}]", several, "several values: [...]")
        values[name] = list(several)
        if not values[name]:
            raise InvalidSetting(f"factorial[{name!r}]", several, "at least one value; the design has no runs")
    if math.prod(map(len, values.values())) > _MOST:
        raise InvalidSetting("factorial.factors", list(values), f"at most {_MOST} combinations; give fewer values")
    return Design("factorial", tuple(dict(zip(values, each, strict=True)) for each in itertools.product(*values.values())))


def latin_hypercube(factors: Mapping[str, tuple[float, float] | Sequence[Any]], cells: int, *, seed: int | str = 0) -> Design:
    """Return a Latin hypercube design (McKay and others, 1979): each factor has one value in each of `cells` equal parts.

    A factor is a range, as a tuple of two numbers, which may be whole, or a list of values. The same seed gives the same design.
    Raises `InvalidSetting`.
    """
    check_instance("latin_hypercube.factors", factors, Mapping, 'a mapping of names to ranges: {"growth": (1.0, 2.5)}')
    check_number("latin_hypercube.cells", cells, least=1, whole=True)
    columns: dict[str, list[Any]] = {}
    for name, given in factors.items():
        random = stream(seed, "latin hypercube", name)
        parts = [(place + random.random()) / cells for place in range(cells)]
        random.shuffle(parts)
        if isinstance(given, tuple) and len(given) == 2 and all(_is_number(each) for each in given):  # noqa: PLR2004 - a range
            low, high = given
            if not low < high:
                raise InvalidSetting(f"latin_hypercube[{name!r}]", given, "a range whose first number is below its second")
            if isinstance(low, int) and isinstance(high, int):
                columns[name] = [low + math.floor(part * (high - low + 1)) for part in parts]
            else:
                columns[name] = [low + part * (high - low) for part in parts]
        elif not isinstance(given, str) and len(given):
            columns[name] = [given[math.floor(part * len(given))] for part in parts]
        else:
            raise InvalidSetting(f"latin_hypercube[{name!r}]", given, "a range (low, high), or a list of values")
    return Design("latin-hypercube", tuple({name: values[place] for name, values in columns.items()} for place in range(cells)))


def as_design(given: Any) -> Design:
    """Return a design: as given, of factors with their values, or of a list of cells. Raises `InvalidSetting`."""
    if isinstance(given, Design):
        return given
    if isinstance(given, Mapping):
        return factorial(given)
    check_instance(
        "Experiment.design", given, (list, tuple), "a Design: factorial(...), latin_hypercube(...), or a list of cells"
    )
    return Design("list", tuple(dict(cell) if isinstance(cell, Mapping) else cell for cell in given))


DesignKind = Literal["factorial", "latin-hypercube"]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
