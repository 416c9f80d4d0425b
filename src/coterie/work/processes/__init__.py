"""Processes beside the workers, for what computes: spawned, never forked, and ended when a job has to end."""

from coterie.work.processes.runner import ProcessRunner
from coterie.work.processes.sending import PackedCall, pack

__all__ = ["PackedCall", "ProcessRunner", "pack"]
