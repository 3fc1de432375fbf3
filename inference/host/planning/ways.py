"""The ways to load a variant on this machine: header, hardware profile, measurements and dry runs brought together.

Blocks on the disk and the database; core.planning decides. One Planning belongs to a host and may be asked from any thread.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from inference.core.loads.devices import RAM, DeviceId
from inference.core.loads.engine_devices import EngineDevices
from inference.core.loads.options import LoadOptions
from inference.core.loads.purposes import Purpose
from inference.core.loads.resident_id import ResidentId
from inference.core.loads.ways import LoadWay
from inference.core.planning.footprint import CannotTell, DeviceBytes, NotTold
from inference.core.planning.header_estimates import HeaderEstimates
from inference.core.planning.load_ways import (
    EstimatedWay,
    LoadKnowledge,
    Measured,
    corrected,
    digest,
    load_ways,
    unknown_way,
)
from inference.core.planning.wishes import Wishes
from inference.core.scheduling.memory.ledger import Pool
from inference.engine.tools.children import FileIdentity, cache_key, engine_version
from inference.host.planning.imatrix_load import options_to_read, way_to_read, wishes_to_read
from inference.host.planning.load_record import LoadMeasured
from inference.host.planning.recently_used import RecentlyUsed
from inference.host.planning.variant_source import UnusableFile
from inference.wishes import wishes_of
from models_app.catalog.read_files import NotAModel, read_variant
from models_app.gguf import BadGguf
from models_app.hardware import Device, Profile
from models_app.hardware.pools import with_ram_budget
from models_app.hardware.stored import BadDevices
from models_app.machines.this_machine_row import this_machine
from models_app.models import DryRunResult, HardwareProfile, Measurement, Shard, Variant

logger = logging.getLogger(__name__)
_MOST_HEADERS = 16
_MOST_PLANS = 256


@dataclass(frozen=True, slots=True)
class VariantPlan:
    """The ways, best first; none where the files cannot be read, which the worker words."""

    ways: tuple[EstimatedWay, ...] = ()
    load_ways: tuple[LoadWay, ...] = ()
    """`ways` with what was measured."""
    unknown: NotTold | None = None
    """What the header does not tell: the only way is then an allowance."""
    dry_run_keys: tuple[str, ...] = ()
    """Of `ways`: under which key the result of a dry run is kept."""
    dry_runs: frozenset[str] = frozenset()
    """Those keys of which there is a result."""

    @property
    def wants_dry_run(self) -> bool:
        """Whether buffers of the best way are allowed for, and not known."""
        return bool(self.ways) and not self.ways[0].buffers_known and self.dry_run_keys[0] not in self.dry_runs


@dataclass(frozen=True, slots=True)
class _Subject:
    """Everything that the ways follow from."""

    resident_id: ResidentId
    path: str
    fingerprint: str
    size_bytes: int
    wishes: Wishes
    base: LoadOptions
    profile: Profile


@dataclass(frozen=True, slots=True)
class _Found:
    estimates: HeaderEstimates | None = None
    """None: the files cannot be read."""
    ways: tuple[EstimatedWay, ...] = ()
    unknown: NotTold | None = None


class Planning:
    def __init__(
        self, engine_devices: EngineDevices, ram_budget_bytes: int | None = None, n_rpc_clients: int = 1
    ) -> None:
        """`engine_devices` as `detect_devices` found them. `ram_budget_bytes` goes before the profile's. `n_rpc_clients`: workers that an RPC server
        answers at once; llama.cpp's own answers one."""
        self._gpus = engine_devices.gpus or ()
        self._remote = engine_devices.remote
        self._n_rpc_clients = n_rpc_clients
        self._ram_budget_bytes = ram_budget_bytes
        self._headers: RecentlyUsed[tuple[str, str], HeaderEstimates | None] = RecentlyUsed(_MOST_HEADERS)
        self._found: RecentlyUsed[Hashable, _Found] = RecentlyUsed(_MOST_PLANS)
        self._plans: RecentlyUsed[Hashable, VariantPlan] = RecentlyUsed(_MOST_PLANS)
        self._last: dict[ResidentId, tuple[EstimatedWay, ...]] = {}
        self._n_records = 0
        """What was planned before the last one is void."""
        self._lock = threading.Lock()
        self._engine_version = engine_version()

    def plan(
        self,
        variant: Variant,
        shards: Sequence[Shard],
        fingerprint: str,
        size_bytes: int,
        purpose: Purpose = "chat",
    ) -> VariantPlan:
        """Blocks for the first plan of a file, up to a second; a repeated one is remembered until something is recorded.

        Raises BadOptions, UnusableFile, and BadDevices for a profile that is not fit for use.
        """
        base, wishes, profile = LoadOptions.from_json(variant.load_options()), wishes_of(variant), self.profile()
        if purpose == "imatrix":
            base, wishes = options_to_read(base), wishes_to_read(wishes)
        subject = _Subject(
            ResidentId(variant.pk, purpose), shards[0].path, fingerprint, size_bytes, wishes, base, profile
        )
        known = self._plans.get(subject)
        if known is None:
            n_records = self._n_records
            known = self._make(subject, shards)
            if n_records == self._n_records:
                self._plans.put(subject, known)
        return known

    def _make(self, subject: _Subject, shards: Sequence[Shard]) -> VariantPlan:
        found = self._found.get(subject) or self._find(subject)
        ways = found.ways
        self._last[subject.resident_id] = ways
        if not ways:
            return VariantPlan()
        keys = self._dry_run_keys(shards, ways, subject.fingerprint)
        results = _results(keys)
        if found.unknown is not None and keys[0] in results:
            ways = (self._allowance(subject, found.estimates, results[keys[0]]),)
        exact = {digest(way.options): results[key] for way, key in zip(ways, keys, strict=True) if key in results}
        known = replace(_read_known(subject.resident_id, subject.fingerprint, self._engine_version), dry_runs=exact)
        load_ways = tuple(self._with_clients(corrected(way, known)) for way in ways)
        return VariantPlan(ways, load_ways, found.unknown, keys, frozenset(results))

    def _with_clients(self, way: LoadWay) -> LoadWay:
        held = way.bytes_by_device
        clients: dict[str, int] = {DeviceId(device).clients: 1 for device in self._remote if held.get(device)}
        return replace(way, bytes_by_device={**held, **clients}) if clients else way

    def profile(self) -> Profile:
        """This machine's, with the GPUs that the engine can use and the RAM budget of this host. Raises BadDevices."""
        row = HardwareProfile.objects.filter(is_this_machine=True).first() or this_machine()
        profile = row.profile()
        numbers = [DeviceId(device).number for device, _ in self._gpus]
        usable = tuple(profile.gpus[number] for number in numbers if number < len(profile.gpus))
        if len(usable) < len(self._gpus):
            raise BadDevices("it has lost a GPU that the engine uses")
        return replace(with_ram_budget(profile, self._ram_budget_bytes), gpus=usable)

    def pools(self) -> tuple[Pool, ...]:
        """What each device may hold, the RAM first, before anybody else's use of it is known. Raises BadDevices."""
        profile = self.profile()
        gpus = tuple(map(_pool, self._gpu_ids, profile.gpus))
        n_clients = self._n_rpc_clients
        clients = (
            Pool(DeviceId(each.device).clients, each.name, n_clients, n_clients, kind="clients")
            for each in gpus
            if each.device in self._remote
        )
        return (_pool(RAM, profile.ram), *gpus, *clients)

    def record(self, load: LoadMeasured) -> None:
        """Stores what a load took, for the next plan."""
        estimated = self._estimated(load)
        for device, held in load.devices.items():
            which: dict[str, Any] = {
                "variant_id": load.variant_id,
                "options_digest": digest(load.options),
                "device": device,
                "engine_version": self._engine_version,
            }
            fingerprint = load.fingerprint[:200]
            before = Measurement.objects.filter(**which, fingerprint=fingerprint).values_list(
                "overhead_bytes", flat=True
            )
            Measurement.objects.update_or_create(
                **which,
                defaults={
                    "options": load.options.to_json(),
                    "fingerprint": fingerprint,
                    "estimated_bytes": estimated.get(device),
                    "measured_bytes": _split(held),
                    "overhead_bytes": _overhead(device, before.first(), held.overhead_bytes),
                    "decode_tokens_per_second": held.decode_tokens_per_second,
                    "load_seconds": load.load_seconds,
                },
            )
        # An overhead that one variant shows counts for those that show none.
        self._forget_plans()

    def record_dry_run(self, key: str, compute_bytes: Mapping[str, int]) -> None:
        DryRunResult.objects.update_or_create(
            key=key, defaults={"compute_bytes": dict(compute_bytes), "engine_version": self._engine_version}
        )
        self._forget_plans()

    def _forget_plans(self) -> None:
        self._n_records += 1
        self._plans.clear()

    @property
    def _gpu_ids(self) -> tuple[str, ...]:
        return tuple(device for device, _ in self._gpus)

    def _find(self, subject: _Subject) -> _Found:
        try:
            return self._find_from_header(subject)
        except UnusableFile:
            raise
        except Exception as error:
            logger.exception("planning failed", extra={"event": "planning_failed", "path": subject.path})
            raise UnusableFile(
                f"{Path(subject.path).name} cannot be planned: its header holds something unforeseen. "
                "Get the file from another source; the log tells more."
            ) from error

    def _find_from_header(self, subject: _Subject) -> _Found:
        with self._lock:
            estimates = self._estimates(subject.path, subject.fingerprint)
            if estimates is None:
                return _Found()
            try:
                ways = load_ways(estimates, subject.profile, self._gpu_ids, subject.wishes, subject.base)
                if subject.base.purpose == "imatrix":
                    ways = tuple(way_to_read(way, estimates.header) for way in ways)
                found = _Found(estimates, ways)
            except CannotTell as cannot:
                found = _Found(estimates, (self._allowance(subject, estimates),), cannot.what)
            self._found.put(subject, found)
            return found

    def _allowance(
        self, subject: _Subject, estimates: HeaderEstimates | None, exact: Mapping[str, int] | None = None
    ) -> EstimatedWay:
        assert estimates is not None
        return unknown_way(
            estimates, subject.size_bytes, subject.profile, self._gpu_ids, subject.wishes, subject.base, exact
        )

    def _estimates(self, path: str, fingerprint: str) -> HeaderEstimates | None:
        estimates = self._headers.get((path, fingerprint))
        if estimates is None:
            try:
                estimates = HeaderEstimates(read_variant(Path(path)).header)
            except BadGguf as bad:
                raise UnusableFile(f"{Path(path).name} is damaged or not a GGUF: {bad}.") from None
            except (NotAModel, OSError):
                return None
            self._headers.put((path, fingerprint), estimates)
        return estimates

    def _dry_run_keys(self, shards: Sequence[Shard], ways: Sequence[EstimatedWay], fingerprint: str) -> tuple[str, ...]:
        files = [
            FileIdentity(f"{shard.path}\0{fingerprint}", shard.size_bytes, shard.mtime_ns or 0, shard.sha256)
            for shard in shards
        ]
        names = [key for _, key in self._gpus]
        return tuple(cache_key(files, way.options, self._engine_version, names) for way in ways)

    def _estimated(self, load: LoadMeasured) -> dict[str, dict[str, int]]:
        """What was planned for the way that was loaded, by device; nothing for ways and devices never planned."""
        ways = self._last.get(ResidentId(load.variant_id), ())
        planned = next((way for way in ways if digest(way.options) == digest(load.options)), None)
        return {} if planned is None else {device: _split(each) for device, each in planned.devices.items()}


def _pool(device: str, owned: Device) -> Pool:
    return Pool(device, owned.name, owned.memory_bytes, owned.budget_bytes, owned.reserve_bytes)


def _overhead(device: str, before: int | None, now: int | None) -> int | None:
    """What a load is expected to take beyond its buffers, once it has run a while: of a GPU the most that it ever took, as a worker
    that has just begun holds less than it will."""
    if now is None or before is None:
        return before if now is None else now
    return now if device == RAM else max(before, now)


def _split(held: Measured | DeviceBytes) -> dict[str, int]:
    return {"weights": held.weights_bytes, "kv": held.kv_bytes, "compute": held.compute_bytes}


def _results(keys: Sequence[str]) -> dict[str, dict[str, int]]:
    return dict(DryRunResult.objects.filter(key__in=keys).values_list("key", "compute_bytes"))


def _read_known(resident_id: ResidentId, fingerprint: str, version: str) -> LoadKnowledge:
    measured: dict[str, dict[str, Measured]] = {}
    overheads: dict[str, int] = {}
    own_overheads: dict[str, int] = {}
    for row in Measurement.objects.filter(engine_version=version).order_by("updated_at"):
        if row.overhead_bytes is not None:
            overheads[row.device] = row.overhead_bytes
        if ResidentId(row.variant_id) != resident_id or row.fingerprint != fingerprint[:200]:
            continue
        if row.overhead_bytes is not None:
            own_overheads[row.device] = row.overhead_bytes
        sizes = row.measured_bytes
        measured.setdefault(row.options_digest, {})[row.device] = Measured(
            sizes["weights"], sizes["kv"], sizes["compute"], row.overhead_bytes, row.decode_tokens_per_second
        )
    return LoadKnowledge(measured, {**overheads, **own_overheads})
