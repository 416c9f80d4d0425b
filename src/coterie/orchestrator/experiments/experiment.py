"""An experiment: many runs of a function or a scenario, over a design, in parallel processes; resumable."""

from __future__ import annotations

import hashlib
import inspect
import math
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from functools import partial
from pathlib import Path
from typing import Any

from coterie.errors import InvalidSetting, describe
from coterie.kernel import check_number
from coterie.orchestrator.experiments.design import Design, as_design
from coterie.orchestrator.experiments.records import ExperimentResult, RunLedger
from coterie.orchestrator.scenario import Scenario, load_scenario, read_scenario
from coterie.orchestrator.sweep import SweepRow, jobs_of_cells, run_in_executor, run_job, run_jobs
from coterie.rounds import Result

Measured = Callable[..., Any]
"""Takes the settings of a run and its `seed`, as keywords; returns figures by name, one figure, or the `Result` of a simulation."""


class Experiment:
    """Many runs over a design, with statistics and one report.

    ::

        def model(growth: float, seed: int) -> dict[str, float]:
            result = simulation(growth, seed).run(rounds=12)
            return {"stock": result.view["lake"]}

        experiment = Experiment(model, {"growth": [1.5, 2.0]}, seeds=range(20), folder="growth")
        outcome = experiment.run()
        outcome.compare("stock")

    The subject is a function, or the path of a scenario file, whose settings are keys such as ``lake.growth``. `design` is a
    `Design`, a mapping of factors to their values, or a list of combinations of settings. With `paired`, all combinations have
    the same seeds, and are compared in pairs.

    Runs are made in `processes` processes, by default one for each processor. The function must then be at the top of a module
    or a script whose main part stands under ``if __name__ == "__main__"``; with ``processes=1`` it may be any function, and runs
    in this process. `executor` runs them elsewhere, such as on a cluster. With a `folder`, each run is recorded there when it
    ends: `run` after an interruption makes the missing and failed runs alone. Raises `InvalidSetting` and `ScenarioError`.
    """

    def __init__(
        self,
        subject: Measured | Path | str,
        design: Design | Mapping[str, Iterable[Any]] | Sequence[Mapping[str, Any]],
        *,
        seeds: Iterable[int] = range(10),
        paired: bool = True,
        folder: Path | str | None = None,
        processes: int | None = None,
        executor: Executor | None = None,
        name: str = "",
    ) -> None:
        check_number("Experiment.processes", processes, least=1, whole=True, optional=True)
        self.design = as_design(design)
        self.seeds = list(seeds)
        for seed in self.seeds:
            check_number("Experiment.seeds", seed, least=-(2**63), whole=True)
        if len(set(self.seeds)) < len(self.seeds):
            raise InvalidSetting("Experiment.seeds", self.seeds, "each seed once")
        self.paired = paired
        self.folder = Path(folder) if folder is not None else None
        self._runs = self.design.runs(self.seeds, paired=paired)
        self._processes = processes or os.cpu_count() or 1
        self._executor = executor
        self._scenario: Scenario | None = None
        if isinstance(subject, str | Path):
            self._scenario = load_scenario(subject)
            text, self._path = read_scenario(subject), Path(subject)
            self._jobs = jobs_of_cells(text, self._path, self._runs)
            self.name = name or self._scenario.parameters.name
            self._identity = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
            return
        if not callable(subject):
            raise InvalidSetting(
                "Experiment.subject", subject, "a function of the settings and a seed, or the path of a scenario"
            )
        self._subject: Measured = subject
        self.name = name or getattr(subject, "__name__", "experiment")
        self._identity = _identity(subject)
        _check_signature(subject, self._runs[0][0])
        if self._processes > 1 and executor is None:
            _check_importable(subject)

    def run(self, done: Callable[[SweepRow], object] = lambda _: None) -> ExperimentResult:
        """Make all runs that are not recorded yet, and return the result; `done` is called when each ends.

        A run that raises, or whose process is killed twice, is a row with its error, and the others go on. Raises
        `ExperimentChanged` for a folder of another experiment, and `RunFolderFailed`.
        """
        with RunLedger(self.folder, self.name, self._identity) as ledger:
            missing = [place for place, (settings, seed) in enumerate(self._runs) if ledger.find(settings, seed) is None]

            def ended(row: SweepRow) -> None:
                ledger.add(row)
                done(row)

            self._make(missing, ended)
            rows = [ledger.row(settings, seed) for settings, seed in self._runs]
        plotted = self._scenario.kind.measure if self._scenario is not None else ""
        return ExperimentResult(self.name, self.design, tuple(self.seeds), self.paired, tuple(rows), self.folder, plotted)

    def recorded(self) -> int:
        """Return the number of runs that are recorded in the folder and did not fail. Raises the errors of `run`."""
        if self.folder is None:
            return 0
        with RunLedger(self.folder, self.name, self._identity) as ledger:
            return sum(ledger.find(settings, seed) is not None for settings, seed in self._runs)

    def _make(self, places: Sequence[int], ended: Callable[[SweepRow], object]) -> None:
        if not places:
            return
        if self._scenario is not None:
            work: Callable[[Any], SweepRow] = run_job
            todo: list[Any] = [self._jobs[place] for place in places]
        else:
            work, todo = partial(measure, self._subject), [self._runs[place] for place in places]
        if self._executor is not None:
            run_in_executor(self._executor, work, todo, ended)
        elif self._processes == 1:
            for job in todo:
                ended(work(job))
        else:
            run_jobs(todo, self._processes, ended, work)


def measure(subject: Measured, run: tuple[dict[str, Any], int]) -> SweepRow:
    """Make one run of a function."""
    settings, seed = run
    try:
        figures, digest, forfeits = _figures(subject(**settings, seed=seed))
    except Exception as error:  # noqa: BLE001 - it is in the row, and the other runs go on
        return SweepRow(settings, seed, error=describe(error))
    return SweepRow(settings, seed, figures, forfeits, digest)


def _figures(found: Any) -> tuple[dict[str, Any], str, int]:
    if isinstance(found, Result):
        last = {name: values[-1] for name, values in found.data["round"].items() if values} if "round" in found.data else {}
        last.pop("round", None)
        return {"rounds": found.rounds, **last}, found.digest, found.forfeits
    if isinstance(found, Mapping):
        return {str(name): _figure(name, value) for name, value in found.items()}, "", 0
    return {"value": _figure("value", found)}, "", 0


def _figure(name: object, value: Any) -> Any:
    if hasattr(value, "item") and not isinstance(value, str | bytes):
        value = value.item()
    if value is not None and not isinstance(value, bool | int | float | str):
        raise TypeError(f"the figure {name!r} is a {type(value).__qualname__}; return numbers or texts by name")
    if isinstance(value, float) and math.isinf(value):
        raise ValueError(f"the figure {name!r} is {value}, which no statistic can use")
    return None if isinstance(value, float) and math.isnan(value) else value


def _identity(subject: Measured) -> str:
    """Return a hash of the source of a function, or of its name if it has no source."""
    target = inspect.unwrap(subject.func if isinstance(subject, partial) else subject)
    try:
        source = inspect.getsource(target)
    except (OSError, TypeError):
        source = f"{getattr(target, '__module__', '')}.{getattr(target, '__qualname__', repr(target))}"
    bound = repr((subject.args, sorted(subject.keywords.items()))) if isinstance(subject, partial) else ""
    return hashlib.blake2b(f"{source}{bound}".encode(), digest_size=16).hexdigest()


def _check_signature(subject: Measured, settings: Mapping[str, Any]) -> None:
    try:
        inspect.signature(subject).bind(**settings, seed=0)
    except TypeError as error:
        need = (
            f"a function that takes {' and '.join([', '.join(settings), 'seed'] if settings else ['seed'])} by name ({error})"
        )
        raise InvalidSetting("Experiment.subject", subject, need) from None
    except ValueError:
        return  # a function in C, without a signature


def _check_importable(subject: Measured) -> None:
    """Raise `InvalidSetting` for a function that another process cannot import by its name."""
    target = subject.func if isinstance(subject, partial) else subject
    name, module = getattr(target, "__qualname__", "<locals>"), getattr(target, "__module__", "")
    interactive = module == "__main__" and not getattr(sys.modules.get("__main__"), "__file__", None)
    if "<" in name or interactive:
        need = "a function at the top of a module, which other processes can import; or give processes=1"
        raise InvalidSetting("Experiment.subject", subject, need)
