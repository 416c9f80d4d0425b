"""Language models: what is asked of one, what it answers, and the one small contract that every model fulfils.

A request and a reply are plain frozen values, so they can be logged, recorded and sent. A model answers one request,
whole or as it is written. What limits, records or replays is a model around a model, and none knows the provider.
`ModelGateway` puts them around any model of any provider, and is safe from every thread and event loop.
"""

from coterie.models.contract import Model
from coterie.models.costs import CostRow, CostTable, cost_table
from coterie.models.extraction import Extraction, extract, extract_blocking
from coterie.models.gateway import ModelGateway, PendingReply
from coterie.models.options import Budget, Limits, Price, Timeouts
from coterie.models.policies import CallMetrics, Spent
from coterie.models.recording import Recorded, Replayed
from coterie.models.rules import RuleModel, Rules
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
    "Budget",
    "CallMetrics",
    "CostRow",
    "CostTable",
    "Exchange",
    "Extraction",
    "Finish",
    "Limits",
    "Model",
    "ModelGateway",
    "ModelReply",
    "ModelRequest",
    "PendingReply",
    "Price",
    "Recorded",
    "Replayed",
    "RuleModel",
    "Rules",
    "Spent",
    "Spoken",
    "TextDelta",
    "Timeouts",
    "ToolCall",
    "ToolDefinition",
    "ToolResult",
    "Usage",
    "cost_table",
    "extract",
    "extract_blocking",
]
