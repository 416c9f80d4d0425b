"""Options of worker processes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from coterie.concurrency import Rank, new_lock

_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
"""The variables by which numeric libraries choose the number of their own threads."""


@dataclass(frozen=True, slots=True)
class ProcessOptions:
    """Options of the worker processes of one pool."""

    initializer: bytes | None = None
    """A packed call that each process makes before its first job."""
    max_tasks: int | None = None
    """Jobs after which a process is replaced; None for no limit."""
    max_memory: int | None = None
    """Bytes of resident memory above which a process is replaced after its job; None for no limit."""
    threads: int | None = None
    """Threads that numeric libraries may use in each process, unless the environment says otherwise; None for no limit."""


class NumericThreads:
    """Sets the variables of numeric libraries while a process starts, which inherits them.

    A library reads them when it is loaded, perhaps when the process imports the program, so they cannot be set later.
    `_lock` keeps two starts from restoring each other's environment. Other threads see the variables for milliseconds.
    """

    _lock: ClassVar = new_lock(Rank.STARTING)

    @classmethod
    @contextlib.contextmanager
    def limited(cls, threads: int | None) -> Iterator[None]:
        """Set the variables that are missing to `threads` within the block."""
        if threads is None:
            yield
            return
        with cls._lock:
            added = [name for name in _VARIABLES if name not in os.environ]
            os.environ.update(dict.fromkeys(added, str(threads)))
            try:
                yield
            finally:
                for name in added:
                    os.environ.pop(name, None)
