"""`coterie doctor`: describe the machine and its sizing, and check that threads, processes, storage and memory work."""

from __future__ import annotations

import json
import operator
import os
import platform
import re
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from coterie.cli.network import diagnose_network
from coterie.cli.output import print_table
from coterie.concurrency import PROCESS_THREADS
from coterie.concurrency.budget import ABANDONED_VARIABLE, THREADS_VARIABLE
from coterie.errors import StorageCorrupt, describe
from coterie.errors.general import install_command
from coterie.memory import MemoryConfig, TieredMemory
from coterie.runtime import Leased
from coterie.storage import Database, open_database
from coterie.work import Bounds, Machine, ProcessingEngine, Sizing

_EXTRAS = ("cli", "report", "postgres", "redis", "prometheus", "vectors", "embed", "models", "network", "serve")
_REQUIREMENT = re.compile(r"""([\w.-]+)\s*(?:\[([^\]]*)\])?[^;]*(?:;.*extra\s*==\s*['"]([\w-]+)['"])?""")
"""A requirement in the metadata of a package: its name, its extras, and the extra that has it."""
_PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check."""

    name: str
    well: bool
    detail: str


def doctor(
    database: Annotated[
        str | None,
        typer.Option(
            help="The database to check, a path or an address; else a new file is tried.",
            envvar="COTERIE_DATABASE",
            show_default=False,
        ),
    ] = None,
    redis: Annotated[
        str | None, typer.Option(help="The Redis to check.", envvar="COTERIE_REDIS_URL", show_default=False)
    ] = None,
    network: Annotated[
        Path | None, typer.Option(help="Tell instead which node of this topology reaches which.", show_default=False)
    ] = None,
    node: Annotated[
        str | None, typer.Option(help="With --network: the node whose key is used.", envvar="COTERIE_NODE", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print all of it as JSON.")] = False,
) -> None:
    """Show the machine and its sizing, and check the configuration. Ends with status 1 if a check fails."""
    if network is not None:
        diagnose_network(network, node, as_json=as_json)
        return
    machine = Machine.detect()
    sizing = Sizing(machine)
    checks = [
        _try("threads", _threads),
        _try("processes", _processes),
        _try("storage", lambda: _storage(database)),
        _try("memory", lambda: _memory(redis)),
    ]
    extras = {extra: missing_packages("coterie", extra) for extra in _EXTRAS}
    if as_json:
        typer.echo(json.dumps(_as_dict(machine, sizing, checks, extras), indent=2))
    else:
        console = Console(highlight=False)
        for table in (_machine(machine), _sizing(sizing), _health(checks, extras)):
            print_table(console, table)
    if not all(check.well for check in checks):
        raise typer.Exit(1)


def missing_packages(package: str, extra: str) -> list[str]:
    """Return the packages that an extra of an installed package needs and that are not installed, by name."""
    missing: list[str] = []
    for text in requires(package) or ():
        match = _REQUIREMENT.match(text)
        if match is None or match[3] != extra:
            continue
        try:
            version(match[1])
        except PackageNotFoundError:
            missing.append(match[1])
            continue
        for inner in filter(None, (match[2] or "").replace(" ", "").split(",")):
            missing += missing_packages(match[1], inner)
    return list(dict.fromkeys(missing))


def _try(name: str, check: Callable[[], str]) -> Check:
    try:
        return Check(name, well=True, detail=check())
    except Exception as error:  # noqa: BLE001 - to tell of it is what this is for
        return Check(name, well=False, detail=describe(error))


def _threads() -> str:
    with ProcessingEngine(threads=Bounds(1, 1)) as engine:
        engine.submit(operator.add, 1, 1).result(_PATIENCE)
    return "a job ran"


def _processes() -> str:
    with ProcessingEngine(processes=Bounds(1, 1)) as engine:
        pid = engine.submit(os.getpid, cpu_bound=True).result(_PATIENCE)
    return "a job ran in a process of its own" if pid != os.getpid() else "not needed: threads compute at the same time"


def _storage(url: str | None) -> str:
    if url is None:
        with tempfile.TemporaryDirectory(prefix="coterie-doctor-") as folder, open_database(Path(folder, "run.db")) as database:
            return _well(database, "a new file")
    if "://" not in url and not Path(url).exists():
        raise FileNotFoundError(f"{url}: there is no such file")
    with open_database(url) as database:
        return _well(database, database.name)


def _well(database: Database, name: str) -> str:
    faults = database.check()
    if faults:
        raise StorageCorrupt(name, "; ".join(faults[:3]))
    return f"{name}: {database.dialect.value}, no faults"


def _memory(redis: str | None) -> str:
    with TieredMemory(MemoryConfig(redis_url=redis, maintenance_interval=None)) as memory:
        memory.store("coterie/doctor", {"text": "a check"})
        memory.flush()
        memory.delete("coterie/doctor")
        memory.flush()
        away = [f"{tier.name}: {tier.away}" for tier in memory.metrics().tiers.values() if tier.away]
    if away:
        raise ConnectionError("; ".join(away))
    return "stored and deleted" + (", with Redis" if redis is not None else "")


def _machine(machine: Machine) -> Table:
    table = Table(title="the machine", title_justify="left", show_header=False)
    rows = {
        "python": f"{platform.python_version()}, coterie {version('coterie')}",
        "system": f"{platform.system()} {platform.machine()}",
        "cores": f"{machine.physical} physical, {machine.logical} logical",
        "affinity": "any" if machine.affinity is None else f"{machine.affinity} of them",
        "container's quota": "none" if machine.quota is None else f"{machine.quota:g} cores",
        "memory": _bytes(machine.memory),
        "container's limit": "none" if machine.memory_limit is None else _bytes(machine.memory_limit),
        "usable": f"{machine.cores} for what computes, {machine.usable} logical",
    }
    for name, value in rows.items():
        table.add_row(name, escape(value))
    return table


def parts(sizing: Sizing) -> dict[str, dict[str, int | tuple[int, int]]]:
    """Return how many threads and processes each part takes by default, at most or from least to most."""
    leased = Leased()
    threads, action = sizing.processing, sizing.action
    return {
        "memory": dict(sizing.workers.memory),
        "processing": {
            "threads": (threads.least, threads.most),
            "while jobs mostly wait up to": sizing.limits.max_pool_size,
            "processes": sizing.processes.most,
            "of these for learning": min(sizing.processes.most, sizing.workers.processing["learning"]),
        },
        "action": {
            "threads": (action.least, action.most),
            "while actions mostly wait up to": sizing.limits.max_pool_size,
        },
        "environment": dict(sizing.workers.environment),
        "agents": {"threads while they have something to do": (leased.least, leased.most)},
    }


def _count(count: int | tuple[int, int]) -> str:
    return f"{count:,}" if isinstance(count, int) else f"{count[0]:,} to {count[1]:,}"


def _budget() -> str:
    return (
        f"at most {PROCESS_THREADS.threads_limit:,} threads ({THREADS_VARIABLE}), "
        f"{PROCESS_THREADS.abandoned_limit:,} of them in calls that do not return ({ABANDONED_VARIABLE})"
    )


def _sizing(sizing: Sizing) -> Table:
    table = Table(title="how much it can do at once", title_justify="left")
    table.add_column("component")
    table.add_column("threads and processes")
    for component, workers in parts(sizing).items():
        table.add_row(component, ", ".join(f"{name} {_count(count)}" for name, count in workers.items()))
    table.add_section()
    table.add_row("CPU-bound", str(sizing.cpu_bound))
    table.add_row("I/O-bound, waiting 9 of 10 s", str(sizing.io_bound(9.0, 1.0)))
    table.add_row("mixed", str(sizing.mixed))
    table.add_row("process", _budget())
    table.add_row("limits", ", ".join(f"{name} {value}" for name, value in asdict(sizing.limits).items()).replace("_", " "))
    return table


def _health(checks: list[Check], extras: dict[str, list[str]]) -> Table:
    table = Table(title="health", title_justify="left", show_header=False)
    for check in checks:
        table.add_row(check.name, "[green]well[/]" if check.well else "[bold red]not well[/]", escape(check.detail))
    table.add_section()
    for extra, missing in extras.items():
        lacking = f"without {', '.join(missing)}: {install_command(extra)}" if missing else ""
        table.add_row(extra, "[dim]not installed[/]" if missing else "installed", escape(lacking))
    return table


def _bytes(count: int | None) -> str:
    return "unknown" if count is None else f"{count / 2**30:.1f} GiB"


def _as_dict(machine: Machine, sizing: Sizing, checks: list[Check], extras: dict[str, list[str]]) -> dict[str, object]:
    return {
        "machine": {**asdict(machine), "cores": machine.cores, "usable": machine.usable},
        "sizing": {
            **asdict(sizing.workers),
            "parts": parts(sizing),
            "cpu_bound": sizing.cpu_bound,
            "mixed": sizing.mixed,
            "limits": asdict(sizing.limits),
            "process": {"threads": PROCESS_THREADS.threads_limit, "abandoned": PROCESS_THREADS.abandoned_limit},
        },
        "checks": {check.name: {"well": check.well, "detail": check.detail} for check in checks},
        "extras": {extra: not missing for extra, missing in extras.items()},
        "missing": {extra: missing for extra, missing in extras.items() if missing},
    }
