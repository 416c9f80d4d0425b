"""Every snippet of the README and of the pages beside it runs, and says what its comments say."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
MADE_WITH_THE_SITE = {"llms.txt", "llms-full.txt", "rooms.svg"}
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def snippets(language: str) -> list[tuple[str, str]]:
    found = [
        (f"{page.name}:{page.read_text()[: match.start()].count(chr(10)) + 1}", match[2])
        for page in PAGES
        for match in FENCE.finditer(page.read_text())
        if match[1] == language
    ]
    return [pytest.param(code, id=where) for where, code in found]  # type: ignore[misc] # a parameter set is a tuple


@pytest.mark.parametrize("code", snippets("python"))
def test_a_snippet_runs_and_prints_its_comments(code: str, tmp_path: Path) -> None:
    done = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-W", "error", "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    promised = re.findall(r"print\(.*\)  # (.*?)(?:;.*)?$", code, re.MULTILINE)
    assert sorted(done.stdout.splitlines()) == sorted(promised)


@pytest.mark.parametrize("text", snippets("toml"))
def test_a_scenario_runs_and_ends_as_it_says(text: str, tmp_path: Path) -> None:
    path = tmp_path / "scenario.toml"
    path.write_text(text)
    command = [str(Path(sys.executable).parent / "coterie"), "run", str(path), "--out", str(tmp_path / "runs")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603 - our own command
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_targets_that_the_readme_names_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = [line.split()[1] for block in snippets("sh") for line in block.values[0].splitlines() if line.startswith("make ")]  # type: ignore[attr-defined]
    assert {"demo", "test"} <= set(targets)
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_the_readme_is_short_and_comes_to_the_point() -> None:
    lines = (ROOT / "README.md").read_text().splitlines()
    assert len(lines) < 120
    assert lines.index("```python") < 30


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        if not target.startswith("http") and target not in MADE_WITH_THE_SITE:
            assert (page.parent / target).exists(), target
