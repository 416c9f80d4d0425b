"""Random assignment of a population to the arms of an experiment, as a record that can be stored and checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from coterie.errors import InvalidSetting
from coterie.errors.orchestrator import RunFolderFailed, RunUnknown
from coterie.kernel import check_instance, check_number, stream
from coterie.personas.sampling.quotas import apportion
from coterie.tables import DataTable


class Assignment(msgspec.Struct, frozen=True):
    """The arm of each unit. Immutable; it follows from the units, the arms, the strata and the seed alone."""

    arms: dict[str, str]
    """The arm of each unit, by name."""
    shares: dict[str, float]
    """The share of each arm, in the order of the arms."""
    seed: int | str
    strata: dict[str, str] = {}
    """The stratum of each unit, by name; empty without strata."""

    def arm(self, unit: object) -> str:
        """Return the arm of a unit: a name, or an object with a name. Raises `InvalidSetting` for a unit without an arm."""
        name = _name(unit)
        if name not in self.arms:
            raise InvalidSetting("Assignment.arm", name, "a unit that was assigned")
        return self.arms[name]

    def units(self, arm: str) -> tuple[str, ...]:
        """Return the names of the units of an arm. Raises `InvalidSetting` for an unknown arm."""
        if arm not in self.shares:
            raise InvalidSetting("Assignment.units", arm, f"one of {', '.join(self.shares)}")
        return tuple(name for name, each in self.arms.items() if each == arm)

    def split(self, values: Mapping[str, Any]) -> dict[str, list[Any]]:
        """Return values by unit as lists of values by arm; units without an arm are left out."""
        groups: dict[str, list[Any]] = {arm: [] for arm in self.shares}
        for name, value in values.items():
            if name in self.arms:
                groups[self.arms[name]].append(value)
        return groups

    def counts(self) -> dict[str, int]:
        """Return the number of units of each arm."""
        counted = Counter(self.arms.values())
        return {arm: counted[arm] for arm in self.shares}

    def table(self) -> DataTable:
        """Return a row for each unit."""
        return DataTable.of_rows(
            [
                {"unit": name, "arm": arm, **({"stratum": self.strata[name]} if self.strata else {})}
                for name, arm in self.arms.items()
            ]
        )

    def save(self, path: Path | str) -> Path:
        """Write the assignment as JSON, and return the path. Raises `RunFolderFailed`."""
        target = Path(path)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n")
        except OSError as error:
            raise RunFolderFailed(target, error) from error
        return target

    @classmethod
    def load(cls, path: Path | str) -> Assignment:
        """Return the assignment in a file that `save` wrote. Raises `RunUnknown`."""
        try:
            return msgspec.json.decode(Path(path).read_bytes(), type=cls)
        except (OSError, msgspec.DecodeError) as error:
            raise RunUnknown(Path(path), f"it holds no assignment: {error}") from error


def assign(
    units: Iterable[Any],
    arms: Mapping[str, float] | Iterable[str] = ("A", "B"),
    *,
    seed: int | str = 0,
    strata: Callable[[Any], object] | None = None,
) -> Assignment:
    """Assign units at random to arms, in exact proportion, and return the record.

    `units` are names, or objects with a name, such as personas and their references. `arms` are names, or shares by name. With
    `strata`, a function of a unit, each stratum is divided on its own, so that the arms are alike in it; rounding is made up for
    in the next stratum. The same units and seed give the same assignment. Raises `InvalidSetting`.
    """
    given = list(units)
    names = [_name(unit) for unit in given]
    if repeated := [name for name, count in Counter(names).items() if count > 1]:
        raise InvalidSetting("assign.units", repeated[0], "each unit once")
    if not names:
        raise InvalidSetting("assign.units", names, "at least one unit")
    if isinstance(arms, str):
        raise InvalidSetting("assign.arms", arms, "several names: ['A', 'B']")
    shares = dict(arms) if isinstance(arms, Mapping) else dict.fromkeys(arms, 1.0)
    for arm, share in shares.items():
        check_instance("assign.arms", arm, str, "names that are text")
        check_number(f"assign.arms[{arm!r}]", share, above=0)
    if len(shares) < 2:  # noqa: PLR2004 - there is nothing to compare with one
        raise InvalidSetting("assign.arms", list(shares), "at least two arms")
    total = sum(shares.values())
    shares = {arm: share / total for arm, share in shares.items()}
    stratum_of = {name: str(strata(unit)) if strata is not None else "" for name, unit in zip(names, given, strict=True)}
    found: dict[str, str] = {}
    done, given_to = 0, dict.fromkeys(shares, 0)
    for stratum in sorted(set(stratum_of.values())):
        members = [name for name in names if stratum_of[name] == stratum]
        done += len(members)
        # What the arms should have after this stratum, less what they have.
        wanted = {arm: max(0.0, done * share - given_to[arm]) for arm, share in shares.items()}
        labels = [arm for arm, count in apportion(wanted, len(members)).items() for _ in range(count)]
        stream(seed, "assign", stratum).shuffle(labels)
        for name, arm in zip(members, labels, strict=True):
            found[name] = arm
            given_to[arm] += 1
    return Assignment({name: found[name] for name in names}, shares, seed, stratum_of if strata is not None else {})


def _name(unit: object) -> str:
    name = unit if isinstance(unit, str) else getattr(unit, "name", None)
    if not isinstance(name, str):
        raise InvalidSetting("assign.units", unit, "names, or objects with a name")
    return name
