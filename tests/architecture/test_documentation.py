"""The documentation holds what the code has: every public name, the rooms, and a site that builds without a warning."""

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from docs.tools.api import PAGE, page, rooms
from docs.tools.imports import modules
from docs.tools.picture import picture

ROOT = Path(__file__).parents[2]


def test_the_page_of_public_names_is_up_to_date() -> None:
    assert PAGE.read_text() == page(), "run: python -m docs.tools.api"


def test_the_picture_has_every_room() -> None:
    drawn = re.findall(r'font-size="13">([a-z]+)<', picture())
    assert sorted(drawn) == sorted(
        path.parent.name for path in (ROOT / "src/coterie").glob("*/__init__.py") if path.parent.name != "testing"
    )


@pytest.mark.timeout(180)
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    done = subprocess.run(  # noqa: S603 - our own command
        command, cwd=ROOT, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    listed = (tmp_path / "llms.txt").read_text()
    assert all(room in listed for room in rooms())
    loaded = re.findall(
        r'<script[^>]*src="([^"]*)"|<link rel="stylesheet" href="([^"]*)"', (tmp_path / "agents.html").read_text()
    )
    assert loaded
    assert not [address for pair in loaded for address in pair if "//" in address]


GLOSSARY = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in (ROOT / "docs/glossary.md").read_text().splitlines()
    if line.startswith("| ") and not line.startswith(("| term", "| ---"))
]


def test_the_glossary_has_each_term_once() -> None:
    terms = [row[0].lower() for row in GLOSSARY]
    assert len(terms) > 100
    assert sorted(terms) == sorted(set(terms))


@pytest.fixture(scope="module")
def classes() -> set[str]:
    """The names of all classes and of all capitalized values."""
    return {
        name for path in modules().values() for name in re.findall(r"^(?:class )?([A-Z]\w+)\b", path.read_text(), re.MULTILINE)
    }


OPTIONS = ("confirm", "compensate")
"""Names in the glossary that are parameters."""


@pytest.mark.parametrize("row", GLOSSARY, ids=lambda row: row[0])
def test_the_glossary_names_places_that_exist(row: list[str], classes: set[str]) -> None:
    for module in re.findall(r"`(coterie(?:\.[a-z_]+)*)`", row[2]):
        importlib.import_module(module)
    for name in re.findall(r"`([A-Z]\w+)[.`]", row[2]):
        assert name in classes, name
    for listed, module in re.findall(r"((?:`[\w.]+`(?:, | of )?)+) \(([a-z_.]+)\)", row[2]):
        holder = importlib.import_module(f"coterie.{module}")
        for name in re.findall(r"`(\w+)", listed):
            assert hasattr(holder, name) or name in OPTIONS, f"{name} is not in {module}"
    for dotted in re.findall(r"`(coterie(?:\.\w+)+)`", row[2]):
        parts = dotted.split(".")
        depth = next(end for end in range(len(parts), 0, -1) if ".".join(parts[:end]) in modules())
        value: object = importlib.import_module(".".join(parts[:depth]))
        for part in parts[depth:]:
            assert hasattr(value, part) or part in getattr(value, "__annotations__", {}), f"{part} is not in {dotted}"
            value = getattr(value, part, None)
