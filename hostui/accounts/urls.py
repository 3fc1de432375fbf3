from django.contrib.auth.views import LogoutView
from django.urls import path
from django.views.generic import RedirectView

from hostui.accounts import views

urlpatterns = [
    path("login/", views.Login.as_view(), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("claim/<str:token>/", views.claim, name="claim"),
    # One door: the admin's own login page would be a second one to guard.
    path("admin/login/", RedirectView.as_view(pattern_name="login", query_string=True)),
]
