import json
from pathlib import Path
from random import Random

import msgspec
import pytest

from coterie.errors import CoterieError
from coterie.errors.orchestrator import RunFolderFailed, RunUnknown
from coterie.orchestrator.folder import RunFolder
from coterie.orchestrator.running import scenario_of_run
from coterie_examples.commons.fishing import Month
from coterie_examples.commons.judging import RejectAll
from coterie_examples.commons.run import CommonsOutcome, outcome_of
from coterie_examples.commons.scenario import CommonsScenario
from coterie_examples.commons.strategies import Constant, Situation
from tests.examples.commons.playing import load_scenario, play, recorded, replay, run_scenario

EXAMPLES = Path(__file__).parents[3] / "examples" / "commons"

ORACLE = {
    "ten-each": (12, False, 600),
    "eleven-each": (4, True, 195),
    "twelve-each": (3, True, 160),
    "twenty-each": (1, True, 100),
    "one-greedy": (4, True, 184),
}


def run(scenario: CommonsScenario, folder: Path) -> CommonsOutcome:
    with RunFolder.create(folder, scenario.name, "a copy") as made:
        return run_scenario(scenario, made)


@pytest.mark.parametrize("name", ORACLE)
@pytest.mark.parametrize("dispatcher", ["leased", "dedicated"])
@pytest.mark.parametrize("mode", ["lockstep", "sync_points", "pipelines"])
def test_the_known_outcomes_come_out_exactly(name: str, dispatcher: str, mode: str, tmp_path: Path) -> None:
    scenario = load_scenario(EXAMPLES / f"{name}.toml").model_copy(update={"mode": mode})
    settings = scenario.runtime.model_copy(update={"dispatcher": dispatcher})
    outcome = run(scenario.model_copy(update={"runtime": settings}), tmp_path)
    assert (outcome.months, outcome.collapsed, outcome.total) == ORACLE[name]
    assert outcome.surprises == ()
    expected = scenario.expect
    assert (expected.months, expected.collapse, expected.harvest) == ORACLE[name]


def test_the_same_seed_gives_the_same_run_and_another_does_not(tmp_path: Path) -> None:
    scenario = load_scenario(EXAMPLES / "fishing.toml")
    outcomes = [run(scenario.model_copy(update={"seed": seed}), tmp_path) for seed in (7, 7, 8)]
    assert outcomes[0] == outcomes[1] != outcomes[2]


def test_the_catch_equals_the_loss_of_the_lake_and_is_recorded(tmp_path: Path) -> None:
    scenario = load_scenario(EXAMPLES / "fishing.toml")
    outcome = run(scenario, tmp_path)
    (folder,) = tmp_path.iterdir()
    assert sorted(path.name for path in folder.iterdir()) == [
        "events.jsonl",
        "metrics.json",
        "origin.json",
        "run.db",
        "scenario.json",
        "scenario.toml",
        "status.json",
        "timeline.json",
    ]
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


def test_a_run_that_does_not_end_as_expected_names_the_place(tmp_path: Path) -> None:
    scenario = load_scenario(EXAMPLES / "ten-each.toml")
    expect = scenario.expect.model_copy(update={"months": 11, "collapse": True, "harvest": 1})
    outcome = run(scenario.model_copy(update={"expect": expect}), tmp_path)
    assert outcome.surprises == (
        "months: expected 11, got 12",
        "collapse: expected True, got False",
        "harvest: expected 1, got 600",
    )


class Broken(Constant):
    """Raises in the second month, and asks for less than nothing in the third."""

    def ask(self, situation: Situation, random: Random) -> int:
        if situation.month == 2:
            raise ValueError("seasick")
        return -5 if situation.month == 3 else 10


def test_a_fisher_that_fails_forfeits_its_month_and_is_back_in_the_next(tmp_path: Path) -> None:
    seen: list[Month] = []

    class Onlooker:
        def month(self, month: Month) -> None:
            seen.append(month)

    scenario = load_scenario(EXAMPLES / "ten-each.toml").model_copy(update={"months": 3})
    (agents,) = scenario.agents
    broken = agents.model_copy(update={"strategy": Broken(rule="constant", amount=0)})
    months, result = play(scenario.model_copy(update={"agents": (broken,)}), Onlooker())
    assert months == seen
    assert [sum(month.caught.values()) for month in seen] == [50, 0, 0]
    assert set(seen[1].forfeits) == {f"fisher-{n}" for n in range(1, 6)}
    assert "ValueError: seasick" in seen[1].forfeits["fisher-1"]
    assert seen[2].forfeits == {}
    assert result.forfeits == 5


def test_books_that_do_not_balance_are_an_error() -> None:
    scenario = load_scenario(EXAMPLES / "ten-each.toml")
    names = scenario.fishers()
    caught = dict.fromkeys(names, 2)
    month = Month(1, 100, caught, caught, 95, 100, collapsed=False, forfeits={}, accepted={})
    with pytest.raises(CoterieError, match="the fishers caught 10 and the lake lost 5"):
        outcome_of(scenario, [month])


@pytest.mark.parametrize("mode", ["lockstep", "sync_points", "pipelines"])
def test_threads_delays_and_dispatchers_change_the_time_line_and_not_the_digest(mode: str) -> None:
    scenario = load_scenario(EXAMPLES / "fishing.toml").model_copy(update={"mode": mode, "months": 4})
    digests = set()
    for settings in (
        {"delay": 0.0},
        {"delay": 0.01},
        {"threads": 1, "delay": 0.002},
        {"dispatcher": "dedicated", "delay": 0.005},
    ):
        runtime = scenario.runtime.model_copy(update=settings)
        digests.add(play(scenario.model_copy(update={"runtime": runtime}))[1].digest)
    assert len(digests) == 1


def test_a_mechanism_binds_once_the_judge_has_accepted_it() -> None:
    scenario = load_scenario(EXAMPLES / "fishing.toml")
    months, _ = play(scenario)
    assert months[0].accepted == {"quota": {"by": "Ada", "most": 10}}
    assert all(caught <= 10 for month in months for caught in month.caught.values())
    assert len(months) == 12
    without, _ = play(scenario.model_copy(update={"judge": RejectAll(rule="reject-all")}))
    assert any(caught > 10 for month in without for caught in month.caught.values())
    assert all(month.accepted == {} for month in without)


def test_a_run_in_tokens_is_replayed_as_it_went(tmp_path: Path) -> None:
    scenario = load_scenario(EXAMPLES / "fishing.toml").model_copy(update={"mode": "tokens"})
    outcome = run(scenario, tmp_path)
    (folder,) = tmp_path.iterdir()
    digests: list[str] = []
    result = replay(folder, lambda line: digests.append(line.split()[-1]))
    assert digests[-1] == outcome.digest == result.digest == recorded(folder).digest


def test_a_folder_without_a_run_is_named(tmp_path: Path) -> None:
    for use in (recorded, scenario_of_run, RunFolder.open):
        with pytest.raises(RunUnknown, match="give the folder of a"):
            use(tmp_path)
    (tmp_path / "scenario.json").write_text("{}")
    with pytest.raises(RunUnknown, match="makes no sense"):
        scenario_of_run(tmp_path)


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
