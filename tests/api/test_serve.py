"""``kodosumi-lab serve`` and ``token`` as a person starts them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
from apikit import Recorded
from conftest import eventually

import kodosumi_lab as kl
from kodosumi_lab.runtime.register import Register

SCRIPT = str(Path(sys.executable).parent / "kodosumi-lab")
FLOWS = """
import kodosumi_lab as kl

@kl.flow(summary="From the working directory")
def here(n: int = 1) -> int:
    return n
"""


def test_serve_says_where_it_is_and_ends_when_told(recorded: Recorded, tmp_path: Path) -> None:
    (tmp_path / "myflows.py").write_text(FLOWS)
    recorded.writer.close()
    command = [SCRIPT, "serve", "--flows", "myflows", "--json"]
    command += ["--log-dir", str(recorded.root)]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            told = json.loads(process.stdout.readline())
            assert told["url"].startswith("http://127.0.0.1:")
            with kl.Client(told["url"], token_file=told["token_file"]) as client:
                assert client.runs()["run_id"].to_list()[-1] == recorded.finished
                assert "here" in client.flows()["name"]
            made = subprocess.run(
                [SCRIPT, "token", "vera", "--role", "viewer", "--log-dir", recorded.root],
                capture_output=True, text=True, check=True, timeout=60,
            ).stdout.strip()  # fmt: skip
            with kl.Client(told["url"], token=made) as viewer:
                assert len(viewer.runs()) == 0, "the token counts at once, and sees own runs only"
            assert httpx.get(f"{told['url']}/api/v1/runs").status_code == 401
        finally:
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=30)
    assert "Traceback" not in err, err
    assert process.returncode in (0, 130), (process.returncode, err)


def test_serve_carries_services_and_registers_them_meanwhile(recorded: Recorded, tmp_path: Path) -> None:
    recorded.writer.close()
    left = "http://127.0.0.1:9/services/kodo/openapi.json"
    Register(recorded.root).add(left)
    command = [SCRIPT, "serve", "services.kodo:app", "--json", "--log-dir", str(recorded.root)]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            told = json.loads(process.stdout.readline())
            assert told["services"] == {"services.kodo:app": f"{told['url']}/services/kodo"}
            with kl.Client(told["url"], token_file=told["token_file"]) as client:
                (kodo,) = client.flows("every element").to_dicts()
                assert (kodo["kind"], kodo["url"]) == ("mounted", f"{told['url']}/services/kodo/")
                document = f"{told['url']}/services/kodo/openapi.json"
                register = Register(recorded.root)
                eventually(lambda: [(s["source"], s["state"]) for s in register.sources()] == [(document, "ok")])
                assert len(client.flows("every element")) == 1, "it is listed once"
            flow = kl.find("services/kodo", log_dir=recorded.root)
            assert isinstance(flow, kl.RemoteFlow)
            assert flow.elements[4]["name"] == "text", "another process of this person finds it, and gets in"
            assert httpx.get(f"{told['url']}/services/kodo/").status_code == 401
        finally:
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=60)
    assert "Traceback" not in err, err
    assert Register(recorded.root).sources() == []


def test_serve_refuses_what_it_cannot_do(tmp_path: Path) -> None:
    command = [SCRIPT, "serve", "--log-dir", str(tmp_path / "log")]

    def refused(*more: str, **environment: str) -> str:
        done = subprocess.run(
            [*command, *more],
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, **environment},
        )
        assert done.returncode == 2, done.stderr
        return done.stderr

    assert "no_such_module" in refused("--flows", "no_such_module")
    assert "no_such_module" in refused("no_such_module:app")
    assert "cannot listen" in refused("--host", "203.0.113.7")
    assert "gateway_proxy_secret" in refused(KODOSUMI_LAB_GATEWAY_IDENTITY="proxy")
