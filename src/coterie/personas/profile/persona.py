"""Personas and fragments of personas, as files and as text."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Self

import msgspec

from coterie.errors import FragmentConflict, InvalidPersona
from coterie.kernel import check_instance, check_number
from coterie.personas.profile import data, reading
from coterie.personas.profile.data import frozen, thaw
from coterie.personas.profile.reading import FRAGMENT, PERSONA, check, key_of

OnConflict = Literal["refuse", "keep", "replace"]
"""The treatment of a conflict: an error, the value of the persona, or the value of the fragment."""


class _Document(msgspec.Struct, frozen=True, dict=True):
    document: dict[str, Any]
    """The whole file, every key in its order; immutable."""
    source: str = "persona"
    """Its name in errors: the path of its file, if it has one. Not part of equality."""

    def __post_init__(self) -> None:
        reading.check_plain(self.document, self.source)
        msgspec.structs.force_setattr(self, "document", frozen(self.document))
        check(self.document, self.source, fragment=isinstance(self, Fragment))

    @classmethod
    def load(cls, path: Path | str, *, max_bytes: int = reading.MAX_BYTES) -> Self:
        """Return the persona or fragment in a file of at most `max_bytes` bytes.

        Raises `InvalidPersona`, which names the file and the place inside it, and `PersonaTooLarge`.
        """
        check_number("load.max_bytes", max_bytes, above=0, whole=True)
        check_instance("load.path", path, (str, os.PathLike), "the path of a file")
        return cls(reading.read(Path(path), max_bytes), str(path))

    @classmethod
    def parse(cls, text: str, source: str = "persona") -> Self:
        """Return the persona or fragment in a JSON text, named `source` in errors. Raises `InvalidPersona`."""
        return cls(reading.parse(text, source), source)

    @property
    def fields(self) -> Mapping[str, Any]:
        """The fields of the persona, without those of the file around it."""
        key = key_of(self.document)
        found: Mapping[str, Any] = self.document[key] if key else self.document
        return found

    def get(self, path: str, default: Any = None) -> Any:
        """Return the value at a path such as ``personality.big_five.openness``, or `default`."""
        check_instance("get.path", path, str, "keys with dots between them, such as 'personality.traits'")
        value: Any = self.fields
        for step in path.split("."):
            if not isinstance(value, Mapping) or step not in value:
                return default
            value = value[step]
        return value

    def to_dict(self) -> dict[str, Any]:
        """Return a mutable copy of the whole file, equal to the file that was read."""
        copy: dict[str, Any] = thaw(self.document)
        return copy

    def to_json(self) -> str:
        """Return the whole file as JSON; parsing it gives an equal document with the same key order."""
        return self._written(indent=4)

    def save(self, path: Path | str) -> Path:
        """Write the file atomically, and return its path. Raises `InvalidPersona` if it cannot be written."""
        target = Path(path)
        temporary = target.with_name(f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
        try:
            temporary.write_bytes(self._as_file())
            return temporary.replace(target)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise InvalidPersona(path, "", f"it cannot be written: {error.strerror or error}") from error

    def _as_file(self) -> bytes:
        data = self.to_json().encode()
        if len(data) > reading.MAX_BYTES:
            # The indentation would exceed the limit of a reader.
            data = self._written(separators=(",", ":")).encode()
        return data + b"\n"

    def _written(self, **options: Any) -> str:
        text = json.dumps(self.document, ensure_ascii=False, allow_nan=False, **options)
        try:
            text.encode()
        except UnicodeEncodeError:
            # A lone surrogate, which JSON can hold and UTF-8 cannot.
            text = json.dumps(self.document, allow_nan=False, **options)
        return text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, type(self)) and other.document == self.document

    def __hash__(self) -> int:
        return hash((type(self), self.fields.get("name")))

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self


class Fragment(_Document, frozen=True, eq=False):
    """A part of a persona, to be merged into whole ones: the format's ``*.fragment.json``. Immutable, safe to share."""

    @classmethod
    def of(cls, **fields: Any) -> Fragment:
        """Return a fragment with these fields. Raises `InvalidPersona`."""
        return cls({"type": FRAGMENT, "persona": fields}, "fragment")


class Persona(_Document, frozen=True, eq=False):
    """The description of a person, in the format of ``*.agent.json``. Immutable, safe to share, encodable.

    ::

        ada = Persona.load("ada.agent.json")
        ada.name, ada.age, ada.get("personality.traits")
        ada.merge(Fragment.load("traveller.agent.fragment.json")).save("travelling-ada.agent.json")

    Every key of the file is kept, known or not, in its order. Fields may have the variants of existing files, such as an
    object instead of text. An invalid file raises `InvalidPersona`.
    """

    @classmethod
    def of(cls, name: str, /, **fields: Any) -> Persona:
        """Return a persona of that name, with these fields. Raises `InvalidPersona`."""
        return cls({"type": PERSONA, "persona": {"name": name, **fields}}, "persona")

    @property
    def name(self) -> str:
        """The persona's name."""
        return str(self.fields["name"])

    @property
    def age(self) -> int | float | str | None:
        """The age in years, or as the file's text."""
        age: int | float | str | None = self.fields.get("age")
        return age

    @property
    def occupation(self) -> str:
        """The occupation as text: its title, if it has one; empty if unknown."""
        occupation = self.fields.get("occupation")
        if isinstance(occupation, Mapping) and isinstance(occupation.get("title"), str):
            return str(occupation["title"])
        return as_text(occupation)

    @property
    def goals(self) -> tuple[str, ...]:
        """Its long-term goals, as text."""
        return self._texts("long_term_goals")

    @property
    def relationships(self) -> tuple[tuple[str, str], ...]:
        """Known people: names and roles. Entries without a name are left out."""
        entries = self.fields.get("relationships")
        return tuple(
            (str(entry["name"]), as_text(entry.get("description", entry.get("role"))))
            for entry in (entries if isinstance(entries, list) else ())
            if isinstance(entry, Mapping) and isinstance(entry.get("name"), str)
        )

    def description(self, max_characters: int | None = None) -> str:
        """Return the persona as text for a prompt, of at most `max_characters` characters. Raises `InvalidSetting`."""
        check_number("description.max_characters", max_characters, above=0, whole=True, optional=True)
        # The latest text is kept, beside the fields: a mind asks for the same one at each step.
        latest: tuple[int | None, str] | None = self.__dict__.get("_described")
        if latest is None or latest[0] != max_characters:
            latest = self.__dict__["_described"] = max_characters, describe(self.fields, max_characters)
        return latest[1]

    def summary(self) -> str:
        """Return name, age, nationality and occupation in one line."""
        age = f"{self.age}" if self.age is not None else ""
        details = [part for part in (age, as_text(self.fields.get("nationality")), self.occupation) if part]
        return f"{self.name} ({', '.join(details)})" if details else self.name

    def merge(self, *fragments: Fragment | Persona, on_conflict: OnConflict = "refuse") -> Persona:
        """Return a persona with fragments merged in, one after the other. The inputs are not changed.

        Objects are merged key by key; lists are concatenated without duplicates; null is replaced. Other differences raise
        `FragmentConflict`, unless `on_conflict` is "keep" or "replace".
        """
        if on_conflict not in ("refuse", "keep", "replace"):
            raise InvalidPersona(self.source, "on_conflict", f"{on_conflict!r}: give 'refuse', 'keep' or 'replace'")
        document = self.to_dict()
        key = key_of(document)
        for fragment in fragments:
            check_instance("merge.fragments", fragment, _Document, "a Fragment: Fragment.load(...) or Fragment.of(...)")

            def decide(where: str, ours: Any, theirs: Any, source: str = fragment.source) -> Any:
                if on_conflict == "refuse":
                    raise FragmentConflict(self.source, source, where, ours, theirs)
                return ours if on_conflict == "keep" else theirs

            whole = document[key] if key else document
            both = data.merge_values(whole, thaw(fragment.fields), decide, key)
            document = {**document, key: both} if key else both
        return Persona(document, self.source)

    def _texts(self, field: str) -> tuple[str, ...]:
        value = self.fields.get(field)
        if value is None:
            return ()
        entries: Iterable[Any] = value if isinstance(value, list) else [value]
        return tuple(text for text in map(as_text, entries) if text)


_MARK = " [...]"


def describe(persona: Mapping[str, Any], max_characters: int | None = None) -> str:
    """Return a persona as text; longer than `max_characters` it is cut at the end of a line, and says so."""
    text = "\n".join(_lines(persona, ""))
    if max_characters is None or len(text) <= max_characters:
        return text
    kept = text[: max(0, max_characters - len(_MARK))]
    return kept[: kept.rfind("\n")] + _MARK if "\n" in kept else kept + _MARK


def as_text(value: Any) -> str:
    """Return a value as one line of text."""
    if isinstance(value, Mapping):
        return "; ".join(f"{_title(key)}: {as_text(each)}" for key, each in value.items() if each not in (None, "", [], {}))
    if isinstance(value, list | tuple):
        return "; ".join(as_text(each) for each in value)
    return "" if value is None else str(value)


def _lines(value: Mapping[str, Any], indent: str) -> Iterator[str]:
    for key, each in value.items():
        if each in (None, "", [], {}):
            continue
        if isinstance(each, Mapping):
            yield f"{indent}{_title(key)}:"
            yield from _lines(each, f"{indent}  ")
        elif isinstance(each, list | tuple):
            yield f"{indent}{_title(key)}:"
            yield from (f"{indent}  - {as_text(entry)}" for entry in each)
        else:
            yield f"{indent}{_title(key)}: {each}"


def _title(key: str) -> str:
    words = key.replace("_", " ").strip()
    return words[:1].upper() + words[1:]
