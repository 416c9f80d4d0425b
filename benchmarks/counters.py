"""A counter for each key: a durable agent, beside a graph of LangGraph where that is installed (the group `bench`).

LangGraph keeps its checkpoints in a SQLite file, and each update waits for them (`durability="sync"`).
"""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypedDict

from benchmarks.durable import ASKERS, Add, Kept, together
from benchmarks.harness import Row, compare, timed
from benchmarks.throughput import versus
from coterie import Runtime

try:
    from langgraph.checkpoint.sqlite import SqliteSaver
    from langgraph.graph import START, StateGraph
except ImportError:
    SqliteSaver = None

MISSING = ["LangGraph"] if SqliteSaver is None else []
UPDATES = {"durable": 40, "LangGraph": 4}
"""Updates of each asker in a round."""
KEYS = 50
"""Keys of each asker."""
UNTIL_KILLED = 1.0


class Counters(Protocol):
    """Counters by key, which survive their process."""

    def add(self, key: str) -> int:
        """Add one; return the count when it is stored."""
        ...

    def count(self, key: str) -> int:
        """Return the stored count."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...


class DurableCounters:
    """Durable agents."""

    def __init__(self, path: str) -> None:
        self._runtime = Runtime(store=path)

    def add(self, key: str) -> int:
        return self._runtime.entity(Kept, key).ask(Add()).result()

    def count(self, key: str) -> int:
        return self.add(key) - 1

    def close(self) -> None:
        self._runtime.stop()


class Counted(TypedDict, total=False):
    """The state of one thread of the graph."""

    count: int
    add: int


class LangGraphCounters:
    """Threads of a graph. The saver guards its connection."""

    def __init__(self, path: str) -> None:
        self._connection = sqlite3.connect(path, check_same_thread=False)
        graph: Any = StateGraph(Counted)
        graph.add_node("add", lambda state: {"count": state.get("count", 0) + state["add"]})
        graph.add_edge(START, "add")
        self._graph = graph.compile(checkpointer=SqliteSaver(self._connection))

    def add(self, key: str) -> int:
        result = self._graph.invoke({"add": 1}, {"configurable": {"thread_id": key}}, durability="sync")
        count: int = result["count"]
        return count

    def count(self, key: str) -> int:
        count: int = self._graph.get_state({"configurable": {"thread_id": key}}).values.get("count", 0)
        return count

    def close(self) -> None:
        self._connection.close()


KINDS: dict[str, Callable[[str], Counters]] = {"durable": DurableCounters}
if SqliteSaver is not None:
    KINDS["LangGraph"] = LangGraphCounters


def all_rows() -> list[Row]:
    """Rates, updates of one key by many, and the counts after a kill."""
    return [*_rates(), _shared(), _killed()]


def _rates() -> list[Row]:
    """Updates in a second, 16 askers with keys of their own."""
    with tempfile.TemporaryDirectory() as folder:
        counters = {name: make(f"{folder}/{name}.db") for name, make in KINDS.items()}

        def each(name: str) -> Callable[[], float]:
            def work(asker: int) -> None:
                for number in range(UPDATES[name]):
                    counters[name].add(f"{asker}/{number % KEYS}")

            return lambda: timed(ASKERS * UPDATES[name], lambda: together(work))

        result = compare({name: each(name) for name in counters}, rounds=5)
        for each_one in counters.values():
            each_one.close()
    return versus("updates of a counter by key, stored before the answer", result, "durable", ("LangGraph", 0, "no target"))


def _shared() -> Row:
    """The count of one key after all askers have updated it at once."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for name, make in KINDS.items():
            counters = make(f"{folder}/{name}.db")
            updates = UPDATES[name]

            def work(_: int, counters: Counters = counters, updates: int = updates) -> None:
                for _ in range(updates):
                    counters.add("one")

            together(work)
            found.append(f"{name} {counters.count('one')} of {ASKERS * updates}")
            counters.close()
    return Row(
        "updates of one key by 16 askers at once: counted",
        "; ".join(found),
        "all of durable",
        found[0].endswith(f"{ASKERS * UPDATES['durable']} of {ASKERS * UPDATES['durable']}"),
    )


def _killed() -> Row:
    """The acknowledged updates that are missing after SIGKILL."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for name, make in KINDS.items():
            path = f"{folder}/{name}.db"
            acknowledged = _run_and_kill(name, path)
            counters = make(path)
            lost = sum(max(0, count - counters.count(key)) for key, count in acknowledged.items())
            counters.close()
            found.append(f"{name} {lost} of {sum(acknowledged.values())}")
    return Row("acknowledged updates lost by SIGKILL", "; ".join(found), "none of durable", found[0].startswith("durable 0 "))


def _run_and_kill(name: str, path: str) -> dict[str, int]:
    """Have a process update counters, kill it, and return the counts that it has acknowledged."""
    command = [sys.executable, "-m", "benchmarks.counters", name, path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1]) as process:  # noqa: S603 - our own
        assert process.stdout is not None
        first = process.stdout.readline()
        threading.Timer(UNTIL_KILLED, process.send_signal, [signal.SIGKILL]).start()
        lines = [first, *process.stdout]
    acknowledged: dict[str, int] = {}
    for line in lines:
        if line.endswith("\n"):
            key, count = line.split()
            acknowledged[key] = max(acknowledged.get(key, 0), int(count))
    return acknowledged


def main(name: str, path: str) -> None:
    """Update counters from several threads until killed; print each acknowledged count."""
    counters = KINDS[name](path)

    def work(asker: int) -> None:
        while True:
            for number in range(KEYS):
                key = f"{asker}/{number}"
                sys.stdout.write(f"{key} {counters.add(key)}\n")
                sys.stdout.flush()

    together(work)
    time.sleep(UNTIL_KILLED)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
