"""What is put off at the start of Ray is there when it is used."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from kodosumi_lab.runtime import quick

pytest.importorskip("rfc3987_syntax", reason="nothing to put off: jsonschema is installed without it")


def told(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


CHECK = """
import sys, jsonschema
put_off = "lark" not in sys.modules
check = jsonschema.Draft202012Validator({"format": "iri"}, format_checker=jsonschema.FormatChecker()).is_valid
print(put_off, check("http://\u00e4.example/"), check("no iri"), "lark" in sys.modules)
"""


def test_this_process_checks_links_only_when_asked():
    assert told("from kodosumi_lab.runtime import quick; quick.imports()" + CHECK) == "True True False True"


def test_processes_of_a_cluster_do_so_too():
    with quick.starting_ray():
        path = os.environ["PYTHONPATH"]
    assert os.environ.get("PYTHONPATH") != path
    assert told(CHECK, PYTHONPATH=path) == "True True False True"
    assert told("import rfc3987_syntax as r; print(hasattr(r, 'syntax_helpers'))", PYTHONPATH=path) == "True"
