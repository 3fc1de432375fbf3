"""Which admin site the box has. Read by every process; the site itself is imported by the one that serves it."""

from __future__ import annotations

from django.apps import AppConfig
from django.contrib.admin.apps import SimpleAdminConfig


class UnfoldConfig(AppConfig):
    """Templates and static files of unfold. Its own configurations import its pages."""

    name = "unfold"


class AdminConfig(SimpleAdminConfig):
    """Names the box's own site. Its autodiscovery is left to urls.py, so that host and jobs don't load the admin's pages."""

    default_site = "hostui.admin.site.BoxAdminSite"
