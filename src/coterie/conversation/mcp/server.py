"""An MCP server whose tools an assistant uses."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from coterie.conversation.mcp.policy import McpToolPolicy, checked_policies
from coterie.conversation.tools.tool import Tool
from coterie.errors import ExtraMissing, InvalidSetting
from coterie.kernel import check_number

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,39}")


class McpServer:
    """The tools of an MCP server, for `tools` of conversations. Use it in a ``with`` block around them.

    ::

        files = McpServer("files", command="npx", arguments=["-y", "@modelcontextprotocol/server-filesystem", "."],
                          policies={"read_text_file": McpToolPolicy(effect="read", resources=("{path}",))})
        with files, Conversations(model, tools=[files], store="chats.db") as conversations: ...

    Give `command`, the program of a server that is started and spoken to by its standard input and output, or `url`, the
    address of a server that is reached by streamable HTTP. A model sees each tool as ``NAME_TOOL``, unless `prefix` is another
    text. `policies` has the rules of tools by the server's own names, `policy` those of all others. With `trusted`, what the
    server says of a tool without a policy of its own (that it reads, that it may be repeated) is believed.

    A server that dies is started again, or connected to anew; a call that was open then has an unknown outcome if it
    writes, and is sent again if it reads. A changed list of tools is read again. Safe from any thread.

    `environment` is added to a few harmless variables of this process, and the program gets no others. `log` is the file for
    what the program writes to its standard error, which is dropped without. `connect_timeout` is in seconds. Raises
    `InvalidSetting`; `open` raises `ToolServerUnavailable` if the server cannot be reached, unless `required` is False, and
    `ExtraMissing` without the extra `mcp`.
    """

    def __init__(
        self,
        name: str,
        *,
        command: str | os.PathLike[str] | None = None,
        arguments: Iterable[str] = (),
        environment: Mapping[str, str] | None = None,
        folder: str | os.PathLike[str] | None = None,
        log: str | os.PathLike[str] | None = None,
        url: str | None = None,
        headers: Mapping[str, str] | None = None,
        policies: Mapping[str, McpToolPolicy] | None = None,
        policy: McpToolPolicy | None = None,
        prefix: str | None = None,
        trusted: bool = False,
        required: bool = True,
        connect_timeout: float = 10.0,
    ) -> None:
        if not _NAME.fullmatch(str(name)):
            raise InvalidSetting("McpServer.name", name, "up to 40 letters, digits, dashes and underscores")
        if (command is None) == (url is None):
            raise InvalidSetting(f"the server {name}", command, "a command, or a url, and not both")
        if url is not None and not url.startswith(("http://", "https://")):
            raise InvalidSetting(f"the server {name}: url", url, "an address that begins with http:// or https://")
        given = tuple(arguments) if not isinstance(arguments, str) else None
        if given is None or not all(isinstance(each, str) for each in given):
            raise InvalidSetting(f"the server {name}: arguments", arguments, "a list of texts")
        check_number(f"the server {name}: connect_timeout", connect_timeout, above=0)
        self.name = name
        self.command = None if command is None else os.fspath(command)
        self.arguments = given
        self.environment = dict(environment or {})
        self.folder = None if folder is None else Path(folder)
        self.log = None if log is None else Path(log)
        self.url = url
        self.headers = dict(headers or {})
        self.policies = checked_policies(policies or {})
        self.policy = policy if policy is not None else McpToolPolicy()
        self.prefix = f"{name}_" if prefix is None else prefix
        self.trusted = trusted
        self.required = required
        self.connect_timeout = float(connect_timeout)
        self._connection: Any = None

    def __repr__(self) -> str:
        # Neither the environment nor the headers, which may hold secrets.
        return f"<McpServer {self.name}>"

    def open(self) -> Self:
        """Connect, read the list of tools, and return this object. While it is open, do nothing."""
        if self._connection is None:
            try:
                from coterie.conversation.mcp.connection import McpConnection  # noqa: PLC0415 - only with the extra
            except ImportError as error:
                raise ExtraMissing("a server of MCP", "mcp") from error
            self._connection = McpConnection(self)
            try:
                self._connection.open(required=self.required)
            except BaseException:
                self.close()
                raise
        return self

    def close(self) -> None:
        """End the connection, and the program that was started for it. Open calls fail."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def tools(self) -> tuple[Tool, ...]:
        """Return all tools that the server has had so far. Those that it has no more are not offered."""
        connection = self._connection
        return () if connection is None else connection.tools

    @property
    def connected(self) -> bool:
        """Whether it can be called now."""
        return self._connection is not None and self._connection.connected

    @property
    def problems(self) -> tuple[str, ...]:
        """What was wrong with its latest list of tools: a line for each tool that was left out."""
        connection = self._connection
        return () if connection is None else connection.problems

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.open)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.close)
