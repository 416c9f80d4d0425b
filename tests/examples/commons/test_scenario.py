from pathlib import Path

import pytest

from coterie.errors import ScenarioError
from tests.examples.commons.playing import load_scenario

HEAD = 'kind = "commons"\nname = "x"\n'
AGENT = '[[agents]]\nname = "a"\nstrategy = { rule = "greedy" }\n'


def problems(text: str, tmp_path: Path) -> list[str]:
    path = tmp_path / "scenario.toml"
    path.write_text(text)
    with pytest.raises(ScenarioError) as caught:
        load_scenario(path)
    assert str(caught.value).startswith(f"{path}:\n  ")
    return list(caught.value.problems)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (HEAD + "months = -3\n" + AGENT, "months: -3 is out of range; it must be at least 1"),
        (HEAD + "months = 1.5\n" + AGENT, "months: 1.5 is not possible; it must be a whole number"),
        (HEAD + "sed = 7\n" + AGENT, "sed: no such key; did you mean 'seed'?"),
        (
            HEAD + "zzz = 7\n" + AGENT,
            "zzz: no such key; there are agents, bargaining, description, expect, graph, judge, kind, lake, mode, model, months, name, runtime, seed",
        ),
        (HEAD + AGENT + "[lake]\nstok = 1\n", "lake.stok: no such key; did you mean 'stock'?"),
        (HEAD + AGENT + "[lake]\nstock = -1\n", "lake.stock: -1 is out of range; it must be at least 0"),
        (HEAD + AGENT + "[lake]\ncapacity = 0\n", "lake.capacity: 0 is out of range; it must be more than 0"),
        (HEAD + AGENT + "[lake]\ngrowth = nan\n", "lake.growth: nan is not possible; it must be a finite number"),
        (
            HEAD + AGENT + "[lake]\nstock = 9\ncapacity = 8\n",
            "lake: stock = 9 is more than capacity = 8; lower one or raise the other",
        ),
        (
            HEAD + AGENT + '[lake]\nsharing = "first"\n',
            "lake.sharing: 'first' is not possible; it must be 'proportional', 'equal' or 'lottery'",
        ),
        (
            HEAD + AGENT + '[runtime]\ndispatcher = "fast"\n',
            "runtime.dispatcher: 'fast' is not possible; it must be 'leased' or 'dedicated'",
        ),
        (HEAD + AGENT + "[lake]\ngrowth = 1e9\n", "lake.growth: 1000000000.0 is out of range; it must be at most 1000.0"),
        (HEAD + AGENT + "count = 1000000000\n", "agents[0].count: 1000000000 is out of range; it must be at most 100000"),
        (HEAD + 'months = "3"\n' + AGENT, "months: '3' is not possible; it must be a whole number"),
        (HEAD + "months = true\n" + AGENT, "months: True is not possible; it must be a whole number"),
        (HEAD, "agents: missing; add it"),
        (HEAD + "agents = []\n", "agents: there is none; add at least one [[agents]]"),
        (HEAD + "agents = 3\n", "agents: 3 is not possible; it must be a list, such as several tables under one [[name]]"),
        (HEAD + AGENT + AGENT, "agents: the name 'a' is used 2 times; give every agent a name of its own"),
        (HEAD + AGENT.replace('"a"', '"lake"'), "agents: 'lake' is the name of the lake itself; give the agent another"),
        (
            HEAD + AGENT.replace('"a"', '"a#1"'),
            "agents: 'a#1' cannot name an agent; use text without '#', '/' and control characters",
        ),
        (HEAD + AGENT.replace('"a"', '""'), "agents[0].name: '' is not possible; it must be text that is not empty"),
        (HEAD + AGENT.replace("greedy", "greddy"), "agents[0].strategy.rule: 'greddy' is no rule; did you mean 'greedy'?"),
        (
            HEAD + AGENT.replace('rule = "greedy"', "part = 1"),
            "agents[0].strategy.rule: rule is missing; it says which one is meant",
        ),
        (HEAD + AGENT.replace("greedy", "constant"), "agents[0].strategy.amount: missing; add it"),
        (
            HEAD + AGENT + AGENT.replace('"greedy"', '"constant", amount = -1').replace('"a"', '"b"'),
            "agents[1].strategy.amount: -1 is out of range; it must be at least 0",
        ),
        (
            HEAD + AGENT.replace('"greedy"', '"portion", prt = 1, part = 0.1'),
            "agents[0].strategy.prt: no such key; did you mean 'part'?",
        ),
        (
            HEAD + AGENT.replace('"greedy"', '"portion", part = 1.5'),
            "agents[0].strategy.part: 1.5 is out of range; it must be at most 1.0",
        ),
        (HEAD + AGENT + "count = 0\n", "agents[0].count: 0 is out of range; it must be at least 1"),
        (
            HEAD.replace("commons", "comons") + AGENT,
            (
                "kind: 'comons' is not possible; did you mean 'commons'? it must be 'commons' or 'interview' or 'tic-tac-toe', "
                "or 'module:Class' for a kind of your own"
            ),
        ),
        (
            HEAD + AGENT + '[graph]\nstages = ["decide", "fish"]\nedges = [["decide", "fsh"]]\n',
            "graph: the graph does not close: an edge leads from 'decide' to 'fsh', but the stage 'fsh' is unknown; did you mean 'fish'?",
        ),
        (
            HEAD + AGENT + '[graph]\nstages = ["decide", "fish"]\nedges = [["decide", "fish"], ["fish", "decide"]]\n',
            "graph: the graph does not close: "
            + "; ".join(
                f"the loop at '{name}' has no exit; add an edge to 'end', or a condition" for name in ("decide", "fish")
            ),
        ),
        (
            HEAD + AGENT + '[graph]\nstages = ["decide", "sail"]\n',
            "graph.stages[1]: 'sail' is not possible; it must be 'perceive', 'meet', 'propose', 'judge', 'decide' or 'fish'",
        ),
        ("months = \n", "it is not TOML: Invalid value (at line 1, column 10)"),
    ],
)
def test_each_fault_is_named_with_its_key_and_the_remedy(text: str, problem: str, tmp_path: Path) -> None:
    assert problems(text, tmp_path) == [problem]


def test_all_faults_are_named_at_once(tmp_path: Path) -> None:
    found = problems(HEAD + "months = 0\nsed = 1\n" + AGENT.replace("greedy", "greddy") + "[lake]\nstock = -1\n", tmp_path)
    assert len(found) == 4


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"none\.toml:\n  it cannot be read: No such file"):
        load_scenario(tmp_path / "none.toml")
    with pytest.raises(ScenarioError, match="it cannot be read: Is a directory"):
        load_scenario(tmp_path)
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ScenarioError, match="it cannot be read"):
        load_scenario(tmp_path / "binary.toml")


def test_several_agents_of_a_kind_are_numbered(tmp_path: Path) -> None:
    path = tmp_path / "scenario.toml"
    path.write_text(HEAD + AGENT + "count = 3\n")
    assert load_scenario(path).agents[0].names() == ["a-1", "a-2", "a-3"]
