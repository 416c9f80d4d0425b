"""A question, and the type of its answer."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, TypeAlias, get_args

import msgspec
from pydantic import Field

from coterie.errors import InvalidSetting
from coterie.kernel import check_instance
from coterie.personas.mind.profile_answers import first_named, first_number

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_YES = re.compile(r"\b(?:yes|yeah|sure|certainly|of course|i do|i would|always)\b", re.IGNORECASE)
_NO = re.compile(r"\b(?:no|not|never|don't|wouldn't|hardly)\b", re.IGNORECASE)


AnswerKind: TypeAlias = Literal["text", "integer", "number", "boolean", "choice"]
"""The type of an answer."""
_KINDS = get_args(AnswerKind)

Value = str | int | float | bool | None
"""An answer as a value; None where there is none."""


class Question(msgspec.Struct, frozen=True):
    """Something that several are asked, and the type that its answers are to have."""

    name: str
    """The name of its column, in small letters."""
    text: str
    kind: AnswerKind = "text"
    options: tuple[str, ...] = ()
    """What can be answered to a choice."""
    least: float | None = None
    """The smallest number that is an answer."""
    most: float | None = None
    """The greatest."""

    def __post_init__(self) -> None:
        check_instance("Question.name", self.name, str, "text")
        if not _NAME.fullmatch(self.name):
            raise InvalidSetting("Question.name", self.name, "a word in small letters, such as 'price'")
        check_instance("Question.text", self.text, str, "text")
        if not self.text.strip():
            raise InvalidSetting("Question.text", self.text, "a question")
        if self.kind not in _KINDS:
            raise InvalidSetting("Question.kind", self.kind, f"one of {', '.join(_KINDS)}")
        if (self.kind == "choice") is not bool(self.options) or len(set(self.options)) < len(self.options):
            raise InvalidSetting("Question.options", self.options, "different texts for a choice, and none for any other kind")
        if self.least is not None and self.most is not None and self.least > self.most:
            raise InvalidSetting("Question.least", self.least, f"at most {self.most:g}, which is `most`")

    @property
    def wording(self) -> str:
        """The question as it is asked, with what can be answered."""
        hint = {
            "choice": f"Answer with one of: {', '.join(self.options)}.",
            "boolean": "Answer yes or no, and why.",
            "integer": f"Answer with a whole number{self._range()}, and why.",
            "number": f"Answer with a number{self._range()}, and why.",
        }.get(self.kind, "")
        return f"{self.text} ({hint})" if hint else self.text

    @property
    def type(self) -> Any:
        """The Python type of an answer, as a model is told of it."""
        bounds = Field(ge=self.least, le=self.most)
        kinds: dict[AnswerKind, Any] = {
            "text": str,
            "boolean": bool,
            "integer": Annotated[int, bounds],
            "number": Annotated[float, bounds],
        }
        return Literal[self.options] if self.kind == "choice" else kinds[self.kind]

    def read(self, text: str) -> Value:
        """Return the value that a text answers with, found by rules; None if none is found.

        A choice is the option that is named first; a number the first that is in range; yes or no the first such word.
        """
        if not text.strip():
            return None
        if self.kind == "choice":
            return first_named(text, self.options)
        if self.kind == "boolean":
            yes, no = _YES.search(text), _NO.search(text)
            return None if not (yes or no) else no is None or (yes is not None and yes.start() < no.start())
        if self.kind in ("integer", "number"):
            return self._number(text)
        return text.strip()

    def _number(self, text: str) -> int | float | None:
        whole = self.kind == "integer"
        found = first_number(text, lambda value: self._fits(value) and (not whole or value == int(value)))
        return int(found) if whole and found is not None else found

    def _fits(self, value: float) -> bool:
        return (self.least is None or value >= self.least) and (self.most is None or value <= self.most)

    def _range(self) -> str:
        if self.least is not None and self.most is not None:
            return f" from {self.least:g} to {self.most:g}"
        return (
            f" of at least {self.least:g}"
            if self.least is not None
            else f" of at most {self.most:g}"
            if self.most is not None
            else ""
        )
