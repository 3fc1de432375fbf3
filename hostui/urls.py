from django.contrib import admin
from django.urls import include, path

from hostui.health import healthz

admin.autodiscover()
admin.site.site_header = admin.site.site_title = "hostui"

urlpatterns = [
    path("healthz", healthz, name="healthz"),
    path("", include("hostui.accounts.urls")),
    path("admin/", admin.site.urls),
    path("", include("inference.urls")),
]
