"""The options `--trace` and `--trace-content` of the commands that run something."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from coterie.errors.orchestrator import RunFolderFailed
from coterie.telemetry import Tracing

TraceTo = Annotated[
    str | None,
    typer.Option(
        "--trace",
        help="Record a trace: in this file, as OTLP in JSON, or at a collector, such as http://localhost:4318.",
        show_default=False,
    ),
]
TraceContent = Annotated[
    bool, typer.Option("--trace-content", help="Record prompts, answers, arguments and results in the trace too.")
]


@contextmanager
def traced(to: str | None, *, content: bool = False) -> Iterator[None]:
    """Record a trace, if a place is given. Raises `ExtraMissing`, and `RunFolderFailed` for a file that cannot be written."""
    if to is None:
        yield
        return
    try:
        tracing = Tracing(to, content=content)
    except OSError as error:
        raise RunFolderFailed(to, error) from error
    with tracing:
        yield
