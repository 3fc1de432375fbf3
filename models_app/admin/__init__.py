"""The inventory in Django's admin. Variants and jobs are in inference.admin, which knows what is in memory and words progress."""

from models_app.admin import hardware, hub_token, measurements, repositories

__all__ = ["hardware", "hub_token", "measurements", "repositories"]
