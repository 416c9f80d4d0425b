"""Runs as their folders tell them, without a lock on them: a line for each, and a copy of the world of one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from coterie.errors.orchestrator import RunUnknown
from coterie.orchestrator.control import RunStatus, run_status
from coterie.orchestrator.folder import LOG, SCENARIO
from coterie.storage.sqlite.copying import copy_database
from coterie.world import EventLog, World

_EVENTS = "events.jsonl"
_END = 65_536
"""Bytes at the end of the events that are looked through for the end of the run."""


class RunOverview(msgspec.Struct, frozen=True):
    """A run in one line."""

    path: Path
    name: str
    kind: str
    seed: int
    state: str
    """A state of `RunStatus`."""
    began: float
    """The time at which the folder was made or the run resumed, in seconds since 1970."""
    steps: int
    planned: int
    """Steps at most; 0 if that is not known."""
    digest: str = ""
    figures: dict[str, Any] = {}
    seconds: float | None = None
    costs: dict[str, Any] = {}
    """The costs of the model, in all; empty without a model."""
    surprises: tuple[str, ...] = ()
    error: str = ""

    @property
    def live(self) -> bool:
        """Whether the run goes on, or is paused."""
        return self.state in ("running", "paused")


def find_runs(places: Iterable[Path]) -> list[Path]:
    """Return the folders of runs among `places` and directly in them, newest first. Places that are gone are left out."""
    found: dict[Path, float] = {}
    for place in places:
        inside = [place]
        if not (place / SCENARIO).is_file():
            inside = [each for each in _folders(place) if (each / SCENARIO).is_file()]
        for each in inside:
            try:
                found[each] = (each / SCENARIO).stat().st_mtime
            except OSError:
                continue
    return sorted(found, key=lambda path: (-found[path], path.name))


def run_overview(path: Path) -> RunOverview:
    """Return the line of a run. Raises `RunUnknown` if the folder is gone, or its files cannot be read."""
    status = run_status(path)
    try:
        scenario = msgspec.json.decode((path / SCENARIO).read_bytes())
        began = (path / SCENARIO).stat().st_mtime
        steps, ended = _events_of(path / _EVENTS)
        metrics = path / "metrics.json"
        measured = msgspec.json.decode(metrics.read_bytes()) if ended and metrics.is_file() else {}
        name, kind, seed = str(scenario["name"]), str(scenario["kind"]), int(scenario.get("seed", 0))
    except (OSError, msgspec.MsgspecError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise RunUnknown(path, f"it cannot be read: {error}") from error
    figures = {key: value for key, value in ended.items() if key not in ("event", "surprises", "digest")}
    costs = (measured.get("costs") or [{}])[-1]
    return RunOverview(
        path,
        name,
        kind,
        seed,
        _state(status, ended),
        began,
        steps,
        status.planned if status is not None else 0,
        str(ended.get("digest", "")),
        figures,
        (measured.get("timing") or {}).get("seconds"),
        costs,
        tuple(map(str, ended.get("surprises", ()))),
        status.error if status is not None else "",
    )


@contextmanager
def recorded_world(path: Path) -> Iterator[World]:
    """Open a copy of the world of a run, as of its last commit. The run may go on meanwhile, and is not held up.

    Raises `RunUnknown` for a run without a world, and the errors of storage for a damaged one.
    """
    if not (path / LOG).is_file():
        raise RunUnknown(path, "it has no world")
    with ExitStack() as resources:
        folder = Path(resources.enter_context(TemporaryDirectory(prefix="coterie-")))
        copy_database(path / LOG, folder / LOG)
        yield resources.enter_context(World(log=resources.enter_context(EventLog(folder / LOG))))


def end_of_round(world: World, number: int | None = None) -> tuple[int, int]:
    """Return the last settled round up to `number`, or of all, and the number of the event that ended it; 0 before the first round."""
    last = world.sequence
    if number is not None:
        # The numbers of rounds grow with those of events.
        first = 0
        while last > first:
            middle = (first + last + 1) // 2
            if world.history(middle, middle)[0].round <= number:
                first = middle
            else:
                last = middle - 1
    while last > 0:
        event = world.history(last, last)[0]
        if event.kind == "round ended":
            return event.round, last
        if event.round == 0:
            return 0, last
        last -= 1
    return 0, 0


def _folders(place: Path) -> list[Path]:
    try:
        return [each for each in place.iterdir() if each.is_dir() and not each.name.startswith(".")]
    except OSError:
        return []


def _events_of(path: Path) -> tuple[int, dict[str, Any]]:
    """Return the number of steps, and the event of the end if there is one."""
    if not path.is_file():
        return 0, {}
    lines, end = 0, b""
    with path.open("rb") as file:
        while data := file.read(1 << 20):
            lines += data.count(b"\n")
            end = (end + data)[-_END:]
    last = end.rstrip(b"\n").rpartition(b"\n")[2]
    try:
        ended = msgspec.json.decode(last)
    except msgspec.DecodeError:
        ended = {}
    if not isinstance(ended, dict) or ended.get("event") != "run ended":
        ended = {}
    return max(0, lines - 1 - bool(ended)), ended


def _state(status: RunStatus | None, ended: dict[str, Any]) -> str:
    if status is not None:
        return status.state
    return "ended" if ended else "interrupted"
