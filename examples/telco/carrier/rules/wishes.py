"""The request in one sentence of a customer, by its words."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import Any

from ..numbers import find
from ..records.beginning import PACKAGES, PASSES, ZONES

_LINE = r"(contract|account|subscription|line|service|number)"
# In this order: the first that fits is meant.
_SENTENCES: tuple[tuple[str, str], ...] = (
    (
        "status",
        r"\b(status|progress|how (far|long|much longer)|how('s| is) (it|that|everything)\b|what('s| is) (happening|going on|running))",
    ),
    (
        "status",
        r"\bis (it|that|everything|my \w+) (done|ready|finished|closed|through)|\b(done|finished|ready) yet|\bare you done",
    ),
    (
        "status",
        r"\bstill (running|working|going|busy|at it)|\bany (news|update)|where are we|update me|how does it (look|stand)",
    ),
    ("cancel", r"\b(cancel|stop|abort|call off|undo)\b[^.?!]*\b(it|that|this|op-\d+|operation|everything|request|purchase)\b"),
    ("cancel", r"\b(cancel|stop|abort|call off|undo)\b[^.?!]*\b(closing|closure|change|upgrade|billing|pass|bill|switch)\b"),
    ("cancel", r"^\W*op-\d+\W*$"),
    ("cancel", r"^\W*(please )?(cancel|stop|abort|halt)( please)?\W*$"),
    ("cancel", r"\b(never ?mind|forget (it|that)|call (it|that) off|changed my mind)\b"),
    (
        "close_contract",
        rf"\b(close|cancel|terminate|end|quit|leave|stop)\b[^.?!]*\b(my|the|this|our)?\s*{_LINE}\b|\b(leave|quit) (you|the company)\b",
    ),
    ("get_billing_summary", r"\b(bills?|billing|invoices?|charged|what (do|did) i (pay|owe)|what have i paid)\b"),
    ("set_data_alerts", r"\b(alerts?|warn(ing)?s?( me)?|notify|notifications?|tell me when|let me know when)\b"),
    (
        "get_data_balance",
        r"\b(balance|data usage|usage|how much (data|internet)|(data|gigs?|gb|gigabytes?|megabytes?)[^.?!]*\b(left|remain\w*|used|have)|allowance)\b",
    ),
    (
        "purchase_roaming_pass",
        r"\b(buy|purchase|get|order|book|take|want|need|add)\b[^.?!]*\b(pass|bundle)\b|\broaming pass\b(?![^.?!]*\b(cost|costs|are there|is there|price)\b)",
    ),
    ("get_roaming_info", r"\b(roam\w*|abroad|travell?\w*|trip|holiday|vacation|flying|going) ?|\bpass(es)?\b"),
    (
        "change_package",
        r"\b(change|switch|upgrade|downgrade|move|go|swap)\b[^.?!]*\b(package|plan|tariff|starter|everyday|plus|max|unlimited)\b|\b(upgrade|downgrade)\b",
    ),
    (
        "recommend_packages",
        r"\b(recommend\w*|suggest\w*|advi[cs]e|best (package|plan|offer)|which (package|plan|one)[^.?!]*\b(should|best|fits?|suits?|good))\b|\b(need|want)\b[^.?!]*\b\d+ ?(gb|gigs?|gigabytes?)\b",
    ),
    ("list_addons", r"\b(add.?ons?|extras?|options)\b"),
    (
        "get_current_package",
        r"\b(my|current|our) (\w+ )?(package|plan|contract|tariff|credit)\b|what (package|plan) (do|am) i|\bwhat do i have\b",
    ),
    ("list_available_packages", r"\b(packages|plans|tariffs|offers?|catalogue|what (do you|can i) (offer|get|have))\b"),
    ("who", r"\b(who am i|which number|am i logged in|my number\?)"),
    ("log_out", r"\b(log ?out|log off|sign out)\b"),
    (
        "log_in",
        r"\b(log ?in|log me in|sign in|identify|authenticate|new code|another code|resend|my number is|i am a customer)\b",
    ),
    ("help", r"\b(help|what can you do|options)\b|^\W*\?+\W*$"),
    ("thanks", r"\b(thanks?|thank you|cheers|great|perfect|nice)\b"),
    ("bye", r"\b(bye|goodbye|see you|good night)\b"),
    ("greeting", r"^\W*(hi|hello|hey|good (morning|afternoon|evening))\b"),
)
_YES = re.compile(
    r"^\W*(yes|yeah|yep|yup|sure|ok|okay|please do|go ahead|confirm\w*|do it|correct|right|certainly|of course|absolutely"
    r"|i am sure|i'm sure|agreed|proceed)\b", re.IGNORECASE)  # fmt: skip
_NO = re.compile(r"^\W*(no|nope|nah|don'?t|do not|not (now|yet)|rather not|wait|keep it|leave it)\b", re.IGNORECASE)
_CODE = re.compile(r"^\W*(?:(?:the|my) code (?:is|was)|code|it'?s|it is)?\W*((?:\d[ -]?){4,8})\W*$", re.IGNORECASE)
_PLACES = {place.lower(): place for places in ZONES.values() for place in places} | {
    "usa": "United States", "us": "United States", "america": "United States", "uk": "United Kingdom",
}  # fmt: skip
TASKS = {
    "close_contract", "get_billing_summary", "set_data_alerts", "get_data_balance", "purchase_roaming_pass", "get_roaming_info",
    "change_package", "recommend_packages", "list_addons", "get_current_package", "list_available_packages",
}  # fmt: skip
"""Wishes with the names of their tools."""
PUBLIC = {"get_roaming_info", "recommend_packages", "list_available_packages"}
"""The wishes that need no login."""


@dataclass(frozen=True)
class Wish:
    """The request in one sentence. A sentence may hold only a detail: then `kind` is empty."""

    kind: str
    """One of `TASKS`, or ``status``, ``cancel``, ``log_in``, ``help``, …"""
    number: str | None = None
    code: str | None = None
    country: str | None = None
    package: str | None = None
    roaming_pass: str | None = None
    gigabytes: float | None = None
    percent: int | None = None
    pounds: float | None = None
    days: int | None = None
    operation: str | None = None
    """One that is named, such as ``op-2``."""
    yes: bool = False
    no: bool = False
    off: bool = False
    """Whether something is to be switched off."""

    def details(self) -> dict[str, Any]:
        """Return the details of the sentence, as arguments of tools."""
        named = {"country": self.country, "package": self.package, "roaming_pass": self.roaming_pass}
        return {name: value for name, value in named.items() if value is not None}


def understand(text: str) -> Wish:
    """Return the request in a sentence."""
    words = " ".join(text.lower().replace("\u2019", "'").split())
    number = find(text)
    code = _CODE.match(text.strip()) if number is None else None
    kind = next((kind for kind, pattern in _SENTENCES if re.search(pattern, words)), "")
    if (
        number is not None
        and kind in ("", "who", "close_contract")
        and not re.search(r"\b(close|cancel|terminate|end)\b", words)
    ):
        kind = "log_in"
    rest = words if number is None else re.sub(r"[+\d][\d ().-]{7,}", " ", words)
    country = _place(rest)
    if kind == "" and country is not None:
        kind = "get_roaming_info" if re.search(r"\b(in|to|for|cost|about)\b", rest) else ""
    operation = re.search(r"\bop-\d+\b", words)
    return Wish(
        kind,
        number=number,
        code=re.sub(r"\D", "", code[1]) if code is not None else None,
        country=country,
        package=_package(rest),
        roaming_pass=next((row[0] for row in PASSES if row[0] in rest or row[2].lower() in rest), None),
        gigabytes=_amount(rest, r"(\d+(?:\.\d+)?) ?(?:gb|gigs?|gigabytes?)\b"),
        percent=round(value) if (value := _amount(rest, r"(\d{1,3}) ?(?:%|percent|per cent)")) is not None else None,
        pounds=_amount(rest, r"£ ?(\d+(?:\.\d+)?)|(\d+(?:\.\d+)?) ?(?:pounds|quid|gbp)"),
        days=round(value) if (value := _days(rest)) is not None else None,
        operation=operation[0] if operation else None,
        yes=bool(_YES.match(text)),
        no=bool(_NO.match(text)),
        off=bool(re.search(r"\b(off|no more|remove|disable|stop)\b", rest)),
    )


def _place(words: str) -> str | None:
    for name, place in sorted(_PLACES.items(), key=lambda item: -len(item[0])):
        if re.search(rf"\b{re.escape(name)}\b", words) and not (name == "us" and "to us" not in words and "in us" not in words):
            return place
    for word in re.findall(r"[a-z]{5,}", words):
        # Allows one typing mistake, but not two similar words.
        if word != "plans" and (close := difflib.get_close_matches(word, _PLACES, n=1, cutoff=0.88)):
            return _PLACES[close[0]]
    unknown = re.search(r"\b(?:roam\w*|travell?\w*|trip|going|pass|holiday) (?:in|to|for) ([a-z]{4,})\b", words)
    return unknown[1].capitalize() if unknown and unknown[1] not in ("month", "week", "abroad", "europe") else None


def _package(words: str) -> str | None:
    for identity, name, *_ in PACKAGES:
        if name.lower() in words or re.search(rf"\b{identity}\b", words):
            return name
    return "Max Unlimited" if "unlimited" in words else None


def _amount(words: str, pattern: str) -> float | None:
    found = re.search(pattern, words)
    return float(next(group for group in found.groups() if group)) if found else None


def _days(words: str) -> float | None:
    if re.search(r"\b(a|one|the) week\b|\bweekly\b", words):
        return 7.0
    if re.search(r"\b(a|one|the|whole) month\b|\bmonthly\b|\b(two|three|four|[2-4]) weeks\b", words):
        return 30.0
    return _amount(words, r"(\d{1,3}) days?")
