"""The OpenAPI document holds, whatever is sent: schemathesis asks, and nothing answers with a fault of ours."""

from __future__ import annotations

import contextlib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from apikit import Api, Recorded
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS

import kodosumi_lab as kl


@kl.flow
def api_triple(n: int) -> int:
    return 3 * n


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Api:
    recorded = Recorded(Path(tmp_path_factory.mktemp("schema")) / "log")
    made = Api(recorded.root, settings={"gateway_launches_per_minute": 100_000})
    recorded.writer.close()
    made.app.openapi()
    return made


@pytest.fixture(scope="module")
def document(api: Api) -> object:
    return schemathesis.openapi.from_asgi(
        "/api/v1/openapi.json", api.app, headers={"authorization": f"Bearer {api.tokens['root']}"}
    )


@pytest.mark.slow
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_no_request_is_answered_with_a_fault(document: Any, api: Api, mode: GenerationMode) -> None:
    headers = {"authorization": f"Bearer {api.tokens['root']}"}
    asked: Counter[str] = Counter()
    # what inputs and cursors must be is more than the document can say, and unknown parameters are ignored
    not_meant = CHECKS.get_by_names(["positive_data_acceptance", "negative_data_rejection"])

    def ask(case: schemathesis.Case) -> None:
        answer = case.call(headers=headers)
        asked[case.operation.label] += 1
        # acting without a cluster is 503, which is what it is
        if answer.status_code == 503:
            assert answer.json()["type"].endswith((":cluster", ":log"))
        else:
            case.validate_response(answer, headers=headers, excluded_checks=not_meant)

    for found in document.get_all_operations():
        operation = found.ok()
        strategy = operation.as_strategy(generation_mode=mode)
        quick = settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck), database=None)
        with contextlib.suppress(Unsatisfiable):  # there is nothing wrong to say where nothing is asked
            quick(given(case=strategy)(ask))()
    assert len(asked) >= (18 if mode is GenerationMode.POSITIVE else 8)
