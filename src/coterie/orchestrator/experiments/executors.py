"""Run an experiment on a Ray cluster. Needs the extra ``cluster``."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

from coterie.errors import ExtraMissing


class RayExecutor(Executor):
    """An executor whose calls are tasks of a Ray cluster, for `Experiment(executor=...)`.

    It uses the cluster that this process is connected to; otherwise it connects to `address`, or begins one on this machine, and
    ends that connection on `shutdown`. The nodes need the same code as this process. Raises `ExtraMissing` without Ray.
    """

    def __init__(self, address: str | None = None, *, processors: float = 1.0) -> None:
        try:
            import ray  # noqa: PLC0415 - seconds of imports, and only with the extra
        except ImportError as error:
            raise ExtraMissing("runs on a cluster", "cluster") from error
        self._ray: Any = ray
        self._own = not ray.is_initialized()
        if self._own:
            ray.init(address=address, log_to_driver=False, include_dashboard=False)
        self._call = ray.remote(num_cpus=processors)(_call)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Start a call as a task, and return its future."""
        future: Future[Any] = self._call.remote(fn, args, kwargs).future()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 - as Executor
        """End the connection to the cluster, if this executor made it."""
        if self._own:
            self._ray.shutdown()


def _call(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return fn(*args, **kwargs)
