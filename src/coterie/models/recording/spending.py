"""What the requests of a recording have spent: the ledger of a run that was killed before it could write its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from coterie.errors import ModelHalted
from coterie.models.recording.file import read


def recorded_spending(path: Path) -> dict[str, Any]:
    """Return what a recording's requests have spent, in all and by agent, as `ModelGateway.snapshot` tells it.

    A request counts once, however often it was tried. Raises `RecordingDamaged`.
    """
    nothing = {"requests": 0, "tokens": 0, "dollars": 0.0}
    run: dict[str, Any] = dict(nothing)
    agents: dict[str, dict[str, Any]] = {}
    for entry in read(path).values():
        if entry.failure is not None and isinstance(entry.failure.error(), ModelHalted):
            continue  # it never reached the model
        for spent in (run, agents.setdefault(entry.agent, dict(nothing))):
            spent["requests"] += 1
            if entry.reply is not None:
                usage = entry.reply.usage
                spent["tokens"] += usage.input_tokens + usage.output_tokens
                spent["dollars"] += usage.cost or 0.0
    return {"run": run, "agents": agents}
