"""The core imports without the extras. A function that needs an extra names it, with a command that works here."""

import subprocess
import sys
from pathlib import Path

import pytest

from coterie.errors.general import install_command

ROOT = Path(__file__).parents[2]
HIDDEN = (
    "typer", "rich", "prompt_toolkit", "matplotlib", "jinja2", "numpy", "openai", "pydantic_ai", "psycopg", "redis",
    "polars", "pandas", "pyarrow", "scipy", "prometheus_client", "starlette", "uvicorn", "ag_ui", "fastembed", "hypothesis", "pytest", "zmq",
    "ray",
)  # fmt: skip
HIDE = f"import sys\nfor name in {HIDDEN!r}: sys.modules[name] = None\n"
ROOMS = (
    "agents",
    "memory",
    "messaging",
    "orchestrator",
    "personas",
    "meetings",
    "rounds",
    "runtime",
    "storage",
    "tables",
    "work",
    "world",
)


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", HIDE + code], cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603 - our own code


@pytest.mark.parametrize(
    "room", ["coterie", *(f"coterie.{room}" for room in ROOMS if room != "agents"), "coterie_examples.commons.kind"]
)
def test_a_room_imports_without_any_extra(room: str) -> None:
    done = python(f"import {room}")
    assert done.returncode == 0, done.stderr


def test_a_scenario_is_run_without_any_extra() -> None:
    done = python(
        "from coterie.orchestrator import load_scenario, run_scenario\n"
        "print(run_scenario(load_scenario('examples/commons/ten-each.toml')).steps[-1].number)"
    )
    assert (done.returncode, done.stdout) == (0, "12\n"), done.stderr


@pytest.mark.parametrize(
    ("code", "extra"),
    [
        ("import coterie.cli; coterie.cli.main()", "cli"),
        ("from coterie.orchestrator import write_report; write_report('x')", "report"),
        ("from coterie.models import ModelGateway; ModelGateway('openai:gpt-5-mini')", "models"),
        ("import coterie.cluster", "cluster"),
        ("from coterie.storage import open_database; open_database('postgresql://ann@localhost/notes')", "postgres"),
        ("from coterie.memory import *; TieredMemory(MemoryConfig(postgres_url='postgresql://ann@localhost/x'))", "postgres"),
        ("from coterie.memory import *; TieredMemory(MemoryConfig(redis_url='redis://localhost'))", "redis"),
        ("from coterie.memory import LocalEmbedder; LocalEmbedder()", "embed"),
        ("from coterie.work import WorkCollector; WorkCollector()", "prometheus"),
        ("from coterie.tables import DataTable; DataTable({'a': [1]}).to_arrow()", "simulation"),
        ("from coterie.tables import DataTable; DataTable({'a': [1]}).frame()", "simulation"),
        ("import coterie.interop", "serve"),
        ("import coterie.console", "console"),
        ("import coterie.network", "network"),
    ],
)
def test_without_its_extra_a_function_names_it_in_one_line(code: str, extra: str) -> None:
    done = python(code)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert f"needs the extra '{extra}': {install_command(extra)}" in last
    if extra == "cli":
        assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("recorded", "command"),
    [
        (None, "pip install 'coterie[cli]'"),
        ('{"url": "file:///a/b%20c", "dir_info": {"editable": true}}', "pip install -e '/a/b c[cli]'"),
        ('{"url": "file:///a", "dir_info": {}}', "pip install '/a[cli]'"),
        (
            '{"url": "https://host/c.git", "vcs_info": {"vcs": "git", "commit_id": "1"}}',
            "pip install 'coterie[cli] @ git+https://host/c.git'",
        ),
    ],
)
def test_the_command_is_for_the_installation_as_it_is(
    recorded: str | None, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Installed:
        def read_text(self, name: str) -> str | None:
            return recorded if name == "direct_url.json" else None

    monkeypatch.setattr("importlib.metadata.distribution", lambda _: Installed())
    assert install_command("cli") == command
