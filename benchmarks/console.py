"""The cost of the console: a runtime of a thousand busy agents, with a console that nobody looks at, and with one viewer.

The figure is the processor time of the console's threads, as a part of one processor: what the agents lose on a machine that has
nothing else to do. Other programs, and the viewer, which is a process of its own, do not count.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from contextlib import ExitStack

import psutil

from benchmarks.harness import Row, Spread
from coterie import Agent, Message, Runtime, on
from coterie.console import Console, ConsoleOptions
from coterie.kernel.access import AccessToken
from coterie.testing import wait_until_idle

AGENTS = 1_000
MESSAGES = 400
"""Messages to each agent in a round."""
ROUNDS = 3
WARM_UP = 2.0
"""Seconds in which a page is opened and its templates are loaded."""
TOKEN = "the-token-of-the-benchmark"  # noqa: S105 - it guards nothing
_VIEWER = """
import sys, urllib.request
request = urllib.request.Request(sys.argv[1], headers={"Authorization": "Bearer " + sys.argv[2]})
for line in urllib.request.urlopen(request):
    pass
"""


class Tick(Message):
    """One message."""


class Counter(Agent):
    """Counts its messages."""

    def __init__(self) -> None:
        self.count = 0

    @on
    def tick(self, _: Tick) -> None:
        self.count += 1


def work(runtime: Runtime) -> float:
    """Let the agents handle the messages of one round, and return the time that it took in seconds."""
    agents = runtime.agents()
    began = time.perf_counter()
    for _ in range(MESSAGES):
        for agent in agents:
            agent.tell(Tick())
    wait_until_idle(runtime, timeout=120)
    return time.perf_counter() - began


def of_console() -> float:
    """Return the processor time of the console's threads so far, in seconds."""
    mine = {each.native_id for each in threading.enumerate() if each.name.startswith(("coterie-console", "AnyIO"))}
    return sum(each.user_time + each.system_time for each in psutil.Process().threads() if each.id in mine)


def all_rows() -> list[Row]:
    """Measure both, interleaved."""
    shares: dict[str, list[float]] = {"idle": [], "viewed": []}
    with Runtime() as runtime:
        for _ in range(AGENTS):
            runtime.spawn(Counter)
        work(runtime)
        for _ in range(ROUNDS):
            with ExitStack() as stack:
                console = stack.enter_context(Console(options=ConsoleOptions(port=0), token=AccessToken(TOKEN)))
                console.show(runtime, "counters")
                for name, measured in shares.items():
                    if name == "viewed":
                        address = f"{console.address}/agents/-/stream?runtime=counters&sort=handled"
                        viewer = subprocess.Popen([sys.executable, "-c", _VIEWER, address, TOKEN])  # noqa: S603 - our own
                        stack.callback(viewer.wait)
                        stack.callback(viewer.kill)
                        while console.viewers != 1:
                            time.sleep(0.05)
                        time.sleep(WARM_UP)
                    before = of_console()
                    total = work(runtime)
                    measured.append((of_console() - before) / total)
    rows = []
    for name, what, most in (("idle", "nobody looks", 0.005), ("viewed", "one viewer of the table of agents", 0.02)):
        share = Spread.of(shares[name])
        figure = f"{share.median:.2%} ({share.low:.2%} to {share.high:.2%}) of one processor"
        rows.append(Row(f"console, {AGENTS:,} busy agents, {what}", figure, f"{most:.1%}", share.median <= most))
    return rows
