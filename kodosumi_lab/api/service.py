"""``ServeAPI``: FastAPI with the endpoints, locks and leases of an agentic service.

A service declares forms (:meth:`ServeAPI.enter`), answers with :func:`~kodosumi_lab.api.launching.Launch`,
and may say how a lock is shown and answered (:meth:`ServeAPI.lock`, :meth:`ServeAPI.lease`). It is
an ASGI application like any other: for uvicorn, for Ray Serve (``@serve.ingress(app)``), or mounted
on the gateway by ``kodosumi-lab serve package.module:app``.
"""

from __future__ import annotations

import copy
import functools
import inspect
import logging
from collections.abc import Callable
from typing import Any, TypeVar

from fastapi import FastAPI, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from starlette.datastructures import State

from kodosumi_lab.api import lock_routes
from kodosumi_lab.api.caller import Caller
from kodosumi_lab.api.handling import ANSWER, BODY, call_with, form_values, refill
from kodosumi_lab.api.launching import Launch, Launched
from kodosumi_lab.errors import ClusterError, InputsError, UploadError, UploadNotFound
from kodosumi_lab.flow import Flow
from kodosumi_lab.forms import Model
from kodosumi_lab.runtime.services import LAUNCH_HEADER

__all__ = ["ServeAPI"]

logger = logging.getLogger(__name__)

F = TypeVar("F", bound=Callable[..., Any])

_ENTRY = "x-kodosumi"


class ServeAPI(FastAPI):
    """An agentic service.

    Takes the arguments of ``fastapi.FastAPI``.

    Attributes
    ----------
    locks, leases : dict[str, Callable]
        Handlers by the name of the lock.

    Examples
    --------
    >>> from kodosumi_lab import forms
    >>> from kodosumi_lab.api.service import Launch, ServeAPI
    >>> app = ServeAPI(title="Greetings")
    >>> @app.enter("/", forms.Model(forms.InputText("name", required=True), forms.Submit("Go")), summary="Greet")
    ... async def enter(request, inputs):
    ...     return Launch(request, "my_package.greet:run", inputs=inputs)
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.locks: dict[str, Callable[..., Any]] = {}
        self.leases: dict[str, Callable[..., Any]] = {}
        self.add_middleware(Caller)
        lock_routes.add(self)

    def __getstate__(self) -> dict[str, Any]:
        # Starlette's State cannot be unpickled: it looks into itself before it is there
        return {**self.__dict__, "state": dict(self.state._state), "middleware_stack": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.state = State(state["state"])

    # -- endpoints ----------------------------------------------------------------------

    def _marked(self, verb: str, path: str, entry: bool | None, options: dict[str, Any]) -> Callable[[F], F]:
        options["openapi_extra"] = _extra(options, entry)
        if entry:
            # whatever its annotation says, such a handler may return Launch's response
            options.setdefault("response_model", None)
        decorate: Callable[[F], F] = getattr(super(), verb)(path, **options)
        return decorate

    def get(self, path: str, entry: bool | None = None, **options: Any) -> Callable[[F], F]:
        """FastAPI's ``get``, and what describes an endpoint of a service.

        Parameters
        ----------
        path
            Of the route.
        entry
            It leads to a flow: the Register lists it.
        **options
            FastAPI's, and ``author``, ``organization``, ``version``.
        """
        return self._marked("get", path, entry, options)

    def post(self, path: str, entry: bool | None = None, **options: Any) -> Callable[[F], F]:
        """As :meth:`get`."""
        return self._marked("post", path, entry, options)

    def put(self, path: str, entry: bool | None = None, **options: Any) -> Callable[[F], F]:
        """As :meth:`get`."""
        return self._marked("put", path, entry, options)

    def delete(self, path: str, entry: bool | None = None, **options: Any) -> Callable[[F], F]:
        """As :meth:`get`."""
        return self._marked("delete", path, entry, options)

    def patch(self, path: str, entry: bool | None = None, **options: Any) -> Callable[[F], F]:
        """As :meth:`get`."""
        return self._marked("patch", path, entry, options)

    def options(self, path: str, entry: bool | None = None, **options: Any) -> Callable[[F], F]:
        """As :meth:`get`."""
        return self._marked("options", path, entry, options)

    def head(self, path: str, entry: bool | None = None, **options: Any) -> Callable[[F], F]:
        """As :meth:`get`."""
        return self._marked("head", path, entry, options)

    def enter(self, path: str, model: Model, **options: Any) -> Callable[[F], F]:
        """Declare an endpoint with a form.

        ``GET path`` gives what it says of itself and the form's ``elements``; ``POST path``
        takes form values as a JSON object and answers with ``{"result": fid, "elements": [...]}``,
        or with ``{"errors": {field: [messages]}, "elements": [...]}`` where they do not fit.

        Parameters
        ----------
        path
            Of both routes.
        model
            The form. Its constraints are checked before the function is called.
        **options
            FastAPI's (``summary``, ``description``, ``tags``, ``deprecated`` …), and
            ``author``, ``organization``, ``version``.

        Returns
        -------
        Callable
            Decorates a function, ``async`` or not, that takes any of ``inputs`` (form values as
            they were sent; every named element is there) and ``request``, and returns
            ``Launch(…)`` or raises :class:`~kodosumi_lab.errors.InputsError`.
        """

        def decorate(function: F) -> F:
            about = _described(function, options)
            said = {name: about.get(name) for name in ("summary", "description", "tags")}
            said |= {"deprecated": bool(about.get("deprecated")), **_extra(about, entry=True)}

            @functools.wraps(function)
            async def show(request: Request) -> Any:
                return {**said, "elements": model.get_model()}

            @functools.wraps(function)
            async def submit(request: Request) -> Any:
                return await _submit(function, copy.deepcopy(model), request)

            for handler in (show, submit):
                handler.__signature__ = _REQUEST_ONLY  # type: ignore[attr-defined]
                handler.__annotations__ = {"request": Request}
            self.get(path, entry=True, **about, response_model=None)(show)
            about["openapi_extra"] = {**about["openapi_extra"], "requestBody": BODY}
            self.post(path, entry=False, **about, responses=_RESPONSES, response_model=None)(submit)
            return function

        return decorate

    def add_flow(self, flow: Flow, path: str | None = None, **options: Any) -> None:
        """Declare an endpoint for a flow: its form comes from its types, its runs get typed inputs.

        Parameters
        ----------
        flow
            Made by :func:`kodosumi_lab.flow`.
        path
            ``/<name of the flow>`` by default.
        **options
            As for :meth:`enter`, in place of what the flow says of itself.
        """
        said = {key: getattr(flow.options, key) for key in ("summary", "description", "author", "version")}
        said = {key: value for key, value in said.items() if value} | {"tags": list(flow.options.tags)}
        form = flow.inputs.form()

        async def enter(request: Request) -> Launched:
            checked = await run_in_threadpool(flow.inputs.from_form, await form_values(request))
            return Launch(request, flow, inputs=checked)

        enter.__name__ = enter.__qualname__ = flow.name
        self.enter(path or f"/{flow.name}", form, **(said | options))(enter)

    # -- locks --------------------------------------------------------------------------

    def lock(self, name: str) -> Callable[[F], F]:
        """Declare how a lock is shown.

        Parameters
        ----------
        name
            What flows call it: ``await tracer.lock(name, data=…)``.

        Returns
        -------
        Callable
            Decorates a function that takes any of ``data`` and ``request`` and returns a
            :class:`~kodosumi_lab.forms.Model`.
        """

        def decorate(function: F) -> F:
            self.locks[name] = function
            return function

        return decorate

    def lease(self, name: str) -> Callable[[F], F]:
        """Declare how the answer to a lock is judged; without it, the form values are the answer.

        Returns
        -------
        Callable
            Decorates a function that takes any of ``inputs``, ``data`` and ``request`` and returns
            what the flow gets, or raises :class:`~kodosumi_lab.errors.InputsError`: the lock stays open.
        """

        def decorate(function: F) -> F:
            self.leases[name] = function
            return function

        return decorate


# -- what a POST does ---------------------------------------------------------------------


async def _submit(function: Callable[..., Any], model: Model, request: Request) -> Any:
    values = await form_values(request)
    errors = await run_in_threadpool(model.check, values)  # a pattern takes its time
    request.state.secrets = model.secret_texts(values)
    request.state.batches = [] if errors else list(model.uploads(values).values())
    errors |= await _others(model, values, request) if request.state.batches else {}
    launched = None
    if not errors:
        try:
            launched = await call_with(function, inputs=model.parse(values), request=request)
            if isinstance(launched, Launched):
                await launched.started()
        except InputsError as error:
            errors = error.messages
        except HTTPException:
            raise
        except ClusterError as error:
            raise HTTPException(503, str(error)) from error
        except Exception as error:
            logger.exception("endpoint %s failed", request.url.path)
            raise HTTPException(500, f"{type(error).__name__}: {error}") from error
    shown = refill(model, values)
    if errors:
        return {"errors": {"_global_": []} | errors, "elements": shown}
    fid = getattr(launched, "headers", {}).get(LAUNCH_HEADER)
    if fid is None:
        detail = f"the endpoint returned a {type(launched).__name__}; expected Launch(request, …)"
        raise HTTPException(400, detail)
    return JSONResponse({"result": fid, "elements": shown}, headers={LAUNCH_HEADER: fid})


async def _others(model: Model, values: dict[str, Any], request: Request) -> dict[str, list[str]]:
    """Messages for file elements that name uploads which are not the caller's, where the gateway can tell."""
    claim = request.scope.get("kodosumi_lab.claim")
    found: dict[str, list[str]] = {}
    if claim is None:
        return {}
    for name, batch_id in model.uploads(values).items():
        try:
            await run_in_threadpool(claim, [batch_id])
        except (UploadError, UploadNotFound) as error:
            found[name] = [str(error)]
    return found


# -- what an endpoint says of itself -----------------------------------------------------

_REQUEST_ONLY = inspect.Signature(
    [inspect.Parameter("request", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=Request)]
)
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The run was started, or the inputs do not fit",
        "content": {"application/json": {"schema": ANSWER}},
    },
    400: {"description": "The endpoint started no run"},
    422: {"description": "The body is no JSON object"},
    500: {"description": "The endpoint failed"},
    503: {"description": "The cluster cannot be reached"},
}
_X = ("author", "organization", "version")


def _extra(options: dict[str, Any], entry: bool | None) -> dict[str, Any]:
    """``openapi_extra`` of an operation; takes from the options what FastAPI does not know."""
    found = dict(options.get("openapi_extra") or {})
    for name in _X:
        value = options.pop(name, None)
        if value is not None:
            found[f"x-{name}"] = value
    if entry is not None:
        found[_ENTRY] = entry
    return found


def _described(function: Callable[..., Any], options: dict[str, Any]) -> dict[str, Any]:
    """The endpoint's options, with what its docstring says where they are silent."""
    about = dict(options)
    about["openapi_extra"] = _extra(about, entry=None)
    doc = inspect.getdoc(function) or ""
    if about.get("summary") is None and doc:
        about["summary"] = doc.partition("\n")[0]
    if about.get("description") is None:
        about["description"] = doc or about.get("summary")
    return about
