"""Starting a run: check the inputs, say what is needed to start it, hand it to the Dispatcher."""

from __future__ import annotations

import contextlib
import getpass
import os
import platform
import secrets
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from uuid_utils import uuid7

from kodosumi_lab.errors import ClusterError, FileNameError, FlowError, InputsError
from kodosumi_lab.flow import Flow, Options, entrypoint_of, registered
from kodosumi_lab.forms import SECRET, Inputs, secret_fields
from kodosumi_lab.forms.secrets import step
from kodosumi_lab.runtime import cluster, console, graph, home, notebook
from kodosumi_lab.runtime.desk import Desk, RemoteDesk, gather
from kodosumi_lab.runtime.files import FileInfo
from kodosumi_lab.runtime.run import Run
from kodosumi_lab.runtime.run_files import desk_of, sources_of
from kodosumi_lab.runtime.sent import pack

__all__ = ["Origin", "again", "code_of", "has_input", "launch", "launch_at", "launch_sent", "new_id", "rerun"]

#: In the ``meta`` of a run: what is true of that run only.
_OF_THE_RUN = ("fid", "imported", "notebook", "sweep")


#: What brings a run's files to ``in/``: called with the desk and the run's id, answers what the run then has.
Bring = Callable[[Desk | RemoteDesk, str], list[FileInfo]]


@dataclass(frozen=True, slots=True)
class Origin:
    """Who starts a run, where that is not the user of this process.

    Attributes
    ----------
    user
        Recorded in ``meta``; the process's user when None.
    via
        What it was started with (``launched_by``), such as ``http``; the program when None.
    run_id
        Drawn beforehand: starting it again under the same id starts nothing while it is open.
    about
        Further facts for ``meta``, such as the service that launches.
    connection
        Makes the connection to the cluster that carries it; this process's own when None.
    asking
        Called with the address of another service, before that is asked to start the run.
    """

    user: str | None = None
    via: str | None = None
    run_id: str | None = None
    about: Mapping[str, Any] = field(default_factory=dict)
    connection: Callable[[], cluster.Connection] | None = None
    asking: Callable[[str], None] | None = None

    def connect(self) -> cluster.Connection:
        """The connection to the cluster that carries the run."""
        return (self.connection or cluster.connection)()


_HERE = Origin()


def launch(
    flow: Flow,
    inputs: dict[str, Any] | Inputs,
    origin: Origin = _HERE,
    *,
    files: Any = None,
    batches: Sequence[str] = (),
    code: dict[str, Any] | None = None,
) -> Run:
    """Start a run of `flow`; see :meth:`kodosumi_lab.flow.Flow.launch`.

    Parameters
    ----------
    flow, inputs
        What to run, with what: values to be checked, or checked already.
    origin
        Who starts it, when it is not this process's user.
    files
        Local files for ``in/``, see :func:`kodosumi_lab.runtime.run_files.sources_of`. Left out, it is taken
        from an input of that name, if the flow itself has no such input.
    batches
        Uploads for ``in/``, see :class:`kodosumi_lab.runtime.uploads.Uploads`.
    code
        What :func:`code_of` said of the flow, where several runs are to have the same.
    """
    if isinstance(inputs, Inputs):
        checked = inputs
    else:
        if files is None and "files" in inputs and not has_input(flow, "files"):
            inputs = dict(inputs)
            files = inputs.pop("files")
        checked = flow.inputs.validate(inputs, local=True)
    code = code or code_of(flow)
    sources = sources_of(files) if files is not None else {}
    for name, path in checked.files.items():
        if sources.setdefault(name, path).absolute() != path:
            raise FileNameError(f"two files would be in/{name}; rename one of them")

    def bring(desk: Desk | RemoteDesk, run_id: str) -> list[FileInfo]:
        found = desk.put(run_id, "in", sources)[1] if sources else []
        return found + _completed(desk, run_id, batches)

    brings = bring if sources or batches else None
    meta = _meta(flow.name, flow.options, code, origin)
    return _submit(meta, code, checked, flow.options.runtime_env, origin, brings)


def launch_at(
    entrypoint: str,
    name: str,
    options: Options,
    checked: Inputs,
    origin: Origin = _HERE,
    *,
    batches: Sequence[str] = (),
) -> Run:
    """Start a run of a flow that this process does not import.

    Parameters
    ----------
    entrypoint, name, options
        Of the flow; the Runner imports it.
    checked
        Inputs that fit it.
    origin, batches
        See :func:`launch`; `origin.about` may say where to import from (``cwd``, ``sys_path``).
    """
    code = {"import": entrypoint}

    def bring(desk: Desk | RemoteDesk, run_id: str) -> list[FileInfo]:
        return _completed(desk, run_id, batches)

    meta = _meta(name, options, code, origin)
    return _submit(meta, code, checked, options.runtime_env, origin, bring if batches else None)


def _completed(desk: Desk | RemoteDesk, run_id: str, batches: Iterable[str]) -> list[FileInfo]:
    return [info for batch_id in batches for info in desk.complete(run_id, batch_id, "in")]


def has_input(flow: Flow, name: str) -> bool:
    """Whether a value of that name is an input of the flow's own."""
    model = flow.inputs.model
    known = {*model.model_fields, *(field.alias for field in model.model_fields.values())}
    return name in known or name == flow.inputs.whole or model.model_config.get("extra") == "allow"


def launch_sent(
    entry: Any,
    inputs: Any,
    origin: Origin = _HERE,
    *,
    batches: Sequence[str] = (),
    secret: Iterable[str] = (),
    runtime_env: dict[str, Any] | None = None,
) -> Run:
    """Start a run of any entrypoint, which gets its inputs as they are.

    Parameters
    ----------
    entry
        Import path, function, class or crew. A :class:`~kodosumi_lab.flow.Flow` is launched as :func:`launch` does.
    inputs
        Any value; the entrypoint gets it as ``inputs``, if it asks for that.
    origin, batches
        See :func:`launch`.
    secret
        Texts among the inputs that are kept nowhere.
    runtime_env
        Ray's, of who launches; the Runner gets it too.

    Raises
    ------
    FlowError
        The entrypoint cannot be sent to the cluster.
    InputsError
        The entrypoint is a flow, which the inputs do not fit.
    """
    if isinstance(entry, Flow):
        # a name among what was sent is an input, never a local file of this process
        checked = inputs if isinstance(inputs, Inputs) else entry.inputs.validate(dict(inputs or {}))
        return launch(entry, checked, origin, batches=batches)
    try:
        code, checked, opaque = pack(entry, inputs, secret)
    except Exception as error:  # whatever an object's own pickling raises
        raise FlowError(f"{entry!r} and its inputs cannot be sent to the cluster: {error}") from error
    named = entry if isinstance(entry, str) else getattr(entry, "__name__", type(entry).__name__)
    meta = _meta(named.replace(":", ".").rpartition(".")[2], Options(runtime_env=runtime_env), code, origin)
    meta["entrypoint"] = entry if isinstance(entry, str) else entrypoint_of(entry) or meta["entrypoint"]
    meta |= {"opaque": opaque} if opaque else {}

    def bring(desk: Desk | RemoteDesk, run_id: str) -> list[FileInfo]:
        return _completed(desk, run_id, batches)

    return _submit(meta, code, checked, runtime_env, origin, bring if batches else None)


def new_id() -> str:
    """An id for a run that is about to start; ids sort by start."""
    return str(uuid7())


def rerun(run: Run, changes: dict[str, Any], origin: Origin = _HERE) -> Run:
    """Start a new run of the same flow with the same inputs but for `changes`, and with what is in its ``in/``.

    Of a flow that this process does not know only secrets may be given, since nobody here can check the rest.

    Raises
    ------
    InputsError
        The changed inputs do not fit, or a secret that the log does not hold is missing.
    FlowError
        What it needs is kept nowhere.
    """
    meta, wire = run.meta, run.inputs
    flow = _known(meta)
    if flow is not None:
        kept = {name: value for name, value in wire.items() if value != SECRET}
        checked = flow.inputs.validate({**kept, **changes})
    else:
        checked = _again(meta, wire, changes)
    hidden = secret_fields(checked.wire) if flow is None else [name for name, value in wire.items() if value == SECRET]
    missing = [path for path in hidden if path not in checked.secrets and path not in changes]
    if missing:
        raise InputsError.of(
            {path: ["is a secret, which is not kept; give it again"] for path in missing}, flow=meta["flow"]
        )
    return again(run, checked, origin)


def again(run: Run, checked: Inputs, origin: Origin = _HERE, *, batches: Sequence[str] = ()) -> Run:
    """Start a new run of the same flow with other inputs, and with what is in its ``in/``.

    Parameters
    ----------
    run
        The earlier one.
    checked
        Inputs that fit its flow, secrets included.
    origin
        Who starts it.
    batches
        Uploads for ``in/``, beside the files that it has from the earlier run.

    Raises
    ------
    FlowError
        What it needs is kept nowhere.
    """
    meta = run.meta
    flow = _known(meta)
    code = meta["code"]
    runtime_env = flow.options.runtime_env if flow is not None else meta["options"].get("runtime_env")
    hidden = secret_fields(runtime_env or {})
    if hidden:
        raise FlowError(
            f"run {run.id} had environment variables whose values are not kept ({', '.join(hidden)}); "
            "launch it from where its flow is defined"
        )
    inherit = _inherit(run, origin) if run.files.ls("in") else None

    def bring(desk: Desk | RemoteDesk, run_id: str) -> list[FileInfo]:
        found = inherit(desk, run_id) if inherit is not None else []
        return found + _completed(desk, run_id, batches)

    brings = bring if inherit is not None or batches else None
    run_id = origin.run_id or new_id()
    own = {"fid": run_id} if "fid" in meta and "imported" not in meta else {}
    kept = {name: value for name, value in meta.items() if name not in _OF_THE_RUN}
    if "sweep" in meta:  # the run is one of it, a run like it is not
        kept["tags"] = [tag for tag in meta["tags"] if tag != f"sweep:{meta['sweep']['id']}"]
    meta = {**kept, **own, **_provenance(origin), "rerun_of": run.id, **origin.about}
    return _submit(meta, code, checked, runtime_env, replace(origin, run_id=run_id), brings)


def _again(meta: dict[str, Any], wire: dict[str, Any], changes: dict[str, Any]) -> Inputs:
    """Inputs of a flow that is not known here: as they were, with the secrets that had to be entered again.

    Its own process judged the rest, or computed it; nobody here could do that again.
    """
    wrong = {name: ["is no input of this flow"] for name in set(changes) - set(wire)}
    told = "cannot be changed here, where its flow is not known; launch it again from where that is"
    wrong |= {name: [told] for name in changes if name in wire and wire[name] != SECRET}
    wrong |= {
        name: ["is a secret; expected text"] for name in set(changes) - set(wrong) if type(changes[name]) is not str
    }
    if wrong:
        raise InputsError.of(dict(sorted(wrong.items())), flow=meta["flow"])
    return Inputs(dict(wire), {step("", name): value for name, value in changes.items()})


def _inherit(run: Run, origin: Origin) -> Bring:
    def bring(desk: Desk | RemoteDesk, run_id: str) -> list[FileInfo]:
        if run.log_dir == origin.connect().home.log_dir:
            return desk.inherit(run_id, run.id)
        with tempfile.TemporaryDirectory() as folder:  # from another log
            run.files.download(folder, "in")
            return desk.put(run_id, "in", gather(folder))[1]

    return bring


def _known(meta: dict[str, Any]) -> Flow | None:
    """The flow in this process that the run was of; nothing is imported or unpickled for it.

    A module that is imported tells for itself: of several flows of one name only the newest is found by that name.
    """
    module, _, path = str(meta["entrypoint"]).partition(":")
    here: Any = sys.modules.get(module)
    for part in path.split(".") if here is not None and path else ():
        here = getattr(here, part, None)
    if isinstance(here, Flow) and here.name == meta["flow"]:
        return here
    for flow in registered().values():
        if flow.name == meta["flow"] and (entrypoint_of(flow) or f"{flow.name} (by value)") == meta["entrypoint"]:
            return flow
    return None


def code_of(flow: Flow) -> dict[str, Any]:
    """What leads a Runner to the flow: an import path, else the pickled flow itself, as it is now.

    Raises
    ------
    FlowError
        It cannot be pickled; the message names what it uses that cannot.
    """
    path = entrypoint_of(flow)
    if path is not None:
        return {"import": path}
    import ray

    graph.send_by_builder(flow.target)
    try:
        return {"pickle": ray.cloudpickle.dumps(flow)}  # type: ignore[no-untyped-call]
    except Exception as error:  # whatever an object's own pickling raises
        raise FlowError(_unshippable(flow, error)) from error


def _unshippable(flow: Flow, error: Exception) -> str:
    """Which name the flow uses that cannot be sent to another process."""
    import inspect

    import ray

    culprits = []
    target = inspect.unwrap(flow.target)
    if inspect.isfunction(target):
        used = inspect.getclosurevars(target)
        for name, value in {**used.globals, **used.nonlocals}.items():
            try:
                ray.cloudpickle.dumps(value)  # type: ignore[no-untyped-call]
            except Exception:  # noqa: BLE001 - the probe's only purpose
                culprits.append(f"{name} ({type(value).__module__}.{type(value).__qualname__})")
    named = f"it uses {', '.join(culprits)}, which cannot be pickled" if culprits else str(error)
    return (
        f"flow {flow.name!r} cannot be sent to the cluster: {named}; "
        "create that inside the flow, or move the flow into a module"
    )


def _meta(name: str, o: Options, code: dict[str, Any], origin: Origin) -> dict[str, Any]:
    runtime_env = o.runtime_env
    if runtime_env is not None and runtime_env.get("env_vars"):  # their values are often keys: not for the log
        runtime_env = {**runtime_env, "env_vars": dict.fromkeys(runtime_env["env_vars"], SECRET)}
    ray_options = {"num_cpus": o.num_cpus, "num_gpus": o.num_gpus, "resources": o.resources, "runtime_env": runtime_env}
    return {
        "flow": name,
        "entrypoint": code.get("import") or f"{name} (by value)",
        "summary": o.summary,
        "description": o.description,
        "tags": list(o.tags),
        "author": o.author,
        "version": o.version,
        "timeout_s": o.timeout_s,
        "retries": o.retries,
        "fresh": o.fresh,
        "options": {key: value for key, value in ray_options.items() if value is not None},
        **home.place(),
        **_provenance(origin),
        **origin.about,
    }


def _provenance(origin: Origin) -> dict[str, Any]:
    parent = console.current()
    try:
        # a child run is of whoever launched its parent, whoever the machine's user is
        user = origin.user or (parent.user if parent is not None else None) or getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        user = str(os.getuid())
    # what comes over HTTP, or from a widget, has nothing to do with the cell that happens to run
    here = notebook.executing() if origin.via is None else None
    return {
        **({"notebook": here} if here is not None else {}),
        "user": user,
        "parent": parent.run_id if parent is not None else None,
        "host": platform.node(),
        "python": platform.python_version(),
        "launched_by": origin.via or os.path.basename(sys.argv[0] or sys.executable),
    }


def _submit(
    meta: dict[str, Any],
    code: dict[str, Any],
    checked: Inputs,
    runtime_env: dict[str, Any] | None,
    origin: Origin,
    bring: Bring | None = None,
) -> Run:
    held = origin.connect()
    import ray

    run_id = origin.run_id or new_id()
    files = _bring(bring, held.home.log_dir, run_id) if bring is not None else []
    order = {
        "run_id": run_id,
        "meta": meta,
        "inputs": checked.wire,
        "secrets": checked.secrets,
        "code": code,
        "runtime_env": runtime_env,
        "producer": secrets.randbits(64),
        "files": files,
    }
    try:
        ray.get(held.dispatcher.launch.remote(order))
    except ray.exceptions.RayError as error:
        raise ClusterError(
            f"run {run_id} of flow {meta['flow']!r} may not have been started: the cluster at "
            f"{held.home.address} does not answer ({' '.join(str(error).split())[:200]})"
        ) from error
    return Run(run_id, log_dir=held.home.log_dir)


def _bring(bring: Bring, log_dir: str, run_id: str) -> list[FileInfo]:
    """The files are there before the run is: it never starts without them."""
    desk = desk_of(log_dir)
    try:
        return bring(desk, run_id)
    except BaseException:
        with contextlib.suppress(Exception):  # the first error is the one to tell
            desk.clear(run_id)
        raise
