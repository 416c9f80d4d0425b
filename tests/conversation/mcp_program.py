"""A small MCP server in plain Python: it starts fast, and misbehaves on request."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
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


here = threading.local()
"""With `sent`, the messages for the answer of one request by HTTP."""


def send(message: dict[str, Any]) -> None:
    if (sent := getattr(here, "sent", None)) is not None:
        sent.append(message)
        return
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


class Endpoint(BaseHTTPRequestHandler):
    """Streamable HTTP: a request is answered by a stream of events; a session ends with the process."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.headers.get("Authorization") != "Bearer sesame":
            self.reply(401, b"")
        elif message["method"] != "initialize" and self.headers.get("Mcp-Session-Id") != str(os.getpid()):
            self.reply(404, b"")
        elif "id" not in message:
            handle(message)
            self.reply(202, b"")
        else:
            here.sent = []
            handle(message)
            if not here.sent:
                sys.stdout.write("it hangs\n")
                sys.stdout.flush()
            while not here.sent:
                time.sleep(60)
            events = [json.dumps({"jsonrpc": "2.0", **each}) for each in here.sent]
            self.reply(200, "".join(f"event: message\ndata: {each}\n\n" for each in events).encode(), "text/event-stream")

    def do_GET(self) -> None:
        self.reply(405, b"")

    def do_DELETE(self) -> None:
        self.reply(200, b"")

    def reply(self, status: int, body: bytes, kind: str = "application/json") -> None:
        self.send_response(status)
        for name, value in (("Content-Type", kind), ("Content-Length", str(len(body))), ("Mcp-Session-Id", str(os.getpid()))):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name in the library
        pass


def main() -> None:
    mode = sys.argv[1] if len(sys.argv) > 1 else ""
    if mode == "mute":
        if len(sys.argv) > 2:
            sys.stdin.read()
            Path(sys.argv[2]).touch()
        time.sleep(60)
    if mode == "http":
        server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Endpoint)
        sys.stdout.write(f"{server.server_port}\n")
        sys.stdout.flush()
        server.serve_forever()
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
