"""Write `docs/api.md`: every public name once, with the first line of its docstring.

Run `python -m docs.tools.api` after a public name was added, renamed or removed; a test compares the page with the code.
"""

import importlib
import inspect
import pkgutil
from contextvars import ContextVar
from pathlib import Path

import coterie

PAGE = Path(__file__).parents[1] / "api.md"
HEAD = """# Public names

Every public name once: what to catch, subclass or call. Names under `coterie` can be imported from `coterie` itself, the
others from the package in the heading. The reference pages have signatures and whole docstrings.
"""


def rooms() -> list[str]:
    """Return the dotted names of the packages that export public names, `coterie` first."""
    found = [module.name for module in pkgutil.iter_modules(coterie.__path__, "coterie.") if module.ispkg]
    return ["coterie", *(name for name in found if getattr(importlib.import_module(name), "__all__", []))]


def first_line(value: object) -> str:
    """Return the first line of the docstring of a class or function; of a constant its value."""
    if inspect.isclass(value) or inspect.isroutine(value) or inspect.ismodule(value):
        return (inspect.getdoc(value) or "").split("\n\n")[0].replace("\n", " ").replace("|", r"\|")
    if isinstance(value, ContextVar):
        return f"The context variable `{value.name}`."
    return f"`{value!r}`" if isinstance(value, str | int | float) else f"An alias: `{value}`".replace("|", r"\|")


def page() -> str:
    """Return the text of the page."""
    listed: dict[int, str] = {}
    parts = [HEAD]
    for room in rooms():
        module = importlib.import_module(room)
        rows = []
        for name in module.__all__:
            value = getattr(module, name)
            if listed.setdefault(id(value), name) == name and (room == "coterie" or not hasattr(coterie, name)):
                rows.append(f"| `{name}` | {first_line(value)} |")
        if rows:
            parts.append("\n".join([f"## `{room}`\n", "| name | what it is |", "| --- | --- |", *rows]) + "\n")
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page())
