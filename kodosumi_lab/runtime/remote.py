"""A flow behind another service's endpoint: the same verbs as a :class:`~kodosumi_lab.flow.Flow`.

``GET`` of the endpoint gives the form's elements, ``POST`` of form values launches: the service
answers with the run's id, or with messages per field. Where the service runs on a cluster that
writes this log, the run is in it by then.
"""

from __future__ import annotations

import datetime
import enum
import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from kodosumi_lab.errors import InputsError, RunNotFound, ServiceError
from kodosumi_lab.events import dumps
from kodosumi_lab.runtime import sources
from kodosumi_lab.runtime.run import Run, event_log
from kodosumi_lab.runtime.services import RUN_HEADER

if TYPE_CHECKING:
    import httpx

    from kodosumi_lab.widgets.form import FlowForm

__all__ = ["ForeignRun", "RemoteFlow", "form_values"]

_TIMEOUT_S = 60.0
# Elements whose values a form sends as text.
_AS_TEXT = frozenset({"text", "number", "password", "textarea", "date", "time", "datetime-local", "select"})
_NO_INPUTS = frozenset({"errors", "submit", "cancel", "action", "markdown", "html", "break", "hr", "group"})


class RemoteFlow:
    """A flow that another service launches; made by :func:`kodosumi_lab.find`.

    Attributes
    ----------
    name, summary, description, tags, author, organization, version
        What its endpoint says of it.
    url : str
        Its endpoint.
    source : str
        The source of the catalogue that it was found in.
    """

    def __init__(
        self,
        name: str,
        url: str,
        *,
        source: str,
        base: str | None = None,
        log_dir: str | Path | None = None,
        user: str | None = None,
        **about: Any,
    ) -> None:
        self.name = name
        self.url = url
        self.source = source
        self.base = base if base is not None else url.rpartition("/")[0]
        self.log_dir = str(log_dir) if log_dir is not None else None
        self.user = user
        self.summary = str(about.get("summary") or "")
        self.description = str(about.get("description") or "")
        self.tags = tuple(about.get("tags") or ())
        self.author = str(about.get("author") or "")
        self.organization = str(about.get("organization") or "")
        self.version = str(about.get("version") or "")
        self._run_id: str | None = None

    @classmethod
    def from_row(
        cls,
        row: dict[str, Any],
        *,
        log_dir: str | Path | None = None,
        user: str | None = None,
        run_id: str | None = None,
    ) -> Self:
        """The flow of a row of the catalogue.

        Parameters
        ----------
        row, log_dir
            Of the catalogue.
        user
            Who launches; the user of this process when None.
        run_id
            Of the run that is launched next, where the service is one that can be told.
        """
        about = {key: value for key, value in row.items() if key not in ("name", "url", "source", "base")}
        made = cls(row["name"], row["url"], source=row["source"], base=row["base"], log_dir=log_dir, user=user, **about)
        made._run_id = run_id
        return made

    def __repr__(self) -> str:
        return f"<RemoteFlow {self.name} at {self.url}>"

    def _client(self) -> httpx.Client:
        from kodosumi_lab.runtime.register import Register

        # the token is read when it is needed, so it is in no pickle and no repr
        http = sources.client(self.url, Register(self.log_dir).token(self.source), _TIMEOUT_S)
        own = urlsplit(self.url)
        http.headers["x-kodosumi_user"] = self.user or getpass.getuser()
        http.headers["x-kodosumi_base"] = urlsplit(self.base).path
        http.headers["x-kodosumi-url"] = f"{own.scheme}://{own.netloc}"
        return http

    # -- its form -----------------------------------------------------------------------

    @property
    def elements(self) -> list[dict[str, Any]]:
        """Its input form as dicts, which any front end draws; asked of the service each time.

        Raises
        ------
        ServiceError
            The service does not answer, or not with a form.
        """
        with self._client() as http:
            return self._elements(http)

    def _elements(self, http: httpx.Client) -> list[dict[str, Any]]:
        answer = sources.get_json(http, self.url)
        elements = answer.get("elements") if isinstance(answer, dict) else None
        if not isinstance(elements, list) or not all(isinstance(item, dict) for item in elements):
            raise ServiceError(self.url, "its answer holds no form: expected an object with a list `elements`")
        return elements

    # -- launching ----------------------------------------------------------------------

    def launch(self, **inputs: Any) -> Run | ForeignRun:
        """Have the service start a run.

        Parameters
        ----------
        **inputs
            Values by the name of their element; what is left out has the value that the
            form shows at first. Numbers, dates and choices are sent as a form sends them.

        Returns
        -------
        Run or ForeignRun
            A :class:`Run` where the service writes to this log; else a handle that has the
            run's id and says where the run is.

        Raises
        ------
        InputsError
            The inputs do not fit; nothing was started.
        ServiceError
            The service does not answer, or not with a run.
        """
        with self._client() as http:
            return self._posted(http, form_values(self.name, self._elements(http), inputs))

    def form(self, **initial: Any) -> FlowForm:
        """Its input form as a widget, asked of the service now; see :meth:`kodosumi_lab.flow.Flow.form`.

        Raises
        ------
        InputsError
            There is no such input.
        ServiceError
            The service does not answer, or not with a form.
        """
        from kodosumi_lab.widgets.form import FlowForm

        return FlowForm(self, **initial)

    def submit(self, values: dict[str, Any]) -> Run | ForeignRun:
        """:meth:`launch` with what was entered in its form, as it is: form values by the name of their element."""
        with self._client() as http:
            return self._posted(http, values)

    def _posted(self, http: httpx.Client, values: dict[str, Any]) -> Run | ForeignRun:
        import httpx

        headers = {"content-type": "application/json", **({RUN_HEADER: self._run_id} if self._run_id else {})}
        try:
            reply = http.post(self.url, content=dumps(values), headers=headers)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise ServiceError(self.url, f"it cannot be reached: {error}") from error
        except httpx.HTTPError as error:
            found = self._in_log(self._run_id)
            if found is not None:
                return found
            late = isinstance(error, httpx.TimeoutException)
            what = f"no answer within {_TIMEOUT_S:g} s" if late else f"the connection broke: {error}"
            told = f"{what}; whether a run was started is not known"
            raise ServiceError(self.url, told, unsure=True) from error
        try:
            answer = sources.json_of(reply)
        except ServiceError as error:
            error.unsure = error.status is None
            raise
        return self._started(answer, reply)

    def _in_log(self, run_id: str | None) -> Run | None:
        log = event_log(self.log_dir)
        try:
            log.run(run_id or "")
        except (RunNotFound, ValueError):
            return None
        return Run(str(run_id), log_dir=log.root)

    def _started(self, answer: Any, reply: httpx.Response) -> Run | ForeignRun:
        errors = answer.get("errors") if isinstance(answer, dict) else None
        if errors:
            raise _refused(self.name, _messages(errors))
        fid = (answer.get("result") or answer.get("fid")) if isinstance(answer, dict) else None
        if isinstance(fid, dict):
            fid = fid.get("fid")
        fid = fid or reply.headers.get("kodosumi_launch")
        if not isinstance(fid, str) or not fid:
            raise ServiceError(self.url, f"its answer names no run: {reply.text[:200]}", unsure=True)
        return self._in_log(fid) or ForeignRun(fid, self, str(event_log(self.log_dir).root))


def _refused(flow: str, errors: dict[str, list[str]]) -> InputsError:
    return InputsError.of(errors, flow=flow)


def _messages(errors: Any) -> dict[str, list[str]]:
    if not isinstance(errors, dict):
        return {"_global_": [str(errors)]}
    listed = {name: found if isinstance(found, list) else [found] for name, found in errors.items() if found}
    return {str(name): [str(message) for message in found] for name, found in listed.items()}


class ForeignRun:
    """A run that was started, but whose events are in another log than this process reads.

    Attributes
    ----------
    id : str
        The run's id there.
    flow : RemoteFlow
        The flow that it is of.
    """

    def __init__(self, run_id: str, flow: RemoteFlow, log_dir: str) -> None:
        self.id = run_id
        self.flow = flow
        self.log_dir = log_dir

    def __repr__(self) -> str:
        return (
            f"<ForeignRun {self.id} {self.flow.name}: started by {self.flow.url}, its events are not in {self.log_dir}>"
        )

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or not hasattr(Run, name):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        raise RunNotFound(
            f"run {self.id} was started by {self.flow.url}, which writes to another log than {self.log_dir}: there is "
            f"no {name} of it here; look at it where that service runs, or read its log: kl.run(id, log_dir=…)"
        )


# -- values -----------------------------------------------------------------------------


def form_values(flow: str, elements: list[dict[str, Any]], inputs: dict[str, Any]) -> dict[str, Any]:
    """What the form would send with these inputs entered.

    Parameters
    ----------
    flow
        Name of the flow, for messages.
    elements
        Elements of the form, as dicts.
    inputs
        Values by name; those of a group may be in a dict of their own.

    Raises
    ------
    InputsError
        The form has no such element.
    """
    fields = {str(item["name"]): item for item in _walk(elements) if item.get("name")}
    given: dict[str, Any] = {}
    for name, value in inputs.items():
        if isinstance(value, dict) and fields.get(name, {}).get("type") == "group":
            given |= {name: "on", **{f"{name}.{key}": item for key, item in value.items()}}
        else:
            given[name] = value
    unknown = [name for name in given if name not in fields]
    if unknown:
        known = [name for name, item in fields.items() if item.get("type") not in _NO_INPUTS]
        told = f"is no input of this flow, which takes: {', '.join(known) or 'nothing'}"
        raise _refused(flow, {name: [told] for name in unknown})
    values = {}
    for name, item in fields.items():
        if name in given:
            values[name] = _sent(item, given[name])
        elif item.get("type") not in _NO_INPUTS:
            values[name] = _initial(item)
    return {name: value for name, value in values.items() if value is not None}


def _walk(elements: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """All elements, those in groups too."""
    return [found for item in elements for found in (item, *_walk(item.get("elements") or []))]


def _initial(item: dict[str, Any]) -> Any:
    value = item.get("value")
    if item.get("type") == "boolean":
        return "on" if value else None
    if item.get("type") == "select":
        chosen = [option.get("name") for option in item.get("option") or [] if option.get("value")]
        return value if value is not None else next(iter(chosen), None)
    if item.get("type") == "multiselect" and value is None:
        return [option.get("name") for option in item.get("option") or [] if option.get("value")] or None
    return value


def _sent(item: dict[str, Any], value: Any) -> Any:
    if isinstance(value, enum.Enum):
        value = value.value
    elif hasattr(value, "get_secret_value"):
        value = value.get_secret_value()
    if item.get("type") == "boolean":
        return "on" if value in (True, "on") else None
    if value is None or item.get("type") not in _AS_TEXT:
        return value
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    return str(value)
