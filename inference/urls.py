"""Pages and /v1. hostui.urls includes this at the root."""

from __future__ import annotations

from django.urls import path

from inference import views

urlpatterns = [
    path("", views.dashboard, name="dashboard"),
    path("chat/", views.chat, name="chat"),
    path("chat/<uuid:conversation>/", views.chat, name="conversation"),
]
