"""The MCP door: every permitted operation a tool, on the official SDK, over streamable HTTP and stdio.

Modules that import the SDK cost a second to load, so nothing outside this package imports them at its
top: `mounting` loads them with the first request, and `guardhouse mcp` when it serves by itself.
"""
