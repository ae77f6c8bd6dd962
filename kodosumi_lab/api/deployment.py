"""Services on Ray Serve: configuration files in, running applications out.

A base file (``proxy_location, http_options, grpc_options, logging_config``) may have beside it
one ``<app>.yaml`` per service (``name, route_prefix, import_path, runtime_env, deployments``);
they become Serve's ``applications``. A lone app file will do. The only module that imports
``ray.serve``; it needs no Ray dashboard.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from kodosumi_lab.api.launching import LOG_DIR
from kodosumi_lab.errors import ClusterError, SettingsError

__all__ = ["apply", "read_config", "status", "stop"]

_APP_KEYS = {"import_path", "route_prefix", "deployments", "name", "runtime_env", "args"}
_ENDED = {"RUNNING", "DEPLOY_FAILED", "UNHEALTHY"}
# Where Serve listens unless the file says something else: its own default is every interface.
_LOOPBACK = "127.0.0.1"


def read_config(path: Path) -> dict[str, Any]:
    """Serve's configuration, from a base file with the app files beside it, or from a lone app file.

    Parameters
    ----------
    path
        The base file, or an app file.

    Returns
    -------
    dict
        As Ray Serve takes it (``ServeDeploySchema``), checked.

    Raises
    ------
    SettingsError
        A file cannot be read, or Serve would refuse it; the message names file and key.
    """
    base = _load(path)
    if "import_path" in base:
        base = {"applications": [_app(path, base)]}
    else:
        beside = sorted(other for other in path.parent.glob("*.y*ml") if other.name != path.name)
        named = [(other, _load(other)) for other in beside]
        apps = [_app(other, found) for other, found in named if "import_path" in found]
        base = {**base, "applications": [*(base.get("applications") or []), *apps]}
    if not base["applications"]:
        raise SettingsError(
            f"{path} names no application, and no file beside it does; expected `applications:`, or "
            "<app>.yaml files with `import_path: package.module:app`"
        )
    http = base.get("http_options") or {}
    config = {"proxy_location": "HeadOnly", **base, "http_options": {"host": _LOOPBACK, **http}}
    return _checked(path, config)


def _load(path: Path) -> dict[str, Any]:
    import yaml

    try:
        found = yaml.safe_load(path.read_text())
    except OSError as error:
        raise SettingsError(f"configuration {path} cannot be read: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise SettingsError(f"configuration {path} is no YAML: {error}") from error
    if not isinstance(found, dict):
        raise SettingsError(f"configuration {path} holds a {type(found).__name__}; expected keys and values")
    return found


def _app(path: Path, found: dict[str, Any]) -> dict[str, Any]:
    unknown = set(found) - _APP_KEYS - {"external_scaler_enabled", "autoscaling_policy"}
    if unknown:
        known = ", ".join(sorted(_APP_KEYS))
        raise SettingsError(f"configuration {path}: unknown key {', '.join(sorted(unknown))}; an app has: {known}")
    name = found.get("name") or path.stem
    prefix = found.get("route_prefix", f"/{name}")
    if prefix is not None and not str(prefix).startswith("/"):
        raise SettingsError(f"configuration {path}: route_prefix is {prefix!r}; expected a path that starts with /")
    return {**found, "name": name, "route_prefix": prefix}


def _checked(path: Path, config: dict[str, Any]) -> dict[str, Any]:
    from pydantic import ValidationError
    from ray.serve.schema import ServeDeploySchema

    try:
        ServeDeploySchema.model_validate(config)
    except ValidationError as error:
        lines = [f"  {'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()]
        raise SettingsError(f"configuration {path} cannot be deployed:\n" + "\n".join(lines)) from None
    return config


def apply(config: dict[str, Any], *, wait_s: float | None = 120.0) -> dict[str, dict[str, Any]]:
    """Deploy on the cluster that this process is connected to.

    Applications of an earlier configuration that are not in this one are removed, as Serve does.

    Parameters
    ----------
    config
        From :func:`read_config`.
    wait_s
        How long to wait until each application runs or has failed; None does not wait.

    Returns
    -------
    dict
        See :func:`status`.

    Raises
    ------
    ClusterError
        Serve did not take it.
    """
    from ray.serve._private.api import serve_start
    from ray.serve.config import gRPCOptions
    from ray.serve.schema import ServeDeploySchema

    wanted = ServeDeploySchema.model_validate(_with_log(config))
    try:
        client = serve_start(
            http_options=wanted.http_options.model_dump(),
            proxy_location=wanted.proxy_location,
            grpc_options=gRPCOptions(**wanted.grpc_options.model_dump()),
            global_logging_config=wanted.logging_config,
            controller_options=wanted.controller_options,
        )
        client.deploy_apps(wanted)
    except Exception as error:  # Serve's controller raises what its checks raise
        raise ClusterError(f"Ray Serve did not take the configuration: {error}") from error
    end = time.monotonic() + (wait_s or 0)
    names = {app["name"] for app in config["applications"]}
    while True:
        now = status()
        if wait_s is None or all(now.get(name, {}).get("status") in _ENDED for name in names):
            return now
        if time.monotonic() > end:
            return now
        time.sleep(0.25)


def _with_log(config: dict[str, Any]) -> dict[str, Any]:
    """Each application told which event log is the cluster's: its runs land where this process reads."""
    from kodosumi_lab.runtime import cluster

    held = cluster.connection()
    apps = []
    for app in config["applications"]:
        env = dict(app.get("runtime_env") or {})
        env["env_vars"] = {LOG_DIR: str(held.log_dir), **(env.get("env_vars") or {})}
        apps.append({**app, "runtime_env": env})
    return {**config, "applications": apps}


def status() -> dict[str, dict[str, Any]]:
    """Applications on the cluster by name: ``status, message, route_prefix, deployments``."""
    from ray import serve

    found = {}
    for name, app in serve.status().applications.items():
        found[name] = {
            "status": app.status.value if hasattr(app.status, "value") else str(app.status),
            "message": app.message,
            "deployments": {key: str(getattr(one.status, "value", one.status)) for key, one in app.deployments.items()},
        }
    return found


def stop(names: list[str] | None = None) -> list[str]:
    """Remove applications; all of them, and Serve itself, where none is named.

    Returns
    -------
    list[str]
        The names of those that were there.
    """
    from ray import serve

    there = list(serve.status().applications)
    if names is None:
        serve.shutdown()  # type: ignore[no-untyped-call]
        return there
    gone = [name for name in names if name in there]
    for name in gone:
        serve.delete(name)
    return gone
