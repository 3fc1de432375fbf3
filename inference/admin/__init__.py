"""Shows variants, jobs and conversations in Django's admin; of conversations no word."""

from inference.admin import conversations, jobs, variants

__all__ = ["conversations", "jobs", "variants"]
