"""The inventory: repositories hold variants, variants hold shards."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from models_app.hardware import Device, Profile
from models_app.hardware.budgets import too_much
from models_app.hardware.stored import BadDevices, budget_from, gpus_from_json

LONGEST_NAME = 200

validate_variant_name = RegexValidator(
    rf"\A[A-Za-z0-9][A-Za-z0-9._-]{{0,{LONGEST_NAME - 1}}}\Z",
    _("Letters, digits, dots, dashes and underscores, beginning with a letter or digit, at most 200."),
)
"""Names stand in URLs, JSON and command lines."""

RESERVED_NAMES = frozenset(("add", "find", "hub", "upload"))
"""What `/models/…/` means itself."""


def validate_not_reserved(value: str) -> None:
    if value.lower() in RESERVED_NAMES:
        raise ValidationError(
            _("“%(name)s” is the address of another page. Pick a longer name."), params={"name": value}
        )


class Repository(models.Model):
    """A Hub repository, a local folder or an installed package that variants come from."""

    class Kind(models.TextChoices):
        HUB = "hub", _("Hub repository")
        FOLDER = "folder", _("Local folder")
        PACKAGE = "package", _("Installed package")

    name = models.CharField(max_length=400, unique=True)
    kind = models.CharField(max_length=10, choices=Kind)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name_plural = "repositories"
        ordering: ClassVar = ["name"]

    def __str__(self) -> str:
        return self.name


class Variant(models.Model):
    """One loadable quantization of a model: one GGUF file, or one set of shards."""

    class Origin(models.TextChoices):
        FOUND = "found", _("Found on disk")
        DOWNLOADED = "downloaded", _("Downloaded")
        QUANTIZED = "quantized", _("Quantized here")
        IMPORTED = "imported", _("Imported")
        UPLOADED = "uploaded", _("Uploaded")

    repository = models.ForeignKey(Repository, on_delete=models.PROTECT, related_name="variants")
    name = models.CharField(
        max_length=LONGEST_NAME,
        unique=True,
        validators=[validate_variant_name, validate_not_reserved],
        help_text=_("What people pick in the chat, and what programs ask for."),
    )
    enabled = models.BooleanField(default=True, help_text=_("A disabled variant is kept but cannot be used."))
    groups = models.ManyToManyField(
        "auth.Group",
        blank=True,
        related_name="variants",
        help_text=_("Whose members may use it, besides administrators. None: everybody."),
    )

    # Facts from the header. None: the header does not say.
    quantization = models.CharField(max_length=40, blank=True)
    architecture = models.CharField(max_length=80, blank=True)
    n_params = models.BigIntegerField(null=True, blank=True)
    n_ctx_train = models.PositiveIntegerField(null=True, blank=True)
    n_layers = models.PositiveIntegerField(null=True, blank=True)
    has_chat_template = models.BooleanField(null=True, blank=True)
    size_bytes = models.BigIntegerField(default=0)
    kv_bytes_per_token = models.BigIntegerField(
        null=True,
        blank=True,
        help_text=_("f16 KV cache of one token over all layers; none where the header does not tell."),
    )
    licence = models.CharField(max_length=80, blank=True)
    tags = models.JSONField(default=list, blank=True)

    # Where it comes from.
    origin = models.CharField(max_length=10, choices=Origin, default=Origin.FOUND)
    made_from = models.ForeignKey(
        "self", on_delete=models.SET_NULL, null=True, blank=True, related_name="made", help_text=_("If quantized here.")
    )
    revision = models.CharField(max_length=64, blank=True, help_text=_("The Hub's commit, if downloaded."))
    recipe = models.JSONField(default=dict, blank=True, help_text=_("How it was quantized, if here."))

    # What the last look at the disk found.
    missing_since = models.DateTimeField(
        null=True, blank=True, help_text=_("When a file was first found missing; empty while all are there.")
    )
    problem = models.TextField(
        blank=True, help_text=_("Why the files cannot be loaded as they are; empty if they can.")
    )

    # The owner's wishes: inference.core.loads.options.LoadOptions, spelled as llama.cpp does.
    n_ctx_seq = models.PositiveIntegerField(
        default=4096,
        validators=[MinValueValidator(64), MaxValueValidator(4_194_304)],
        help_text=_("Context of one slot, in tokens, as preferred."),
    )
    least_n_ctx_seq = models.PositiveIntegerField(
        _("least context"),
        null=True,
        blank=True,
        validators=[MinValueValidator(64), MaxValueValidator(4_194_304)],
        help_text=_("The shortest context of one slot that will do where memory is short. Empty: the preferred one."),
    )
    n_seq_max = models.PositiveSmallIntegerField(
        default=4, validators=[MinValueValidator(1), MaxValueValidator(64)], help_text=_("Slots: answers at once.")
    )
    n_gpu_layers = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MaxValueValidator(10_000)],
        help_text=_(
            "Fixed by you; one more than the model has layers puts the output there too. Empty: hostui decides."
        ),
    )
    may_quantize_kv = models.BooleanField(
        _("may quantize the KV cache"),
        default=True,
        help_text=_("Where memory is short the cache may be kept in q8_0: half the bytes, slightly less precise."),
    )
    may_leave_gpu = models.BooleanField(
        _("may leave the GPU"),
        default=True,
        help_text=_("Where memory is short some layers or experts may stay in RAM, which is slower."),
    )
    pinned = models.BooleanField(default=False, help_text=_("Never evicted nor unloaded for idleness."))
    keep_alive_seconds = models.PositiveIntegerField(
        null=True, blank=True, help_text=_("Unloaded after this long without use. Empty: the box's default.")
    )

    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def unusable_reason(self) -> str | None:
        """Why the last look at the disk found that it cannot run, as sentences for a person; None where nothing speaks against it."""
        if self.missing_since is not None:
            return (
                f"Its files are missing since {self.missing_since:%Y-%m-%d %H:%M} UTC. Put them back where they were."
            )
        if self.problem:
            return f"Its files cannot be loaded: {self.problem.rstrip('.')}."
        return None

    @property
    def is_usable(self) -> bool:
        """Whether it may be offered: enabled, its files there and their header sound."""
        return self.enabled and self.unusable_reason is None

    def clean(self) -> None:
        if self.least_n_ctx_seq is not None and self.least_n_ctx_seq > self.n_ctx_seq:
            raise ValidationError({"least_n_ctx_seq": _("More than the preferred context.")})

    def load_options(self) -> dict[str, Any]:
        """What is wished for first, as a mapping for inference.core.loads.options.LoadOptions.from_json."""
        return {"n_ctx_seq": self.n_ctx_seq, "n_seq_max": self.n_seq_max, "n_gpu_layers": self.n_gpu_layers}


class Shard(models.Model):
    """One file of a variant. `path` is absolute; the file is used where it lies."""

    variant = models.ForeignKey(Variant, on_delete=models.CASCADE, related_name="shards")
    number = models.PositiveSmallIntegerField(default=1, help_text=_("From 1, as in -00001-of-0000N."))
    path = models.CharField(max_length=4096, unique=True)
    size_bytes = models.BigIntegerField()
    mtime_ns = models.BigIntegerField(
        null=True,
        blank=True,
        help_text=_("Of the file whose header was read: with the size, tells whether it changed."),
    )
    sha256 = models.CharField(max_length=64, blank=True)
    remote_path = models.CharField(max_length=4096, blank=True, help_text=_("In the Hub repository, if downloaded."))
    verified_at = models.DateTimeField(
        null=True, blank=True, help_text=_("When its bytes were last found to have the digest.")
    )
    other_sha256 = models.CharField(
        max_length=64, blank=True, help_text=_("What the last verification found instead; empty: nothing else.")
    )

    class Meta:
        ordering: ClassVar = ["variant", "number"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["variant", "number"], name="one_shard_per_number")]

    def __str__(self) -> str:
        return self.path


def validate_gpus(value: Any) -> None:
    try:
        gpus_from_json(value)
    except BadDevices as bad:
        raise ValidationError(_("GPUs: %(problem)s."), params={"problem": str(bad)}) from None


def validate_budget(value: str) -> None:
    try:
        budget_from(value)
    except BadDevices as bad:
        raise ValidationError(str(bad)) from None


class HardwareProfile(models.Model):
    """A machine to plan for: this one, as detected, or any other."""

    name = models.CharField(max_length=LONGEST_NAME, unique=True)
    is_this_machine = models.BooleanField(default=False, editable=False)
    gpus = models.JSONField(
        default=list,
        blank=True,
        validators=[validate_gpus],
        help_text=_(
            "A list of objects with name, memory_bytes and, if known, bandwidth_bytes_per_second, pcie_bytes_per_second, "
            'budget and reserve ("11.5GiB" or "90%").'
        ),
    )
    ram_bytes = models.BigIntegerField(validators=[MinValueValidator(1 << 20)])
    ram_bandwidth_bytes_per_second = models.BigIntegerField(null=True, blank=True, validators=[MinValueValidator(1)])
    ram_budget = models.CharField(
        max_length=40,
        blank=True,
        validators=[validate_budget],
        help_text=_('"48GiB" or "75%". Empty: everything but the reserve.'),
    )
    ram_reserve = models.CharField(
        max_length=40,
        blank=True,
        validators=[validate_budget],
        help_text=_('Kept free: "4GiB" or "10%". Empty: a tenth, at least 2 GiB.'),
    )
    n_cores = models.PositiveSmallIntegerField(default=4, validators=[MinValueValidator(1)])
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering: ClassVar = ["-is_this_machine", "name"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["is_this_machine"], condition=models.Q(is_this_machine=True), name="one_this_machine"
            )
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Budgets and reserves larger than the device they are of."""
        for field, problem in self._too_much():
            raise ValidationError({field: problem})

    def _too_much(self) -> Iterator[tuple[str, str]]:
        try:
            profile = self.profile()
        except (BadDevices, TypeError):
            return  # said by the fields' own validators
        for device in (profile.ram, *profile.gpus):
            for name, amount in (("budget", device.budget), ("reserve", device.reserve)):
                if amount is not None and amount.exceeds(device.memory_bytes):
                    field = f"ram_{name}" if device.kind == "ram" else "gpus"
                    yield field, f"The {name} of {device.name} is {too_much(device)}."

    def profile(self) -> Profile:
        """Raises BadDevices if the row was not validated."""
        ram = Device(
            "RAM",
            "ram",
            self.ram_bytes,
            self.ram_bandwidth_bytes_per_second,
            budget=budget_from(self.ram_budget),
            reserve=budget_from(self.ram_reserve),
        )
        return Profile(self.name, ram, gpus_from_json(self.gpus or []), self.n_cores)
