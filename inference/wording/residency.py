"""A residency's state in a word or two."""

from __future__ import annotations

from inference.core.loads.vocabulary import ResidencyState
from inference.wording.translation import gettext as _


def state_words(state: ResidencyState) -> str:
    """on disk, in memory, loading, finishing, unloading, failed"""
    match state:
        case "absent":
            return _("on disk")
        case "resident":
            return _("in memory")
        case "loading":
            return _("loading")
        case "draining":
            return _("finishing")
        case "unloading":
            return _("unloading")
        case "failed":
            return _("failed")
