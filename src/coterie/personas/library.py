"""Documents as the knowledge of personas: searched by words, in passages that can be cited."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from coterie.errors import InvalidSetting
from coterie.errors.personas import DocumentUnreadable
from coterie.kernel import check_instance, check_number
from coterie.memory.text.analysis import question_of, terms_of
from coterie.memory.text.ranking import Document, QuestionTerms
from coterie.personas.mind.actions import ActionKind
from coterie.personas.mind.context import ActionContext
from coterie.personas.mind.state import ActionOutcome, ActionResult, PersonaAction

ENDINGS = (".md", ".txt", ".rst", ".csv", ".json", ".toml", ".yaml", ".yml")
"""The endings of files that `Library.load` reads."""
LOOK_UP = "LOOK_UP"
_MARK = re.compile(r"\[([^\[\]\n]{1,200}?) (\d{1,6})\]")
_MAX_BYTES = 5_000_000
_FOUND = 3


class Passage(msgspec.Struct, frozen=True):
    """A part of a document that can be cited."""

    document: str
    number: int
    """Counted from 1, by document."""
    text: str

    @property
    def mark(self) -> str:
        """The citation of the passage, such as ``[handbook 3]``."""
        return f"[{self.document} {self.number}]"


class Citations(msgspec.Struct, frozen=True):
    """The citations in a text."""

    passages: tuple[Passage, ...]
    """The passages that it cites, each once, in order."""
    unknown: tuple[str, ...]
    """Marks of documents or passages that do not exist."""


class Library(Mapping[str, str]):
    """Documents by name, for `Population(documents=...)`. Immutable; safe from any thread.

    ::

        library = Library.load("handbooks")
        population = Population(runtime, documents=library)
        library.search("How long is the warranty?")  # the best passages, each with a mark to cite it by
        library.citations(episode.text)  # the passages that an answer cites

    Personas of such a population have the action ``LOOK_UP``, which finds passages with their marks. A passage is one or more
    paragraphs, with the heading above them, of about `length` characters. Search is by words, as in memories (BM25), in any
    language. Raises `InvalidSetting`.
    """

    def __init__(self, documents: Mapping[str, str], *, length: int = 800) -> None:
        check_instance("Library.documents", documents, Mapping, "a mapping of names to texts")
        check_number("Library.length", length, least=50, whole=True)
        for name, text in documents.items():
            check_instance(f"Library.documents[{name!r}]", text, str, "text")
            if not name.strip() or "[" in name or "]" in name or "\n" in name:
                raise InvalidSetting("Library.documents", name, "names without brackets and line breaks")
        self._texts = dict(documents)
        self._passages = {name: _passages(name, text, length) for name, text in documents.items()}
        self._all = [passage for several in self._passages.values() for passage in several]
        self._counts = [Counter(terms_of(passage.text)) for passage in self._all]

    @classmethod
    def load(cls, *paths: Path | str, length: int = 800) -> Library:
        """Return the documents in files and folders, each named by its file without the ending.

        Raises `DocumentUnreadable` for a file that is no text, is too large, or has a name twice, and for a folder without files.
        """
        texts: dict[str, str] = {}
        for given in paths:
            path = Path(given)
            files = sorted(each for each in path.rglob("*") if each.suffix.lower() in ENDINGS) if path.is_dir() else [path]
            if not files:
                raise DocumentUnreadable(path, f"there is no file in it that ends in {', '.join(ENDINGS)}")
            for file in files:
                if file.stem in texts:
                    raise DocumentUnreadable(file, f"another document is called {file.stem}; rename one of them")
                texts[file.stem] = _read(file)
        return cls(texts, length=length)

    def __getitem__(self, name: str) -> str:
        return self._texts[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)

    def __len__(self) -> int:
        return len(self._texts)

    def __deepcopy__(self, memo: object) -> Library:
        return self

    def passages(self, name: str) -> tuple[Passage, ...]:
        """Return the passages of a document, in order. Raises `KeyError` for an unknown document."""
        return self._passages[name]

    def search(self, question: str, limit: int = _FOUND) -> list[Passage]:
        """Return the passages that have most to do with a question, best first; none if no word of it is in any."""
        check_number("Library.search.limit", limit, least=1, whole=True)
        terms = QuestionTerms(*question_of(question))
        documents = [
            Document({term: counts[term] for term in terms.terms & counts.keys()}, {}, sum(counts.values()), 0)
            for counts in self._counts
        ]
        frequencies = [sum(any(term in each.text for term in forms) for each in documents) for forms in terms.words]
        ranks = terms.rank(documents, frequencies, len(documents))
        order = sorted(range(len(ranks)), key=lambda place: (-ranks[place].score, place))
        return [self._all[place] for place in order[:limit] if ranks[place].score > 0]

    def citations(self, text: str) -> Citations:
        """Return the passages that a text cites by their marks, and the marks that name none."""
        found: list[Passage] = []
        unknown: list[str] = []
        for match in _MARK.finditer(text):
            passages = self._passages.get(match[1], ())
            number = int(match[2])
            if 1 <= number <= len(passages):
                found.append(passages[number - 1])
            else:
                unknown.append(match[0])
        return Citations(tuple(dict.fromkeys(found)), tuple(dict.fromkeys(unknown)))

    def with_sources(self, text: str) -> str:
        """Return a text with the passages that it cites below it, in Markdown."""
        cited = self.citations(text)
        lines = [f"- {passage.mark} {' '.join(passage.text.split())}" for passage in cited.passages]
        lines += [f"- {mark} is not in the library" for mark in cited.unknown]
        return "\n".join([text, "", "Sources:", "", *lines]) if lines else text

    def action(self) -> ActionKind:
        """Return the action ``LOOK_UP`` of personas that know these documents."""
        described = (
            "Look up `content` in the documents; you then see passages, each with a mark in brackets. "
            "When you say something that you have from a passage, repeat its mark."
        )
        return ActionKind(LOOK_UP, described, self._look_up, required=("content",), answers=True)

    def _look_up(self, context: ActionContext, action: PersonaAction) -> ActionResult:  # noqa: ARG002 - as every action
        found = self.search(action.content)
        if not found:
            return ActionOutcome.REFUSED, f"nothing in the documents has to do with {action.content!r}"
        return "\n".join(f"{passage.mark} {passage.text}" for passage in found)


def _passages(name: str, text: str, length: int) -> tuple[Passage, ...]:
    made: list[str] = []
    heading, current = "", ""
    for block in re.split(r"\n\s*\n", text.replace("\r\n", "\n")):
        part = block.strip()
        if not part:
            continue
        if part.startswith("#") and "\n" not in part:
            if current:
                made.append(current)
            heading, current = part.lstrip("# "), ""
            continue
        for piece in _pieces(part, length):
            if current and len(current) + len(piece) > length:
                made.append(current)
                current = ""
            current = f"{current}\n{piece}" if current else (f"{heading}: {piece}" if heading else piece)
    if current:
        made.append(current)
    return tuple(Passage(name, number, each) for number, each in enumerate(made, 1))


def _pieces(part: str, length: int) -> Iterator[str]:
    """Yield a paragraph, cut between sentences where it is longer than a passage."""
    while len(part) > length:
        cut = max(part.rfind(". ", 0, length), part.rfind("\n", 0, length))
        cut = cut + 1 if cut > length // 3 else length
        yield part[:cut].strip()
        part = part[cut:].strip()
    if part:
        yield part


def _read(file: Path) -> str:
    try:
        data = file.read_bytes()
        if len(data) > _MAX_BYTES:
            raise DocumentUnreadable(file, f"it has {len(data)} bytes, more than {_MAX_BYTES}; split it")
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise DocumentUnreadable(file, f"it cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise DocumentUnreadable(file, "it is no text in UTF-8; convert it to text or Markdown first") from error
    if "\0" in text:
        raise DocumentUnreadable(file, "it is no text; convert it to text or Markdown first")
    return text
