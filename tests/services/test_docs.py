"""The guide to services is run as it stands, and the table of names is whole."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT, eventually

from kodosumi_lab._alias import NAMES
from kodosumi_lab.api import deployment
from kodosumi_lab.errors import InputsError


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / "docs" / page).read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.ray
def test_the_guide_to_services_runs(lab: Any) -> None:
    guide = types.ModuleType("__main__")
    exec(
        compile("\n".join(blocks("services.md", "python")), "docs/services.md", "exec", dont_inherit=True),
        guide.__dict__,
    )
    run = guide.run
    eventually(lambda: run.locks, timeout_s=60)
    # its service answers no HTTP here, so its handlers are asked by the client
    lid = run.locks[0]["lid"]
    asked = guide.client.get(f"/_lock_/{run.id}/{lid}").json()
    assert asked[0]["text"] == "How is *Bees*?"
    refused = guide.client.post(f"/_lock_/{run.id}/{lid}", json={"word": "perhaps"}).json()
    assert InputsError.of(refused["errors"]).errors["word"] == ["decide"]
    guide.client.post(f"/_lock_/{run.id}/{lid}", json={"word": "fine"})
    assert str(run.result(60)) == "**Bees**\n\n4 pages, FINE"
    assert "guide" not in sys.modules


def test_the_files_of_the_guide_can_be_deployed(tmp_path: Path) -> None:
    for text in blocks("services.md", "yaml"):
        (tmp_path / re.match(r"# (\S+)", text)[1]).write_text(text)  # type: ignore[index]
    config = deployment.read_config(tmp_path / "config.yaml")
    assert config["applications"][0]["runtime_env"] == {"pip": ["pypdf"]}
    assert yaml.safe_dump(config)


def test_every_name_is_listed() -> None:
    page = (ROOT / "docs" / "moving-from-kodosumi.md").read_text()
    for name in NAMES:
        short = name.removeprefix("kodosumi")
        assert f"`{short or name}`" in page or short in (".runner", ".service", ".service.inputs"), name
