"""Render templates to HTML. Every value is escaped; nothing that an agent says becomes markup."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
import msgspec
from markupsafe import Markup

from coterie.console.page import Page
from coterie.kernel import Clock

STATIC = Path(__file__).parent / "static"
_LIVE = "live_"
_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400
_THOUSAND = 1_000

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 200
_SHORT.maxlist = _SHORT.maxdict = _SHORT.maxtuple = 20

PAGES = (
    ("Runs", "/", "runs"),
    ("Agents", "/agents", "agents"),
    ("Conversations", "/conversations", "conversations"),
    ("Memory", "/memory", "memory"),
    ("Meetings", "/meetings", "meetings"),
    ("Cluster", "/cluster", "cluster"),
    ("Machine", "/machine", "machine"),
    ("Audit log", "/audit", "audit"),
)


class Renderer:
    """Renders pages, and their live parts one by one. Safe from any thread, as jinja2 is."""

    def __init__(self, clock: Clock) -> None:
        self._environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters.update(
            number=number,
            seconds=seconds,
            bytes=size,
            moment=moment,
            value=shown,
            path=in_path,
            ago=lambda when: f"{seconds(max(0.0, clock.time() - when))} ago",
            json=script_json,
        )
        self._environment.globals["ui"] = self._environment.get_template("macros.html").module
        self._environment.globals["pages"] = PAGES

    def page(self, page: Page, values: Mapping[str, Any]) -> str:
        """Return a whole page."""
        return self._environment.get_template(page.template).render(values)

    def parts(self, page: Page, values: Mapping[str, Any]) -> dict[str, str]:
        """Return the live parts of a page by their ids."""
        template = self._environment.get_template(page.template)
        context = template.new_context(dict(values))
        return {name: "".join(block(context)) for name, block in template.blocks.items() if name.startswith(_LIVE)}

    def notice(self, message: str) -> str:
        """Return a notice at the top of a page."""
        return str(Markup("<p>{}</p>").format(message))

    def problem(self, status: int, message: str) -> str:
        """Return the page of a problem."""
        return self._environment.get_template("problem.html").render(status=status, message=message, back="/")

    def outcome(self, message: str, back: str) -> str:
        """Return the page after an action, for browsers without scripts."""
        return self._environment.get_template("problem.html").render(status=200, message=message, back=back)


def in_path(text: object) -> str:
    """Return a text as a part of a path. A slash is encoded twice, because servers decode paths before they read them."""
    return quote(str(text).replace("%", "%25").replace("/", "%2F"), safe="")


def script_json(value: Any) -> Markup:
    """Return a value as JSON that may stand in a script element: no text in it can end the element."""
    text = msgspec.json.encode(value).decode()
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))  # noqa: S704 - escaped here


def number(value: Any) -> str:
    """Return a number as text: whole with thin spaces between thousands, others with four digits."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}".replace(",", "\u202f")
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def seconds(value: float) -> str:
    """Return a duration as text."""
    if value < 1:
        return f"{value * _THOUSAND:.3g} ms"
    if value < _MINUTE:
        return f"{value:.3g} s"
    if value < _HOUR:
        return f"{int(value // _MINUTE)} min {int(value % _MINUTE)} s"
    if value < _DAY:
        return f"{int(value // _HOUR)} h {int(value % _HOUR // _MINUTE)} min"
    return f"{int(value // _DAY)} d {int(value % _DAY // _HOUR)} h"


def size(value: float) -> str:
    """Return a number of bytes as text."""
    for unit in ("B", "KB", "MB", "GB"):
        if value < _THOUSAND:
            return f"{value:.3g} {unit}"
        value /= _THOUSAND
    return f"{value:.3g} TB"


def moment(when: float) -> str:
    """Return a time as text, in UTC."""
    return datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%d %H:%M:%S")


def shown(value: Any) -> str:
    """Return a value as short text; mappings as such, whatever their class."""
    if isinstance(value, str):
        return value if len(value) <= _SHORT.maxstring else value[: _SHORT.maxstring] + "…"
    if isinstance(value, bool | int | float):
        return number(value)
    if isinstance(value, Mapping):
        inner = ", ".join(f"{key}: {shown(each)}" for key, each in list(value.items())[: _SHORT.maxdict])
        return inner + (", …" if len(value) > _SHORT.maxdict else "")
    if isinstance(value, list | tuple):
        return ", ".join(map(shown, value[: _SHORT.maxlist])) + (", …" if len(value) > _SHORT.maxlist else "")
    return "-" if value is None else _SHORT.repr(value)
