"""The base of models that wrap a model."""

from __future__ import annotations

from coterie.models.contract import Model
from coterie.models.values import ModelReply, Usage


class ModelWrapper:
    """The base of a model that adds one policy to another model."""

    def __init__(self, model: Model) -> None:
        self._model = model

    @property
    def name(self) -> str:
        """The name of the model within."""
        return self._model.name


def tokens(usage: Usage) -> int:
    """Return all tokens of a reply, those of its prompt included."""
    return usage.input_tokens + usage.output_tokens


def usage_of(piece: object) -> Usage | None:
    """Return what a stream has cost, if this piece of it is the whole reply, which comes last."""
    return piece.usage if isinstance(piece, ModelReply) else None
