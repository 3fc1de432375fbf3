"""Variants as people name them on the command line."""

from __future__ import annotations

from models_app.models import Variant


class NoSuchVariant(Exception):
    """No variant has this name or id. `known` are the names there are."""

    def __init__(self, wanted: str, known: list[str]) -> None:
        super().__init__(wanted)
        self.known = known


def find_variant(wanted: str) -> Variant:
    """Finds the variant of that name, else of that id. Blocks on the database. Raises NoSuchVariant."""
    variant = Variant.objects.filter(name=wanted).first()
    if variant is None and wanted.isdigit():
        variant = Variant.objects.filter(pk=int(wanted)).first()
    if variant is None:
        raise NoSuchVariant(wanted, list(Variant.objects.values_list("name", flat=True)))
    return variant
