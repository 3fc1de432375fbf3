"""In Django's admin: variants with what is in memory of them, jobs with their progress, and conversations without their words."""

from inference.admin import conversations, jobs, variants

__all__ = ["conversations", "jobs", "variants"]
