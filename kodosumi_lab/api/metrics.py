"""``/metrics`` for Prometheus: requests as they are answered, everything else as it is when asked."""

from __future__ import annotations

import time
from collections.abc import Iterable

from fastapi import APIRouter, Request, Response
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import kodosumi_lab
from kodosumi_lab.api.gateway import Gateway
from kodosumi_lab.api.guard import Operator
from kodosumi_lab.events import STATUSES

__all__ = ["Measured", "Metrics", "router"]

router = APIRouter()


class _State(Collector):
    """What the log and the live streams say now."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def collect(self) -> Iterable[Metric]:
        """See the base class."""
        gateway = self._gateway
        frame = gateway.index.frame()
        counts = dict(frame["status"].value_counts().iter_rows())
        runs = GaugeMetricFamily("kodosumi_lab_runs", "Runs in the log by status", labels=["status"])
        for status in STATUSES:
            runs.add_metric([status], counts.get(status, 0))
        yield runs
        events, nbytes = (float(frame[name].sum() or 0) for name in ("events", "nbytes"))
        yield GaugeMetricFamily("kodosumi_lab_events", "Events of these runs", value=events)
        yield GaugeMetricFamily("kodosumi_lab_payload_bytes", "Bytes of their payloads", value=nbytes)
        waiting = float(frame["locks"].is_not_null().sum())
        yield GaugeMetricFamily("kodosumi_lab_runs_with_open_locks", "Runs that wait for a person", value=waiting)
        hot = float(sum(gateway.log.positions().values()))
        yield GaugeMetricFamily("kodosumi_lab_hot_bytes", "Bytes of the log that are not sealed yet", value=hot)
        live = gateway.live
        yield GaugeMetricFamily("kodosumi_lab_live_subscribers", "Open live streams", value=live.subscribers)
        yield CounterMetricFamily("kodosumi_lab_live_sent_bytes", "Bytes sent over live streams", value=live.sent)
        info = GaugeMetricFamily("kodosumi_lab_build_info", "The version that serves", labels=["version"])
        info.add_metric([kodosumi_lab.__version__], 1)
        yield info


class Metrics:
    """The numbers of one gateway; its own registry, so that two in a process do not meet."""

    def __init__(self, gateway: Gateway) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(_State(gateway))
        labels = ("method", "route", "status")
        self.requests = Counter(
            "kodosumi_lab_http_requests", "Requests that were answered", labels, registry=self.registry
        )
        self.seconds = Histogram(
            "kodosumi_lab_http_request_seconds", "Time to the start of the answer", labels[:2], registry=self.registry
        )


class Measured:
    """Counts requests by route, not by path: the number of series stays bounded."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()

        async def noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = str(getattr(scope.get("route"), "path", "other")).removeprefix("/api/v1")
                method = scope["method"] if scope["method"] in _METHODS else "other"
                self._metrics.requests.labels(method, route, str(message["status"])).inc()
                self._metrics.seconds.labels(method, route).observe(time.perf_counter() - began)
            await send(message)

        await self._app(scope, receive, noted)


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


@router.get(
    "/metrics", tags=["health"], response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)  # fmt: skip
def metrics(request: Request, _: Operator) -> Response:
    """Prometheus' text format."""
    held: Metrics = request.app.state.metrics
    return Response(generate_latest(held.registry), media_type=CONTENT_TYPE_LATEST)
