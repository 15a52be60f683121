"""The server: the SDK's handlers over the catalog. One instance serves every connection of a door."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import orjson
from mcp.server.caching import CacheHint
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.lowlevel.server import Server
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    CallToolResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ListToolsResult,
    PaginatedRequestParams,
    ReadResourceRequestParams,
    ReadResourceResult,
    TextContent,
    TextResourceContents,
)
from pydantic import ValidationError

from guardhouse import __version__
from guardhouse.errors import GuardhouseError, Unauthenticated
from guardhouse.gateway.offer import Stood, offered
from guardhouse.model.instants import HOUR
from guardhouse.surfaces import problem
from guardhouse.surfaces.mcp import refusing, resources, sets
from guardhouse.surfaces.mcp.calling import APPROVAL, SURFACE, Answered, Caller, House, body_of, carry
from guardhouse.surfaces.mcp.tools import APPROVAL as APPROVAL_ARGUMENT
from guardhouse.surfaces.mcp.tools import Toolbox, takes_approval

REFUSED = -32050
"""The JSON-RPC code of a resource that was not read: of our own, since a resource has no other way to be refused."""

UNAUTHENTICATED = -32051
"""The JSON-RPC code of a connection that may not be opened or asked for lists."""

STATUS = "guardhouse.status"
"""Where a handler leaves the HTTP status that its answer shall have, in the request's ASGI scope."""

INSTRUCTIONS = (
    "Guardhouse decides and records what the agents of this fleet do together. Before you run a command that changes "
    "anything, ask `check_guardrails` with its exact text and go on only when `safe` is true. Before you change a "
    "shared file or resource, take it with `acquire_lock`, and `release_lock` when done. A refusal is an answer: it "
    "says why, what to do instead and what next; do not look for a way around it. Where a person must say yes, go on "
    "with other work and call the same tool again later with the same arguments."
)

_OFFERS_KEPT = 1_024
_OPENING = frozenset({"initialize", "server/discover"})

Context = ServerRequestContext[Any, Any]


class Desk:
    """Answers what MCP clients ask. `caller_of` tells who sends a request."""

    def __init__(self, house: House, caller_of: Callable[[Context], Caller]) -> None:
        self._house = house
        self._caller_of = caller_of
        self._toolbox = Toolbox(house.catalog)
        self._offers: OrderedDict[tuple[object, ...], tuple[str, ...]] = OrderedDict()

    def server(self) -> Server[Any]:
        """An SDK server whose handlers are this desk's."""
        server: Server[Any] = Server(
            "guardhouse",
            title="Guardhouse",
            version=__version__,
            instructions=INSTRUCTIONS,
            # What is offered hangs on who asks, and on a law that may change with the next call.
            cache_hints={"tools/list": CacheHint(), "resources/list": CacheHint(), "resources/read": CacheHint()},
            get_tool_input_schema=self._input_schema,
            on_list_tools=self._list_tools,
            on_call_tool=self._call_tool,
            on_list_resources=self._list_resources,
            on_list_resource_templates=self._list_templates,
            on_read_resource=self._read_resource,
        )
        server.middleware = [self._hear]
        return server

    async def _hear(self, ctx: Context, call_next: CallNext) -> HandlerResult:
        """See every request first: an opening one must come from a living token, a malformed call is still a call."""
        if ctx.request_id is not None:
            if ctx.method in _OPENING:
                await self._stood(ctx)
            elif ctx.method == "tools/call":
                given = ctx.params if isinstance(ctx.params, Mapping) else {}
                try:
                    CallToolRequestParams.model_validate(given, by_name=False)
                except ValidationError:
                    name = given.get("name")
                    answered = await carry(
                        self._house,
                        self._caller_of(ctx),
                        name if isinstance(name, str) else "",
                        body_of([given.get("arguments")]),
                    )
                    return result_of(answered).model_dump(by_alias=True, mode="json", exclude_none=True)
        return await call_next(ctx)

    async def _stood(self, ctx: Context) -> tuple[Caller, Stood]:
        """How the caller stands; MCPError for one who may not speak at all."""
        caller = self._caller_of(ctx)
        try:
            stood = await asyncio.to_thread(self._house.stood, caller.token)
        except Unauthenticated as error:
            raise self._shut(ctx, error.code, error.message) from error
        except GuardhouseError as error:
            raise self._shut(ctx, error.code, error.message) from error
        if stood.refused:
            raise self._shut(ctx, stood.refused, "")
        return caller, stood

    def _shut(self, ctx: Context, code: str, message: str) -> MCPError:
        envelope = problem.envelope(code, message or code.replace("_", " "))
        if ctx.request is not None:
            ctx.request.scope[STATUS] = problem.status(code)
        return MCPError(UNAUTHENTICATED, refusing.told("", envelope), envelope)

    async def _offered(self, ctx: Context) -> tuple[Caller, tuple[str, ...]]:
        """The names of every operation that the law lets this caller be shown."""
        caller, stood = await self._stood(ctx)
        who = replace(
            stood.principal,
            token_id="",
            token_expires_at=0,
            token_revoked_at=0,
            session_id="",
            session_expires_at=0,
            session_revoked_at=0,
        )
        # A policy may look at the hour, and at nothing finer that a list could follow.
        key = (who, stood.workspace.observations, stood.bundle.law, stood.now // HOUR)
        names = self._offers.get(key)
        if names is None:
            names = await asyncio.to_thread(offered, self._house.catalog, stood, SURFACE)
            self._offers[key] = names
            while len(self._offers) > _OFFERS_KEPT:
                self._offers.popitem(last=False)
        return caller, names

    async def _list_tools(self, ctx: Context, _params: PaginatedRequestParams | None) -> ListToolsResult:
        caller, names = await self._offered(ctx)
        shown = (
            declared.name for declared in sets.members(caller.tools, self._house.catalog) if declared.name in names
        )
        return ListToolsResult(tools=[tool for name in shown if (tool := self._toolbox.tool(name)) is not None])

    async def _call_tool(self, ctx: Context, params: CallToolRequestParams) -> CallToolResult:
        arguments: dict[str, Any] = dict(params.arguments or {})
        meta: dict[str, Any] = dict(ctx.meta or {})
        if APPROVAL_ARGUMENT in arguments and takes_approval(self._house.catalog.find(params.name)):
            presented = arguments.pop(APPROVAL_ARGUMENT)
            if presented != "":
                meta.setdefault(APPROVAL, presented)
        caller = self._caller_of(ctx)
        return result_of(await carry(self._house, caller, params.name, body_of(arguments), meta=meta))

    async def _list_resources(self, ctx: Context, _params: PaginatedRequestParams | None) -> ListResourcesResult:
        _caller, names = await self._offered(ctx)
        return ListResourcesResult(resources=resources.listed(frozenset(names)))

    async def _list_templates(
        self, ctx: Context, _params: PaginatedRequestParams | None
    ) -> ListResourceTemplatesResult:
        _caller, names = await self._offered(ctx)
        return ListResourceTemplatesResult(resource_templates=resources.templates(frozenset(names)))

    async def _read_resource(self, ctx: Context, params: ReadResourceRequestParams) -> ReadResourceResult:
        uri = str(params.uri)
        found = resources.find(uri)
        if found is None:
            raise MCPError(
                INVALID_PARAMS, "there is no resource at this address; `resources/list` names them", {"uri": uri}
            )
        operation, arguments = found
        answered = await carry(self._house, self._caller_of(ctx), operation, body_of(arguments), meta=ctx.meta)
        if not answered.performed:
            raise MCPError(REFUSED, refusing.told(operation, answered.body), dict(answered.body))
        text = orjson.dumps(answered.body).decode()
        contents = TextResourceContents(uri=uri, mime_type="application/json", text=text)
        return ReadResourceResult(contents=[contents])

    def _input_schema(self, name: str) -> Mapping[str, Any] | None:
        tool = self._toolbox.tool(name)
        return tool.input_schema if tool is not None else None


async def refused_call(house: House, caller: Caller, message: Mapping[str, Any], body: bytes) -> dict[str, Any]:
    """Carry a tool call that names a field twice, so that it is refused and leaves its entry; its result as JSON-RPC says it."""
    params = message.get("params")
    name = params.get("name") if isinstance(params, Mapping) else None
    answered = await carry(house, caller, name if isinstance(name, str) else "", body)
    return result_of(answered).model_dump(by_alias=True, mode="json", exclude_none=True)


def result_of(answered: Answered) -> CallToolResult:
    """A call's answer as a tool result: text for the model, the same as data for programs."""
    text = (
        orjson.dumps(answered.body).decode() if answered.performed else refusing.told(answered.operation, answered.body)
    )
    return CallToolResult(
        content=[TextContent(text=text)],
        structured_content=dict(answered.body),
        is_error=not answered.performed,
        _meta=dict(answered.meta),
    )
