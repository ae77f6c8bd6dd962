"""The gateway for agents: MCP over streamable HTTP, at ``/mcp``.

Each flow is a tool with the JSON schema of its inputs; further tools list, follow, answer
and cancel. Who calls is told as for any other request, and every call is in the log: a
launch in the run's ``meta``, and each one as an entry of :mod:`.audit`. Sessions hold no
state, so that each request is checked by itself.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import mcp_types as types
import polars as pl
from mcp.server import Server, ServerRequestContext
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.types import Receive, Scope, Send

import kodosumi_lab
from kodosumi_lab.api import acting, problems, reading, rendering
from kodosumi_lab.api.gateway import Gateway
from kodosumi_lab.api.identity import Role, User
from kodosumi_lab.api.listing import Listing
from kodosumi_lab.api.problems import Refused
from kodosumi_lab.errors import InputsError, KodosumiLabError
from kodosumi_lab.events import STATUSES, TERMINAL, dumps
from kodosumi_lab.runtime.launch import Origin
from kodosumi_lab.runtime.remote import ForeignRun

__all__ = ["Agents"]

# A call of a flow waits so long for its end; after that the caller follows the run.
_WAIT_S = 20.0
_LONGEST_S = 60.0
_POLL_S = 0.1
# What a model is told at once.
_PAGE_BYTES = 2**20
_INSTRUCTIONS = (
    "Each flow is a tool: calling it starts a run and returns its result if it ends within 20 s, else its run_id, "
    "to be followed with follow_run. A run whose status is awaiting has a lock that waits for answer_lock."
)

Context = ServerRequestContext[Any, Any]
Call = Callable[[User, dict[str, Any], Context], Awaitable[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class _Tool:
    about: types.Tool
    role: Role
    call: Call


def _object(required: tuple[str, ...] = (), **properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object", "properties": properties, "required": list(required), "additionalProperties": False,
    }  # fmt: skip


_RUN = {"type": "string", "description": "id of the run"}
_WAIT = {"type": "number", "minimum": 0, "maximum": _LONGEST_S, "default": _WAIT_S, "description": "seconds"}


class Agents:
    """The MCP server of a gateway; an ASGI application.

    Parameters
    ----------
    gateway
        What it acts through.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._manager: StreamableHTTPSessionManager | None = None
        self._server = Server(
            "kodosumi-lab", version=kodosumi_lab.__version__, instructions=_INSTRUCTIONS,
            on_list_tools=self._list, on_call_tool=self._call,
        )  # fmt: skip

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """While the application serves."""
        # our own limit of the body's length stands before this one
        self._manager = StreamableHTTPSessionManager(
            self._server, stateless=True, max_request_body_size=self._gateway.settings.gateway_body_bytes
        )
        async with self._manager.run():
            yield
        self._manager = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if self._manager is None:
            await problems.response(503, "starting", "the gateway is not open yet")(scope, receive, send)
        else:
            await self._manager.handle_request(scope, receive, send)

    # -- the protocol -----------------------------------------------------------------

    async def _list(self, context: Context, _: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        user = _user(context)
        tools = await asyncio.to_thread(self._tools)
        return types.ListToolsResult(tools=[tool.about for tool in tools.values() if user.role >= tool.role])

    async def _call(self, context: Context, asked: types.CallToolRequestParams) -> types.CallToolResult:
        user = _user(context)
        arguments = asked.arguments or {}
        outcome, about = "ok", {}
        try:
            tool = (await asyncio.to_thread(self._tools)).get(asked.name)
            if tool is None:
                raise Refused(404, "tool-not-found", f"there is no tool {asked.name!r}")
            if user.role < tool.role:
                raise Refused(403, "forbidden", f"{asked.name} takes the role {tool.role.name.lower()}")
            found = await tool.call(user, arguments, context)
            about = {key: found[key] for key in ("run_id",) if key in found}
            text = dumps(found)
            return types.CallToolResult(
                content=[types.TextContent(type="text", text=text)], structured_content=found, is_error=False
            )
        except (KodosumiLabError, Refused) as error:
            outcome = problems.kind_of(error)[1]
            told = str(error) if not isinstance(error, InputsError) else dumps({"errors": error.errors})
            return types.CallToolResult(content=[types.TextContent(type="text", text=told)], is_error=True)
        except BaseException:
            outcome = "failed"
            raise
        finally:
            run_id = about.get("run_id") or arguments.get("run_id")
            ids = {"run_id": str(run_id)[:80]} if run_id else {}
            await asyncio.shield(
                asyncio.to_thread(self._gateway.audit.note, user.name, "mcp", asked.name[:200], outcome, **ids)
            )

    # -- the tools --------------------------------------------------------------------

    def _tools(self) -> dict[str, _Tool]:
        tools = [
            _tool("list_runs", "The newest runs that fit.", Role.VIEWER, self._list_runs, _object(
                status={"type": "string", "enum": list(STATUSES)}, flow={"type": "string"},
                search={"type": "string"}, limit={"type": "integer", "minimum": 1, "maximum": 200, "default": 20},
            )),
            _tool("get_run", "How a run stands.", Role.VIEWER, self._get_run, _object(("run_id",), run_id=_RUN)),
            _tool("follow_run", "Events of a run after a seq; waits for some until the run has ended.", Role.VIEWER,
                  self._follow, _object(("run_id",), run_id=_RUN, wait_s=_WAIT,
                                        after={"type": "integer", "minimum": -1, "default": -1},
                                        limit={"type": "integer", "minimum": 1, "maximum": 1000, "default": 100})),
            _tool("list_locks", "What waits for an answer.", Role.VIEWER, self._list_locks, _object()),
            _tool("answer_lock", "Answer a lock that a run waits at.", Role.USER, self._answer, _object(
                ("run_id", "lid", "result"), run_id=_RUN, lid={"type": "string"},
                result={"description": "the value for the flow"})),
            _tool("cancel_run", "End a run.", Role.USER, self._cancel, _object(("run_id",), run_id=_RUN)),
        ]  # fmt: skip
        found = {tool.about.name: tool for tool in tools}
        for flow in self._gateway.catalogue.flows():
            name = re.sub(r"[^A-Za-z0-9_-]", "_", flow.name)[:60] or "flow"
            while name in found:
                name = f"flow_{name}"[:64] if not name.startswith("flow_") else f"{name[:60]}_{len(found)}"
            schema = {"type": "object", **flow.schema}
            text = "\n\n".join(part for part in (flow.summary, flow.description) if part) or flow.name
            found[name] = _tool(name, text, Role.USER, self._launching(flow.name), schema)
        return found

    def _launching(self, flow: str) -> Call:
        async def call(user: User, arguments: dict[str, Any], context: Context) -> dict[str, Any]:
            gateway = self._gateway

            def begin(origin: Origin) -> Any:
                return acting.launch(gateway, user, flow, arguments, origin)

            run, _ = await gateway.act(acting.start, gateway, user, None, None, begin, "mcp")
            if isinstance(run, ForeignRun):
                return {"run_id": run.id, "detail": repr(run)}
            end = time.monotonic() + _WAIT_S
            while time.monotonic() < end:
                row = await asyncio.to_thread(gateway.row, run.id, user)
                if row["progress"] is not None:
                    await context.session.report_progress(row["progress"], 1.0, row["progress_text"] or None)
                if row["status"] in TERMINAL or row["status"] == "awaiting":
                    break
                await asyncio.sleep(_POLL_S)
            return await self._get_run(user, {"run_id": run.id}, context)

        return call

    async def _list_runs(self, user: User, arguments: dict[str, Any], _: Context) -> dict[str, Any]:
        limit = _number(arguments, "limit", 20, 1, 200)
        status, flow = ([_text(arguments, name)] if name in arguments else [] for name in ("status", "flow"))
        asked = Listing(status, flow, search=_text(arguments, "search") if "search" in arguments else None)
        page, total, _cursor = await asyncio.to_thread(
            lambda: self._gateway.index.page(asked, user, limit=int(limit), cursor=None)
        )
        rows = [_plain(reading.run_row(row)) for row in page.iter_rows(named=True)]
        return {"runs": rows, "total": total}

    async def _get_run(self, user: User, arguments: dict[str, Any], _: Context) -> dict[str, Any]:
        run_id = _text(arguments, "run_id")
        row = await asyncio.to_thread(self._gateway.row, run_id, user)
        found = _plain(reading.run_row(row))
        if row["status"] in TERMINAL:
            told = await asyncio.to_thread(reading.get_result, run_id, self._gateway, user)
            found |= {"result": told.payload, "traceback": told.traceback}
        return found

    async def _follow(self, user: User, arguments: dict[str, Any], context: Context) -> dict[str, Any]:
        run_id = _text(arguments, "run_id")
        after, limit = int(_number(arguments, "after", -1, -1, 2**62)), int(_number(arguments, "limit", 100, 1, 1000))
        end = time.monotonic() + _number(arguments, "wait_s", _WAIT_S, 0, _LONGEST_S)
        while True:
            row = await asyncio.to_thread(self._gateway.row, run_id, user)
            if row["last_seq"] > after or row["status"] in TERMINAL or time.monotonic() > end:
                break
            await asyncio.sleep(_POLL_S)
        frame = await asyncio.to_thread(self._events, run_id, after, row["last_seq"], limit)
        events = [rendering.loaded(line) for line in rendering.event_lines(frame)]
        last = frame["seq"][-1] if len(frame) else after
        done = row["status"] in TERMINAL and last >= row["last_seq"]
        return {"run_id": run_id, "status": row["status"], "events": events, "after": last, "done": done}

    def _events(self, run_id: str, after: int, last: int, limit: int) -> pl.DataFrame:
        """Events after a ``seq``: so many and no more are read, however long the run or its payloads are."""
        upto = min(last, after + limit)
        if after < last:
            upto = min(upto, self._gateway.spans(run_id, _PAGE_BYTES).around(after + 1, last)[1])
        return self._gateway.events_after(run_id, after, upto, limit)

    async def _list_locks(self, user: User, _: dict[str, Any], __: Context) -> dict[str, Any]:
        locks = await asyncio.to_thread(reading.open_locks, self._gateway, user)
        return {"locks": [lock.model_dump(mode="json") for lock in locks]}

    async def _answer(self, user: User, arguments: dict[str, Any], _: Context) -> dict[str, Any]:
        run_id, lid = _text(arguments, "run_id"), _text(arguments, "lid")
        if "result" not in arguments:
            raise _unfit("result", None, "a value")
        await self._gateway.act(acting.answer, self._gateway, user, run_id, lid, arguments["result"])
        return {"run_id": run_id, "lid": lid, "by": user.name}

    async def _cancel(self, user: User, arguments: dict[str, Any], _: Context) -> dict[str, Any]:
        run_id = _text(arguments, "run_id")
        told = await self._gateway.act(acting.cancel, self._gateway, user, run_id, None)
        return told.model_dump()


def _user(context: Context) -> User:
    assert context.request is not None
    user: User = context.request.state.user
    return user


def _unfit(name: str, value: Any, expected: str) -> Refused:
    return Refused(422, "arguments", f"{name} is {str(value)[:80]!r}; expected {expected}")


def _tool(name: str, description: str, role: Role, call: Call, schema: dict[str, Any]) -> _Tool:
    hint = types.ToolAnnotations(read_only_hint=role is Role.VIEWER)
    return _Tool(types.Tool(name=name, description=description, input_schema=schema, annotations=hint), role, call)


def _text(arguments: dict[str, Any], name: str) -> str:
    value = arguments.get(name)
    if not isinstance(value, str):
        raise _unfit(name, value, "text")
    return value


def _number(arguments: dict[str, Any], name: str, default: float, low: float, high: float) -> float:
    value = arguments.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise _unfit(name, value, f"a number from {low:g} to {high:g}")
    return value


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return reading.RunRow.model_validate(row).model_dump(mode="json")
