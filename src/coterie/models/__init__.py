"""Language models: requests, replies, and the contract of a model.

A request and a reply are plain frozen values, so they can be logged, recorded and sent. A model answers one request,
whole or as it is written. Limits, records and replays are models that wrap a model; they do not know the provider.
`ModelGateway` wraps any model of any provider with them. It is safe from every thread and event loop.
"""

import warnings
from typing import TYPE_CHECKING

from coterie.models.contract import Model
from coterie.models.exposition import ModelCollector
from coterie.models.extraction import ResultForm, extract, extract_blocking, problem_of
from coterie.models.gateway import ModelGateway, ModelReplyFuture
from coterie.models.options import Budget, Price, RateLimits, Timeouts
from coterie.models.policies.metering import cost_table
from coterie.models.recording import RecordingModel, ReplayModel
from coterie.models.rules import RuleModel
from coterie.models.values import (
    Attachment,
    Finish,
    ModelReply,
    ModelRequest,
    PromptMessage,
    TextDelta,
    TextMessage,
    ToolCall,
    ToolDefinition,
    ToolResult,
    Usage,
)

__all__ = [
    "Attachment",
    "Budget",
    "Finish",
    "Model",
    "ModelCollector",
    "ModelGateway",
    "ModelReply",
    "ModelReplyFuture",
    "ModelRequest",
    "Price",
    "PromptMessage",
    "RateLimits",
    "RecordingModel",
    "ReplayModel",
    "ResultForm",
    "RuleModel",
    "TextDelta",
    "TextMessage",
    "Timeouts",
    "ToolCall",
    "ToolDefinition",
    "ToolResult",
    "Usage",
    "cost_table",
    "extract",
    "extract_blocking",
    "problem_of",
]

if not TYPE_CHECKING:  # a typed `__getattr__` would let every wrong name pass

    def __getattr__(name: str) -> type[TextMessage]:
        """Return `TextMessage` under its earlier name `Spoken`, with a deprecation warning."""
        if name == "Spoken":
            warnings.warn("coterie.models.Spoken is now called TextMessage", DeprecationWarning, stacklevel=2)
            return TextMessage
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
