"""Takes what the owner says of a variant: name, whether it is offered, how it is loaded."""

from __future__ import annotations

from hashlib import sha256
from typing import Any, ClassVar

from django import forms
from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from models_app.audit import CHANGE, record
from models_app.models import Variant


class ChangedMeanwhile(Exception):
    """Somebody else was faster."""


class VariantForm(forms.ModelForm):  # type: ignore[type-arg]  # Django's takes none at run time
    """Pinning is not among them: it is the host's to do, at once."""

    seen = forms.CharField(widget=forms.HiddenInput, required=False)
    """Of what the person saw when filling it in."""

    class Meta:
        model = Variant
        fields: ClassVar = [
            "name",
            "n_ctx_seq",
            "least_n_ctx_seq",
            "n_seq_max",
            "n_gpu_layers",
            "keep_alive_seconds",
            "may_quantize_kv",
            "may_leave_gpu",
            "enabled",
            "groups",
        ]
        widgets: ClassVar = {"groups": forms.CheckboxSelectMultiple}
        labels: ClassVar = {
            "n_ctx_seq": gettext_lazy("Context of one slot"),
            "n_seq_max": gettext_lazy("Slots"),
            "n_gpu_layers": gettext_lazy("Layers on the GPU"),
            "keep_alive_seconds": gettext_lazy("Unload after, in seconds"),
            "enabled": gettext_lazy("Offered to people and programs"),
            "groups": gettext_lazy("Only for members of"),
        }

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._was = digest(self.instance)
        self.fields["seen"].initial = self._was
        for name in ("least_n_ctx_seq", "n_gpu_layers", "keep_alive_seconds"):
            self.fields[name].widget.attrs["placeholder"] = _("hostui decides")

    @property
    def wishes(self) -> list[forms.BoundField]:
        """The fields that are written, in order."""
        kinds = (forms.BooleanField, forms.ModelMultipleChoiceField)
        return [field for field in self.visible_fields() if not isinstance(field.field, kinds)]

    @property
    def switches(self) -> list[forms.BoundField]:
        return [field for field in self.visible_fields() if isinstance(field.field, forms.BooleanField)]

    def store(self, user_id: int) -> str | None:
        """Saves and notes what was changed, as a sentence; None for nothing. The form is valid. Raises ChangedMeanwhile."""
        with transaction.atomic():
            stored = Variant.objects.select_for_update().get(pk=self.instance.pk)
            if digest(stored) != self.cleaned_data["seen"]:
                raise ChangedMeanwhile
            changed = [name for name in self.changed_data if name != "seen"]
            if not changed:
                return None
            told = "; ".join(self._told(stored, name) for name in changed) + "."
            columns = {name: self.cleaned_data[name] for name in changed if name != "groups"}
            Variant.objects.filter(pk=stored.pk).update(**columns)
            if "groups" in changed:
                stored.groups.set(self.cleaned_data["groups"])
            record([self.instance], user_id, CHANGE, told)
        return told

    def _told(self, stored: Variant, name: str) -> str:
        label = self.fields[name].label or name
        return f"{str(label).capitalize()}: {_words(_value(stored, name))} → {_words(self.cleaned_data[name])}"


def _value(variant: Variant, name: str) -> Any:
    return list(variant.groups.order_by("name")) if name == "groups" else getattr(variant, name)


def _words(value: Any) -> str:
    if value is None:
        return "default"
    if isinstance(value, (list, QuerySet)):
        return ", ".join(sorted(map(str, value))) or "everybody"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def digest(variant: Variant) -> str:
    """A digest of what the form can change, as it is stored."""
    return sha256(repr([_value(variant, name) for name in VariantForm.Meta.fields]).encode()).hexdigest()[:16]
