"""Numbers for Prometheus."""

from __future__ import annotations

from typing import Any

from prometheus_client.parser import text_string_to_metric_families


def samples(api: Any) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    answer = api.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    families = text_string_to_metric_families(answer.text)
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


def test_metrics_say_how_the_log_stands_and_what_was_asked(api: Any, recorded: Any) -> None:
    for run_id in (recorded.finished, recorded.failed):
        api.get(f"/runs/{run_id}")
    api.get("/runs/none")
    api.get("/runs", as_=None)
    found = samples(api)
    assert found["kodosumi_lab_runs", (("status", "finished"),)] == 1
    assert found["kodosumi_lab_runs", (("status", "lost"),)] == 0
    assert found["kodosumi_lab_runs_with_open_locks", ()] == 1
    route = ("route", "/runs/{run_id}")
    assert found["kodosumi_lab_http_requests_total", (("method", "GET"), route, ("status", "200"))] == 2
    assert found["kodosumi_lab_http_requests_total", (("method", "GET"), route, ("status", "404"))] == 1
    other = (("method", "GET"), ("route", "other"), ("status", "401"))
    assert found["kodosumi_lab_http_requests_total", other] == 1
    assert found["kodosumi_lab_http_request_seconds_count", (("method", "GET"), route)] == 3


def test_metrics_are_for_operators(api: Any) -> None:
    assert api.get("/metrics", as_="ada").status_code == 403
