"""Weights of respondents, so that a sample counts as its population does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from coterie.errors.personas import InvalidPopulation
from coterie.personas.profile.persona import Persona
from coterie.personas.sampling.specification import PopulationSpecification, cells_of

_ROUNDS = 500
_CLOSE = 1e-9


def rake(units: Sequence[Mapping[str, Any]], targets: Mapping[tuple[str, ...], Mapping[tuple[str, ...], float]]) -> list[float]:
    """Return a weight for each unit, so that the weighted shares of each margin are its targets; their mean is 1.

    Iterative proportional fitting (Deming and Stephan, 1940). A margin is one attribute, or several together. Raises
    `InvalidPopulation` for a target that no unit belongs to, and for targets that cannot be met together.
    """
    weights = [1.0] * len(units)
    keys = {of: [tuple(str(unit.get(attribute)) for attribute in of) for unit in units] for of in targets}
    for of, shares in targets.items():
        present = set(keys[of])
        for label, share in shares.items():
            if share > 0 and label not in present:
                raise InvalidPopulation("*".join(of), f"no respondent is {', '.join(label)}, whose share is {share:g}")
        if unknown := sorted(present - set(shares)):
            raise InvalidPopulation("*".join(of), f"respondents are {', '.join(unknown[0])}, which has no share")
    for _ in range(_ROUNDS):
        most = 0.0
        for of, shares in targets.items():
            sums: dict[tuple[str, ...], float] = dict.fromkeys(shares, 0.0)
            for key, weight in zip(keys[of], weights, strict=True):
                sums[key] += weight
            factors = {key: shares[key] * len(units) / total if total else 1.0 for key, total in sums.items()}
            most = max([most, *(abs(factor - 1) for key, factor in factors.items() if sums[key])])
            weights = [weight * factors[key] for key, weight in zip(keys[of], weights, strict=True)]
        if most < _CLOSE:
            return weights
    raise InvalidPopulation("weights", "these targets cannot be met together by these respondents; drop one of them")


def weights_of(specification: PopulationSpecification, personas: Sequence[Persona]) -> list[float]:
    """Return a weight for each persona, so that together they have the shares of a specification; their mean is 1.

    Attributes are read from the personas, at the places of the specification. Raises `InvalidPopulation`.
    """
    units: list[dict[str, Any]] = []
    labelled = [a for a in specification.attributes if a not in specification.numbers]
    for persona in personas:
        unit: dict[str, Any] = {}
        for attribute in labelled:
            value = persona.get(specification.fields.get(attribute, attribute).removesuffix("[]"))
            for each in value if isinstance(value, list | tuple) else [value]:
                if (label := specification.label(attribute, each)) is not None:
                    unit[attribute] = label
            if attribute not in unit:
                raise InvalidPopulation(attribute, f"{persona.name} is {value!r}, which no quota has")
        units.append(unit)
    targets: dict[tuple[str, ...], dict[tuple[str, ...], float]] = {}
    for attribute in specification.quotas:
        targets[(attribute,)] = {(label,): share for label, share in specification.shares(attribute).items()}
    for joint in specification.joint:
        shares = cells_of(joint, specification.size)
        present = {tuple(unit[attribute] for attribute in joint.of) for unit in units}
        targets[joint.of] = {**dict.fromkeys(present, 0.0), **shares}
    return rake(units, targets)
