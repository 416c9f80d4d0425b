"""Interviews as scenarios: checked whole, held, recorded, replayed, and played by a model."""

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from coterie.cli.application import create_application
from coterie.errors import BudgetExhausted, FragmentConflict, InvalidPersona, ReplayDiverged, ScenarioError
from coterie.errors.orchestrator import RunUnknown
from coterie.orchestrator import Scenario, load_run, replay_run, run_scenario, write_report
from coterie.orchestrator.folder import RunFolder
from coterie.orchestrator.running import replay_scenario
from coterie.orchestrator.scenario import parse_scenario
from coterie.testing import ModelServer, Served
from coterie_examples.interview.kind import InterviewKind
from coterie_examples.interview.scenario import InterviewScenario
from tests.personas.samples import FRAGMENT, USUAL, VARIANT, write

EXAMPLE = Path(__file__).parents[3] / "examples" / "interview" / "interview.toml"
TEXT = """
kind = "interview"
name = "bread"
topic = "Bread"
[[questions]]
name = "bread"
text = "Do you like bread?"
[[questions]]
name = "price"
text = "How much would you pay for it?"
kind = "integer"
least = 1
most = 9
[[rules]]
persona = "Ivo Petrov"
when = "how much"
say = ["Five.", "Six."]
"""
ANSWER = json.dumps({"actions": [{"type": "TALK", "content": "Yes, 3."}, {"type": "DONE"}]})
VALUES = json.dumps({"bread": "likes it", "price": 3})


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a scenario and two personas."""
    (tmp_path / "personas").mkdir()
    write(tmp_path / "personas", "nora.agent.json", USUAL)
    write(tmp_path / "personas", "ivo.agent.json", VARIANT)
    (tmp_path / "bread.toml").write_text(TEXT)
    return tmp_path


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelServer]:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-not-to-be-seen")
    with ModelServer(answer) as server:
        yield server


def answer(body: Mapping[str, Any]) -> Served:
    return Served(text=VALUES if "into values" in json.dumps(body) else ANSWER)


def interview(place: Path, **changes: Any) -> InterviewScenario:
    scenario = parse_scenario((place / "bread.toml").read_text()).parameters
    assert isinstance(scenario, InterviewScenario)
    return InterviewScenario.model_validate(scenario.model_dump() | changes)


def run(place: Path, scenario: InterviewScenario) -> Path:
    with RunFolder.create(place / "runs", scenario.name, TEXT) as folder:
        run_scenario(Scenario(InterviewKind(), scenario, place, place), folder)
    return folder.path


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (("[[questions]]", "[[question]]"), "question: no such key"),
        (('kind = "integer"', 'kind = "guess"'), "questions[1].kind"),
        (("most = 9", "most = 0"), "Question.least=1.0: need at most 0"),
        (('name = "price"', 'name = "bread"'), "the name 'bread' is used 2 times"),
        (('name = "price"', 'name = "The Price"'), "Question.name='The Price'"),
        (('when = "how much"', 'when = "how ("'), "no regular expression"),
        (('say = ["Five.", "Six."]', "say = []"), "nothing to say"),
        (('topic = "Bread"', 'topic = ""'), "topic: '' is not possible"),
        (('topic = "Bread"', 'topic = "B"\nmodel = {}'), "model.name: missing"),
        (('topic = "Bread"', 'topic = "B"\nmodel = { name = "x", max_dollars = -1 }'), "model.max_dollars"),
    ],
)
def test_a_fault_is_named_by_its_key(change: tuple[str, str], problem: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        parse_scenario(TEXT.replace(*change, 2 if "[[" in change[0] else 1), "bread.toml")
    assert problem in str(caught.value)


def test_a_run_leaves_all_that_came_of_it_and_can_be_done_again(place: Path) -> None:
    path = run(place, interview(place))
    assert {"answers.csv", "answers.json", "transcript.md", "events.jsonl", "interview.json", "meetings"} <= {
        each.name for each in path.iterdir()
    }
    rows = json.loads((path / "answers.json").read_text())
    assert [row["persona"] for row in rows] == ["Ivo Petrov", "Nora Lindqvist"]
    assert rows[0]["price"] in (5, 6)
    assert rows[1]["bread"] == "Bread should be cheap."
    assert "Bread should be cheap." in (path / "transcript.md").read_text()
    page = write_report(path).read_text()
    assert "Nora Lindqvist (41, Swedish, Baker)" in page
    assert "Bread should be cheap." in page
    shutil.rmtree(place / "personas")
    again = replay_run(path)
    assert again.digest == json.loads((path / "interview.json").read_text())["digest"]


@pytest.mark.parametrize("dispatcher", ["leased", "dedicated"])
def test_the_same_seed_gives_the_same_digest_whatever_the_dispatcher(place: Path, dispatcher: str) -> None:
    digests = set()
    for runtime in ({}, {"dispatcher": dispatcher}):
        path = run(place, interview(place, seed=3, runtime=runtime))
        digests.add(json.loads((path / "interview.json").read_text())["digest"])
    assert len(digests) == 1


def test_a_replay_that_diverges_names_the_line(place: Path) -> None:
    path = run(place, interview(place))
    scenario, recorded = load_run(path)
    other = scenario.checked({**scenario.parameters.model_dump(), "rules": ()})
    with pytest.raises(ReplayDiverged, match="round 5"):
        replay_scenario(other, recorded, path)
    (path / "interview.json").unlink()
    with pytest.raises(RunUnknown, match="resume it first"):
        replay_run(path)


def test_invalid_personas_are_reported_before_the_run(place: Path) -> None:
    write(place / "personas", "odd.agent.json", {"persona": {"name": "Odd", "age": -1}})
    result = CliRunner().invoke(create_application(), ["run", str(place / "bread.toml"), "--out", str(place / "runs")])
    assert isinstance(result.exception, InvalidPersona)
    assert "odd.agent.json: persona.age: -1 is not possible" in str(result.exception)
    assert not (place / "runs").exists()
    write(place / "personas", "odd.agent.json", {"persona": {"name": "Odd", "beliefs": "none"}})
    write(place, "chess.fragment.json", FRAGMENT)
    with pytest.raises(FragmentConflict, match=r"persona\.beliefs"):
        interview(place, fragments={"all": ("chess.fragment.json",)}).load_personas(place)


def model(server: ModelServer, **more: Any) -> dict[str, Any]:
    return {"name": "openai:any", "base_url": server.url, **more}


def test_a_model_plays_extracts_and_is_replayed_without_a_server(place: Path, server: ModelServer) -> None:
    path = run(place, interview(place, model=model(server)))
    assert len(server.requests) == 6
    costs = json.loads((path / "costs.json").read_text())
    assert [row["agent"] for row in costs] == ["Ivo Petrov", "Nora Lindqvist", "extraction", "total"]
    assert costs[-1]["requests"] == 6
    assert "extraction" in (path / "costs.csv").read_text()
    assert json.loads((path / "answers.json").read_text())[0] == {
        "persona": "Ivo Petrov",
        "bread": "likes it",
        "price": 3,
        "extracted_by": "model",
    }
    server.stop()
    replay_run(path)
    assert "Costs" in write_report(path).read_text()
    assert not [each for each in path.rglob("*") if each.is_file() and b"sk-not-to-be-seen" in each.read_bytes()]


def test_a_model_that_fails_is_stood_in_for_by_rules_and_that_is_told(place: Path, server: ModelServer) -> None:
    server.play(lambda _: Served(text="As you wish."))
    path = run(place, interview(place, model=model(server)))
    kept = json.loads((path / "interview.json").read_text())
    assert kept["fallbacks"] == {"Ivo Petrov": 2, "Nora Lindqvist": 2}
    assert [row["by"] for row in kept["table"]["rows"]] == ["rules", "rules"]
    assert "rules decided 2 times" in write_report(path).read_text()


def test_a_budget_that_is_spent_stops_the_run_which_a_larger_one_resumes(place: Path, server: ModelServer) -> None:
    whole = run(place, interview(place, model=model(server)))
    server.play(answer)
    with pytest.raises(BudgetExhausted):
        run(place, interview(place, name="short", model=model(server, max_requests=3)))
    assert len(server.requests) == 3
    path = next((place / "runs").glob("short-*"))
    result = CliRunner().invoke(create_application(), ["resume", str(path), "--quiet"])
    assert isinstance(result.exception, BudgetExhausted)
    result = CliRunner().invoke(create_application(), ["resume", str(path), "--quiet", "--max-requests", "10"])
    assert result.exit_code == 0, result.output
    assert len(server.requests) == 6
    digests = [json.loads((each / "interview.json").read_text())["digest"] for each in (whole, path)]
    assert digests[0] == digests[1]


def test_a_killed_run_resumes_with_the_rest_of_its_budget(place: Path, server: ModelServer) -> None:
    with pytest.raises(BudgetExhausted):
        run(place, interview(place, name="short", model=model(server, max_requests=3)))
    path = next((place / "runs").glob("short-*"))
    (path / "spent.json").unlink()  # as of a process that was killed, and wrote its recording only
    result = CliRunner().invoke(create_application(), ["resume", str(path), "--quiet", "--max-requests", "4"])
    assert isinstance(result.exception, BudgetExhausted)
    assert len(server.requests) == 4


def test_a_missing_persona_has_no_rules_and_no_fragments(place: Path) -> None:
    scenario = interview(place, fragments={"Nroa": ["x.fragment.json"]}, rules=[{"persona": "Iov", "when": "x", "say": ["y"]}])
    with pytest.raises(ScenarioError) as caught:
        scenario.load_personas(place)
    assert "fragments.'Nroa': there is no persona 'Nroa'; the folder" in str(caught.value)
    assert "rules[0].persona: there is no persona 'Iov'" in str(caught.value)
    assert "Nora Lindqvist" in str(caught.value)


def test_the_report_shows_numbers_as_numbers_and_truth_as_words(place: Path) -> None:
    page = write_report(run(place, interview(place))).read_text()
    assert "<td>True</td>" not in page
    assert 'class="number"' in page


def test_the_command_line_runs_shows_and_replays_the_example(tmp_path: Path) -> None:
    runner = CliRunner()
    result = runner.invoke(create_application(), ["run", str(EXAMPLE), "--out", str(tmp_path), "--seed", "3"])
    assert result.exit_code == 0, result.output
    assert "Ilse Brandt: 4, and not a cent more." in result.output
    path = next(tmp_path.iterdir())
    assert (path / "report.html").is_file()
    assert "Samuel Okafor" in runner.invoke(create_application(), ["show", str(path)]).output
    assert "20 lines, each as recorded" in runner.invoke(create_application(), ["replay", str(path)]).output
    refused = runner.invoke(create_application(), ["run", str(EXAMPLE), "--out", str(tmp_path), "--mode", "tokens"])
    assert isinstance(refused.exception, ScenarioError)
    assert "--mode" in str(refused.exception)
