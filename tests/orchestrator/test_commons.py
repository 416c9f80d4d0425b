import json
from pathlib import Path

import msgspec
import pytest

from coterie import Agent, on
from coterie.errors import CoterieError, RunFolderFailed
from coterie.orchestrator import Outcome, RunFolder, Scenario, load_scenario, run_scenario
from coterie.orchestrator import run as run_module
from coterie.orchestrator.commons import Decide, Month

EXAMPLES = Path(__file__).parents[2] / "examples" / "commons"

ORACLE = {
    "ten-each": (12, False, 600),
    "eleven-each": (4, True, 195),
    "twelve-each": (3, True, 160),
    "twenty-each": (1, True, 100),
    "one-greedy": (4, True, 184),
}


def play(scenario: Scenario, folder: Path) -> Outcome:
    with RunFolder.create(folder, scenario.name, "a copy") as made:
        return run_scenario(scenario, made)


@pytest.mark.parametrize("name", ORACLE)
@pytest.mark.parametrize("dispatcher", ["leased", "dedicated"])
def test_the_known_outcomes_come_out_exactly(name: str, dispatcher: str, tmp_path: Path) -> None:
    scenario = load_scenario(EXAMPLES / f"{name}.toml")
    settings = scenario.runtime.model_copy(update={"dispatcher": dispatcher})
    outcome = play(scenario.model_copy(update={"runtime": settings}), tmp_path)
    assert (outcome.months, outcome.collapsed, outcome.total) == ORACLE[name]
    assert outcome.surprises == ()
    expected = scenario.expect
    assert (expected.months, expected.collapse, expected.harvest) == ORACLE[name]


def test_the_same_seed_gives_the_same_run_and_another_does_not(tmp_path: Path) -> None:
    scenario = load_scenario(EXAMPLES / "fishing.toml")
    outcomes = [play(scenario.model_copy(update={"seed": seed}), tmp_path) for seed in (7, 7, 8)]
    assert outcomes[0] == outcomes[1] != outcomes[2]


def test_what_was_caught_is_what_the_lake_lost_and_all_of_it_is_recorded(tmp_path: Path) -> None:
    scenario = load_scenario(EXAMPLES / "fishing.toml")
    outcome = play(scenario, tmp_path)
    (folder,) = tmp_path.iterdir()
    assert sorted(path.name for path in folder.iterdir()) == ["events.jsonl", "metrics.json", "scenario.json", "scenario.toml"]
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    assert [event["event"] for event in events] == ["run started", *["month settled"] * outcome.months, "run ended"]
    months = [msgspec.convert({key: value for key, value in event.items() if key != "event"}, Month) for event in events[1:-1]]
    stock = scenario.lake.stock
    for number, month in enumerate(months, start=1):
        assert month.number == number
        assert month.before == stock
        assert month.left == stock - sum(month.caught.values())
        assert month.collapsed == (month.left < 5)
        assert month.after == (month.left if month.collapsed else min(100, 2 * month.left))
        stock = month.after
    assert outcome.stock == stock
    assert outcome.harvest == {name: sum(month.caught[name] for month in months) for name in months[0].caught}
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["outcome"]["months"] == outcome.months
    assert metrics["runtime"]["totals"]["failed"] == 0
    assert json.loads((folder / "scenario.json").read_text())["seed"] == 7


def test_a_run_that_does_not_end_as_expected_says_where(tmp_path: Path) -> None:
    scenario = load_scenario(EXAMPLES / "ten-each.toml")
    expect = scenario.expect.model_copy(update={"months": 11, "collapse": True, "harvest": 1})
    outcome = play(scenario.model_copy(update={"expect": expect}), tmp_path)
    assert outcome.surprises == (
        "months: expected 11, got 12",
        "collapse: expected True, got False",
        "harvest: expected 1, got 600",
    )


class Broken(Agent):
    """Fails in the second month."""

    def __init__(self, rule: object, seed: int) -> None: ...

    @on
    def decide(self, message: Decide) -> int:
        if message.situation.month == 2:
            raise ValueError("seasick")
        return -5 if message.situation.month == 3 else 10


def test_a_fisher_that_fails_forfeits_its_month_and_is_back_in_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_module, "Fisher", Broken)
    seen: list[Month] = []

    class Onlooker:
        def month(self, month: Month) -> None:
            seen.append(month)

    scenario = load_scenario(EXAMPLES / "ten-each.toml").model_copy(update={"months": 3})
    with RunFolder.create(tmp_path, "broken", "") as folder:
        run_scenario(scenario, folder, Onlooker())
    assert [sum(month.caught.values()) for month in seen] == [50, 0, 0]
    assert set(seen[1].forfeits) == {f"fisher-{n}" for n in range(1, 6)}
    assert "ValueError: seasick" in seen[1].forfeits["fisher-1"]
    assert seen[2].forfeits == {}
    log = [json.loads(line) for line in next(tmp_path.glob("*/log.jsonl")).read_text().splitlines()]
    assert {"fisher-1", "fisher-5"} <= {entry["agent"] for entry in log}


def test_books_that_do_not_balance_are_an_error() -> None:
    scenario = load_scenario(EXAMPLES / "ten-each.toml")
    month = Month(1, 100, {"a": 10}, {"a": 10}, 95, 100, collapsed=False, forfeits={})
    with pytest.raises(CoterieError, match="the fishers caught 10 and the lake lost 5"):
        run_module._outcome(scenario, ["a"], [month])


def test_runs_never_share_a_folder_and_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    scenario = 'name = "a copy"'
    folders = [RunFolder.create(tmp_path, "same name", scenario) for _ in range(3)]
    assert len({folder.path for folder in folders}) == 3
    assert all(folder.path.name.startswith("same-name-") for folder in folders)
    for folder in folders:
        with folder:
            folder.event("something", kind="x")
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(RunFolderFailed, match=r"file.*cannot be written"):
        RunFolder.create(blocked, "run", scenario)
