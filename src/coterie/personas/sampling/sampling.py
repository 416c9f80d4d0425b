"""Sample a population from its specification: every quota is met exactly, and the same seed gives the same personas."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from statistics import NormalDist
from typing import Any

import msgspec

from coterie.errors.personas import InvalidPopulation
from coterie.kernel import stream
from coterie.personas.profile.persona import Persona
from coterie.personas.sampling.quotas import apportion, fit
from coterie.personas.sampling.specification import (
    Cell,
    NumberDistribution,
    PopulationSpecification,
    cells_of,
    margin,
    ranges_of,
)
from coterie.tables import DataTable


class SampledPopulation(msgspec.Struct, frozen=True):
    """Personas that were sampled from a specification, in the order of their numbers. Iterable."""

    specification: PopulationSpecification
    seed: int
    personas: tuple[Persona, ...]
    facts: tuple[dict[str, Any], ...]
    """The sampled attributes of each persona."""

    def __iter__(self) -> Iterator[Persona]:
        return iter(self.personas)

    def __len__(self) -> int:
        return len(self.personas)

    def table(self) -> DataTable:
        """Return the attributes as a table, a row for each persona."""
        return DataTable.of_rows([{"name": p.name, **facts} for p, facts in zip(self.personas, self.facts, strict=True)])

    def counts(self, attribute: str) -> dict[str, int]:
        """Return the number of personas with each label of an attribute with quotas."""
        labels = [self.specification.label(attribute, facts[attribute]) for facts in self.facts]
        counted = Counter(str(label) for label in labels)
        return {label: counted.get(label, 0) for label in self.specification.shares(attribute)}

    def save(self, folder: Path | str) -> list[Path]:
        """Write each persona as a file ``0001-name.agent.json`` in a folder; return their paths."""
        target = Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        return [persona.save(target / file_name(number, persona)) for number, persona in enumerate(self.personas, 1)]


def file_name(number: int, persona: Persona) -> str:
    """Return the name of a persona's file."""
    slug = re.sub(r"[^A-Za-z0-9]+", "-", persona.name).strip("-").lower() or "persona"
    return f"{number:04d}-{slug[:60]}.agent.json"


def sample_population(specification: PopulationSpecification, seed: int | None = None) -> SampledPopulation:
    """Return personas that meet every quota of a specification exactly. The same seed gives the same personas.

    Shares are rounded to whole personas by largest remainder. Needs no model. Raises `InvalidPopulation` for joint quotas that
    have no exact solution.
    """
    used = specification.seed if seed is None else seed
    units: list[dict[str, str]] = [{} for _ in range(specification.size)]
    fixed: list[set[str]] = []
    for joint in specification.joint:
        _assign(specification, joint.of, cells_of(joint, specification.size), units, fixed, used)
    assigned = set().union(*fixed)
    for attribute in specification.quotas:
        if attribute not in assigned:
            _assign_margin(specification, attribute, units, seed=used)
    facts = [_values(specification, unit, used, number) for number, unit in enumerate(units, 1)]
    for attribute, numbers in specification.numbers.items():
        for each, value in zip(facts, _numbers(numbers, specification.size, stream(used, "number", attribute)), strict=True):
            each[attribute] = value
    order = specification.attributes
    facts = [{attribute: each[attribute] for attribute in order} for each in facts]
    personas = [_persona(specification, each, number) for number, each in enumerate(facts, 1)]
    return SampledPopulation(specification, used, tuple(personas), tuple(facts))


def _assign_margin(specification: PopulationSpecification, attribute: str, units: list[dict[str, str]], seed: int) -> None:
    """Give all units a label of one attribute."""
    counts = apportion(specification.shares(attribute), len(units))
    labels = [label for label, count in counts.items() for _ in range(count)]
    stream(seed, "quota", attribute).shuffle(labels)
    for unit, label in zip(units, labels, strict=True):
        unit[attribute] = label


def _assign(  # noqa: C901 - one step after another
    specification: PopulationSpecification,
    of: Sequence[str],
    cells: Mapping[Cell, float],
    units: list[dict[str, str]],
    fixed: list[set[str]],
    seed: int,
) -> None:
    """Give all units the labels of a joint quota, within the labels that earlier ones have given them."""
    where = f"joint.{'*'.join(of)}"
    groups = [group for group in fixed if group & set(of)]
    if len(groups) > 1:
        raise InvalidPopulation(where, "it connects attributes that other joint quotas fix apart; give one of all of them")
    shared = [attribute for attribute in of if groups and attribute in groups[0]]
    rest = [attribute for attribute in of if attribute not in shared]
    if not rest:
        raise InvalidPopulation(where, "earlier joint quotas fix all of its attributes; give one of all of them")
    if not shared:
        # The first attribute gives the rows.
        shared, rest = rest[:1], rest[1:]
        _assign_margin(specification, shared[0], units, seed)
    members: dict[Cell, list[dict[str, str]]] = defaultdict(list)
    for unit in units:
        members[tuple(unit[attribute] for attribute in shared)].append(unit)
    left, right = [of.index(attribute) for attribute in shared], [of.index(attribute) for attribute in rest]
    rows = [row for row in margin(cells, left) if row in members]
    columns = list(margin(cells, right))
    shares = {(tuple(cell[p] for p in left), tuple(cell[p] for p in right)): share for cell, share in cells.items()}
    for row, several in members.items():
        expected = len(units) * sum(shares.get((row, column), 0.0) for column in columns)
        if abs(expected - len(several)) > 1 + 1e-6:
            raise InvalidPopulation(
                where, f"{', '.join(row)} has {expected:g} of {len(units)}, but earlier quotas give it {len(several)}"
            )
    wanted = specification.shares(rest[0]) if len(rest) == 1 else None
    totals = apportion(
        {column: wanted[column[0]] if wanted else sum(shares.get((row, column), 0.0) for row in rows) for column in columns},
        len(units),
    )
    expected_table = [[len(units) * shares.get((row, column), 0.0) for column in columns] for row in rows]
    table = fit(expected_table, [len(members[row]) for row in rows], [totals[column] for column in columns])
    if table is None:
        raise InvalidPopulation(where, f"no {len(units)} personas fit these quotas exactly; change the size or a share")
    for row, counts_of_row in zip(rows, table, strict=True):
        chosen = [column for column, count in zip(columns, counts_of_row, strict=True) for _ in range(count)]
        stream(seed, "joint", *of, *row).shuffle(chosen)
        for unit, column in zip(members[row], chosen, strict=True):
            unit.update(zip(rest, column, strict=True))
    if groups:
        groups[0].update(of)
    else:
        fixed.append(set(of))


def _values(specification: PopulationSpecification, unit: Mapping[str, str], seed: int, number: int) -> dict[str, Any]:
    """Return the values of a unit: a number of the range, where a label stands for one."""
    values: dict[str, Any] = {}
    for attribute, label in unit.items():
        ranges = ranges_of(specification.shares(attribute))
        values[attribute] = label if ranges is None else stream(seed, "value", attribute, number).randint(*ranges[label])
    return values


def _numbers(numbers: NumberDistribution, size: int, random: Random) -> list[float | int]:
    """Return evenly spaced quantiles of a distribution, in a random order."""
    parts = [(place + 0.5) / size for place in range(size)]
    least, most = numbers.least, numbers.most
    if numbers.mean is not None and numbers.deviation is not None:
        normal = NormalDist(numbers.mean, numbers.deviation)
        low, high = (0.0 if least is None else normal.cdf(least)), (1.0 if most is None else normal.cdf(most))
        values = [normal.inv_cdf(min(max(low + part * (high - low), 1e-12), 1 - 1e-12)) for part in parts]
    else:
        assert least is not None
        assert most is not None
        values = [least + part * (most - least) for part in parts]
    random.shuffle(values)
    return [round(value) for value in values] if numbers.whole else [round(value, 6) for value in values]


def _persona(specification: PopulationSpecification, facts: Mapping[str, Any], number: int) -> Persona:
    fields: dict[str, Any] = {"name": specification.name.format(number=number, **facts)}
    for path, value in specification.constants.items():
        _put(fields, path, value)
    for attribute, value in facts.items():
        _put(fields, specification.fields.get(attribute, attribute), value)
    name = fields.pop("name")
    return Persona.of(name, **fields)


def _put(fields: dict[str, Any], path: str, value: Any) -> None:
    *parents, last = path.split(".")
    target = fields
    for parent in parents:
        target = target.setdefault(parent, {})
        if not isinstance(target, dict):
            raise InvalidPopulation(f"fields.{path}", f"{parent} is a value already, and holds no fields")
    if last.endswith("[]"):
        target.setdefault(last[:-2], []).append(value)
    else:
        target[last] = value
