"""The actions of a persona: kinds of actions, immutable sets of them, and the standard set. No registry is process-wide."""

from __future__ import annotations

import difflib
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

from coterie.errors import InvalidSetting
from coterie.kernel import check_instance
from coterie.personas.mind import state
from coterie.personas.mind.context import ActionContext
from coterie.personas.mind.state import ActionOutcome, ActionResult, PersonaAction

Run: TypeAlias = Callable[[ActionContext, PersonaAction], ActionResult | Awaitable[ActionResult]]
"""A function that carries out an action, on the thread of its agent; it may be ``async``."""
F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

_NAME = re.compile(r"[A-Z][A-Z0-9_]*")
MARK = "__coterie_action__"
_TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "object": dict,
    "array": list,
    "null": type(None),
}
CONTENT: Mapping[str, Any] = {"content": {"type": "string"}}
TARGETED: Mapping[str, Any] = {"content": {"type": "string"}, "target": {"type": "string"}}


@dataclass(frozen=True, slots=True)
class ActionKind:
    """A kind of action. Raises `InvalidSetting`."""

    name: str
    """In capitals, with ``_`` between words, such as ``REACH_OUT``."""
    description: str
    """Its purpose, for a model."""
    run: Run
    """The function that carries it out."""
    properties: Mapping[str, Any] = field(default_factory=lambda: dict(CONTENT))
    """The JSON schemas of the arguments, by name; `content` and `target` become the fields of an action."""
    required: tuple[str, ...] = ()
    """The names of the required arguments."""
    answers: bool = False
    """Whether the persona waits for its result, so that the episode continues."""
    ends: bool = False
    """Whether it ends the episode."""

    def __post_init__(self) -> None:
        check_instance("ActionKind.name", self.name, str, "a name in capitals, such as 'REACH_OUT'")
        if not _NAME.fullmatch(self.name):
            raise InvalidSetting("ActionKind.name", self.name, "a name in capitals, such as 'REACH_OUT'")
        if not callable(self.run):
            raise InvalidSetting("ActionKind.run", self.run, "a function of the agent and the action")
        check_instance("ActionKind.description", self.description, str, "text: its purpose, for a model")
        check_instance("ActionKind.properties", self.properties, Mapping, "the JSON schemas of the arguments, by name")
        for name, schema in self.properties.items():
            where, need = f"ActionKind.properties[{name!r}]", f"a JSON schema, of one of the types {', '.join(_TYPES)}"
            check_instance("ActionKind.properties", name, str, "names that are text")
            check_instance(where, schema, Mapping, need)
            if isinstance(kind := schema.get("type"), str) and kind not in _TYPES:
                raise InvalidSetting(where, schema, need)
        required: object = self.required
        if isinstance(required, str) or not isinstance(required, Iterable):
            raise InvalidSetting("ActionKind.required", required, "several names, such as ('content',)")
        object.__setattr__(self, "required", tuple(required))
        for each in self.required:
            if each not in self.properties:
                raise InvalidSetting("ActionKind.required", each, f"one of {', '.join(self.properties) or 'no property'}")

    def __deepcopy__(self, memo: object) -> ActionKind:
        return self

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema of the arguments."""
        return {
            "type": "object",
            "properties": dict(self.properties),
            "required": list(self.required),
            "additionalProperties": False,
        }

    def problem(self, given: Mapping[str, Any]) -> str:
        """Return the reason why these arguments are invalid; an empty text if they are valid."""
        for name in self.required:
            if given.get(name) in (None, ""):
                return f"{self.name} needs {name}"
        for name, value in given.items():
            schema = self.properties.get(name)
            if schema is None:
                if name in ("content", "target") and value in (None, ""):
                    continue
                return f"{self.name} takes no {name}; it takes {', '.join(self.properties) or 'nothing'}"
            if value is not None and (reason := _misfit(value, schema)):
                return f"{name} of {self.name} is {value!r}, and {reason}"
        return ""


class ActionSet:
    """The kinds of actions of a persona, by name. Immutable: `adding` and `without` return new sets."""

    __slots__ = ("_kinds", "_made")

    def __init__(self, kinds: Iterable[ActionKind] = ()) -> None:
        found: dict[str, ActionKind] = {}
        for kind in kinds:
            if not isinstance(kind, ActionKind):
                raise InvalidSetting("ActionSet.kinds", kind, "ActionKinds")
            found[kind.name] = kind
        self._kinds = found
        self._made: dict[Callable[[ActionSet], Any], Any] = {}

    def adding(self, *kinds: ActionKind) -> ActionSet:
        """Return the set with these kinds; a kind replaces the one of the same name."""
        return ActionSet((*self._kinds.values(), *kinds)) if kinds else self

    def without(self, *names: str) -> ActionSet:
        """Return the set without the kinds of these names."""
        return ActionSet(kind for kind in self._kinds.values() if kind.name not in names)

    def only(self, *names: str) -> ActionSet:
        """Return the set of these kinds alone."""
        return ActionSet(kind for kind in self._kinds.values() if kind.name in names)

    def find(self, name: str) -> ActionKind | None:
        """Return the kind of that name, also as a model may write it: ``reach out`` is ``REACH_OUT``."""
        return self._kinds.get(name) or self._kinds.get(re.sub(r"[\s\-]+", "_", name.strip()).upper())

    def nearest(self, name: str) -> str:
        """Return the most similar name, or an empty text."""
        return next(iter(difflib.get_close_matches(name.upper(), self._kinds, n=1)), "")

    def once(self, make: Callable[[ActionSet], T]) -> T:
        """Return what a function makes of the set, which it makes once: the set is immutable, and the value must be so too."""
        if make not in self._made:
            # Two threads may do this at the same time, with equal results.
            self._made.setdefault(make, make(self))
        found: T = self._made[make]
        return found

    @property
    def names(self) -> tuple[str, ...]:
        """The names, in the order in which the kinds were added."""
        return tuple(self._kinds)

    def __iter__(self) -> Iterator[ActionKind]:
        return iter(self._kinds.values())

    def __contains__(self, name: object) -> bool:
        return name in self._kinds

    def __len__(self) -> int:
        return len(self._kinds)

    def __repr__(self) -> str:
        return f"ActionSet({', '.join(self._kinds)})"

    def __deepcopy__(self, memo: object) -> ActionSet:
        return self


def action(
    name: str,
    description: str,
    *,
    properties: Mapping[str, Any] | None = None,
    required: Iterable[str] = (),
    answers: bool = False,
    ends: bool = False,
) -> Callable[[F], F]:
    """Declare a method of a persona agent's class as an action of that class.

    ::

        class Shopper(PersonaAgent):
            @action("BUY", "Buys something.", properties={"content": {"type": "string"}}, required=["content"])
            def buy(self, action: Action) -> str:
                return f"you have {action.content} now"

    Raises `InvalidSetting` at the declaration.
    """

    def declare(method: F) -> F:
        schema = dict(properties if properties is not None else CONTENT)
        setattr(method, MARK, ActionKind(name, description, method, schema, tuple(required), answers, ends))
        return method

    return declare


def declared_in(kind: type) -> list[ActionKind]:
    """Return the actions that methods of a class declare, without those of its bases."""
    return [found for value in vars(kind).values() if isinstance(found := getattr(value, MARK, None), ActionKind)]


def _misfit(value: Any, schema: Mapping[str, Any]) -> str:
    wanted = schema.get("type")
    kind = _TYPES.get(wanted) if isinstance(wanted, str) else None
    if kind is not None and (not isinstance(value, kind) or (isinstance(value, bool) and wanted != "boolean")):
        return f"must be of the type {wanted}"
    if "enum" in schema and value not in schema["enum"]:
        return f"must be one of {', '.join(map(str, schema['enum']))}"
    if isinstance(value, int | float) and not isinstance(value, bool):
        if value < schema.get("minimum", value):
            return f"must be at least {schema['minimum']}"
        if value > schema.get("maximum", value):
            return f"must be at most {schema['maximum']}"
    return ""


_RECALLED = 5
_MAX_TEXT = 4_000


async def _talk(context: ActionContext, action: PersonaAction) -> ActionResult:
    return await context.channel.talk(action)


async def _reach_out(context: ActionContext, action: PersonaAction) -> ActionResult:
    return await context.channel.reach_out(action)


def _think(context: ActionContext, action: PersonaAction) -> ActionResult:  # noqa: ARG001 - the agent remembers every action
    return None


def _remember(context: ActionContext, action: PersonaAction) -> ActionResult:
    context.memory.remember(action.content, "note", importance=0.8)
    return None


def _recall(context: ActionContext, action: PersonaAction) -> ActionResult:
    found = context.memory.recall(action.content, _RECALLED)
    return "You recall: " + "; ".join(found) if found else "Nothing comes to your mind about that."


def _consult(context: ActionContext, action: PersonaAction) -> ActionResult:
    documents = context.documents
    name = action.target or action.content
    text = documents.get(name) or next((documents[each] for each in documents if each.casefold() == name.casefold()), None)
    if text is None:
        return (
            ActionOutcome.REFUSED,
            f"there is nothing called {name!r} to consult; there is {', '.join(documents) or 'nothing'}",
        )
    return f"{name} says: {text[:_MAX_TEXT]}" + (" [...]" if len(text) > _MAX_TEXT else "")


def _done(context: ActionContext, action: PersonaAction) -> ActionResult:  # noqa: ARG001 - it needs nothing but its kind
    return None


STANDARD_ACTIONS = ActionSet(
    (
        ActionKind(
            state.TALK,
            "Say `content`, to the person in `target`, or to all within reach without one.",
            _talk,
            TARGETED,
            ("content",),
        ),
        ActionKind(state.THINK, "Think `content`, for yourself.", _think, required=("content",)),
        ActionKind(
            state.REACH_OUT,
            "Get within reach of the person in `target`; `content` says what they are to you.",
            _reach_out,
            TARGETED,
            ("target",),
            answers=True,
        ),
        ActionKind(state.REMEMBER, "Note `content`, so that you will remember it.", _remember, required=("content",)),
        ActionKind(
            state.RECALL,
            "Ask your memory about `content`; you then see what comes.",
            _recall,
            required=("content",),
            answers=True,
        ),
        ActionKind(
            state.CONSULT,
            "Look into the document named in `content`; you then see it.",
            _consult,
            required=("content",),
            answers=True,
        ),
        ActionKind(state.DONE, "Have nothing more to do for now.", _done, {}, ends=True),
    )
)
"""Talk, think, reach out, remember, recall, consult, done."""
