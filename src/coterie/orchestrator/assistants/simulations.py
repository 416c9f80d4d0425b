"""Simulations as tools of an assistant, or of an MCP server without one: start, resume and steer runs, and read their records.

A tool starts the same run as `coterie run`, in a folder of its own, so all other commands and the console know it. As an operation
of the ledger it has progress, a cancel that stops it after its current step, and one outcome. A run that a crash cut off goes on
at the next opening.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any, Literal

import msgspec

from coterie.conversation import Conversations, ConversationSettings, Tool, ToolContext
from coterie.errors import CoterieError, OperationStopped, ScenarioError, ToolFailed
from coterie.errors.orchestrator import RunFolderFailed, RunStopped, RunUnknown
from coterie.models import RuleModel
from coterie.orchestrator.control import Command, RunCommand, run_status, send_command
from coterie.orchestrator.folder import SCENARIO, RunFolder
from coterie.orchestrator.kind import Bar, Table
from coterie.orchestrator.overview import end_of_round, find_runs, recorded_world, run_overview
from coterie.orchestrator.running import load_run, run_scenario, scenario_of_run
from coterie.orchestrator.scenario import Scenario, check_scenario, load_scenario, read_scenario
from coterie.orchestrator.sweep import jobs_of_cells
from coterie.world import thaw

SERVING = ConversationSettings(cancel_grace=60.0, queue=100)
"""The settings of a server of simulations alone: a cancel waits a minute for the end of the current step."""
RUNS = "coterie://runs"
"""The address of the list of runs as an MCP resource; that of a run has its name behind it."""
_ROWS = 200
"""Rows of a table in a result at most: the first and the last of them."""
_MOST = 2_000
"""Keys of a world in one answer at most."""
_NAMES: Mapping[str, Any] = {"ToolContext": ToolContext, "Command": Command, "Any": Any, "Literal": Literal}


class SimulationTools:
    """The simulations of scenario files, and the runs in a folder, as tools.

    `scenarios` are TOML files of simulations, meetings or other runs; without one, there are only tools for runs that exist.
    `runs` is the folder of runs, or the folder of one run. Runs of one server begin one after the other. Raises `ScenarioError` for
    a file that is wrong, and for two scenarios of one name. Safe from any thread.
    """

    def __init__(self, runs: Path, scenarios: Iterable[Path] = ()) -> None:
        self._runs = runs
        self._files: dict[str, Path] = {}
        for path in scenarios:
            name = load_scenario(path).parameters.name
            if name in self._files:
                raise ScenarioError(path, [f"name: {self._files[name]} has the name {name!r} too; rename one of them"])
            self._files[name] = path

    def tools(self) -> list[Tool]:
        """Return the tools."""
        reading: list[Callable[..., Any]] = [self.list_runs, self.run_state, self.run_result, self.run_world]
        writing: list[Callable[..., Any]] = [self.resume_simulation]
        if self._files:
            reading.insert(0, self.list_simulations)
            writing.insert(0, self.run_simulation)
        return [
            *(Tool(_failing(each), effect="read", names=_NAMES) for each in reading),
            *(
                Tool(_failing(each), resources=["simulations"], idempotent=True, report=_reported, names=_NAMES)
                for each in writing
            ),
            Tool(_failing(self.steer_simulation), resources=["steering"], second_lane=True, names=_NAMES),
        ]

    # The tools. Models and clients read their docstrings.

    def list_simulations(self) -> list[dict[str, Any]]:
        """List the simulations that can be run, with their parameters. A parameter is set by its path, such as lake.growth."""
        found = []
        for name, path in self._files.items():
            parameters = load_scenario(path).parameters.model_dump(mode="json")
            told = {key: parameters.pop(key) for key in ("kind", "description")}
            found.append({"simulation": name, **told, "parameters": parameters})
        return found

    def run_simulation(  # noqa: D417 - the model does not give the context
        self, context: ToolContext, simulation: str = "", seed: int | None = None, settings: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Run a simulation to its end, and return its headline, figures, tables and digest. The same seed gives the same digest.

        Args:
            simulation: its name, as list_simulations has it; may be left out if there is only one
            seed: the source of all random numbers, instead of the scenario's
            settings: changed parameters by their paths, such as {"lake.growth": 1.5, "agents.0.count": 3}
        """
        restored = self._runs / str(context.restored) if context.restored else None
        if restored is not None and (restored / SCENARIO).is_file():
            return self._resume(context, restored)
        path = self._file(simulation)
        text = read_scenario(path)
        chosen = load_scenario(path).parameters.seed if seed is None else seed
        (job,) = jobs_of_cells(text, path, [(settings or {}, chosen)])
        scenario = check_scenario(job.data, path)
        scenario.kind.check(scenario.parameters, scenario.folder)
        with RunFolder.create(self._runs, scenario.parameters.name, text) as folder:
            context.checkpoint(folder.path.name).result()
            return _run(context, scenario, folder, resume=False)

    def resume_simulation(self, context: ToolContext, run: str) -> dict[str, Any]:  # noqa: D417 - as above
        """Go on with a run that was stopped or interrupted, to the end and the digest of an uninterrupted one.

        Args:
            run: its name, as list_runs has it
        """
        return self._resume(context, self._run(run))

    def steer_simulation(self, run: str, command: Command, parameter: str = "", value: float | None = None) -> str:
        """Steer a run that goes on; it follows after its current step.

        Args:
            run: its name, as list_runs has it
            command: pause, step, go on, stop (it can be resumed), or adjust a parameter
            parameter: the name of the parameter to adjust, one of those that run_state lists as adjustable
            value: the new value of the parameter
        """
        send_command(self._run(run), RunCommand(command, parameter, value, "a tool"))
        return f"{command}: the run follows after its current step"

    def list_runs(self) -> list[dict[str, Any]]:
        """List the runs, newest first, with their states, steps, figures and digests."""
        return [_overview(path) for path in find_runs([self._runs])]

    def run_state(self, run: str) -> dict[str, Any]:
        """Return the state of a run: running, paused, ended, stopped, failed or interrupted, its steps, and its adjustable parameters.

        Args:
            run: its name, as list_runs has it
        """
        path = self._run(run)
        status = run_status(path)
        adjustable = msgspec.to_builtins(status.adjustable) if status is not None else {}
        return {**_overview(path), "adjustable": adjustable}

    def run_result(self, run: str) -> dict[str, Any]:
        """Return the result of a run: its headline, figures, tables and digest; of one that goes on, its settled steps.

        Args:
            run: its name, as list_runs has it
        """
        return _result(self._run(run))

    def run_world(self, run: str, round: int | None = None, beginning: str = "", limit: int = 200) -> dict[str, Any]:  # noqa: A002 - the field's word
        """Return the world of a run at the end of a round: its keys with their values.

        Args:
            run: its name, as list_runs has it
            round: the round, 0 for the first state; without it, the latest settled round
            beginning: only keys that begin with this, such as basket/
            limit: keys at most, up to 2000
        """
        if not 1 <= limit <= _MOST:
            raise ToolFailed(f"limit is {limit}: give a number from 1 to {_MOST}")
        with recorded_world(self._run(run)) as world:
            number, sequence = end_of_round(world, round)
            if round is not None and number != round:
                raise ToolFailed(f"round {round} is not settled in this run: give one from 0 to {number}")
            view = world.at(sequence)
            keys = sorted(key for key in view if key.startswith(beginning))
            values = {key: _short(view[key], limit) for key in keys[:limit]}
        return {"run": run, "round": number, "keys": len(keys), "world": values}

    # Resources of an MCP server.

    def list_resources(self) -> list[dict[str, str]]:
        """Return the runs as MCP resources."""
        found = [{"uri": RUNS, "name": "runs", "description": "The runs, newest first."}]
        return found + [{"uri": f"{RUNS}/{path.name}", "name": path.name} for path in find_runs([self._runs])[:_ROWS]]

    def read_resource(self, uri: str) -> str | None:
        """Return the list of runs, or the result of one, as JSON; None for another address."""
        if uri == RUNS:
            return msgspec.json.encode(self.list_runs()).decode()
        if not uri.startswith(f"{RUNS}/"):
            return None
        return msgspec.json.encode(_result(self._run(uri.removeprefix(f"{RUNS}/"))), enc_hook=str).decode()

    def _file(self, simulation: str) -> Path:
        if not simulation and len(self._files) == 1:
            return next(iter(self._files.values()))
        found = self._files.get(simulation)
        if found is None:
            raise ToolFailed(f"there is no simulation {simulation!r}: give one of {', '.join(self._files)}")
        return found

    def _run(self, name: str) -> Path:
        # Only a folder that is listed: a name is no path.
        found = {path.name: path for path in find_runs([self._runs])}
        if name not in found:
            raise ToolFailed(f"there is no run {name!r}: give one that list_runs has")
        return found[name]

    def _resume(self, context: ToolContext, path: Path) -> dict[str, Any]:
        status = run_status(path)
        if status is not None and status.live:
            raise ToolFailed(f"{path.name} goes on already")
        with RunFolder.open(path) as folder:
            return _run(context, scenario_of_run(path), folder, resume=True)


def host_simulations(simulations: SimulationTools, store: Path | None = None) -> Conversations:
    """Return a host of conversations with the tools of simulations and nothing to talk with, for an MCP server.

    `store` is the file of its operations, which then outlive the process.
    """
    if store is not None:
        try:
            store.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunFolderFailed(store.parent, error) from error
    model = RuleModel(lambda _: "Call the tools: these are simulations, and nothing to talk with.", name="simulations")
    return Conversations(model, simulations.tools(), store=store, settings=SERVING)


def _run(context: ToolContext, scenario: Scenario, folder: RunFolder, *, resume: bool) -> dict[str, Any]:
    """Run a scenario in its folder, tell its progress, and return its result."""
    steps = 0
    planned: int | None = None

    def step(step: Any) -> None:
        nonlocal steps, planned
        steps += 1
        if planned is None:
            status = run_status(folder.path)
            planned = status.planned if status is not None else 0
        try:
            context.progress(steps / planned if planned else 0.0, scenario.kind.describe(scenario.parameters, step))
        except OperationStopped:
            raise RunStopped(folder.path) from None

    try:
        run_scenario(scenario, folder, step, resume=resume)
    except RunStopped as stopped:
        if context.cancelled:
            raise OperationStopped(context.operation) from stopped
    except CoterieError as error:
        raise ToolFailed(f"{folder.path.name} failed after {steps} steps: {error}") from error
    return _result(folder.path)


def _overview(path: Path) -> dict[str, Any]:
    try:
        found = run_overview(path)
    except RunUnknown as error:
        return {"run": path.name, "state": "unreadable", "error": str(error)}
    fields = (
        "name",
        "kind",
        "seed",
        "state",
        "steps",
        "planned",
        "digest",
        "figures",
        "seconds",
        "costs",
        "surprises",
        "error",
    )
    return {"run": path.name, **{name: value for name in fields if (value := getattr(found, name)) not in ("", None, {}, ())}}


def _result(path: Path) -> dict[str, Any]:
    scenario, record = load_run(path)
    summary = scenario.kind.summarise(scenario.parameters, record)
    tables = [*summary.tables, *([summary.history] if summary.history is not None else [])]
    found = {
        "run": path.name,
        "state": run_overview(path).state,
        "headline": summary.headline,
        "figures": summary.figures,
        "surprises": summary.surprises,
        "notes": summary.notes,
        "steps": len(record.steps),
        "digest": record.digest,
        "costs": record.costs[-1:],
        "tables": [_table(each) for each in tables],
    }
    return {name: value for name, value in found.items() if value not in ((), [], {})}


def _table(table: Table) -> dict[str, Any]:
    rows = [[cell.note or cell.part if isinstance(cell, Bar) else cell for cell in row] for row in table.rows]
    left_out = len(rows) - _ROWS
    if left_out > 0:
        rows = rows[: _ROWS // 2] + rows[-_ROWS // 2 :]
    more = {"rows_left_out_in_the_middle": left_out} if left_out > 0 else {}
    return {"title": table.title, "columns": table.columns, "rows": rows, **more}


def _short(value: Any, limit: int) -> Any:
    """Return a value of a world, of which a long list or column is cut."""
    if isinstance(value, Mapping) and len(value) > limit:
        return {**{name: thaw(value[name]) for name in list(value)[:limit]}, "(left out)": len(value) - limit}
    if isinstance(value, tuple) and len(value) > limit:
        return [*(thaw(each) for each in value[:limit]), f"({len(value) - limit} left out)"]
    return thaw(value)


def _failing(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function whose known errors tell their text alone."""

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except (OperationStopped, ToolFailed):
            raise
        except CoterieError as error:
            raise ToolFailed(str(error)) from error

    return call


def _reported(operation: Any) -> str:
    """Return the delivery of a run that has ended: its headline, not all of its tables."""
    try:
        found = msgspec.json.decode(operation.content)
        return f"The simulation has ended ({found['run']}): {found['headline']}."
    except (msgspec.DecodeError, KeyError, TypeError):
        return f"The simulation: {operation.content or operation.detail or operation.state}"
