"""Commands and services over a cluster: `run --cluster`, `serve --cluster`, budgets, meetings. With a cluster of Ray of its own."""

import dataclasses
import os
import signal
from pathlib import Path

import pytest

from coterie.cli import run as run_command
from coterie.cli import runs as runs_command
from coterie.cluster import Cluster
from coterie.errors import InvalidSetting, ScenarioError
from coterie.errors.cluster import ClusterUnavailable, RefusedByNode
from coterie.orchestrator import load_run, load_scenario, run_scenario
from coterie.orchestrator.folder import RunFolder
from coterie.orchestrator.hosting import host_on
from tests.cluster.conftest import Machines

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]

EXAMPLES = Path(__file__).parents[2] / "examples"
FLOCK = Path(__file__).parent / "flock" / "flock.toml"


# Scenarios.


@pytest.mark.parametrize(
    "scenario", [EXAMPLES / "commons/bargaining.toml", EXAMPLES / "epidemic/epidemic.toml", FLOCK], ids=lambda path: path.stem
)
def test_a_scenario_over_nodes_has_the_digest_of_one_process(cluster: Cluster, scenario: Path) -> None:
    loaded = load_scenario(scenario)
    alone, over_nodes = run_scenario(loaded), run_scenario(loaded, host=host_on(cluster))
    assert (over_nodes.digest, over_nodes.forfeits) == (alone.digest, alone.forfeits)


def test_a_run_goes_on_over_nodes_after_an_interruption_and_the_death_of_a_node(cluster: Cluster, tmp_path: Path) -> None:
    loaded = load_scenario(FLOCK).with_model({"name": "test"})
    alone = run_scenario(loaded)
    killed = cluster.node("b")

    class Interrupted(Exception):
        pass

    def interrupt(step: dict[str, int]) -> None:
        if step["number"] == 3:
            os.kill(killed.pid, signal.SIGKILL)
            raise Interrupted

    with RunFolder.create(tmp_path, "flock", FLOCK.read_text()) as folder, pytest.raises(Interrupted):
        run_scenario(loaded, folder, interrupt, host=host_on(cluster))
    with RunFolder.open(folder.path) as folder:
        record = run_scenario(load_run(folder.path)[0], folder, resume=True, host=host_on(cluster))
    assert record.digest == alone.digest
    # The program has asked the model, and recorded it.
    assert record.costs[-1]["requests"] > 0
    assert (folder.path / "model.jsonl").stat().st_size > 0


def test_the_commands_run_and_resume_over_a_cluster(
    cluster: Cluster, machines: Machines, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_command.run(FLOCK, tmp_path, quiet=True, report=False, cluster=machines.address)
    shown = capsys.readouterr().out
    assert run_scenario(load_scenario(FLOCK)).digest in shown
    (folder,) = tmp_path.iterdir()
    runs_command.resume_run(folder, quiet=True, report=False, cluster=machines.address)
    assert run_scenario(load_scenario(FLOCK)).digest in capsys.readouterr().out
    with pytest.raises(ClusterUnavailable, match="cannot be reached"):
        run_command.run(FLOCK, tmp_path / "none", cluster="127.0.0.1:1")
    with pytest.raises(InvalidSetting, match="a copy of the token"):
        run_command.run(FLOCK, tmp_path / "none", cluster="127.0.0.1:1", token_file=tmp_path / "token")
    with pytest.raises(InvalidSetting, match="the option --cluster"):
        run_command.run(FLOCK, tmp_path / "none", token_file=tmp_path / "token")
    assert not (tmp_path / "none").exists()


def test_a_scenario_that_nodes_cannot_run_is_one_clear_error(cluster: Cluster) -> None:
    with pytest.raises(ScenarioError, match="a run of the kind 'tic-tac-toe' is no simulation"):
        run_scenario(load_scenario(EXAMPLES / "tic_tac_toe/game.toml"), host=host_on(cluster))
    loaded = load_scenario(FLOCK)
    elsewhere = loaded.parameters.model_copy(update={"kind": "only_here:Flock"})
    with pytest.raises(RefusedByNode, match=r"node a: only_here:Flock:\s+kind: there is no module 'only_here'"):
        run_scenario(dataclasses.replace(loaded, parameters=elsewhere), host=host_on(cluster))
