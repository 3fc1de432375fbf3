"""manage.py add_model PATH: registers a GGUF file where it lies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from models_app.audit import ADDITION, CHANGE, record
from models_app.catalog import register
from models_app.catalog.read_files import NotAModel, explain
from models_app.gguf import BadGguf
from models_app.units import format_bytes, format_params


class Command(BaseCommand):
    help = "Registers a GGUF file, or all shards of a split one, where it lies. Adding it again refreshes its facts."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("path", type=Path, help="the file, or any one of its shards")
        parser.add_argument("--name", help="what people pick it by; default: made from the file")
        parser.add_argument("--json", action="store_true", help="print the facts as JSON")

    def handle(self, *args: Any, path: Path, name: str | None, json: bool, **options: Any) -> None:
        try:
            added = register.add_model(path, name=name)
        except (BadGguf, NotAModel, OSError) as error:
            raise CommandError(f"{path} was not added: {explain(error)}.") from None
        except register.NameTaken as error:
            raise CommandError(f"{path} was not added: {error}. Choose another with --name.") from None
        except ValidationError as error:
            raise CommandError(f"{name!r} cannot be a name. {' '.join(error.messages)}") from None
        _log(added)
        self.stdout.write(_as_json(added) if json else _as_text(added))


def _log(added: register.Added) -> None:
    if added.created:
        record([added.variant], None, ADDITION, "Added on the console.")
    else:
        record([added.variant], None, CHANGE, "Its files were read again, on the console.")


def _as_json(added: register.Added) -> str:
    variant = added.variant
    return json.dumps(
        {
            "id": variant.pk,
            "name": variant.name,
            "created": added.created,
            "repository": variant.repository.name,
            "paths": [shard.path for shard in variant.shards.all()],
            "size_bytes": variant.size_bytes,
            "quantization": variant.quantization or None,
            "architecture": variant.architecture or None,
            "n_params": variant.n_params,
            "n_layers": variant.n_layers,
            "n_ctx_train": variant.n_ctx_train,
            "kv_bytes_per_token": variant.kv_bytes_per_token,
            "has_chat_template": variant.has_chat_template,
            "licence": variant.licence or None,
        }
    )


def _as_text(added: register.Added) -> str:
    variant = added.variant
    facts = [variant.architecture, variant.quantization, format_bytes(variant.size_bytes)]
    if variant.n_params is not None:
        facts.append(f"{format_params(variant.n_params)} parameters")
    if variant.n_ctx_train is not None:
        facts.append(f"context up to {variant.n_ctx_train} tokens")
    if not variant.has_chat_template:
        facts.append("no chat template")
    done = "Added" if added.created else "Already there, facts refreshed:"
    return f"{done} {variant.name}: " + ", ".join(fact for fact in facts if fact)
