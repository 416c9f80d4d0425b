import dataclasses
import sys
import threading
from collections.abc import Iterator
from random import Random

import pytest

from coterie.errors import CoterieError, JobRaised, JobTimeout, WorkerDied, WorkError
from coterie.errors.general import RemoteError
from coterie.work import Bounds, JobState, ProcessingEngine, Retry
from coterie.work.processes.failures import pack_failure, unpack_failure
from coterie.work.processes.sending import decode, encode

needs_processes = pytest.mark.skipif(
    not getattr(sys, "_is_gil_enabled", lambda: True)(), reason="threads serve both where they compute at once"
)


class Refused(Exception):
    """Its constructor takes other arguments than it keeps."""

    def __init__(self, code: int, *, host: str) -> None:
        super().__init__(f"{host} refused with {code}")
        self.code = code
        self.host = host


class Doubled(Exception):
    """Its constructor can be called with what it keeps, and changes it again."""

    def __init__(self, text: str) -> None:
        super().__init__(f"doubled {text}")


class Slotted(Exception):
    __slots__ = ("code",)

    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)
        self.code = code


class Holding(Exception):
    def __init__(self, code: int) -> None:
        super().__init__("holds a lock")
        self.code = code
        self.lock = threading.Lock()


class Unreachable(OSError):
    def __init__(self, host: str, *, port: int) -> None:
        super().__init__(111, "refused", host)
        self.port = port


class Wordless(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    code: int
    why: str = ""


class Unreadable(Exception):
    def __getattribute__(self, name: str) -> object:
        raise RuntimeError(f"no {name}")


class Pinned(Exception):
    def __setattr__(self, name: str, value: object) -> None:
        raise RuntimeError(f"no {name}")

    def with_traceback(self, trace: object) -> "Pinned":
        raise RuntimeError("no traceback")


class Unsized:
    def __getattribute__(self, name: str) -> object:
        raise RuntimeError(f"no {name}")


def raise_an(error: type[Exception]) -> None:
    raise error(1)


def raise_refused() -> None:
    raise Refused(503, host="db")


def local() -> type[Exception]:
    class Local(LookupError):
        def __init__(self, code: int) -> None:
            super().__init__(f"code {code}")
            self.code = code

    return Local


def raise_local() -> None:
    raise local()(7)


def raise_group() -> None:
    raise ExceptionGroup("both", [Refused(1, host="a"), ValueError("plain")])


def item(n: int) -> int:
    if n == 2:
        raise Refused(n, host="item")
    return n


def sent(error: BaseException) -> BaseException:
    return unpack_failure(decode(encode(pack_failure(error))), "job-1 f")


@pytest.mark.parametrize(
    ("error", "attributes"),
    [
        (Refused(503, host="db"), {"code": 503, "host": "db"}),
        (Doubled("once"), {}),
        (Slotted(4, "why"), {"code": 4}),
        (Holding(5), {"code": 5}),
        (Unreachable("db", port=5432), {"errno": 111, "strerror": "refused", "filename": "db", "port": 5432}),
        (KeyError("name"), {}),
        (UnicodeDecodeError("ascii", b"\xff", 0, 1, "no"), {"reason": "no", "start": 0}),
        (ImportError("none", name="m", path="p"), {"name": "m", "path": "p"}),
        (JobTimeout("job-1", 2.0, ended=False), {"ended": False}),
        (WorkerDied("job-1", -9), {"code": -9}),
        (Exception("two", 2), {}),
        (Frozen(6, "why"), {"code": 6, "why": "why"}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error_arrives_as_itself_with_its_attributes(error: Exception, attributes: dict[str, object]) -> None:
    arrived = sent(error)
    assert (type(arrived), str(arrived), arrived.args) == (type(error), str(error), error.args)
    assert {name: getattr(arrived, name) for name in attributes} == attributes
    assert isinstance(arrived.__cause__, RemoteError)


def test_members_of_a_group_and_notes_arrive_too() -> None:
    error = ExceptionGroup("both", [Refused(1, host="a"), ValueError("plain")])
    error.add_note("in the cellar")
    arrived = sent(error)
    assert isinstance(arrived, ExceptionGroup)
    assert arrived.__notes__ == ["in the cellar"]
    refused, plain = arrived.exceptions
    assert isinstance(refused, Refused)
    assert (refused.code, str(plain)) == (1, "plain")


def test_an_argument_that_cannot_be_sent_arrives_as_text() -> None:
    arrived = sent(Exception("with", threading.Lock()))
    assert type(arrived) is Exception
    assert arrived.args[0] == "with"
    assert "lock" in arrived.args[1]


def test_an_error_without_a_text_arrives() -> None:
    assert type(sent(Wordless(1))) is Wordless


def test_a_class_that_cannot_be_sent_has_a_stand_in_of_its_name_and_base() -> None:
    kind = local()
    arrived = sent(kind(7))
    assert isinstance(arrived, JobRaised)
    assert isinstance(arrived, LookupError)
    assert (type(arrived).__name__, arrived.code) == ("Local", 7)  # type: ignore[attr-defined]
    assert "job-1 f raised local.<locals>.Local: code 7" in str(arrived)
    again = decode(encode(arrived))
    assert (type(again).__name__, again.code, str(again), isinstance(again, LookupError)) == ("Local", 7, str(arrived), True)


def test_retry_matches_a_stand_in_by_the_name_of_its_class() -> None:
    arrived = sent(local()(7))
    for kinds, matched in (
        (local(), True),
        ((OSError, local()), True),
        (LookupError, True),
        (JobRaised, True),
        (CoterieError, True),
        (OSError, False),
        (Refused, False),
    ):
        delay = Retry(1, initial=0.0, on=kinds).delay(1, arrived, Random(1))
        assert (delay is not None) is matched, kinds


@pytest.fixture(scope="module")
def engine() -> Iterator[ProcessingEngine]:
    with ProcessingEngine(processes=Bounds(1, 1)) as made:
        yield made


@needs_processes
def test_retry_and_except_see_the_same_error_as_on_a_thread(engine: ProcessingEngine) -> None:
    for cpu_bound in (False, True):
        for function, kind in ((raise_refused, Refused), (raise_local, LookupError), (raise_group, ExceptionGroup)):
            job = engine.submit(function, cpu_bound=cpu_bound, retry=Retry(1, initial=0.0, on=kind))
            with pytest.raises(kind):
                job.result(30)
            assert job.attempts == 2


@needs_processes
def test_an_error_inside_a_map_arrives_as_itself(engine: ProcessingEngine) -> None:
    values = engine.map(item, [1, 2, 3], chunk=3, cpu_bound=True)
    assert next(values) == 1
    with pytest.raises(Refused, match="item refused with 2") as caught:
        next(values)
    assert (caught.value.code, caught.value.host) == (2, "item")


@pytest.mark.parametrize("cpu_bound", [False, True])
@pytest.mark.parametrize(("error", "arrives"), [(Unreadable, WorkError), (Pinned, Pinned), (Frozen, Frozen)])
def test_an_error_whose_own_code_raises_ends_its_job_and_no_worker(
    engine: ProcessingEngine, error: type[Exception], arrives: type[Exception], cpu_bound: bool
) -> None:
    for _ in range(3):
        job = engine.submit(raise_an, error, cpu_bound=cpu_bound)
        assert isinstance(job.exception(30), arrives)
        assert job.state is JobState.FAILED
    assert engine.submit(abs, -1, cpu_bound=cpu_bound).result(30) == 1


def test_a_value_whose_size_cannot_be_read_is_a_value(engine: ProcessingEngine) -> None:
    value = Unsized()
    assert engine.submit(lambda: value).result(10) is value
