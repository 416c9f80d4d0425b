"""The specification of a population: quotas of attributes, joint quotas, and distributions of numbers."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import NormalDist
from typing import Any, TypeAlias

import msgspec

from coterie.errors import describe
from coterie.errors.personas import InvalidPopulation
from coterie.personas.sampling.quotas import shares_of

Label: TypeAlias = str
Cell: TypeAlias = tuple[Label, ...]

_RANGE = re.compile(r"(-?\d+)\s*(?:-|–|\.\.)\s*(-?\d+)")  # noqa: RUF001 - some write ranges with an en dash
_PATH = re.compile(r"[^.\s\[\]]+(?:\.[^.\s\[\]]+)*(?:\[\])?")
_MOST = 1_000_000
_LEAST_PART = 1e-6
"""The smallest part of a normal distribution that its limits may leave."""


class JointQuota(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Quotas of combinations of attributes."""

    of: tuple[str, ...]
    """The attributes, at least two."""
    cells: dict[Any, float] | list[list[Any]]
    """The share, or the count, of each combination; in TOML a list of lists, each with the labels and the share last."""


class NumberDistribution(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The distribution of a number: normal with `mean` and `deviation`, or uniform from `least` to `most`.

    The sample has evenly spaced quantiles in a random order, so that it fits the distribution as well as its size permits.
    """

    mean: float | None = None
    deviation: float | None = None
    least: float | None = None
    most: float | None = None
    whole: bool = False
    """Whether the numbers are whole."""


class PopulationSpecification(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A population of personas: its size, and the distributions of its attributes.

    ::

        specification = PopulationSpecification(
            size=1000,
            quotas={"age": {"18-34": 0.3, "35-64": 0.5, "65-90": 0.2}, "gender": {"female": 0.51, "male": 0.49}},
            joint=[JointQuota(("gender", "occupation"), {("female", "nurse"): 0.31, ...})],
        )
        sampled = specification.sample(seed=7)

    Quotas are shares that add up to 1, or counts that add up to the size. A label such as ``18-34`` stands for the whole
    numbers of that range, from which each persona draws its own. Joint quotas fix combinations; two of them may share
    attributes. Raises `InvalidPopulation` for quotas that do not add up or contradict each other.
    """

    size: int
    quotas: dict[str, dict[Label, float]] = {}
    """The shares of the labels of each attribute."""
    joint: tuple[JointQuota, ...] = ()
    numbers: dict[str, NumberDistribution] = {}
    fields: dict[str, str] = {}
    """The place of an attribute in a persona's file, such as ``personality.big_five.openness``; by default its name."""
    constants: dict[str, Any] = {}
    """Fields that all personas share."""
    name: str = "Person {number}"
    """The name of each persona; ``{number}`` and attributes in braces are replaced."""
    seed: int = 0
    """The seed of `sample`, if none is given there."""

    def __post_init__(self) -> None:
        size: object = self.size
        if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= _MOST:
            raise InvalidPopulation("size", f"{self.size!r} is not possible; give a whole number from 1 to {_MOST}")
        msgspec.structs.force_setattr(self, "joint", tuple(_as_joint(each, self.size) for each in self.joint))
        for attribute, quotas in self.quotas.items():
            shares_of(f"quotas.{attribute}", quotas, self.size)
            _check_ranges(f"quotas.{attribute}", quotas)
        for attribute, numbers in self.numbers.items():
            _check_number(f"numbers.{attribute}", numbers)
        known = self.attributes
        for attribute in self.numbers:
            if attribute in self.quotas or any(attribute in each.of for each in self.joint):
                raise InvalidPopulation(f"numbers.{attribute}", "it also has quotas; give one or the other")
        for attribute, path in self.fields.items():
            if attribute not in known:
                raise InvalidPopulation(f"fields.{attribute}", f"there is no such attribute; there is {', '.join(known)}")
            if not _PATH.fullmatch(str(path)):
                raise InvalidPopulation(f"fields.{attribute}", f"{path!r} is not a place; write personality.traits[]")
        try:
            self.name.format(number=1, **dict.fromkeys(known, "x"))
        except (KeyError, ValueError, IndexError) as error:
            raise InvalidPopulation("name", f"{self.name!r}: {describe(error)}; use {{number}} and attributes") from error
        self._check_margins()

    @classmethod
    def load(cls, path: Path | str) -> PopulationSpecification:
        """Return the specification in a TOML file. Raises `InvalidPopulation`, which names the file and the place inside it."""
        try:
            data = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise InvalidPopulation(str(path), f"it cannot be read: {describe(error)}") from error
        try:
            return msgspec.convert(data, cls)
        except InvalidPopulation as error:
            raise InvalidPopulation(f"{path}: {error.where}", error.problem) from None
        except msgspec.ValidationError as error:
            inner = error.__cause__
            if isinstance(inner, InvalidPopulation):
                raise InvalidPopulation(f"{path}: {inner.where}", inner.problem) from None
            raise InvalidPopulation(str(path), str(error)) from None

    @property
    def attributes(self) -> tuple[str, ...]:
        """The names of all attributes."""
        joined = [attribute for each in self.joint for attribute in each.of]
        return tuple(dict.fromkeys([*self.quotas, *joined, *self.numbers]))

    def shares(self, attribute: str) -> dict[Label, float]:
        """Return the shares of the labels of an attribute, from its quotas or those of the first joint with it."""
        if attribute in self.quotas:
            return shares_of(f"quotas.{attribute}", self.quotas[attribute], self.size)
        each = next(each for each in self.joint if attribute in each.of)
        return margin(cells_of(each, self.size), (each.of.index(attribute),), single=True)

    def label(self, attribute: str, value: Any) -> Label | None:
        """Return the label that a value belongs to; None if it belongs to none."""
        labels = self.shares(attribute)
        text = str(value)
        if text in labels:
            return text
        ranges = ranges_of(labels)
        if ranges is not None and isinstance(value, int | float):
            return next((label for label, (low, high) in ranges.items() if low <= value <= high), None)
        return None

    def _check_margins(self) -> None:
        """Raise `InvalidPopulation` if two quotas give one attribute different shares."""
        known: dict[tuple[str, ...], tuple[str, dict[Cell, float]]] = {}
        for attribute, quotas in self.quotas.items():
            shares = shares_of(f"quotas.{attribute}", quotas, self.size)
            known[(attribute,)] = (f"quotas.{attribute}", {(label,): share for label, share in shares.items()})
        for each in self.joint:
            cells = cells_of(each, self.size)
            where = f"joint.{'*'.join(each.of)}"
            for place, attribute in enumerate(each.of):
                found = margin(cells, (place,))
                before = known.setdefault((attribute,), (where, found))
                for label in sorted({*found, *before[1]}):
                    if abs(found.get(label, 0.0) - before[1].get(label, 0.0)) > _SAME:
                        raise InvalidPopulation(
                            where,
                            f"{attribute} {label[0]!r} adds up to {found.get(label, 0.0):g}, but {before[0]} gives it "
                            f"{before[1].get(label, 0.0):g}; make them equal",
                        )


_SAME = 1e-6


def cells_of(joint: JointQuota, size: int) -> dict[Cell, float]:
    """Return the shares of the combinations of a joint quota."""
    assert isinstance(joint.cells, dict)
    return shares_of(f"joint.{'*'.join(joint.of)}", joint.cells, size)


def margin(cells: Mapping[Cell, float], places: Sequence[int], *, single: bool = False) -> dict[Any, float]:
    """Return the shares of the labels at some places of combinations; with `single`, by the label alone."""
    sums: dict[Any, float] = {}
    for cell, share in cells.items():
        key: Any = cell[places[0]] if single else tuple(cell[place] for place in places)
        sums[key] = sums.get(key, 0.0) + share
    return sums


def ranges_of(labels: Mapping[Label, Any]) -> dict[Label, tuple[int, int]] | None:
    """Return the range of each label if all are ranges such as ``18-34`` or whole numbers; else None."""
    found: dict[Label, tuple[int, int]] = {}
    for label in labels:
        if match := _RANGE.fullmatch(label.strip()):
            found[label] = (int(match[1]), int(match[2]))
        elif re.fullmatch(r"-?\d+", label.strip()):
            found[label] = (int(label), int(label))
        else:
            return None
    return found


def _check_ranges(where: str, labels: Mapping[Label, Any]) -> None:
    """Raise `InvalidPopulation` for a range whose end is below its beginning."""
    for label, (low, high) in (ranges_of(labels) or {}).items():
        if low > high:
            raise InvalidPopulation(where, f"the range {label!r} ends below its beginning; write {high}-{low}")


def _as_joint(joint: JointQuota, size: int) -> JointQuota:
    where = f"joint.{'*'.join(joint.of)}"
    if len(joint.of) < 2 or len(set(joint.of)) < len(joint.of):  # noqa: PLR2004 - of one there is nothing to join
        raise InvalidPopulation(where, "give at least two different attributes in `of`")
    cells: dict[Cell, Any] = {}
    for cell in [(*labels, share) for labels, share in joint.cells.items()] if isinstance(joint.cells, dict) else joint.cells:
        *labels, share = cell if len(cell) else (None,)
        if len(labels) != len(joint.of):
            raise InvalidPopulation(where, f"the cell {list(cell)!r} needs {len(joint.of)} labels and a share")
        key = tuple(map(str, labels))
        if key in cells:
            raise InvalidPopulation(where, f"the combination {', '.join(key)} is given twice")
        cells[key] = share
    shares_of(where, cells, size)
    for place, attribute in enumerate(joint.of):
        _check_ranges(f"{where}: {attribute}", dict.fromkeys(cell[place] for cell in cells))
    return JointQuota(tuple(joint.of), cells)


def _check_number(where: str, numbers: NumberDistribution) -> None:
    normal = numbers.mean is not None or numbers.deviation is not None
    for name in ("mean", "deviation", "least", "most"):
        value = getattr(numbers, name)
        if value is not None and not math.isfinite(value):
            raise InvalidPopulation(f"{where}.{name}", f"{value!r} is not a number")
    if normal and (numbers.mean is None or numbers.deviation is None or numbers.deviation <= 0):
        raise InvalidPopulation(where, "a normal distribution needs `mean`, and a `deviation` above 0")
    if not normal and (numbers.least is None or numbers.most is None):
        raise InvalidPopulation(where, "give `mean` and `deviation`, or `least` and `most`")
    if numbers.least is not None and numbers.most is not None and numbers.least >= numbers.most:
        raise InvalidPopulation(where, f"`least`, {numbers.least:g}, must be below `most`, {numbers.most:g}")
    if numbers.mean is not None and numbers.deviation is not None:
        bell = NormalDist(numbers.mean, numbers.deviation)
        low, high = -math.inf if numbers.least is None else numbers.least, math.inf if numbers.most is None else numbers.most
        if bell.cdf(high) - bell.cdf(low) < _LEAST_PART:
            why = f"almost none of a normal distribution of {numbers.mean:g} and {numbers.deviation:g} is from {low:g} to {high:g}"
            raise InvalidPopulation(where, f"{why}; change `mean`, `deviation`, `least` or `most`")
