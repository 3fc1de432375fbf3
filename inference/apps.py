from __future__ import annotations

import logging
from typing import Any

from django.apps import AppConfig
from django.db import transaction
from django.db.models.signals import post_save

logger = logging.getLogger(__name__)
HOST_ANSWERS_WITHIN_SECONDS = 1.0


class InferenceConfig(AppConfig):
    name = "inference"
    verbose_name = "Inference"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from inference.jobs import register_kinds
        from models_app.models import HardwareProfile

        # The inventory knows nobody who uses it, and the admin is one of several places where profiles are edited.
        post_save.connect(_profile_saved, HardwareProfile)
        register_kinds()


def _profile_saved(instance: Any, **_: Any) -> None:
    if instance.is_this_machine:
        transaction.on_commit(_tell_host)


def _tell_host() -> None:
    """A host that does not run reads the profile when it starts."""
    from inference.host.api.client import HostRefusal, HostUnavailable
    from inference.web.crossing import ask_host

    try:
        ask_host.call(lambda client: client.profile_changed(), HOST_ANSWERS_WITHIN_SECONDS)
    except (HostRefusal, ask_host.AnswersTooLate) as error:
        logger.warning("the host kept its budgets", extra={"event": "profile_untold", "error": str(error)})
    except HostUnavailable:
        pass
