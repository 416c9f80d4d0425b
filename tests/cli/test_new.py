"""`coterie new` writes a model that runs, is tested, and works with all commands."""

from pathlib import Path

import pytest

from coterie.errors.orchestrator import CommandRefused
from coterie.orchestrator import compare, load_scenario, new_scenario, run_scenario
from tests.cli.test_run import coterie


def test_a_new_model_runs_and_passes_its_own_tests(tmp_path: Path) -> None:
    out, _ = coterie("new", "my-model", "--in", tmp_path)
    model, scenario, test = (tmp_path / "my-model" / name for name in ("my_model.py", "my_model.toml", "test_my_model.py"))
    assert out.splitlines()[:3] == [str(model), str(scenario), str(test)]
    assert out.splitlines()[3] == f"run it with: coterie run {scenario}"
    loaded = load_scenario(scenario)
    record = run_scenario(loaded)
    assert loaded.kind.summarise(loaded.parameters, record).headline.startswith("20 rounds, a gap of")
    assert [each.mode for each in compare(loaded)] == ["lockstep", "sync_points", "pipelines"]
    assert model.read_text().startswith('"""A first model')
    names: dict[str, object] = {"__file__": str(test)}
    exec(compile(test.read_text(), test, "exec"), names)  # noqa: S102 - the test that was written
    for name, function in names.items():
        if name.startswith("test_") and callable(function):
            function()
    with pytest.raises(CommandRefused, match="it is there already"):
        new_scenario("my-model", tmp_path)


@pytest.mark.parametrize("name", ["3d", "class", "a/b", "", "größe", "test_me"])
def test_a_name_that_is_no_module_is_refused_and_nothing_is_written(name: str, tmp_path: Path) -> None:
    with pytest.raises(CommandRefused, match="it is no name for a model"):
        new_scenario(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_settings_of_a_new_model_are_checked(tmp_path: Path) -> None:
    _, scenario, _ = new_scenario("ring", tmp_path)
    scenario.write_text(scenario.read_text().replace("people = 12", "people = 2\nlake = 3"))
    with pytest.raises(ValueError, match=r"(?s)people.*lake"):
        load_scenario(scenario)
    scenario.write_text(scenario.read_text().replace("people = 2\nlake = 3", "people = 5"))
    assert len(run_scenario(load_scenario(scenario)).steps) == 20
