"""`/metrics` for monitors."""

from __future__ import annotations

from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.test import AsyncClient
from prometheus_client.parser import text_string_to_metric_families

from models_app.models import Job, Variant
from tests.web.fake_host import GIB, FakeHost, device, segment, telemetry, variant_telemetry
from tests.web.pages import signed_in


async def key_of(user: User) -> str:
    from hostui.accounts.models import ApiKey

    return (await sync_to_async(ApiKey.issue)(user))[1]


def samples(text: str) -> dict[tuple[Any, ...], float]:
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def scrape(user: User) -> dict[tuple[Any, ...], float]:
    response = await AsyncClient().get("/metrics", headers={"authorization": f"Bearer {await key_of(user)}"})
    assert response.status_code == 200
    assert response["Content-Type"].startswith("text/plain; version=0.0.4")
    return samples(response.content.decode())


async def test_devices_and_variants_are_told_by_name(host: FakeHost, alice: User, variant: Variant) -> None:
    name = 'odd "name"\\with\nlines'
    variant.name = name
    await variant.asave()
    pk = variant.pk
    held = [segment("weights", 3 * GIB, pk), segment("kv", GIB, pk), segment("foreign", GIB)]
    host.backlog = telemetry(
        "backlog",
        devices=[device("gpu0", "RTX 3060", held, foreign_bytes=GIB, bandwidth_percent=None)],
        variants=[
            variant_telemetry(pk, "as it was", tokens_total=12, tokens_per_second=1.5, queued=2, idle_seconds=None)
        ],
        decided=[
            {"kind": "evict", "variant_id": pk, "purpose": "chat", "variant": "as it was", "n": 2},
            {"kind": "drain", "variant_id": pk, "purpose": "chat", "variant": "as it was", "n": 1},
            {"kind": "failure", "variant_id": pk, "purpose": "chat", "variant": "as it was", "n": 4},
            {"kind": "pause", "variant_id": None, "purpose": None, "variant": None, "n": 1},
        ],
    )
    told = await scrape(alice)
    of = ("variant", name)
    on = (("device", "gpu0"), ("name", "RTX 3060"))
    assert told.get(("hostui_device_capacity_bytes", *on)) == 16 * GIB
    assert told.get(("hostui_device_foreign_bytes", *on)) == GIB
    assert ("hostui_device_bandwidth_percent", *on) not in told, "unknown is not zero"
    assert told["hostui_variant_bytes", ("device", "gpu0"), ("kind", "weights"), of] == 3 * GIB
    assert told["hostui_variant_tokens_total", of] == 12
    assert told["hostui_variant_tokens_per_second", of] == 1.5
    assert told["hostui_variant_queued", of] == 2
    assert told["hostui_variant_slots", of] == 4
    assert told["hostui_variant_load_seconds", of] == 1.5
    assert told["hostui_variant_evictions_total", of] == 3
    assert told["hostui_variant_failures_total", of] == 4
    assert told["hostui_decisions_total", ("kind", "pause"), ("variant", "")] == 1
    assert ("hostui_variant_idle_seconds", of) not in told


async def test_jobs_are_counted_by_kind_and_state(host: FakeHost, alice: User) -> None:
    for state, done in (("running", 3 * GIB), ("running", GIB), ("done", 7)):
        await Job.objects.acreate(kind="download", title="Fetch it", state=state, done=done, unit="bytes")
    await Job.objects.acreate(kind="requantize", title="Make it", state="failed", done=12, unit="tensors")
    told = await scrape(alice)

    def of(name: str, kind: str, state: str) -> float | None:
        return told.get((name, ("kind", kind), ("state", state)))

    assert of("hostui_jobs", "download", "running") == 2
    assert of("hostui_jobs_done_bytes", "download", "running") == 4 * GIB
    assert of("hostui_jobs", "download", "failed") == 0, "none is a figure, too"
    assert of("hostui_jobs", "requantize", "failed") == 1
    assert of("hostui_jobs_done_bytes", "requantize", "failed") is None, "tensors are no bytes"


async def test_a_session_may_read_them_too(host: FakeHost, alice: User) -> None:
    response = await (await signed_in(alice)).get("/metrics")
    assert response.status_code == 200
    assert b"hostui_host_uptime_seconds" in response.content


async def test_nobody_else_may(host: FakeHost, alice: User) -> None:
    assert (await AsyncClient().get("/metrics")).status_code == 401
    refused = await AsyncClient().get("/metrics", headers={"authorization": "Bearer hostui-madeup"})
    assert refused.status_code == 401
    assert b"hostui_host" not in refused.content
    client = await signed_in(alice)
    assert (await client.get("/metrics", headers={"authorization": "Bearer hostui-madeup"})).status_code == 401


async def test_without_a_host_there_are_no_figures(host: FakeHost, alice: User) -> None:
    await host.stop()
    response = await (await signed_in(alice)).get("/metrics")
    assert response.status_code == 503
    assert b"does not answer" in response.content
