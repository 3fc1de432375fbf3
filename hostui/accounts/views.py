"""Coming in: the login page and the claim of an invitation."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import login
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.forms import AuthenticationForm, BaseUserCreationForm, UserCreationForm
from django.contrib.auth.models import User
from django.contrib.auth.views import LoginView
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from hostui.accounts import known_devices, throttle
from hostui.accounts.models import Invitation
from models_app.audit import ADDITION, record


class LoginForm(AuthenticationForm):
    def get_invalid_login_error(self) -> ValidationError:
        if throttle.blocked(self.request, self.cleaned_data.get("username", "")):
            minutes = throttle.WINDOW_SECONDS // 60
            return ValidationError(f"Too many attempts. Wait {minutes} minutes.", code="throttled")
        return super().get_invalid_login_error()


class AccountForm(UserCreationForm):  # type: ignore[type-arg]  # Django's takes none at run time
    """Django's, with its rules said shortly, and a bad password blamed on the field where it was chosen."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["username"].help_text = "Letters, digits and @ . + - _"
        self.fields["password1"].help_text = "At least 8 characters, not all of them digits, and no common password"
        self.fields["password2"].help_text = ""

    def validate_password_for_user(self, user: Any, **_: Any) -> None:
        super().validate_password_for_user(user, "password1")  # type: ignore[misc]  # the stubs lack it


@method_decorator(login_not_required, name="dispatch")
class Login(LoginView):
    authentication_form = LoginForm
    redirect_authenticated_user = True

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        response = super().form_valid(form)
        known_devices.remember(self.request, response, form.get_user().get_username())
        return response


class _Taken(Exception):
    """Another claim used the invitation first."""


def _create_account(invitation: Invitation, form: BaseUserCreationForm[User]) -> User:
    """The new user, and the invitation used up; neither without the other. Raises _Taken, IntegrityError."""
    with transaction.atomic():
        if not invitation.use():
            raise _Taken
        user: User = form.save(commit=False)
        user.is_staff = user.is_superuser = invitation.is_superuser
        user.save()
        Invitation.objects.filter(pk=invitation.pk).update(used_by=user)
        record([user], user.pk, ADDITION, f"Account made, by an {invitation}.")
    return user


@login_not_required
@never_cache
@sensitive_post_parameters("password1", "password2")
@require_http_methods(["GET", "POST"])
def claim(request: HttpRequest, token: str) -> HttpResponse:
    """Context: `form` (username, password1, password2) and `invitation`; `invitation` is None where the link is spent."""
    invitation = Invitation.usable(token)
    if invitation is None:
        return render(request, "accounts/claim.html", {"invitation": None, "form": None}, status=410)
    form = AccountForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            user = _create_account(invitation, form)
        except _Taken:
            return render(request, "accounts/claim.html", {"invitation": None, "form": None}, status=410)
        except IntegrityError:
            form.add_error("username", "This name was taken a moment ago.")
        else:
            login(request, user, backend="hostui.accounts.throttle.ThrottledModelBackend")
            response = redirect("/chat/")
            known_devices.remember(request, response, user.get_username())
            return response
    return render(request, "accounts/claim.html", {"invitation": invitation, "form": form})
