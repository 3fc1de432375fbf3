"""The inventory in Django's admin. Variants and jobs are in inference.admin, which knows what is in memory and words progress."""

from models_app.admin import hardware, measurements, repositories

__all__ = ["hardware", "measurements", "repositories"]
