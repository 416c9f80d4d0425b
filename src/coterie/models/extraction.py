"""Extract typed values from the replies of a model, with a bounded number of attempts."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Generic, Protocol, TypeVar, cast

import msgspec
from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError

from coterie.errors import InvalidSetting
from coterie.errors.models import MalformedReply
from coterie.kernel import check_instance, check_number
from coterie.models.contract import Model
from coterie.models.values import Finish, ModelReply, ModelRequest, TextMessage

T = TypeVar("T")

_FENCED = re.compile(r"```(?:json)?\s*\n?(.*?)```", re.DOTALL | re.IGNORECASE)


class BlockingModel(Protocol):
    """Answers requests by blocking, as a `ModelGateway` does."""

    @property
    def name(self) -> str:
        """The name of the model."""
        ...

    def ask_blocking(self, request: ModelRequest) -> ModelReply:
        """Return the reply; raise a `ModelError`."""
        ...


async def extract(model: Model, kind: type[T] | Any, request: ModelRequest, *, attempts: int = 3) -> T:
    """Ask for a value of the type `kind`, and return it.

    `kind` is a msgspec struct, a pydantic model, a dataclass, or any type that pydantic understands, `list[int]` too.
    A reply that does not fit goes back to the model with its problem, up to `attempts` replies in total. Raises
    `MalformedReply` with the last reply, any other `ModelError`, and `InvalidSetting`.
    """
    extraction: Extraction[T] = Extraction(model.name, kind, request, attempts=attempts)
    while not extraction.take(await model.ask(extraction.request)):
        pass
    return extraction.value


def extract_blocking(model: BlockingModel, kind: type[T] | Any, request: ModelRequest, *, attempts: int = 3) -> T:
    """Return the value that `extract` returns, and block the calling thread. Raises the same errors."""
    extraction: Extraction[T] = Extraction(model.name, kind, request, attempts=attempts)
    while not extraction.take(model.ask_blocking(extraction.request)):
        pass
    return extraction.value


class Extraction(Generic[T]):
    """The state of one extraction, without I/O: send `request`, and pass the reply to `take`.

    For one thread.
    """

    def __init__(self, name: str, kind: type[T] | Any, request: ModelRequest, *, attempts: int = 3) -> None:
        check_number("extract.attempts", attempts, least=1, whole=True)
        check_instance("extract.request", request, ModelRequest, "a ModelRequest")
        self._name = name
        self._form = ResultForm(kind)
        self._attempts = attempts
        self._taken = 0
        self.request = msgspec.structs.replace(request, schema=self._form.schema)
        """The next request to send."""
        self._value: T | None = None

    @property
    def value(self) -> T:
        """The extracted value; valid after `take` returned true."""
        return cast("T", self._value)

    def take(self, reply: ModelReply) -> bool:
        """Take a reply; return whether it holds the value. If not, `request` asks again.

        Raises `MalformedReply` when no attempt is left.
        """
        self._taken += 1
        try:
            self._value = self._form.value(reply.text)
        except ValueError as error:
            wrong = problem_of(reply, error)
        else:
            return True
        if self._taken >= self._attempts:
            raise MalformedReply(self._name, wrong, reply.text, attempts=self._taken)
        told = f"That does not fit the schema: {wrong}\nAnswer again, with nothing but JSON that fits it."
        exchanges = (*self.request.exchanges, TextMessage("assistant", reply.text), TextMessage("user", told))
        self.request = msgspec.structs.replace(self.request, exchanges=exchanges)
        return False


class ResultForm:
    """The schema of a type, an object, and how its values are read. Immutable. Raises `InvalidSetting`.

    `where` is the setting that has the type, for the error.
    """

    def __init__(self, kind: Any, where: str = "extract.kind") -> None:
        self._kind = kind
        try:
            self._adapter = _adapter(kind)
            schema = _root(msgspec.json.schema(kind) if self._adapter is None else self._adapter.json_schema())
        except (TypeError, ValueError, PydanticUserError) as error:
            need = f"a type that has a JSON schema: {str(error).splitlines()[0]}"
            raise InvalidSetting(where, kind, need) from None
        self._wrapped = schema.get("type") != "object"
        if self._wrapped:
            # Providers accept only objects.
            definitions = {"$defs": schema.pop("$defs")} if "$defs" in schema else {}
            schema = {"type": "object", "properties": {"value": schema}, "required": ["value"], **definitions}
        self.schema: Mapping[str, Any] = schema

    def value(self, text: str) -> Any:
        """Return the value in a text. Raises `ValueError` with the problem."""
        found = _json(text)
        if self._wrapped:
            if not isinstance(found, dict) or "value" not in found:
                raise ValueError('it has no key "value"')
            found = found["value"]
        if self._adapter is not None:
            return self._adapter.validate_json(json.dumps(found))
        return msgspec.json.decode(json.dumps(found), type=self._kind)


def _adapter(kind: Any) -> TypeAdapter[Any] | None:
    """Return the adapter of a type; None for types with msgspec structs, which pydantic does not know."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return None
    try:
        return TypeAdapter(kind)
    except PydanticSchemaGenerationError:
        return None


def _root(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema with a reference at its root resolved, as providers require."""
    reference = schema.get("$ref")
    if reference is None:
        return schema
    definitions: dict[str, Any] = schema.get("$defs", {})
    root = dict(definitions[reference.rpartition("/")[2]])
    return {**root, "$defs": definitions} if json.dumps(schema).count(reference) > 1 or len(definitions) > 1 else root


def _json(text: str) -> Any:
    """Return the JSON value in a text, also from a fenced block or between words."""
    fenced = _FENCED.search(text)
    candidates = [text, *([fenced.group(1)] if fenced else [])]
    start, end = text.find("{"), text.rfind("}")
    if 0 <= start < end:
        candidates.append(text[start : end + 1])
    wrong: ValueError | None = None
    for candidate in candidates:
        try:
            return json.loads(candidate)
        except ValueError as error:
            wrong = wrong or error
        except RecursionError:
            wrong = wrong or ValueError("it is nested too deeply")
    raise ValueError(f"it is no JSON: {wrong}")


def problem_of(reply: ModelReply, error: ValueError) -> str:
    """Return the reason for which a reply does not fit, for the model."""
    if reply.finish is Finish.LENGTH:
        return f"it was cut at max_tokens ({error})"
    if reply.finish is Finish.FILTERED:
        return "the provider's filter refused it"
    if isinstance(error, ValidationError):
        found = error.errors(include_url=False, include_input=False)[:5]
        return "; ".join(f"{'.'.join(map(str, each['loc'])) or 'the whole'}: {each['msg']}" for each in found)
    return str(error)
