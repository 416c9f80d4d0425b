"""Language models: what is asked of one, what it answers, and the one small contract that every model fulfils.

A request and a reply are plain frozen values, so they can be logged, recorded and sent. A model answers one request,
whole or as it is written. What limits, records or replays is a model around a model, and none knows the provider.
"""

from coterie.models.contract import Model
from coterie.models.values import (
    Exchange,
    Finish,
    ModelReply,
    ModelRequest,
    Spoken,
    TextDelta,
    ToolCall,
    ToolDefinition,
    ToolResult,
    Usage,
)

__all__ = [
    "Exchange",
    "Finish",
    "Model",
    "ModelReply",
    "ModelRequest",
    "Spoken",
    "TextDelta",
    "ToolCall",
    "ToolDefinition",
    "ToolResult",
    "Usage",
]
