"""Conversations that continue while tools run: tools, operations, two lanes, and results that are delivered once.

Each conversation is an agent. Each tool call is an operation in a durable ledger. Operations on different resources run
at the same time, each ends with exactly one outcome, and none is repeated blindly after a crash. While one runs, the user
gets answers at once, with safe tools only; its result is delivered between turns. A log records messages, calls and
results, and each prompt is a pure function of that log. The application supplies the model and the tools.
"""

from coterie.conversation.answers import DeferredAnswer
from coterie.conversation.conversation import Conversation, Conversations
from coterie.conversation.events import (
    AnyConversationEvent,
    Delivered,
    HandedOver,
    OperationChanged,
    OperationProgressed,
    ResultsAwaited,
    TextWritten,
    ToolCalled,
    ToolReturned,
    TurnBegan,
    TurnEnded,
    TurnOutcome,
)
from coterie.conversation.forgetting import ForgetReport, forget_user
from coterie.conversation.history import HistoryPlan, HistoryPolicy, HistoryUnit, KeepLast, Summarise
from coterie.conversation.mcp.policy import McpToolPolicy
from coterie.conversation.mcp.server import McpServer
from coterie.conversation.memories import RecallPolicy, RecallRecent, RecallRelevant, UserMemories
from coterie.conversation.operations.operation import CancelAnswer, Effect, Operation, OperationState, ResourceScope
from coterie.conversation.roles import AssistantRole, Handoff, handoff
from coterie.conversation.sent_requests import SentRequest
from coterie.conversation.settings import ConversationSettings
from coterie.conversation.stored import StoredConversations
from coterie.conversation.team.agent import AssistantAgent, DurableAssistant
from coterie.conversation.team.as_tool import as_tool
from coterie.conversation.team.messages import AskAssistant, AssistantAnswer, StopAnswer
from coterie.conversation.telemetry import ConversationCollector
from coterie.conversation.tools.context import ToolContext
from coterie.conversation.tools.results import Finding
from coterie.conversation.tools.schema import Secret
from coterie.conversation.tools.source import ToolSource
from coterie.conversation.tools.tool import Tool, tool
from coterie.conversation.transcript import AttachedFile, TranscriptCall, TranscriptMessage, TranscriptPage

__all__ = [
    "AnyConversationEvent",
    "AskAssistant",
    "AssistantAgent",
    "AssistantAnswer",
    "AssistantRole",
    "AttachedFile",
    "CancelAnswer",
    "Conversation",
    "ConversationCollector",
    "ConversationSettings",
    "Conversations",
    "DeferredAnswer",
    "Delivered",
    "DurableAssistant",
    "Effect",
    "Finding",
    "ForgetReport",
    "HandedOver",
    "Handoff",
    "HistoryPlan",
    "HistoryPolicy",
    "HistoryUnit",
    "KeepLast",
    "McpServer",
    "McpToolPolicy",
    "Operation",
    "OperationChanged",
    "OperationProgressed",
    "OperationState",
    "RecallPolicy",
    "RecallRecent",
    "RecallRelevant",
    "ResourceScope",
    "ResultsAwaited",
    "Secret",
    "SentRequest",
    "StopAnswer",
    "StoredConversations",
    "Summarise",
    "TextWritten",
    "Tool",
    "ToolCalled",
    "ToolContext",
    "ToolReturned",
    "ToolSource",
    "TranscriptCall",
    "TranscriptMessage",
    "TranscriptPage",
    "TurnBegan",
    "TurnEnded",
    "TurnOutcome",
    "UserMemories",
    "as_tool",
    "forget_user",
    "handoff",
    "tool",
]
