"""A variant as it is loaded to read a text for its importance matrix: beside its residency for chats, by the same rules."""

from __future__ import annotations

from dataclasses import replace

from inference.core.loads.devices import RAM
from inference.core.loads.options import LoadOptions
from inference.core.loads.resident_id import ResidentId
from inference.core.planning.header import Header
from inference.core.planning.imatrix_memory import sums_bytes
from inference.core.planning.load_ways import EstimatedWay
from inference.core.planning.wishes import Wishes
from inference.core.scheduling.memory.residency import VariantFacts

CHUNK_TOKENS = 512
"""As llama-imatrix cuts a text."""
STEP_TOKENS = 128
"""All tokens of a step need their row of logits, or the last layer would pass over them: of a large vocabulary a row is a megabyte."""


def way_to_read(way: EstimatedWay, header: Header) -> EstimatedWay:
    """`way` with what is summed up."""
    ram = way.devices[RAM]
    devices = {**way.devices, RAM: replace(ram, compute_bytes=ram.compute_bytes + sums_bytes(header))}
    return replace(way, devices=devices)


def options_to_read(owners: LoadOptions) -> LoadOptions:
    return LoadOptions(
        n_ctx_seq=CHUNK_TOKENS,
        n_seq_max=1,
        n_gpu_layers=owners.n_gpu_layers,
        n_batch=STEP_TOKENS,
        n_ubatch=STEP_TOKENS,
        n_threads=owners.n_threads,
        purpose="imatrix",
    )


def wishes_to_read(owners: Wishes) -> Wishes:
    """Speed is no matter: whatever has no room on the GPUs is computed elsewhere, unless the owner fixed the layers."""
    return Wishes(
        n_ctx_seq=CHUNK_TOKENS,
        n_seq_max=1,
        may_quantize_kv=False,
        n_gpu_layers=owners.n_gpu_layers,
        n_ubatches=(STEP_TOKENS,),
        n_outputs=STEP_TOKENS,
    )


def facts_to_read(facts: VariantFacts) -> VariantFacts:
    """`facts` are the variant's own, but for `load_ways`, which are those of the wishes above."""
    return replace(
        facts,
        resident_id=ResidentId(facts.resident_id.variant_id, "imatrix"),
        name=f"{facts.name} (importance matrix)",
        options=options_to_read(facts.options),
        pinned=False,
        keep_alive_seconds=None,
        transient=True,
    )
