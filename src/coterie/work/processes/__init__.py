"""Worker processes for CPU-bound jobs: spawned, never forked, and killed when a job has to end."""

from coterie.work.processes.runner import ProcessRunner
from coterie.work.processes.sending import PackedCall, pack

__all__ = ["PackedCall", "ProcessRunner", "pack"]
