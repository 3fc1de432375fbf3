"""Pages and /v1. hostui.urls includes this at the root."""

from __future__ import annotations

from django.urls import path

from inference.web import metrics
from inference.web.chat import views as chat_views
from inference.web.dashboard import residency_views
from inference.web.dashboard import views as dashboard_views
from inference.web.hardware import views as hardware_views
from inference.web.hub import plans_view
from inference.web.hub import views as hub_views
from inference.web.jobs import views as job_views
from inference.web.models import add_views, upload_views
from inference.web.models import views as models_views
from inference.web.requantize import views as requantize_views
from inference.web.v1 import views as v1_views

urlpatterns = [
    path("", dashboard_views.dashboard, name="dashboard"),
    path("metrics", metrics.metrics, name="metrics"),
    path("residency/<int:variant_id>/", residency_views.residency, name="residency"),
    path("chat/", chat_views.chat, name="chat"),
    path("chat/<uuid:conversation>/", chat_views.chat, name="conversation"),
    path("hardware/", hardware_views.hardware, name="hardware"),
    path("hardware/plan.json", hardware_views.plan, name="hardware-plan"),
    path("hardware/measure/", hardware_views.measure, name="hardware-measure"),
    path("hardware/machines/add/", hardware_views.add, name="hardware-add"),
    path("hardware/machines/<int:pk>/delete/", hardware_views.delete, name="hardware-delete"),
    path("hardware/machines/<int:pk>/<str:device>/", hardware_views.set_amounts, name="hardware-amounts"),
    path("models/", models_views.inventory, name="models"),
    path("models/plans.json", models_views.plans, name="models-plans"),
    path("models/add/", add_views.add, name="model-add"),
    path("models/upload/", upload_views.begin, name="upload-begin"),
    path("models/upload/<int:pk>/", upload_views.upload, name="upload"),
    path("models/upload/<int:pk>/<int:number>/", upload_views.piece, name="upload-piece"),
    path("models/find/", hub_views.find, name="hub-find"),
    path("models/hub/token/", hub_views.token, name="hub-token"),
    path("models/hub/<str:owner>/<str:name>/", hub_views.repository, name="hub-repository"),
    path("models/hub/<str:owner>/<str:name>/plans.ndjson", plans_view.plans, name="hub-plans"),
    path("models/hub/<str:owner>/<str:name>/sources.json", hub_views.sources, name="hub-sources"),
    path("models/hub/<str:owner>/<str:name>/download/", hub_views.download, name="hub-download"),
    path("models/<str:name>/", models_views.variant, name="model"),
    path("models/<str:name>/delete/", models_views.delete, name="model-delete"),
    path("models/<str:name>/requantize/", requantize_views.requantize, name="requantize"),
    path("models/<str:name>/measure/", requantize_views.measure, name="measure"),
    path("models/<str:name>/imatrix/", requantize_views.imatrix, name="imatrix"),
    path("models/<str:name>/verify/", models_views.verify, name="model-verify"),
    path("jobs/", job_views.jobs, name="jobs"),
    path("jobs/limit/", job_views.limit, name="download-limit"),
    path("jobs/quarantine/", job_views.discard_quarantined, name="quarantine-discard"),
    path("jobs/<int:pk>/", job_views.job, name="job"),
    path("v1/models", v1_views.models, name="v1-models"),
    path("v1/models/<path:name>", v1_views.model, name="v1-model"),
    path("v1/chat/completions", v1_views.chat_completions, name="v1-chat-completions"),
    path("v1/completions", v1_views.completions, name="v1-completions"),
    path("v1/<path:path>", v1_views.nowhere),
]
