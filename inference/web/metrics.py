"""`/metrics` in Prometheus's text format, made anew of the host's telemetry for each scrape."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from inference.core.loads.resident_id import ResidentId
from inference.host.api.messages import resident_id_of
from inference.host.api.telemetry import Backlog, resident_id_if_any
from inference.web.crossing.database_thread import StorageFailed
from inference.web.dashboard.feed import telemetry_feed
from inference.web.jobs import queries
from inference.web.jobs.queries import JobCount
from inference.web.visibility.queries import visibility_for
from inference.web.visibility.visibility import Visibility

EVICTION_KINDS = ("evict", "drain")
"""Idle ones leave at once, busy ones after their last answer."""
FAILURE_KINDS = ("failure",)


@login_not_required
@require_safe
async def metrics(request: HttpRequest) -> HttpResponse:
    """For a session or an API key (hostui.accounts.middleware); 401 for others, because a scraper follows no login page. A variant
    that is kept from that person is told by its number.

    503 while the host does not answer: old figures would look like new ones.
    """
    user = await request.auser()
    if not user.is_authenticated:
        return _sentence(
            401, "Sign in, or send an API key: Authorization: Bearer hostui-…", {"WWW-Authenticate": "Bearer"}
        )
    state = await telemetry_feed().state()
    if state is None:
        return _sentence(503, "The model host does not answer. It is restarted by itself.", {"Retry-After": "2"})
    visibility = await sync_to_async(visibility_for)(user)
    try:
        jobs = await queries.counts()
    except StorageFailed:
        jobs = []
    body, content_type = exposition(state, visibility, jobs)
    return HttpResponse(body, content_type=content_type, headers={"Cache-Control": "no-store"})


def _sentence(status: int, sentence: str, headers: dict[str, str]) -> HttpResponse:
    return HttpResponse(
        sentence + "\n",
        status=status,
        content_type="text/plain; charset=utf-8",
        headers={"Cache-Control": "no-store", **headers},
    )


def exposition(state: Backlog, visibility: Visibility, jobs: Sequence[JobCount]) -> tuple[bytes, str]:
    """The text and its content type. Imports the library when it is first needed: most boxes are never scraped."""
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(state, visibility, jobs))
    return generate_latest(registry), CONTENT_TYPE_PLAIN_0_0_4


class _Collector:
    def __init__(self, state: Backlog, visibility: Visibility, jobs: Sequence[JobCount]) -> None:
        self._state = state
        self._visibility = visibility
        called = ((resident_id_of(each), each["name"]) for each in state["variants"])
        self._names = {resident_id: visibility.distinct_name(resident_id, name) for resident_id, name in called}
        self._jobs = jobs

    def collect(self) -> Iterator[Any]:
        """Metric families. What is not known is left out: a zero would be a lie."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        yield from _devices(self._state, self._names, GaugeMetricFamily)
        yield from _variants(self._state, self._names, GaugeMetricFamily, CounterMetricFamily)
        yield from _decisions(self._state, self._visibility, CounterMetricFamily)
        yield from _job_counts(self._jobs, GaugeMetricFamily)
        up = GaugeMetricFamily("hostui_host_uptime_seconds", "Since the host started.")
        up.add_metric([], self._state["uptime_seconds"])
        yield up


def _job_counts(jobs: Sequence[JobCount], gauge: Any) -> Iterator[Any]:
    counts = gauge("hostui_jobs", "Jobs whose rows are kept.", labels=["kind", "state"])
    done = gauge("hostui_jobs_done_bytes", "How far they are, where that is bytes.", labels=["kind", "state"])
    for each in jobs:
        counts.add_metric([each.kind, each.state], each.n)
        if each.done_bytes is not None:
            done.add_metric([each.kind, each.state], each.done_bytes)
    yield from (counts, done)


_DEVICE_GAUGES = (
    ("capacity_bytes", "Memory of the device."),
    ("budget_bytes", "What hostui may use of it."),
    ("reserve_bytes", "Kept free, whoever else uses the device."),
    ("used_bytes", "In use by everybody."),
    ("foreign_bytes", "In use by programs that are not hostui's workers."),
    ("utilisation_percent", "Busy share: a GPU's computing time, or of the RAM the processor cores'."),
    ("bandwidth_percent", "Time in which the device's memory was read or written."),
    ("temperature_celsius", "Temperature."),
    ("power_watts", "Power draw."),
    ("swap_in_bytes_per_second", "Read back from swap."),
    ("swap_out_bytes_per_second", "Written to swap."),
)


def _devices(state: Backlog, names: Mapping[ResidentId, str], gauge: Any) -> Iterator[Any]:
    for name, documentation in _DEVICE_GAUGES:
        family = gauge(f"hostui_device_{name}", documentation, labels=["device", "name"])
        for each in state["devices"]:
            figure = each[name]  # type: ignore[literal-required]
            if figure is not None:
                family.add_metric([each["device"], each["name"]], figure)
        yield family
    held = gauge("hostui_variant_bytes", "What a variant holds on a device.", labels=["variant", "device", "kind"])
    for each in state["devices"]:
        for segment in each["segments"]:
            resident_id = resident_id_if_any(segment)
            if resident_id is not None:
                name = names.get(resident_id, str(resident_id))
                held.add_metric([name, each["device"], segment["kind"]], segment["bytes"])
    yield held


_VARIANT_GAUGES = (
    ("reserved_bytes", "What the budget counts for it, on all devices."),
    ("n_seq_max", "Slots."),
    ("slots_busy", "Slots that generate now."),
    ("queued", "Requests that wait for it."),
    ("tokens_per_second", "Generated over the last second, all slots together."),
    ("idle_seconds", "Since it was last leased."),
    ("load_seconds", "How long its last load took."),
)


def _variants(state: Backlog, names: Mapping[ResidentId, str], gauge: Any, counter: Any) -> Iterator[Any]:
    for name, documentation in _VARIANT_GAUGES:
        family = gauge(f"hostui_variant_{name.replace('n_seq_max', 'slots')}", documentation, labels=["variant"])
        for each in state["variants"]:
            figure = each[name]  # type: ignore[literal-required]
            if figure is not None:
                family.add_metric([names[resident_id_of(each)]], figure)
        yield family
    tokens = counter("hostui_variant_tokens", "Generated since its worker started.", labels=["variant"])
    states = gauge("hostui_variant_state", "1 for the state that it is in.", labels=["variant", "state"])
    alarms = gauge("hostui_variant_alarm", "1 while something slows it down.", labels=["variant"])
    for each in state["variants"]:
        name = names[resident_id_of(each)]
        tokens.add_metric([name], each["tokens_total"])
        states.add_metric([name, each["state"]], 1)
        alarms.add_metric([name], 0 if each["alarm"] is None else 1)
    yield from (tokens, states, alarms)


def _decisions(state: Backlog, visibility: Visibility, counter: Any) -> Iterator[Any]:
    evictions, failures = dict[str, int](), dict[str, int]()
    decisions = counter("hostui_decisions", "Decisions of the scheduler, since it started.", labels=["kind", "variant"])
    for each in state["decided"]:
        resident_id = resident_id_if_any(each)
        name = "" if resident_id is None else visibility.distinct_name(resident_id, each["variant"])
        decisions.add_metric([each["kind"], name], each["n"])
        if each["kind"] in EVICTION_KINDS:
            evictions[name] = evictions.get(name, 0) + each["n"]
        elif each["kind"] in FAILURE_KINDS:
            failures[name] = failures.get(name, 0) + each["n"]
    yield decisions
    for name, documentation, counts in (
        ("hostui_variant_evictions", "Chosen to leave for another variant, other programs or a budget.", evictions),
        ("hostui_variant_failures", "Failed loads and workers that ended by themselves.", failures),
    ):
        family = counter(name, documentation, labels=["variant"])
        for variant, n in counts.items():
            family.add_metric([variant], n)
        yield family
