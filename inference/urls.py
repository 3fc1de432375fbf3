"""Pages and /v1. hostui.urls includes this at the root."""

from __future__ import annotations

from django.urls import path

from inference import api, metrics, residency_views, views

urlpatterns = [
    path("", views.dashboard, name="dashboard"),
    path("metrics", metrics.metrics, name="metrics"),
    path("residency/<int:variant_id>/", residency_views.act, name="residency"),
    path("chat/", views.chat, name="chat"),
    path("chat/<uuid:conversation>/", views.chat, name="conversation"),
    path("v1/models", api.models, name="v1-models"),
    path("v1/models/<path:name>", api.model, name="v1-model"),
    path("v1/chat/completions", api.chat_completions, name="v1-chat-completions"),
    path("v1/completions", api.completions, name="v1-completions"),
    path("v1/<path:path>", api.nowhere),
]
