"""A machine that does not stand here, described by hand or with a card off the list."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from models_app.hardware.cards import card, cards
from models_app.hardware.profile import BadAmount, parse_bytes
from models_app.hardware.stored import gpus_to_json
from models_app.models import LONGEST_NAME, HardwareProfile

BY_HAND = "by hand"
MOST_GPUS = 16


class AmountField(forms.CharField):
    """`12GiB`, or with `rate` also `360GB/s`. Its value is a number of bytes, None where it is empty."""

    def __init__(self, *, rate: bool = False, **options: Any) -> None:
        super().__init__(max_length=40, **options)
        self._rate = rate

    def clean(self, value: Any) -> Any:
        text = super().clean(value)
        if not text:
            return None
        example = "360GB/s" if self._rate else "12GiB"
        try:
            n_bytes = parse_bytes(text)
        except BadAmount:
            n_bytes = 0
        if n_bytes < 1 << 20 or (not self._rate and "/" in text):
            raise ValidationError(f"“{text}” will not do. Write it as {example}.")
        return n_bytes


class ProfileForm(forms.Form):
    """`row()` is the machine, validated and not yet stored."""

    name = forms.CharField(max_length=LONGEST_NAME, label="Name")
    card = forms.ChoiceField(required=False, label="Graphics card")
    n_gpus = forms.IntegerField(min_value=1, max_value=MOST_GPUS, initial=1, required=False, label="How many of them")
    gpu_name = forms.CharField(max_length=LONGEST_NAME, required=False, label="Card's name")
    gpu_memory = AmountField(required=False, label="Card's memory")
    gpu_bandwidth = AmountField(rate=True, required=False, label="Card's memory bandwidth")
    ram = AmountField(label="RAM", initial="64GiB")
    ram_bandwidth = AmountField(rate=True, required=False, label="RAM bandwidth", initial="60GB/s")
    n_cores = forms.IntegerField(min_value=1, max_value=1024, initial=8, label="Physical cores")

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["card"].choices = [  # type: ignore[attr-defined]
            ("", "None: everything in RAM"),
            *((each.name, each.name) for each in cards()),
            (BY_HAND, "Another, described below"),
        ]
        for name, example in (("name", "Workstation"), ("gpu_memory", "12GiB"), ("gpu_bandwidth", "360GB/s")):
            self.fields[name].widget.attrs["placeholder"] = example
        for field in self.fields.values():
            field.widget.attrs["autocomplete"] = "off"

    def clean_name(self) -> str:
        name = str(self.cleaned_data["name"])
        if HardwareProfile.objects.filter(name=name).exists():
            raise ValidationError("There is a machine of this name.")
        if card(name) is not None:
            raise ValidationError("This is the name of a card; call the machine otherwise.")
        return name

    def clean(self) -> dict[str, Any]:
        entered: dict[str, Any] = super().clean() or {}
        if entered.get("card") == BY_HAND:
            for field in ("gpu_name", "gpu_memory"):
                if not entered.get(field) and field not in self.errors:
                    self.add_error(field, "A card described by hand needs this.")
        return entered

    def row(self) -> HardwareProfile:
        entered = self.cleaned_data
        return HardwareProfile(
            name=entered["name"],
            gpus=self._gpus(entered),
            ram_bytes=entered["ram"],
            ram_bandwidth_bytes_per_second=entered["ram_bandwidth"],
            n_cores=entered["n_cores"],
        )

    @staticmethod
    def _gpus(entered: dict[str, Any]) -> list[dict[str, Any]]:
        n_gpus = entered["n_gpus"] or 1
        listed = card(entered["card"]) if entered["card"] and entered["card"] != BY_HAND else None
        if listed is not None:
            return gpus_to_json([listed] * n_gpus)
        if entered["card"] != BY_HAND:
            return []
        gpu = {
            "name": entered["gpu_name"],
            "memory_bytes": entered["gpu_memory"],
            "bandwidth_bytes_per_second": entered["gpu_bandwidth"],
        }
        return [dict(gpu) for _ in range(n_gpus)]
