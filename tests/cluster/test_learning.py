"""The classes of durable agents that a node learns while it reports, without Ray."""

import logging
import sys
import threading
from pathlib import Path

import pytest

from coterie import Agent
from coterie.cluster.learning import ClassLearner
from coterie.cluster.wire import ClusterView
from coterie.concurrency import start_thread
from coterie.errors import DefinitionError
from coterie.testing.waiting import eventually

SLOW = """
import gate
from coterie import Agent

gate.begun.set()
assert gate.goes_on.wait(20)

class Late(Agent):
    pass
"""


def test_a_module_that_loads_for_long_does_not_hold_up_the_reports_of_its_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "gate.py").write_text("import threading\nbegun, goes_on = threading.Event(), threading.Event()\n")
    (tmp_path / "slow_agents.py").write_text(SLOW)
    monkeypatch.syspath_prepend(tmp_path)
    learned: list[type[Agent]] = []
    complete = threading.Event()
    learner = ClassLearner("left", learned.append, complete.set)
    learner.start()
    # Each view is told between two reports: it returns at once, though the import takes longer than a node may be silent.
    learner.follow(ClusterView([], ["slow_agents:Late", "no_such_module:Agent"]))
    eventually(lambda: "gate" in sys.modules and sys.modules["gate"].begun.is_set(), timeout=20)
    learner.follow(ClusterView([], ["slow_agents:Late", "no_such_module:Agent"], settled=True))
    waited = threading.Event()
    start_thread(lambda: (learner.wait(), waited.set()), "waits")
    assert not complete.is_set()
    assert not waited.is_set()
    assert not learner.is_complete
    with caplog.at_level(logging.ERROR):
        sys.modules["gate"].goes_on.set()
        assert complete.wait(20)
    # A node is ready only now.
    assert waited.wait(20)
    assert [each.__name__ for each in learned] == ["Late"]
    assert "node left cannot load it: ModuleNotFoundError" in caplog.text
    # A program that names the class hears of it again.
    with pytest.raises(DefinitionError, match="node left cannot load it"):
        learner.learn("no_such_module:Agent")
