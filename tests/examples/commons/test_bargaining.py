from pathlib import Path

import pytest

from coterie.errors import CoterieError, ScenarioError
from coterie.meetings import read_minutes
from coterie.meetings.state.events import Closed, Spoke
from coterie.orchestrator.folder import RunFolder
from coterie.orchestrator.scenario import parse_scenario
from coterie_examples.commons.fishing import Month
from coterie_examples.commons.scenario import CommonsScenario
from tests.examples.commons.playing import load_scenario, play, recorded, replay, run_scenario

EXAMPLES = Path(__file__).parents[3] / "examples" / "commons"
FISHING = "26a169ef6ae1d621"
"""How the digest of the fishing without meetings begins."""


def scenario(**update: object) -> CommonsScenario:
    return load_scenario(EXAMPLES / "bargaining.toml").model_copy(update=update)


def test_fishers_meet_each_month_before_they_decide_and_their_agreement_binds(tmp_path: Path) -> None:
    with RunFolder.create(tmp_path, "x", "") as folder:
        run_scenario(scenario(), folder)
        minutes = sorted((folder.path / "meetings").glob("*.jsonl"))
        assert [path.stem for path in minutes] == [f"month-{number:04d}" for number in range(1, 13)]
        for path in minutes:
            entries = read_minutes(path)
            offers = {entry.by: entry.event.content["quota"] for entry in entries if isinstance(entry.event, Spoke)}
            assert set(offers) == {"Ada", "Ben", "Cleo", "Dag", "Esi"}
            assert isinstance(entries[-1].event, Closed)
        months = recorded(folder.path).months
    assert months[0].accepted["quota"]["most"] == 10
    assert all(caught <= 10 for caught in months[0].caught.values())
    assert months[0].asked["Ben"] == 12


def test_the_outcome_follows_from_the_seed_whatever_the_threads() -> None:
    digests = set()
    for dispatcher, threads, delay in (("leased", 1, 0.0), ("leased", 8, 0.01), ("dedicated", None, 0.0)):
        runtime = scenario().runtime.model_copy(update={"dispatcher": dispatcher, "threads": threads, "delay": delay})
        digests.add(play(scenario(runtime=runtime))[1].digest)
    assert len(digests) == 1
    assert play(scenario(seed=8))[1].digest not in digests


@pytest.mark.parametrize("mode", ["lockstep", "sync_points", "pipelines"])
def test_they_meet_in_every_mode(mode: str) -> None:
    months, result = play(scenario(mode=mode, months=3))
    assert len(months) == 3
    assert result.forfeits == 0


def test_a_run_that_was_interrupted_comes_to_the_same_end_and_is_replayed(tmp_path: Path) -> None:
    whole = play(scenario())[1].digest

    class Impatient:
        def month(self, month: Month) -> None:
            if month.number == 5:
                raise CoterieError("enough")

    with RunFolder.create(tmp_path, "x", "") as folder:
        with pytest.raises(CoterieError, match="enough"):
            run_scenario(scenario(), folder, Impatient())
        outcome = run_scenario(scenario(), folder, resume=True)
        assert outcome.digest == whole
        assert replay(folder.path).digest == whole
        assert len(list((folder.path / "meetings").glob("*.jsonl"))) == 12


def test_without_bargaining_nothing_has_changed(tmp_path: Path) -> None:
    plain = load_scenario(EXAMPLES / "fishing.toml")
    assert "meet" not in plain.stages()
    with RunFolder.create(tmp_path, "x", "") as folder:
        assert run_scenario(plain, folder).digest.startswith(FISHING)
    assert not (folder.path / "meetings").exists()


def test_a_meeting_without_its_table_is_named() -> None:
    text = (EXAMPLES / "bargaining.toml").read_text().replace("[bargaining]", "[graph]\nstages = ['meet', 'fish']\n[elsewhere]")
    path = EXAMPLES / "bargaining.toml"
    with pytest.raises(ScenarioError):
        parse_scenario(text, path)
