"""The commons played by a model: recorded, replayed, stopped by its budget, resumed."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from coterie.errors import BudgetExhausted, RoundsError
from coterie.orchestrator.folder import RunFolder
from coterie.testing import ModelServer, Served
from coterie_examples.commons.scenario import CommonsScenario
from tests.examples.commons.playing import check_commons, recorded, replay, run_scenario


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelServer]:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-not-to-be-seen")
    with ModelServer(fish) as server:
        yield server


def fish(body: Mapping[str, Any]) -> Served:
    told = str(body["messages"])
    amount = 12 if "units in the lake: 100" in told else 7
    return Served(text=json.dumps({"actions": [{"type": "FISH", "arguments": {"amount": amount}}]}))


def scenario(server: ModelServer, mode: str = "sync_points", **model: Any) -> CommonsScenario:
    agents = [{"name": name, "strategy": {"rule": "constant", "amount": 3}} for name in ("Ada", "Ben", "Cy")]
    settings = {"name": "openai:any", "base_url": server.url, **model}
    return check_commons({"kind": "commons", "name": "lake", "months": 4, "mode": mode, "agents": agents, "model": settings})


def run(place: Path, chosen: CommonsScenario, *, resume: Path | None = None) -> Path:
    with RunFolder.open(resume) if resume is not None else RunFolder.create(place, chosen.name, "") as folder:
        run_scenario(chosen, folder, resume=resume is not None)
    return folder.path


def test_a_model_decides_and_is_replayed_without_a_server(tmp_path: Path, server: ModelServer) -> None:
    path = run(tmp_path, scenario(server))
    assert [month.asked for month in recorded(path).months] == [dict.fromkeys(("Ada", "Ben", "Cy"), 12)] * 4
    assert len(server.requests) == 12
    assert json.loads((path / "costs.json").read_text())[-1]["requests"] == 12
    server.stop()
    assert replay(path).digest == recorded(path).digest


@pytest.mark.parametrize("mode", ["lockstep", "pipelines", "tokens"])
def test_it_comes_to_the_same_in_other_modes(tmp_path: Path, server: ModelServer, mode: str) -> None:
    digests = {recorded(run(tmp_path, scenario(server, each))).months[-1].after for each in ("sync_points", mode)}
    assert len(digests) == 1


def test_where_the_model_fails_the_rule_decides_and_that_is_an_event(tmp_path: Path, server: ModelServer) -> None:
    def sometimes(body: Mapping[str, Any]) -> Served:
        return Served(text="I would rather not.") if "Name: Ben" in str(body["messages"]) else fish(body)

    server.play(sometimes)
    path = run(tmp_path, scenario(server))
    months = recorded(path).months
    assert months[0].asked == {"Ada": 12, "Ben": 3, "Cy": 12}
    assert all(list(month.fallbacks) == ["Ben"] for month in months)
    assert "no JSON object" in months[0].fallbacks["Ben"]
    server.stop()
    assert replay(path).digest == recorded(path).digest


def test_without_a_fallback_the_turn_is_forfeited_and_that_is_an_event(tmp_path: Path, server: ModelServer) -> None:
    server.play(lambda body: Served(text="no") if "Name: Ben" in str(body["messages"]) else fish(body))
    months = recorded(run(tmp_path, scenario(server, fallback=False))).months
    assert "UnusableReply" in months[0].forfeits["Ben"]
    assert months[0].asked["Ben"] == 0


def test_a_budget_stops_before_a_month_is_settled_and_a_larger_one_goes_on_to_the_same_end(
    tmp_path: Path, server: ModelServer
) -> None:
    whole = recorded(run(tmp_path, scenario(server)))
    server.play(fish)
    with pytest.raises((BudgetExhausted, RoundsError)):
        run(tmp_path / "short", scenario(server, max_requests=7))
    assert len(server.requests) == 7
    path = next((tmp_path / "short").iterdir())
    assert len(recorded(path).months) == 2
    run(tmp_path, scenario(server, max_requests=100), resume=path)
    assert len(server.requests) == 12
    assert recorded(path).digest == whole.digest


def test_a_budget_of_nothing_asks_nothing(tmp_path: Path, server: ModelServer) -> None:
    with pytest.raises((BudgetExhausted, RoundsError), match="exhausted"):
        run(tmp_path, scenario(server, max_requests=0))
    assert server.requests == []
