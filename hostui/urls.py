from django.contrib import admin
from django.contrib.auth.decorators import login_not_required
from django.templatetags.static import static
from django.urls import include, path
from django.views.generic import RedirectView
from django.views.i18n import JavaScriptCatalog

from hostui.http.health import healthz

admin.autodiscover()

urlpatterns = [
    path("healthz", healthz, name="healthz"),
    # Asked for by browsers on pages that name no icon, such as the admin's.
    path("favicon.ico", login_not_required(RedirectView.as_view(url=static("img/icon.svg")))),
    path("words.js", login_not_required(JavaScriptCatalog.as_view()), name="javascript-catalog"),
    path("", include("hostui.accounts.urls")),
    path("admin/", admin.site.urls),
    path("", include("inference.web.urls")),
]
