"""The arguments of a task, and the questions for missing ones."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from ..records.beginning import PASSES, ZONES
from . import phrases
from .wishes import Wish

Needed = dict[str, Any] | str
"""The arguments of the tool, or the question for the one that is missing."""


def needed(kind: str, wish: Wish, question: str) -> Needed:
    """Return the arguments of a task's tool, without the customer's number."""
    form = _FORMS.get(kind)
    return {} if form is None else form(wish, question)


def pass_for(wish: Wish) -> str | None:
    """Return the named pass, or the one of the named length; None without either."""
    if wish.roaming_pass is not None:
        return wish.roaming_pass
    zone = next((zone for zone, places in ZONES.items() if wish.country in places), None)
    fitting = {row[3]: row[0] for row in PASSES if row[1] == zone}
    days = wish.days
    if days is None or not fitting:
        return None
    return next((fitting[length] for length in sorted(fitting) if length >= days), fitting[max(fitting)])


def _roaming(wish: Wish, _: str) -> Needed:
    return {"country": wish.country} if wish.country is not None else phrases.ASK_COUNTRY


def _recommend(wish: Wish, question: str) -> Needed:
    wanted = _given(data_gb=wish.gigabytes, budget=wish.pounds)
    return wanted | ({"roaming": True} if re.search(r"roam|abroad|travel", question.lower()) else {})


def _alerts(wish: Wish, _: str) -> Needed:
    if wish.percent is None and wish.gigabytes is None and not wish.off:
        return phrases.ASK_ALERT
    return _given(percent=wish.percent, gigabytes_left=wish.gigabytes)


def _change(wish: Wish, _: str) -> Needed:
    return {"package": wish.package} if wish.package is not None else phrases.ASK_PACKAGE


def _buy(wish: Wish, _: str) -> Needed:
    if wish.country is None:
        return phrases.ASK_DESTINATION
    return {"country": wish.country} | _given(roaming_pass=pass_for(wish))


def _given(**arguments: Any) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if value is not None}


_FORMS: dict[str, Callable[[Wish, str], Needed]] = {
    "get_roaming_info": _roaming,
    "recommend_packages": _recommend,
    "set_data_alerts": _alerts,
    "change_package": _change,
    "purchase_roaming_pass": _buy,
}
