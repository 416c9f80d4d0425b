"""Tells and asks between two processes over the network, beside bare pipes and bare ZeroMQ sockets."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import socket
import subprocess
import sys
from multiprocessing.connection import Connection

import psutil
import zmq

from benchmarks.agents import Add, Counter, Note
from benchmarks.harness import Row, compare, timed
from benchmarks.throughput import versus
from coterie import MailboxPolicy, Runtime
from coterie.network import NetworkTransport, NodeEntry, Topology

TELLS, ASKS = 60_000, 1_000


def all_rows() -> list[Row]:
    with contextlib.ExitStack() as stack:
        ports = [_free_port() for _ in range(3)]
        topology = _topology(ports)
        node = subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, "-m", "benchmarks.network", *map(str, ports)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        stack.callback(node.communicate)
        network = NetworkTransport(topology, "here")
        runtime = stack.enter_context(Runtime("here", transport=network))
        counter = runtime.reference(network.address("there", "counter", timeout=60.0))
        near, far = multiprocessing.get_context("spawn").Pipe()
        child = multiprocessing.get_context("spawn").Process(target=_pipe_end, args=(far,), daemon=True)
        child.start()
        stack.callback(child.join)
        stack.callback(near.send, None)
        context = stack.enter_context(zmq.Context())
        bare = stack.enter_context(context.socket(zmq.DEALER))
        bare.connect(f"tcp://127.0.0.1:{ports[2]}")

        def tell() -> None:
            for _ in range(TELLS):
                counter.tell(Note(1))
            counter.ask(Add(0)).result(60)

        def tell_pipe() -> None:
            for _ in range(TELLS):
                near.send(("note", 1))
            ask_pipe()

        def ask_pipe() -> None:
            near.send(("add", 0))
            near.recv()

        def tell_zmq() -> None:
            for _ in range(TELLS):
                bare.send(b"note 1")
            ask_zmq()

        def ask_zmq() -> None:
            bare.send(b"add 0")
            bare.recv()

        for warm in (ask_pipe, ask_zmq):
            warm()
        before = _processor_times(node.pid)
        tell()
        here, there = (1e6 * (after - first) / TELLS for after, first in zip(_processor_times(node.pid), before, strict=True))
        tells = compare(
            {
                "coterie": lambda: timed(TELLS, tell),
                "Pipe": lambda: timed(TELLS, tell_pipe),
                "zmq": lambda: timed(TELLS, tell_zmq),
            },
            rounds=5,
        )
        asks = compare(
            {
                "coterie": lambda: timed(ASKS, lambda: [counter.ask(Add(0)).result(60) for _ in range(ASKS)]),
                "Pipe": lambda: timed(ASKS, lambda: [ask_pipe() for _ in range(ASKS)]),
                "zmq": lambda: timed(ASKS, lambda: [ask_zmq() for _ in range(ASKS)]),
            },
            rounds=5,
        )
    rate = tells.median("coterie")
    return [
        *versus("tell between two processes", tells, "coterie", ("Pipe", 0.5, "aim for"), ("zmq", 0.2, "aim for")),
        Row("tell between two processes: a second", f"{rate:,.0f}", "aim for 100,000"),
        Row("tell between two processes: processor time", f"{here:.1f} µs at the sender, {there:.1f} µs at the receiver"),
        *versus("ask between two processes", asks, "coterie", ("Pipe", 0.1, "aim for"), ("zmq", 0.2, "aim for")),
    ]


def _processor_times(other: int) -> tuple[float, float]:
    """Return the seconds of processor time of this process and of another."""
    times = (psutil.Process(pid).cpu_times() for pid in (os.getpid(), other))
    here, there = (each.user + each.system for each in times)
    return here, there


def _topology(ports: list[int]) -> Topology:
    return Topology({"here": NodeEntry(f"127.0.0.1:{ports[0]}"), "there": NodeEntry(f"127.0.0.1:{ports[1]}")})


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _pipe_end(pipe: Connection) -> None:
    total = 0
    while (message := pipe.recv()) is not None:
        kind, number = message
        total += number
        if kind == "add":
            pipe.send(total)


def _host(ports: list[int]) -> None:
    """Host the counter of Coterie and that of bare ZeroMQ, until standard input ends."""
    from coterie.concurrency import start_thread  # noqa: PLC0415

    def count() -> None:
        with zmq.Context() as context, context.socket(zmq.ROUTER) as router:
            router.bind(f"tcp://127.0.0.1:{ports[2]}")
            total = 0
            while True:
                route, message = router.recv_multipart()
                kind, _, number = message.partition(b" ")
                total += int(number)
                if kind == b"add":
                    router.send_multipart([route, b"%d" % total])

    start_thread(count, "bare")
    network = NetworkTransport(_topology(ports), "there", admit=False)
    with Runtime("there", transport=network) as runtime:
        runtime.spawn(Counter, name="counter", mailbox=MailboxPolicy(10 * TELLS))
        network.admit()
        sys.stdin.read()


if __name__ == "__main__":
    _host([int(port) for port in sys.argv[1:]])
