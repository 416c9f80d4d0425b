"""The root of all errors, errors of spawning and running agents, and of their environment. See `coterie.errors` for the tree."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence


class CoterieError(Exception):
    """The root of all errors of this package."""


_LONGEST = 4_000
"""Characters of the text of an error that `describe` returns."""


_NAMED = 6
"""Parts that the error of a budget names."""


class SpawnError(CoterieError):
    """An agent cannot be spawned."""


class NameTaken(SpawnError):
    """A living agent of this runtime has that name already."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"an agent named {name!r} is alive: choose another name, or stop that agent first")


class StartFailed(SpawnError):
    """The constructor of an agent raised, so the agent never ran. The cause is that error."""

    def __init__(self, agent: object, kind: str, error: BaseException) -> None:
        super().__init__(f"{agent}: {kind}.__init__ raised {describe(error)}")


class NotInAgent(CoterieError):
    """A value that exists only in a running agent was used outside."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} exists only while the agent runs: spawn it in a Runtime")


class ReentrantCall(CoterieError):
    """A signal handler or a finalizer made a call that would wait for the step of the runtime that it has interrupted."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what} was called by a signal handler or a finalizer in the middle of a step of the runtime, and would wait "
            "for that step; send a message from there instead, or set an event that a thread waits for"
        )


class ThreadLimitReached(CoterieError, RuntimeError):
    """A part needs one more thread, and the process has as many as its budget permits. `parts` tells which part holds how many."""

    def __init__(self, part: str, limit: int, parts: Mapping[str, int], variable: str) -> None:
        self.part = part
        self.limit = limit
        self.parts = dict(parts)
        largest = ", ".join(f"{name} {count}" for name, count in list(self.parts.items())[:_NAMED])
        super().__init__(
            f"{part} gets no further thread: the budget of this process is {limit} threads, and they are in use ({largest}); "
            f"stop some, or raise the limit by the environment variable {variable} or by PROCESS_THREADS.set_limits(threads=...)"
        )


class ProgramEnding(CoterieError, RuntimeError):
    """A thread cannot start, because the program ends: from Python 3.12 on, none starts then."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"the thread {name!r} cannot start, because the program ends; stop runtimes and pools before")


class ServiceMissing(CoterieError, LookupError):
    """`context.use` found no service of that type."""

    def __init__(self, service: type, provided: Sequence[type]) -> None:
        names = ", ".join(sorted(each.__qualname__ for each in provided)) or "nothing"
        super().__init__(
            f"no {service.__qualname__} was provided (there is: {names}): call runtime.provide(...) before agents use it"
        )


class RestartsExhausted(CoterieError):
    """An agent failed more often than its supervision permits. The cause is its last error."""

    def __init__(self, agent: object, restarts: int, within: float) -> None:
        super().__init__(f"{agent} failed again after {restarts} restarts within {within:g} s")


class SnapshotFailed(CoterieError):
    """`snapshot` or `restore` of an agent raised. The cause is that error."""

    def __init__(self, agent: object, hook: str, error: BaseException) -> None:
        super().__init__(f"{agent}: {hook} raised {describe(error)}")


class WaitTimeout(CoterieError, TimeoutError):
    """`.result(timeout)` ran out. Only the waiting has ended."""

    def __init__(self, what: object, timeout: float) -> None:
        super().__init__(f"{what} has not ended after {timeout:g} s of waiting; it goes on, wait again or cancel it")


class TransportError(CoterieError):
    """A transport cannot deliver a frame."""


class RemoteError(CoterieError):
    """The text of an error of another process. It occurs only as a cause."""


class ExtraMissing(CoterieError, ImportError):
    """A required optional package is not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs the extra {extra!r}: {install_command(extra)}")


def install_command(extra: str) -> str:
    """Return a command that adds an extra to this installation: of a local folder, of a repository, or of a published package."""
    # They take longer to import than all errors, and few programs lack an extra.
    from importlib.metadata import PackageNotFoundError, distribution  # noqa: PLC0415
    from urllib.parse import urlsplit  # noqa: PLC0415
    from urllib.request import url2pathname  # noqa: PLC0415

    try:
        text = distribution("coterie").read_text("direct_url.json")
    except PackageNotFoundError:
        text = None
    source = json.loads(text) if text else {}
    url = str(source.get("url", ""))
    if "dir_info" in source and url.startswith("file:"):
        place = url2pathname(urlsplit(url).path)
        editable = "-e " if source["dir_info"].get("editable") else ""
        return f"pip install {editable}'{place}[{extra}]'"
    if "vcs_info" in source:
        return f"pip install 'coterie[{extra}] @ {source['vcs_info']['vcs']}+{url}'"
    return f"pip install 'coterie[{extra}]'"


def describe(error: BaseException) -> str:
    """Return an error as `Type: text`, on one line where its text is one; a long text is cut."""
    try:
        text = str(error)
    except Exception as fault:  # noqa: BLE001 - the `__str__` of an error of user code may raise, and the error is described all the same
        text = f"(its text cannot be read: {type(fault).__qualname__})"
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST]}... and {len(text) - _LONGEST} characters more"
    # It is part of messages: what UTF-8 cannot carry, such as the bytes of a file name that is no text, is escaped.
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return f"{type(error).__qualname__}: {text}" if text else type(error).__qualname__
