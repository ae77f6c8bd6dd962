"""Ray Serve: configuration files in, running services out."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from typer.testing import CliRunner

import kodosumi_lab as kl
from kodosumi_lab.api import deployment
from kodosumi_lab.cli import app as cli
from kodosumi_lab.errors import SettingsError


def write(folder: Path, **files: Any) -> Path:
    for name, content in files.items():
        (folder / f"{name}.yaml").write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return folder / f"{next(iter(files))}.yaml"


APP = {"name": "kodo", "route_prefix": "/kodo", "import_path": "services.kodo:fast_app"}


def test_app_files_beside_the_base_become_applications(tmp_path: Path) -> None:
    base = write(
        tmp_path,
        config={"proxy_location": "EveryNode", "http_options": {"port": 9001}},
        one=APP,
        two={"import_path": "services.kodo:fast_app", "runtime_env": {"env_vars": {"A": "1"}}},
        notes={"nothing": "of ours"},
    )
    config = deployment.read_config(base)
    assert config["proxy_location"] == "EveryNode"
    assert config["http_options"] == {"host": "127.0.0.1", "port": 9001}
    assert [(one["name"], one["route_prefix"]) for one in config["applications"]] == [
        ("kodo", "/kodo"),
        ("two", "/two"),
    ]


def test_a_lone_app_file_is_enough(tmp_path: Path) -> None:
    config = deployment.read_config(write(tmp_path, kodo=APP, other={**APP, "name": "other"}))
    assert [one["name"] for one in config["applications"]] == ["kodo"]
    assert config["http_options"]["host"] == "127.0.0.1"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"config": "a: [1"}, "no YAML"),
        ({"config": "- 1"}, "holds a list"),
        ({"config": {"http_options": {}}}, "names no application"),
        ({"config": {}, "one": {**APP, "import_pat": "x"}}, "unknown key import_pat"),
        ({"config": {}, "one": APP, "two": APP}, "multiple configs"),
        ({"config": {"http_options": {"port": "many"}}, "one": APP}, "http_options.port"),
        ({"config": {}, "one": {**APP, "route_prefix": "kodo"}}, "route_prefix"),
    ],
)
def test_what_serve_would_refuse_is_refused_here(tmp_path: Path, files: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        deployment.read_config(write(tmp_path, **files))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nowhere\.yaml cannot be read"):
        deployment.read_config(tmp_path / "nowhere.yaml")


def test_a_dry_run_shows_and_deploys_nothing(tmp_path: Path) -> None:
    base = write(tmp_path, config={}, kodo=APP)
    told = CliRunner().invoke(cli, ["deploy", "-f", str(base), "--dry-run", "--json"])
    assert told.exit_code == 0, told.output
    assert json.loads(told.stdout)["applications"][0]["import_path"] == "services.kodo:fast_app"
    assert CliRunner().invoke(cli, ["deploy"]).exit_code == 2
    assert CliRunner().invoke(cli, ["deploy", "-f", str(base), "--status", "--stop"]).exit_code == 2


@pytest.mark.ray
def test_a_deployed_service_launches_runs_of_this_log(lab: Any, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    small = {"deployments": [{"name": "Kodo", "ray_actor_options": {"num_cpus": 0.1}}]}
    base = write(tmp_path, config={"http_options": {"port": port}}, kodo={**APP, **small}, broken={
        "import_path": "services.nowhere:app", "name": "broken"
    })  # fmt: skip
    config = deployment.read_config(base)
    try:
        found = deployment.apply(config)
        assert found["kodo"]["status"] == "RUNNING", found
        assert found["broken"]["status"] == "DEPLOY_FAILED"
        assert "services.nowhere" in found["broken"]["message"]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}/kodo", timeout=60) as client:
            assert client.get("/").json()["summary"] == "Everything"
            assert client.get("/openapi.json").json()["paths"]["/"]["get"]["x-kodosumi"] is True
            fid = client.post("/", json={"text": "from serve", "select": "one"}).json()["result"]
            run = kl.run(fid)
            assert run.result(120)["text"] == "from serve"
            assert run.meta["app_url"] == f"http://127.0.0.1:{port}/kodo"
            assert run.meta["options"] == {}
            asked = kl.run(client.post("/ask", json={"topic": "bees"}).json()["result"])
            from conftest import eventually

            eventually(lambda: asked.locks, timeout_s=60)
            assert asked.lock("judged")["form"][0]["text"] == "bees"
            assert asked.answer({"answer": "yes"}, lock="judged")["said"] == "YES"
            asked.cancel()
        assert set(deployment.status()) == {"kodo", "broken"}
        assert deployment.stop(["broken", "unknown"]) == ["broken"]
    finally:
        assert "kodo" in deployment.stop()
