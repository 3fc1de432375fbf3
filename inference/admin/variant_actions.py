"""What can be done to many variants at once. Each is noted in the log; what did not work for one stops none of the others."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import Group
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext, gettext_noop
from django.utils.translation import gettext_lazy as _

from inference.host.api.client import HostClient, HostRefusal, HostUnavailable
from inference.web.crossing import background_host
from inference.web.models.deletion import InUse, delete_variant
from inference.web.models.form import VariantForm
from inference.web.visibility.queries import visibility_for
from inference.wording import refusals
from models_app.audit import CHANGE, record
from models_app.catalog import deletion
from models_app.catalog.access import user_of
from models_app.intake.verify_job import start_verify
from models_app.models import Variant

AWAY = _("The model host does not answer. Try again in a moment.")


_VariantQuestion = Callable[[HostClient, int], Coroutine[Any, Any, None]]


def _about(question: _VariantQuestion, variant_id: int) -> background_host.Question:
    return lambda client: question(client, variant_id)


class AccessForm(forms.Form):
    groups = forms.ModelMultipleChoiceField(
        Group.objects.order_by("name"),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        label=_("Only for members of"),
        help_text=_("None: everybody may use them."),
    )


def _optional(name: str) -> forms.Field:
    """The form's field for that column of a variant, with the column's own limits."""
    column: Any = Variant._meta.get_field(name)
    field: forms.Field = column.formfield(required=False, initial=None, validators=column.validators)
    return field


class WishesForm(forms.Form):
    """Empty fields stay as they are with each variant."""

    n_ctx_seq = _optional("n_ctx_seq")
    n_seq_max = _optional("n_seq_max")
    keep_alive_seconds = _optional("keep_alive_seconds")


class VariantActions:
    """Adds the actions to a ModelAdmin of Variant."""

    actions = (
        "enable",
        "disable",
        "load",
        "unload",
        "pin",
        "unpin",
        "verify",
        "requantize",
        "set_access",
        "set_wishes",
        "delete_selected",
    )

    # at once ----------------------------------------------------------------------------------------------------

    @admin.action(description=_("Enable selected variants"), permissions=["change"])
    def enable(self, request: HttpRequest, queryset: QuerySet[Variant]) -> None:
        self._switch(request, queryset, enabled=True)

    @admin.action(description=_("Disable selected variants"), permissions=["change"])
    def disable(self, request: HttpRequest, queryset: QuerySet[Variant]) -> None:
        self._switch(request, queryset, enabled=False)

    def _switch(self, request: HttpRequest, queryset: QuerySet[Variant], *, enabled: bool) -> None:
        """Enables or disables variants; those that already are as wished don't count."""
        done = gettext_noop("Enabled") if enabled else gettext_noop("Disabled")
        with transaction.atomic():
            changed = list(queryset.filter(enabled=not enabled))
            Variant.objects.filter(pk__in=[each.pk for each in changed]).update(enabled=enabled)
            record(changed, request.user.pk, CHANGE, f"{done}.")
        self._say(request, done, changed)

    @admin.action(description=_("Load into memory"), permissions=["change"])
    def load(self, request: HttpRequest, queryset: QuerySet[Variant]) -> None:
        self._ask_host(
            request,
            queryset,
            lambda client, pk: client.load(pk),
            gettext_noop("Loaded"),
            gettext_noop("Loading has begun"),
        )

    @admin.action(description=_("Unload from memory"), permissions=["change"])
    def unload(self, request: HttpRequest, queryset: QuerySet[Variant]) -> None:
        self._ask_host(
            request,
            queryset,
            lambda client, pk: client.unload(pk),
            gettext_noop("Unloaded"),
            gettext_noop("Unloading has begun"),
        )

    @admin.action(description=_("Pin"), permissions=["change"])
    def pin(self, request: HttpRequest, queryset: QuerySet[Variant]) -> None:
        self._ask_host(
            request,
            queryset,
            lambda client, pk: client.pin(pk, True),
            gettext_noop("Pinned"),
            gettext_noop("Pinning has begun"),
        )

    @admin.action(description=_("Unpin"), permissions=["change"])
    def unpin(self, request: HttpRequest, queryset: QuerySet[Variant]) -> None:
        self._ask_host(
            request,
            queryset,
            lambda client, pk: client.pin(pk, False),
            gettext_noop("Unpinned"),
            gettext_noop("Unpinning has begun"),
        )

    def _ask_host(
        self,
        request: HttpRequest,
        queryset: QuerySet[Variant],
        question: _VariantQuestion,
        done: str,
        begins: str,
    ) -> None:
        """Returns at once: a load takes as long as it takes. `done` and `begins` are stored in the log in these words."""
        wanted = list(queryset)
        finished: list[Variant] = []
        begun: list[Variant] = []
        for variant, outcome in zip(
            wanted, background_host.start_all([_about(question, each.pk) for each in wanted]), strict=True
        ):
            if isinstance(outcome, HostRefusal):
                self._warn(request, variant, _refused(request, outcome))
            elif isinstance(outcome, HostUnavailable):
                self._warn(request, variant, str(AWAY))
            else:
                (finished if outcome else begun).append(variant)
        record(finished, request.user.pk, CHANGE, f"{done}.")
        record(begun, request.user.pk, CHANGE, f"{begins}.")
        if finished or not begun:
            self._say(request, done, finished)
        if begun:
            names = ", ".join(each.name for each in begun)
            words = gettext("{begins}, and goes on: {names}. The dashboard shows how far it is.")
            messages.info(request, words.format(begins=gettext(begins), names=names))

    @admin.action(description=_("Verify against the digest"), permissions=["change"])
    def verify(self, request: HttpRequest, queryset: QuerySet[Variant]) -> HttpResponse:
        with transaction.atomic():
            for variant in queryset:
                start_verify(variant, user_of(request))
        return redirect("admin:models_app_job_changelist")

    @admin.action(description=_("Requantize …"), permissions=["change"])
    def requantize(self, request: HttpRequest, queryset: QuerySet[Variant]) -> HttpResponse | None:
        names = list(queryset.values_list("name", flat=True)[:2])
        if len(names) == 1:
            return redirect("requantize", *names)
        messages.warning(request, gettext("One at a time: pick the variant to start from."))
        return None

    # asked first ------------------------------------------------------------------------------------------------

    @admin.action(description=_("Set who may use them …"), permissions=["change"])
    def set_access(self, request: HttpRequest, queryset: QuerySet[Variant]) -> HttpResponse | None:
        form = AccessForm(request.POST if "post" in request.POST else None)
        if not form.is_valid():
            told = [(each.pk, each.name, _groups(each)) for each in queryset]
            return self._form(request, "set_access", _("Who may use them?"), _("Set"), told, form)
        groups = form.cleaned_data["groups"]
        words = ", ".join(group.name for group in groups) or "everybody"
        with transaction.atomic():
            changed = list(queryset)
            for variant in changed:
                variant.groups.set(groups)
            record(changed, request.user.pk, CHANGE, f"Kept for: {words}.")
        self._say(request, gettext("Kept for {groups}").format(groups=words), changed)
        return None

    @admin.action(description=_("Change settings …"), permissions=["change"])
    def set_wishes(self, request: HttpRequest, queryset: QuerySet[Variant]) -> HttpResponse | None:
        form = WishesForm(request.POST if "post" in request.POST else None)
        if not form.is_valid():
            told = [(each.pk, each.name, _wishes(each)) for each in queryset]
            return self._form(request, "set_wishes", _("Settings"), _("Save"), told, form)
        wished = {name: value for name, value in form.cleaned_data.items() if value is not None}
        said = "; ".join(f"{VariantForm.Meta.labels[name]}: {value}" for name, value in wished.items())
        changed = []
        with transaction.atomic():
            for variant in Variant.objects.select_for_update().filter(pk__in=queryset.values("pk")) if wished else ():
                if wished.get("n_ctx_seq", variant.n_ctx_seq) < (variant.least_n_ctx_seq or 0):
                    self._warn(request, variant, gettext("Its least context is longer than that."))
                    continue
                Variant.objects.filter(pk=variant.pk).update(**wished)
                changed.append(variant)
            record(changed, request.user.pk, CHANGE, f"{said}.")
        self._say(request, said, changed)
        return None

    @admin.action(description=_("Delete selected variants …"), permissions=["delete"])
    def delete_selected(self, request: HttpRequest, queryset: QuerySet[Variant]) -> HttpResponse | None:
        """Deletes variants as their own pages do: not while in use, and only our own files leave the disk."""
        if "post" not in request.POST:
            told = [(each.pk, each.name, deletion.removal(each).sentence) for each in queryset]
            return self._form(request, "delete_selected", _("Delete these variants?"), _("Delete them"), told)
        user_id = user_of(request).pk
        gone = [
            variant
            for variant in queryset.select_related("repository")
            if self._done(request, variant, partial(delete_variant, variant, user_id))
        ]
        self._say(request, gettext_noop("Deleted"), gone)
        return None

    def _done(self, request: HttpRequest, variant: Variant, act: Callable[[], object]) -> bool:
        """Whether it worked; why not is said."""
        try:
            act()
        except InUse as used:
            self._warn(request, variant, used.detail)
        except HostRefusal as refusal:
            self._warn(request, variant, _refused(request, refusal))
        except HostUnavailable:
            self._warn(request, variant, str(AWAY))
        except OSError as error:
            self._warn(request, variant, f"{error.filename}: {error.strerror}")
        else:
            return True
        return False

    # saying -----------------------------------------------------------------------------------------------------

    def _form(
        self,
        request: HttpRequest,
        action: str,
        heading: Any,
        button: Any,
        told: list[tuple[int, str, str]],
        form: forms.BaseForm | None = None,
    ) -> HttpResponse:
        site: Any = self.admin_site  # type: ignore[attr-defined]
        context = {
            **site.each_context(request),
            "title": heading,
            "heading": heading,
            "button": button,
            "action": action,
            "told": told,
            "form": form,
            "back": reverse("admin:models_app_variant_changelist"),
            "opts": Variant._meta,
        }
        return TemplateResponse(request, "admin/models_app/variant/act.html", context)

    def _say(self, request: HttpRequest, done: str, variants: Iterable[Variant]) -> None:
        names = ", ".join(each.name for each in variants)
        if names:
            messages.success(request, gettext("{done}: {names}.").format(done=gettext(done), names=names))
        else:
            messages.info(request, gettext("Nothing was changed."))

    def _warn(self, request: HttpRequest, variant: Variant, detail: str) -> None:
        messages.warning(request, f"{variant.name}: {detail}")


def _refused(request: HttpRequest, refusal: HostRefusal) -> str:
    return refusals.sentence(refusal.facts, refusal.resident_id, visibility_for(request.user).name)


def _groups(variant: Variant) -> str:
    names = variant.groups.order_by("name").values_list("name", flat=True)
    return gettext("Now for {groups}.").format(groups=", ".join(names) or gettext("everybody"))


def _wishes(variant: Variant) -> str:
    words = gettext("Now {n_slots} × {n_tokens} tokens.")
    return words.format(n_slots=variant.n_seq_max, n_tokens=f"{variant.n_ctx_seq:,}")
