"""Run all benchmarks, or those that are named, and print one table; compare its ratios with the stored ones, or store them.

`python -m benchmarks [--save] [NAME...]`. The table in `baseline.json` is of one machine: store your own before you change
something, and see afterwards what fell by more than the spread. Ends with status 1 if something fell, or could not run.
"""

from __future__ import annotations

import gc
import logging
import os
import platform
import resource
import sys
import time
from collections.abc import Callable, Iterable
from functools import partial

from benchmarks import (
    cluster,
    console,
    conversation,
    counters,
    durable,
    growth,
    histories,
    latency,
    mcp,
    meetings,
    memory,
    models,
    network,
    peers,
    personas,
    requests,
    rounds,
    size,
    storage,
    throughput,
    vectors,
    wealth,
    work,
    world,
)
from benchmarks.baseline import Baseline
from benchmarks.harness import MachineLoad, Row

BENCHMARKS: dict[str, Callable[[], Iterable[Row]]] = {
    "ask-outside": throughput.ask_from_outside,
    "ask-within": throughput.ask_from_within,
    "askers": throughput.askers,
    "tell": partial(throughput.tell, 1),
    "tell-4": partial(throughput.tell, 4),
    "gather": throughput.gather,
    "async-handlers": throughput.async_handlers,
    "size": size.all_rows,
    "latency-open": latency.all_rows,
    "latency-restart": latency.first_restarts,
    "storage": storage.all_rows,
    "memory-hits": memory.hits,
    "memory-ratios": memory.ratios,
    "memory-cold": memory.cold,
    "memory-stores": memory.stores,
    "memory-recall": memory.recall,
    "memory-vectors": vectors.exact,
    "work": work.all_rows,
    "models": models.all_rows,
    "requests": requests.all_rows,
    "world": world.all_rows,
    "rounds": rounds.all_rows,
    "growth": growth.all_rows,
    "personas": personas.all_rows,
    "meetings-broadcast": meetings.broadcast,
    "meetings-many": meetings.many,
    "meetings-turns": meetings.turns,
    "wealth-messages": wealth.messages,
    "wealth-simulations": wealth.simulations,
    "conversation": conversation.all_rows,
    "histories": histories.all_rows,
    "mcp": mcp.all_rows,
    "network": network.all_rows,
    "ray": cluster.one_machine,
    "cluster": cluster.all_rows,
    "console": console.all_rows,
    "durable-asks": durable.asks,
    "durable-activation": durable.activation,
    "durable-memory": durable.memory,
    "durable-counters": counters.all_rows,
}


GROUPS = {
    "throughput": ("ask-outside", "ask-within", "askers", "tell", "tell-4", "gather"),
    "targets": (
        *("ask-outside", "tell", "async-handlers", "wealth-messages", "latency-restart", "memory-cold", "memory-stores"),
        *("personas", "rounds", "size"),
    ),
    "peers": (
        *("ask-outside", "ask-within", "tell", "tell-4", "gather", "wealth-messages", "wealth-simulations", "meetings-turns"),
        *("durable-counters", "ray"),
    ),
} | {
    group: tuple(name for name in BENCHMARKS if name.startswith(f"{group}-"))
    for group in ("memory", "meetings", "durable", "latency", "wealth")
}
"""Names for several benchmarks: those of one module, those of the table of targets, and those beside peers."""


def main() -> int:
    words = [word for word in sys.argv[1:] if word != "--save"]
    names = [name for word in words or list(BENCHMARKS) for name in GROUPS.get(word, (word,))]
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        print(f"no benchmark {unknown[0]!r}; there are {', '.join([*GROUPS, *BENCHMARKS])}", file=sys.stderr)
        return 2
    # Threads with an event loop each take three file descriptors each.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    logging.disable(logging.CRITICAL)
    machine = f"Python {platform.python_version()}, {platform.system()} {platform.machine()}, {os.cpu_count()} processors"
    print(f"{machine}; load average {os.getloadavg()[0]:.1f}")
    for name in (*peers.MISSING, *counters.MISSING):
        how = (
            "pip install xoscar, in an environment of its own" if name == "xoscar" else "`make bench` installs the group bench"
        )
        print(f"{name} is not installed; its rows are left out ({how})")
    print("\n| what | figure, quartiles | target | | used by others |\n| --- | --- | --- | --- | --- |", flush=True)
    rows: list[Row] = []
    failed: list[str] = []
    began = time.perf_counter()
    for name in names:
        load = MachineLoad()
        try:
            for row in BENCHMARKS[name]():
                print(f"{row} {load.of_others():.0%} |", flush=True)
                rows.append(row)
        except Exception as error:  # noqa: BLE001 - one that cannot run here costs no figure of the others
            failed.append(f"{name}: {type(error).__name__}: {error}")
        so_far = time.perf_counter() - began
        took = f"{name} took {load.seconds:.0f} s, {load.processor:.0f} s of the processor"
        print(f"{took}; {so_far:.0f} s so far", file=sys.stderr, flush=True)
    print(f"\n{len(names)} benchmarks in {time.perf_counter() - began:.0f} s")
    for line in failed:
        print(f"could not run {line}")
    missed = sum(row.met is False for row in rows)
    print(f"{missed} missed" if missed else "all met")
    if "--save" in sys.argv:
        Baseline.load().with_rows(rows, machine).save()
        return 1 if failed else 0
    before = Baseline.load()
    if before.ratios:
        print(f"compared with the ratios of {before.machine}")
    fallen = before.fallen(rows)
    for line in fallen:
        print(f"fell: {line}")
    return 1 if fallen or failed else 0


if __name__ == "__main__":
    # The modules of all peers: without this, each pass of the garbage collector over them would count for one of the contestants.
    gc.collect()
    gc.freeze()
    sys.exit(main())
