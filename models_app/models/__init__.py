"""The tables, one file a noun."""

from models_app.models.download_limit import LEAST_BYTES_PER_SECOND, DownloadLimit
from models_app.models.hub_token import HubToken
from models_app.models.inventory import (
    LONGEST_NAME,
    RESERVED_NAMES,
    HardwareProfile,
    Repository,
    Shard,
    Variant,
    validate_budget,
    validate_gpus,
    validate_not_reserved,
    validate_variant_name,
)
from models_app.models.jobs import Job, JobLine
from models_app.models.measurements import DryRunResult, Measurement
from models_app.models.quality import Quality

__all__ = [
    "LEAST_BYTES_PER_SECOND",
    "LONGEST_NAME",
    "RESERVED_NAMES",
    "DownloadLimit",
    "DryRunResult",
    "HardwareProfile",
    "HubToken",
    "Job",
    "JobLine",
    "Measurement",
    "Quality",
    "Repository",
    "Shard",
    "Variant",
    "validate_budget",
    "validate_gpus",
    "validate_not_reserved",
    "validate_variant_name",
]
