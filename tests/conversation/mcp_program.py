"""A small MCP server in plain Python: it starts fast, and misbehaves on request."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

OBJECT: dict[str, Any] = {"type": "object", "properties": {}}
NUMBERS = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}, "required": ["a", "b"]}
TEXT = {"type": "object", "properties": {"text": {"type": "string"}, "context": {"type": "string"}}, "required": ["text"]}
TOOLS: list[dict[str, Any]] = [
    {"name": "add", "description": "Add.", "inputSchema": NUMBERS, "annotations": {"readOnlyHint": True}},
    {"name": "echo", "description": "Repeat.", "inputSchema": TEXT},
    *(
        {"name": name, "inputSchema": OBJECT}
        for name in ("steps", "fail", "die", "hang", "garble", "noise", "change", "pid", "cancelled")
    ),
]
lock = threading.Lock()
cancelled: list[int] = []


def send(message: dict[str, Any]) -> None:
    with lock:
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        sys.stdout.flush()


def answer(id_: int, text: str, **more: Any) -> None:
    send({"id": id_, "result": {"content": [{"type": "text", "text": text}], **more}})


def call(id_: int, name: str, given: dict[str, Any], token: Any) -> None:
    if name == "add":
        answer(id_, str(given["a"] + given["b"]))
    elif name == "echo":
        answer(id_, json.dumps(given))
    elif name == "steps":
        for step in (1, 2):
            told = {"progressToken": token, "progress": step, "total": 4, "message": f"step {step}"}
            send({"method": "notifications/progress", "params": told})
        answer(id_, "stepped")
    elif name == "fail":
        answer(id_, "no money", isError=True)
    elif name == "die":
        os._exit(1)
    elif name == "garble":
        send({"id": id_, "result": {"content": "no list"}})
    elif name == "noise":
        sys.stdout.write("this is no JSON\n")
        answer(id_, "heard")
    elif name == "change":
        TOOLS[:] = [each for each in TOOLS if each["name"] != "echo"]
        TOOLS.append({"name": "fresh", "inputSchema": OBJECT})
        send({"method": "notifications/tools/list_changed"})
        answer(id_, "changed")
    elif name == "fresh":
        answer(id_, "fresh indeed")
    elif name == "pid":
        answer(id_, str(os.getpid()))
    elif name == "cancelled":
        answer(id_, json.dumps(cancelled))


def handle(message: dict[str, Any]) -> None:
    id_, method, given = message.get("id"), message.get("method"), message.get("params") or {}
    if method == "initialize":
        capabilities = {"tools": {"listChanged": True}}
        info = {"name": "small", "version": "1"}
        send({"id": id_, "result": {"protocolVersion": "2025-06-18", "capabilities": capabilities, "serverInfo": info}})
    elif method == "tools/list":
        send({"id": id_, "result": {"tools": TOOLS}})
    elif method == "tools/call":
        assert id_ is not None
        call(id_, given["name"], given.get("arguments") or {}, (given.get("_meta") or {}).get("progressToken"))
    elif method == "notifications/cancelled":
        cancelled.append(given["requestId"])
    elif id_ is not None:
        send({"id": id_, "error": {"code": -32601, "message": "unknown"}})


def main() -> None:
    mode = sys.argv[1] if len(sys.argv) > 1 else ""
    if mode == "mute":
        time.sleep(60)
    if mode == "wrong":
        bad: list[Any] = [
            {"name": "broken", "inputSchema": {"type": "object", "properties": {"x": {"type": "whatever"}}}},
        ]
        TOOLS[:] = [TOOLS[0], *bad, TOOLS[0]]
    if mode == "once" and not Path(sys.argv[2]).exists():
        sys.exit(1)
    for line in sys.stdin:
        handle(json.loads(line))


main()
