"""The box's token for the Hub: entered, replaced and forgotten here as on the page, and shown by its last four characters alone."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin
from unfold.widgets import UnfoldAdminPasswordWidget

from models_app.catalog.access import user_of
from models_app.hub import hub_as
from models_app.hub.errors import HubError, TokenRefused
from models_app.hub.token import BadToken, check_token, forget_token, is_readable, set_token
from models_app.models import HubToken


class TokenForm(forms.ModelForm):  # type: ignore[type-arg]  # Django's takes none at run time
    token = forms.CharField(
        max_length=512,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "off", "spellcheck": "false", "placeholder": "hf_…"}),
        help_text=_("Kept encrypted and never shown again. It replaces the one that is kept."),
    )

    class Meta:
        model = HubToken
        fields: ClassVar[list[str]] = []

    def clean_token(self) -> str:
        """A Hub that cannot be asked is no reason to lose what a person typed. Blocks on the network."""
        entered = str(self.cleaned_data["token"]).strip()
        try:
            check_token(entered)
            if self.instance.endpoint in ("", settings.HUB_ENDPOINT):
                hub_as(entered).whose()
        except BadToken as bad:
            raise ValidationError(str(bad)) from None
        except TokenRefused:
            raise ValidationError(
                _("The Hub does not accept this token. Copy it again, or make a new one there.")
            ) from None
        except HubError:
            pass
        return entered


@admin.register(HubToken)
class HubTokenAdmin(ModelAdmin):
    """What it does is logged where it is done, for all who do it."""

    form = TokenForm
    list_display = ("endpoint", "ends_in", "usable", "set_by", "set_at")
    list_select_related = ("set_by",)
    fields = ("token",)
    readonly_fields: ClassVar = ["ends_in", "set_by", "set_at"]

    def get_fields(self, request: HttpRequest, obj: HubToken | None = None) -> list[str]:
        return ["token"] if obj is None else ["ends_in", "set_by", "set_at", "token"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        """One for the endpoint that the box uses. Every page of the admin asks; its own pages alone have to know."""
        if not super().has_add_permission(request):
            return False
        match = request.resolver_match
        is_here = match is not None and (match.url_name or "").startswith("models_app_hubtoken")
        return not (is_here and HubToken.objects.filter(endpoint=settings.HUB_ENDPOINT).exists())

    def save_model(self, request: HttpRequest, obj: HubToken, form: Any, change: bool) -> None:
        row = set_token(obj.endpoint or settings.HUB_ENDPOINT, form.cleaned_data["token"], user_of(request))
        obj.pk, obj.endpoint, obj.last_four = row.pk, row.endpoint, row.last_four

    def delete_model(self, request: HttpRequest, obj: HubToken) -> None:
        forget_token(obj.endpoint, user_of(request))
        messages.info(request, "On the Hub's settings page you can revoke it, too.")

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[HubToken]) -> None:
        for row in queryset:
            forget_token(row.endpoint, user_of(request))

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> None: ...

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> None: ...

    def log_deletions(self, request: HttpRequest, queryset: Any) -> None: ...

    @admin.display(description=_("ends in"))
    def ends_in(self, row: HubToken) -> str:
        return f"…{row.last_four}"

    @admin.display(description=_("can be opened"), boolean=True)
    def usable(self, row: HubToken) -> bool:
        return is_readable(row)
