"""How known embedding models want questions and passages: with a prefix, or with a type in the request.

Most models for retrieval embed a question differently from the passages that answer it. Without the difference they find less. The
prefixes are those that the authors of the models publish with them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

QUERY = "query"
PASSAGE = "passage"


@dataclass(frozen=True, slots=True)
class EmbeddingStyle:
    """How a model embeds a question and a passage."""

    query_prefix: str = ""
    """The text before each question."""
    passage_prefix: str = ""
    """The text before each passage."""
    query_options: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of a request for questions, such as ``{"input_type": "query"}``; None removes a field."""
    passage_options: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of a request for passages."""
    similar: float | None = None
    """The cosine from which a passage has to do with a question. None: it is estimated from the memories."""

    def prefix(self, kind: str) -> str:
        """Return the prefix for texts of a kind."""
        return self.query_prefix if kind == QUERY else self.passage_prefix

    def options(self, kind: str) -> Mapping[str, Any]:
        """Return the fields of a request for texts of a kind."""
        return self.query_options if kind == QUERY else self.passage_options

    def name_for(self, model: str) -> str:
        """Return the name of the space of the vectors: those of a model with and without prefixes do not compare."""
        how = [each for each in (self.query_prefix, self.passage_prefix) if each]
        how += [f"{name}={value}" for name, value in self.passage_options.items() if value is not None]
        return f"{model} ({'; '.join(each.strip() for each in how)})" if how else model


def _typed(query: str, passage: str, name: str = "input_type", similar: float | None = None, **more: Any) -> EmbeddingStyle:
    return EmbeddingStyle(query_options={name: query, **more}, passage_options={name: passage, **more}, similar=similar)


_INSTRUCTION = "Instruct: Given a question, retrieve passages that answer the question\nQuery: "
_E5 = {"input_type": "query"}, {"input_type": "passage"}
"""Some servers of these models put the prefix themselves, by this field; the others ignore it."""
_BGE = "Represent this sentence for searching relevant passages: "

_STYLES: tuple[tuple[str, EmbeddingStyle], ...] = (
    (r"e5.*-q4$", _typed("query", "passage", similar=0.75)),
    (r"e5-mistral|e5.*instruct", EmbeddingStyle(query_prefix=_INSTRUCTION)),
    (r"multilingual-e5-small", EmbeddingStyle("query: ", "passage: ", *_E5, 0.75)),
    (r"(^|[/_-])e5(-|$)", EmbeddingStyle("query: ", "passage: ", *_E5)),
    (r"bge-m3", EmbeddingStyle()),
    (r"bge-.*-zh", EmbeddingStyle(query_prefix="为这个句子生成表示以用于检索相关文章\uff1a")),
    (r"bge-.*-en|bge-(small|base|large)|mxbai-embed|arctic-embed-(xs|s|m|l)$", EmbeddingStyle(query_prefix=_BGE)),
    (r"arctic-embed", EmbeddingStyle(query_prefix="query: ")),
    (r"nomic-embed", EmbeddingStyle("search_query: ", "search_document: ")),
    (r"embeddinggemma", EmbeddingStyle("task: search result | query: ", "title: none | text: ")),
    (r"gte-qwen|qwen3-embedding", EmbeddingStyle(query_prefix=_INSTRUCTION)),
    (r"gte-", EmbeddingStyle()),
    (r"^text-embedding-(3|ada)", EmbeddingStyle()),
    (r"(^|/)embed-(v4|english|multilingual)", _typed("search_query", "search_document")),
    (r"(^|/)voyage-", _typed("query", "document", encoding_format=None)),
    (r"jina-embeddings-v[3-9]", _typed("retrieval.query", "retrieval.passage", "task")),
)
"""Models by a pattern of their name, the first that matches: e5, bge, nomic, gte, OpenAI, Cohere, Voyage and others."""


def style_of(model: str) -> EmbeddingStyle:
    """Return how a known model embeds questions and passages; without any difference for an unknown one."""
    name = model.lower()
    return next((style for pattern, style in _STYLES if re.search(pattern, name)), EmbeddingStyle())
