"""The admin, in django-unfold's looks, behind hostui's own login page."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from unfold.sites import UnfoldAdminSite

from hostui.http.middleware import content_security_policy

POLICY = content_security_policy(**{"script-src": "'self' 'unsafe-eval'", "style-src": "'self' 'unsafe-inline'"})
"""Alpine, which unfold is made with, compiles the expressions that stand in its attributes, and unfold writes its colours into the
page. Scripts still come from the box alone, and none may stand in a page."""


class BoxAdminSite(UnfoldAdminSite):
    site_header = site_title = "hostui"

    def admin_view(self, view: Callable[..., Any], cacheable: bool = False) -> Callable[..., Any]:
        """The policy is relaxed for what the admin itself answers, and for nothing else."""
        inner = super().admin_view(view, cacheable)

        @wraps(inner)
        def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            response: HttpResponse = inner(request, *args, **kwargs)
            response.headers["Content-Security-Policy"] = POLICY
            return response

        return answer

    @login_not_required
    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """There is one way in. Raises PermissionDenied for somebody who is in and no administrator."""
        if self.has_permission(request):
            return redirect("admin:index")
        if request.user.is_authenticated:
            raise PermissionDenied
        return redirect_to_login(request.GET.get("next") or reverse("admin:index"))
