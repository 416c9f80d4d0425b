"""Operations as tasks of MCP: in the extension of protocol 2026-07-28, and in the core of 2025-11-25."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from coterie.conversation import Operation, OperationState
from coterie.conversation.operations.descriptions import outcome_line

EXTENSION = "io.modelcontextprotocol/tasks"
APPROVAL = "approval"
"""The name of the question whether an operation may be done."""
_POLL = 500
"""Milliseconds between two looks of a client."""

_S = OperationState
_STATUS = {
    _S.SUCCEEDED: "completed",
    _S.FAILED: "completed",
    _S.TIMED_OUT: "completed",
    _S.CANCELLED: "cancelled",
    _S.COMPENSATED: "cancelled",
    _S.AWAITING_APPROVAL: "input_required",
}


def tool_result(operation: Operation) -> dict[str, Any]:
    """Return the result of a call: an operation that has failed is an answer that says so."""
    succeeded = operation.state is _S.SUCCEEDED
    text = operation.content or "Done." if succeeded else outcome_line(operation)
    return {"content": [{"type": "text", "text": text}], "isError": not succeeded, "resultType": "complete"}


def status_of(operation: Operation) -> str:
    """Return the status of an operation as a task. An unknown outcome is still being worked on: a person has to decide."""
    return _STATUS.get(operation.state, "working")


def task_of(operation: Operation, *, modern: bool) -> dict[str, Any]:
    """Return an operation as a task of either protocol."""
    milliseconds = {"ttlMs": None, "pollIntervalMs": _POLL} if modern else {"ttl": None, "pollInterval": _POLL}
    last = operation.ended_at or operation.started_at or operation.created_at
    said = operation.question or operation.line or operation.detail
    if operation.state is _S.UNKNOWN:
        said = outcome_line(operation)
    return {
        "taskId": operation.id,
        "status": status_of(operation),
        "createdAt": _iso(operation.created_at),
        "lastUpdatedAt": _iso(last),
        **milliseconds,
        **({"statusMessage": said} if said else {}),
    }


def detailed_task(operation: Operation) -> dict[str, Any]:
    """Return the state of a task of the extension, with its result or with the question that it waits for."""
    found = task_of(operation, modern=True)
    match found["status"]:
        case "completed":
            found["result"] = tool_result(operation)
        case "input_required":
            schema = {"type": "object", "properties": {"approve": {"type": "boolean"}}, "required": ["approve"]}
            asked = {"mode": "form", "message": operation.question or f"Really {operation.tool}?", "requestedSchema": schema}
            found["inputRequests"] = {APPROVAL: {"method": "elicitation/create", "params": asked}}
    return {**found, "resultType": "complete"}


def approves(response: Any) -> bool:
    """Return whether the answer to the question of an operation is a yes."""
    if not isinstance(response, Mapping) or response.get("action") != "accept":
        return False
    content = response.get("content")
    return not isinstance(content, Mapping) or content.get("approve", True) is True


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
