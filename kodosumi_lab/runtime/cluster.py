"""Finding, starting and leaving a Ray cluster, and the actors of a log on it.

``connect`` takes, in this order: the address given, ``RAY_ADDRESS`` (or the setting
``address``), the background cluster of ``kodosumi-lab up``, and else starts Ray in this
process, which ends with it. One Spooler and one Dispatcher per log and cluster, on the
head node, found by name or made.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import logging
import os
import socket
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kodosumi_lab.errors import ClusterError
from kodosumi_lab.runtime import home as home_module
from kodosumi_lab.runtime import quick
from kodosumi_lab.runtime.home import Home

if TYPE_CHECKING:
    from kodosumi_lab.settings import Settings

__all__ = ["Connection", "connect", "connection", "disconnect", "ray_options"]

# On a head that is busy starting other workers an actor may take this long to come up.
_ACTOR_TIMEOUT_S = 120.0

_lock = threading.RLock()
#: Logs that this process has connected to on its cluster; the last one is in use.
_connections: list[Connection] = []
#: How this process came to its cluster, when it was by `connect`.
_joined: str | None = None


@dataclass(slots=True)
class Connection:
    """A cluster and a log, as this process holds them.

    Attributes
    ----------
    home
        The log's home.
    how
        ``given``, ``RAY_ADDRESS``, ``background``, ``embedded``, ``joined`` (Ray was
        initialised already) or ``inside`` (a Runner or Ray task).
    spooler, dispatcher
        Actor handles.
    settings
        In force when the connection was made.
    """

    home: Home
    how: str
    spooler: Any = field(repr=False)
    dispatcher: Any = field(repr=False)
    settings: Settings | None = field(default=None, repr=False)

    @property
    def log_dir(self) -> Path:
        """Directory of the event log."""
        return Path(self.home.log_dir)

    def __repr__(self) -> str:
        ends = "; ends with this process" if self.how == "embedded" else ""
        return f"<kodosumi_lab connection: {self.how} Ray at {self.home.address}, log {self.home.log_dir}{ends}>"


def namespace_of(log_dir: Path) -> str:
    """Ray namespace of a log's actors: logs on one cluster do not meet."""
    return "kodosumi-lab-" + hashlib.sha256(str(log_dir).encode()).hexdigest()[:12]


def ray_options() -> dict[str, Any]:
    """How Ray is initialised from here, whoever's cluster it is.

    Workers' output is not sent to this process: a run's output is in its log, and Ray's
    own notices would flood a notebook.
    """
    return {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": True}


def connect(address: str | None = None, *, log_dir: str | Path | None = None, **overrides: Any) -> Connection:
    """Connect this process to a cluster and a log; connecting again where one is connected is free.

    Parameters
    ----------
    address
        Ray address (``host:port``, ``auto``, ``local`` for Ray in this process).
    log_dir
        Directory of the event log.
    **overrides
        Further settings, see :class:`kodosumi_lab.settings.Settings`. They take effect
        when this call starts the log's actors.

    Returns
    -------
    Connection
        Its repr says which cluster and log, and whether they end with this process.

    Raises
    ------
    ClusterError
        The cluster cannot be reached; the message says what to do.
    SettingsError
        A setting cannot be used.
    """
    global _joined
    with _lock:
        from kodosumi_lab import settings as settings_module

        quick.imports()
        asked = settings_module.load(address=address, log_dir=log_dir, **overrides)
        if not _on_ray():
            _connections.clear()
            _joined = None
        held = current()
        if held is not None and address in (None, held.home.address) and log_dir in (None, *_names(held)):
            home_module.set_home(held.home)
            return held
        how, found = _join(asked)
        _joined = _joined or (how if how != "joined" else None)
        if found.get("log_dir") and "log_dir" not in asked.model_fields_set:
            asked.log_dir = Path(found["log_dir"])
        home = Home(str(asked.log_dir), namespace_of(asked.log_dir), found["address"])
        spooler, dispatcher = _actors(home, asked)
        made = Connection(home, _joined or how, spooler, dispatcher, asked)
        _connections[:] = [other for other in _connections if other.home.log_dir != home.log_dir] + [made]
        home_module.set_home(home)
        if how == "embedded":
            atexit.register(disconnect)
        return made


def _names(held: Connection) -> tuple[Any, ...]:
    return held.home.log_dir, Path(held.home.log_dir)


def connection() -> Connection:
    """This process's connection; made if there is none, as :func:`connect` does without arguments."""
    with _lock:
        held = current()
        if held is not None and _on_ray():
            return held
        home = home_module.get()
        if home is None or not _is_worker():
            return connect()
        import ray

        spooler, dispatcher = (ray.get_actor(name, home.namespace) for name in ("spooler", "dispatcher"))
        _connections[:] = [Connection(home, "inside", spooler, dispatcher)]
        return _connections[-1]


def current() -> Connection | None:
    """This process's connection, if it has one."""
    return _connections[-1] if _connections else None


def _on_ray() -> bool:
    import ray

    return bool(ray.is_initialized())


def _is_worker() -> bool:
    import ray

    return bool(ray.is_initialized()) and ray._private.worker.global_worker.mode == ray.WORKER_MODE


def adopt_home(home: dict[str, str], place: dict[str, Any]) -> None:
    """In a Runner: where it belongs, and what its child runs get."""
    home_module.set_home(Home(**home, place=place))


# -- joining a cluster ------------------------------------------------------------------


def _join(asked: Settings) -> tuple[str, dict[str, Any]]:
    """Be on a cluster: how, and its ``address`` (and ``log_dir``, of a background cluster)."""
    import ray

    if ray.is_initialized():
        if asked.address not in (None, "auto", "local", _gcs_address()):
            raise ClusterError(
                f"this process is on the Ray cluster {_gcs_address()} already, not on {asked.address}; "
                "call ray.shutdown() first, or leave the address out"
            )
        return "joined", {"address": _gcs_address()}
    if asked.address == "local":
        return "embedded", _start_embedded()
    if asked.address is not None:
        return "given", _connect_ray(asked.address, f"the address given, {asked.address}")
    if os.environ.get("RAY_ADDRESS"):
        return "RAY_ADDRESS", _connect_ray(os.environ["RAY_ADDRESS"], f"RAY_ADDRESS={os.environ['RAY_ADDRESS']}")
    from kodosumi_lab.runtime import background

    found = background.find()
    if found is not None:
        joined = _connect_ray(found["address"], f"the background cluster at {found['address']} (`kodosumi-lab up`)")
        return "background", {**joined, "log_dir": found["log_dir"]}
    return "embedded", _start_embedded()


def _gcs_address() -> str:
    import ray

    return str(ray.get_runtime_context().gcs_address)


@contextlib.contextmanager
def _match_token_mode() -> Iterator[None]:
    # Ray 2.60 writes a token when it starts a local cluster, and from then on its clusters
    # demand one, but a process that only connects does not look for it by itself.
    token = Path("~/.ray/auth_token").expanduser()
    if "RAY_AUTH_MODE" in os.environ or not token.exists():
        yield
        return
    from ray._raylet import Config  # type: ignore[attr-defined]

    os.environ["RAY_AUTH_MODE"] = "token"
    try:
        Config.initialize("")  # Ray read its environment when it was imported
        yield
    finally:
        # nodes that this process starts later must not demand a token where the cluster has none
        del os.environ["RAY_AUTH_MODE"]


def _match_address(address: str) -> None:
    # Ray turns 127.0.0.1 into this host's outer address; a cluster that listens on loopback
    # only (one of ours) is not found there.
    host, _, port = address.rpartition(":")
    if host not in ("127.0.0.1", "localhost") or not port.isdigit():
        return
    from ray._private import services

    outer = str(services.get_node_ip_address())  # type: ignore[no-untyped-call]
    if _listens("127.0.0.1", int(port)) and not _listens(outer, int(port)):
        _stay_on_loopback()


def _listens(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(2)
        return probe.connect_ex((host, port)) == 0


def _connect_ray(address: str, named: str) -> dict[str, Any]:
    _match_address(address)
    import ray

    try:
        with _quiet(), _match_token_mode():
            _init(address=address, **ray_options())
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        text = " ".join(str(error).split())[:300]
        raise ClusterError(
            f"no Ray cluster answers at {named}: {text}; start one with `kodosumi-lab up`, "
            "or connect('local') for Ray in this process. If it demands a token, set RAY_AUTH_MODE=token"
        ) from error
    return {"address": _gcs_address()}


_LOOPBACK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"


def _stay_on_loopback() -> None:
    """Ray of this process looks for its cluster, or starts it, on 127.0.0.1 only.

    ``_node_ip_address="127.0.0.1"`` does not do it: Ray 2.60 turns that into an address that
    other hosts reach. Its switch for machines that never form a cluster does.
    """
    from ray._private import ray_constants

    ray_constants.ENABLE_RAY_CLUSTER = os.environ.get(_LOOPBACK) == "1"


def _start_embedded(**options: Any) -> dict[str, Any]:
    quick.imports()
    _stay_on_loopback()
    import ray

    # Ray gives its node 30 s to start, which two busy cores were seen to exceed: once more, then.
    for last in (False, True):
        try:
            with _quiet(), quick.lean(), quick.starting_ray({_LOOPBACK: os.environ.get(_LOOPBACK, "0")}):
                _init(address="local", include_dashboard=False, **{**ray_options(), **options})
            return {"address": _gcs_address()}
        except Exception as error:
            ray.shutdown()
            if last or "timed out" not in str(error):
                text = " ".join(str(error).split())[:300]
                raise ClusterError(f"Ray could not be started in this process: {text}") from error
    raise AssertionError("unreachable")


def _init(**options: Any) -> None:
    """``ray.init``, in the main thread or in one that ends with it.

    Ray derives the ids of tasks and objects from its driver task, which the thread that initialises it goes on to be,
    also after another one has initialised it again. Two that are the driver task of equally numbered jobs, as the first
    of two clusters are, make equal ids, which Ray 2.60 answers with the end of the process.
    """
    import ray

    if threading.current_thread() is threading.main_thread():
        ray.init(**options)
        return
    with ThreadPoolExecutor(1, thread_name_prefix="ray-init") as once:
        once.submit(ray.init, **options).result()


@contextlib.contextmanager
def _quiet() -> Any:
    """Ray greets on stderr through its own loggers while it starts; people asked for a run."""
    names = ("ray", "ray._private.worker", "ray._private.authentication.authentication_token_setup")
    levels = {name: logging.getLogger(name).level for name in names}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in names:
            logging.getLogger(name).setLevel(logging.ERROR)
        try:
            yield
        finally:
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)


# -- the log's actors -------------------------------------------------------------------


def _actors(home: Home, asked: Settings) -> tuple[Any, Any]:
    import ray

    from kodosumi_lab.runtime.dispatcher import DispatcherActor
    from kodosumi_lab.runtime.files import Limits
    from kodosumi_lab.runtime.pool import first_name, make
    from kodosumi_lab.runtime.spooler import SpoolerActor

    detached: dict[str, Any] = {
        "namespace": home.namespace,
        "lifetime": "detached",
        "get_if_exists": True,
        "num_cpus": 0,
        "max_restarts": -1,
        "max_task_retries": -1,
        "max_concurrency": 10_000,
        # both work on files of the head's disk
        "resources": {"node:__internal_head__": 0.0001},
    }
    try:
        fresh = ray.get_actor("dispatcher", home.namespace) is None
    except ValueError:
        fresh = True
    home.owner = hashlib.sha256(f"{_session()}{home.namespace}".encode()).hexdigest()[:12]
    try:
        spooler: Any = (
            ray.remote(SpoolerActor)
            .options(name="spooler", **detached)
            .remote(
                home.log_dir,
                home.owner,
                home.address,
                {key: getattr(asked, key) for key in ("segment_bytes", "segment_age_s", "trailing_s")},
                {"limits": asdict(Limits.of(asked)), "direct": asked.files_direct},
            )
        )
        keys = ("slots", "warm_runners", "runner_max_runs", "cancel_grace_s", "min_free_memory")
        limits = {key: getattr(asked, key) for key in (*keys, "buffer_events", "buffer_bytes")}
        dispatcher: Any = (
            ray.remote(DispatcherActor)
            .options(name="dispatcher", **detached)
            .remote(home.namespace, home.to_dict(), limits)
        )
        if fresh and asked.warm_runners:  # it would be started by the Dispatcher, once that has been
            make(first_name(home.owner), home.namespace, spooler, home.to_dict(), get_if_exists=True)
        # all start at the same time; the Spooler is asked first, since its errors explain the other's
        starting = dispatcher.ready.remote()
        ray.get(spooler.health.remote(), timeout=_ACTOR_TIMEOUT_S)
        ray.get(starting, timeout=_ACTOR_TIMEOUT_S)
    except ray.exceptions.GetTimeoutError as error:
        raise ClusterError(
            f"the actors of log {home.log_dir} did not start within {_ACTOR_TIMEOUT_S:g} s on {home.address}; "
            "look into Ray's logs, `kodosumi-lab doctor` names the directory"
        ) from error
    except ray.exceptions.RayError as error:
        raise ClusterError(f"the actors of log {home.log_dir} cannot start on {home.address}: {error}") from error
    return spooler, dispatcher


def _session() -> str:
    import ray

    worker: Any = ray._private.worker.global_worker
    return str(worker.node.session_name)


def disconnect() -> None:
    """Leave the cluster. Embedded Ray ends with this: its runs end as ``lost``, its log is sealed.

    Ray that was initialised before :func:`connect` is left as it is.
    """
    global _joined
    with _lock:
        held, how = list(_connections), _joined
        _connections.clear()
        _joined = None
        home_module.set_home(None)
        atexit.unregister(disconnect)
        if how is None or not _on_ray():
            return
        import ray

        if how == "embedded":
            for each in held:
                end_actors(each, "the process that held its Ray cluster ended")
        ray.shutdown()


def end_actors(held: Connection, reason: str) -> None:
    """Before a cluster ends: end its runs with `reason`, seal its log."""
    import ray

    with contextlib.suppress(ray.exceptions.RayError):
        ray.get(held.dispatcher.shutdown.remote(reason), timeout=15)
    with contextlib.suppress(ray.exceptions.RayError):
        ray.get(held.spooler.close.remote(), timeout=30)
