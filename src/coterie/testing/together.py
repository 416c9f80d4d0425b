"""Several threads at once, with their errors."""

from __future__ import annotations

from collections.abc import Callable

from coterie.concurrency import start_thread
from coterie.concurrency.threads import dump_stacks
from coterie.kernel import Countdown


class Together:
    """Threads that run beside the test. `join` waits for them and raises the first error of any."""

    def __init__(self, *bodies: Callable[[], object]) -> None:
        self._errors: list[BaseException] = []
        self._threads = [start_thread(self._guarded(body), f"together-{n}") for n, body in enumerate(bodies)]

    @property
    def running(self) -> bool:
        """True while a thread has not ended."""
        return any(thread.is_alive() for thread in self._threads)

    def join(self, timeout: float = 30.0) -> None:
        """Wait for all to end. Raises `AssertionError`, with all stacks, after `timeout` seconds."""
        countdown = Countdown(timeout)
        for thread in self._threads:
            thread.join(countdown.left())
            if thread.is_alive():
                raise AssertionError(f"{thread.name} did not end within {timeout:g} s\n{dump_stacks()}")
        if self._errors:
            raise self._errors[0]

    def _guarded(self, body: Callable[[], object]) -> Callable[[], None]:
        def run() -> None:
            try:
                body()
            except BaseException as error:  # noqa: BLE001 - it is raised by `join`
                self._errors.append(error)

        return run


def run_together(*bodies: Callable[[], object], timeout: float = 30.0) -> None:
    """Run each body on a thread of its own, and return when all have ended. Raises the first error of any."""
    Together(*bodies).join(timeout)
