"""An assistant as an MCP server: its tools, operations, memory and conversation for other programs."""
