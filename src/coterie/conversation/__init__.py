"""Conversations that go on while the work runs: tools, operations, two lanes, and results that are delivered once.

A conversation is an agent of its own. What its model calls are operations, in a durable ledger: several run at once where
what they touch differs, all end in exactly one outcome, and none is run again blindly after a crash. While one runs the
user is answered at once, with safe tools only. Its result comes by itself, between the turns. All that is said and done
is in a log, from which prompts are read off. Which model answers, and what the tools do, is the user's.
"""

from coterie.conversation.conversation import Conversation, Conversations, TurnStream
from coterie.conversation.events import (
    Delivered,
    Event,
    Lane,
    OperationChanged,
    OperationProgressed,
    TextWritten,
    ToolCalled,
    ToolReturned,
    TurnBegan,
    TurnEnded,
    TurnOutcome,
)
from coterie.conversation.operations.operation import CancelAnswer, Effect, Operation, OperationState
from coterie.conversation.settings import ConversationSettings
from coterie.conversation.telemetry import ConversationMetrics, ToolMetrics
from coterie.conversation.tools.context import ToolContext
from coterie.conversation.tools.results import Finding
from coterie.conversation.tools.schema import Secret
from coterie.conversation.tools.tool import Tool, tool

__all__ = [
    "CancelAnswer",
    "Conversation",
    "ConversationMetrics",
    "ConversationSettings",
    "Conversations",
    "Delivered",
    "Effect",
    "Event",
    "Finding",
    "Lane",
    "Operation",
    "OperationChanged",
    "OperationProgressed",
    "OperationState",
    "Secret",
    "TextWritten",
    "Tool",
    "ToolCalled",
    "ToolContext",
    "ToolMetrics",
    "ToolReturned",
    "TurnBegan",
    "TurnEnded",
    "TurnOutcome",
    "TurnStream",
    "tool",
]
