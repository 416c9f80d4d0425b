"""The classic models end where they are known to end elsewhere."""

import importlib.util
from math import log
from pathlib import Path
from types import ModuleType

import pytest

MODELS = Path(__file__).parents[3] / "examples" / "models"


def model(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"models_{name}", MODELS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_model_is_tried_and_is_short() -> None:
    tried = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    for path in MODELS.glob("*.py"):
        assert path.stem in tried
        assert len(path.read_text().splitlines()) < 100


@pytest.mark.parametrize("activation", ["at-once", "random"])
def test_schelling(activation: str) -> None:
    schelling = model("schelling")
    before, result = schelling.run(rounds=12, activation=activation)
    assert before == pytest.approx(0.5, abs=0.04)
    assert schelling.similarity(result.view) > 0.68
    content = [schelling.alike(result.view, name) >= schelling.WANTED for name in schelling.GRID.agents(result.view)]
    assert sum(content) / len(content) > 0.97
    assert len(content) == 320


def test_wealth() -> None:
    wealth = model("wealth")
    coins = wealth.run(rounds=60)
    assert coins.sum() == 2_000
    # A purse is a queue with Poisson arrivals and one departure a round.
    assert (coins > 0).mean() == pytest.approx(2 - 2**0.5, abs=0.02)


def test_network_epidemic() -> None:
    epidemic = model("network_epidemic")
    assert epidemic.expected() == pytest.approx(0.797, abs=0.001)
    assert epidemic.run(seed=2) == pytest.approx(epidemic.expected(), abs=0.06)


def test_spatial_dilemma() -> None:
    parts = model("spatial_dilemma").run()
    assert sum(parts[50:]) / 50 == pytest.approx(12 * log(2) - 8, abs=0.03)


def test_sugarscape() -> None:
    living, view = model("sugarscape").run(rounds=25)
    assert living[0] > 100
    assert 40 < living[-1] < 80
    assert living == sorted(living, reverse=True)
    assert living[-5] - living[-1] <= 4  # the carrying capacity is reached
    wealth = sorted(view.under("wealth/").values())
    assert wealth[-1] > 5 * wealth[len(wealth) // 10]


def test_market() -> None:
    efficiency, price, equilibrium = model("market").run(rounds=100)
    assert efficiency > 0.9
    assert price == pytest.approx(equilibrium, abs=8)


def test_society() -> None:
    society = model("society")
    free, lawful = society.run(civic=0), society.run(civic=5)
    assert free.stopped == "the lake is empty"
    assert free.rounds < 20
    assert (lawful.rounds, lawful.stopped) == (20, "")
    assert lawful.view["lake"] > 0
    assert society.run(civic=5).digest == lawful.digest
