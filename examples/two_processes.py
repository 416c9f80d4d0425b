"""An agent in another process: the parent asks it over the network, and the child ends when its input does."""

import random
import subprocess
import sys

from coterie import Agent, Request, Runtime, on
from coterie.network import NetworkTransport, NodeEntry, Topology


class Solve(Request[int]):
    number: int


class Solver(Agent):
    @on
    def solve(self, message: Solve) -> int:
        """Return the steps of the Collatz sequence from a number to 1."""
        number, steps = message.number, 0
        while number != 1:
            number, steps = (number // 2 if number % 2 == 0 else 3 * number + 1), steps + 1
        return steps


def topology(port: int) -> Topology:
    return Topology({"parent": NodeEntry(f"127.0.0.1:{port}"), "child": NodeEntry(f"127.0.0.1:{port + 1}")})


def child(port: int) -> None:
    network = NetworkTransport(topology(port), "child", admit=False)
    with Runtime("child", transport=network) as runtime:
        runtime.spawn(Solver, name="solver")
        network.admit()
        sys.stdin.read()


def parent() -> None:
    port = random.randrange(20_000, 32_000)  # noqa: S311 - any that is free will do
    process = subprocess.Popen([sys.executable, __file__, str(port)], stdin=subprocess.PIPE)  # noqa: S603 - this program
    network = NetworkTransport(topology(port), "parent")
    with process, Runtime("parent", transport=network) as runtime:
        solver = runtime.reference(network.address("child", "solver", timeout=30.0))
        print("steps from 27 to 1:", solver.ask(Solve(number=27)).result())
        print("answered by process", process.pid != 0 and solver.address.node.partition("-")[0])
        process.communicate()


if __name__ == "__main__":
    child(int(sys.argv[1])) if len(sys.argv) > 1 else parent()
