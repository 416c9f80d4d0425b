"""Rules of the house that a machine can check."""

import ast
import functools
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import coterie

SOURCE = Path(coterie.__file__).parent
ROOT = SOURCE.parent.parent
FILES = sorted(SOURCE.rglob("*.py"))
ROOMS = [
    "kernel",
    "concurrency",
    "storage",
    "tables",
    "memory",
    "messaging",
    "work",
    "world",
    "models",
    "network",
    "runtime",
    "meetings",
    "rounds",
    "conversation",
    "personas",
    "interop",
    "console",
    "orchestrator",
    "testing",
]


@functools.cache
def tree_of(path: Path) -> ast.Module:
    """Return the parsed text of a file. Tests only read it."""
    return ast.parse(path.read_text())


@pytest.fixture(scope="module", autouse=True)
def drop_trees() -> Iterator[None]:
    """Drop the parsed texts at the end: they are a million objects that each collection after them would look at."""
    yield
    tree_of.cache_clear()


def calls(tree: ast.AST) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node.lineno


def where(path: Path) -> str:
    return str(path.relative_to(SOURCE))


def offenders(forbidden: tuple[str, ...], *allowed: str) -> list[str]:
    return [
        f"{where(path)}:{line} calls {name}"
        for path in FILES
        if where(path) not in allowed and not where(path).startswith("testing/conformance/")
        for name, line in calls(tree_of(path))
        if name in forbidden
    ]


def test_threads_are_started_in_one_place() -> None:
    assert (
        offenders(("threading.Thread", "Thread", "_thread.start_new_thread", "threading.Timer"), "concurrency/threads.py") == []
    )


def test_the_clocks_are_read_in_one_place() -> None:
    clocks = ("time.time", "time.monotonic", "time.perf_counter", "datetime.now", "time.process_time", "time.thread_time")
    assert offenders(clocks, "kernel/clock.py", "orchestrator/folder.py") == []


def test_event_loops_are_made_by_the_dispatchers_and_the_model_gateway() -> None:
    loops = ("asyncio.new_event_loop", "asyncio.SelectorEventLoop", "asyncio.run", "asyncio.Runner")
    assert offenders(loops) == []
    subclasses = [
        where(path)
        for path in FILES
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ClassDef) and any("EventLoop" in ast.unparse(base) for base in node.bases)
    ]
    assert sorted(subclasses) == [
        "models/gateway/loop.py",
        "runtime/dispatchers/agent_loop.py",
    ]


def test_locks_are_made_with_a_rank() -> None:
    assert (
        offenders(
            ("threading.Lock", "threading.RLock", "threading.Condition"),
            "concurrency/completion.py",  # what one thread waits at, not what guards something
            "concurrency/events.py",  # the same
            "concurrency/interrupts.py",  # one for the whole process, as signals are
            "concurrency/locks.py",
            "concurrency/pool.py",  # the wake-ups of its threads
            "concurrency/switching.py",  # one for the whole process
            "kernel/codec.py",  # the same, for what msgspec keeps with classes
            "runtime/dispatchers/loops.py",  # a flag that is taken without waiting
            "testing/clock.py",
            "testing/interleaving.py",
            "testing/locks.py",
            "testing/sequencer.py",
            "testing/transport.py",
        )
        == []
    )


def test_nothing_is_unpickled_or_evaluated() -> None:
    assert (
        offenders(
            ("pickle.loads", "pickle.load", "eval", "exec", "marshal.loads", "importlib.import_module", "__import__"),
            "cli/application.py",  # the module of a command, from its own table
            "orchestrator/finding.py",  # the module of a kind, which the user's scenario file names
            "kernel/displays.py",  # the module of a display, which a class of Coterie names
            "cluster/loading.py",  # the module of an agent, which a program of the cluster names
            "work/processes/sending.py",  # between a process and children of its own, through a pipe
        )
        == []
    )


def test_no_caught_exception_is_ignored() -> None:
    silent = [
        f"{where(path)}:{node.lineno}"
        for path in FILES
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or ast.unparse(node.type) in ("Exception", "BaseException"))
        and all(isinstance(each, ast.Pass) for each in node.body)
    ]
    assert silent == []


def test_no_file_holds_more_than_four_hundred_lines() -> None:
    long = {where(path): lines for path in FILES if (lines := len(path.read_text().splitlines())) > 400}
    assert {path: lines for path, lines in long.items() if not path.startswith("testing/conformance/")} == {}


def test_every_module_has_a_docstring() -> None:
    assert [where(path) for path in FILES if path.name != "py.typed" and ast.get_docstring(tree_of(path)) is None] == []


@pytest.mark.parametrize("room", ["", *ROOMS])
def test_the_exports_of_a_room_exist_and_are_documented(room: str) -> None:
    module = importlib.import_module(f"coterie.{room}".rstrip("."))
    names = module.__all__
    assert len(names) == len(set(names))
    for name in names:
        value = getattr(module, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert value.__doc__, name


@pytest.mark.parametrize("room", ROOMS)
def test_every_public_method_of_an_exported_class_is_documented(room: str) -> None:
    module = importlib.import_module(f"coterie.{room}")
    missing = []
    for name in module.__all__:
        value = getattr(module, name)
        if not inspect.isclass(value):
            continue
        for attribute, member in vars(value).items():
            function = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
            if not attribute.startswith("_") and inspect.isfunction(function) and not inspect.getdoc(getattr(value, attribute)):
                missing.append(f"{name}.{attribute}")
    assert missing == []


def test_every_module_can_be_imported_alone() -> None:
    names = [module.name for module in pkgutil.walk_packages([str(SOURCE)], "coterie.")]
    for name in names:
        importlib.import_module(name)
    assert len(names) > 50


def test_the_project_speaks_of_itself_alone() -> None:
    words = ("/work/", "/root/", "pypi.org/simple", "files.pythonhosted", "TODO", "FIXME")
    found = [
        f"{path.relative_to(ROOT)}: {word}"
        for folder in ("src", "docs", "examples", "requirements", "benchmarks")
        for path in sorted((ROOT / folder).rglob("*"))
        if path.is_file() and path.suffix in (".py", ".md", ".toml", ".lock", ".sh")
        for word in words
        if word in path.read_text()
    ]
    assert found == []
