import django.core.validators
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Repository",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=400, unique=True)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("hub", "Hub repository"),
                            ("folder", "Local folder"),
                            ("package", "Installed package"),
                        ],
                        max_length=10,
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
            ],
            options={
                "verbose_name_plural": "repositories",
                "ordering": ["name"],
            },
        ),
        migrations.CreateModel(
            name="Variant",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "name",
                    models.CharField(
                        help_text="What people pick in the chat and programs send as `model`.",
                        max_length=200,
                        unique=True,
                        validators=[
                            django.core.validators.RegexValidator(
                                "\\A[A-Za-z0-9][A-Za-z0-9._-]{0,199}\\Z",
                                "Letters, digits, dots, dashes and underscores, beginning with a letter or digit, at most 200.",
                            )
                        ],
                    ),
                ),
                (
                    "enabled",
                    models.BooleanField(default=True, help_text="A disabled variant is kept but cannot be used."),
                ),
                ("quantization", models.CharField(blank=True, max_length=40)),
                ("architecture", models.CharField(blank=True, max_length=80)),
                ("n_params", models.BigIntegerField(blank=True, null=True)),
                ("n_ctx_train", models.PositiveIntegerField(blank=True, null=True)),
                ("n_layers", models.PositiveIntegerField(blank=True, null=True)),
                ("has_chat_template", models.BooleanField(blank=True, null=True)),
                ("size_bytes", models.BigIntegerField(default=0)),
                (
                    "kv_bytes_per_token",
                    models.BigIntegerField(
                        blank=True,
                        help_text="f16 KV cache of one token over all layers; none where the header does not tell.",
                        null=True,
                    ),
                ),
                ("licence", models.CharField(blank=True, max_length=80)),
                ("tags", models.JSONField(blank=True, default=list)),
                (
                    "missing_since",
                    models.DateTimeField(
                        blank=True,
                        help_text="When a file was first found missing; empty while all are there.",
                        null=True,
                    ),
                ),
                (
                    "problem",
                    models.TextField(
                        blank=True, help_text="Why the files cannot be loaded as they are; empty if they can."
                    ),
                ),
                (
                    "n_ctx_seq",
                    models.PositiveIntegerField(
                        default=4096,
                        help_text="Context of one slot, in tokens.",
                        validators=[
                            django.core.validators.MinValueValidator(64),
                            django.core.validators.MaxValueValidator(4194304),
                        ],
                    ),
                ),
                (
                    "n_seq_max",
                    models.PositiveSmallIntegerField(
                        default=4,
                        help_text="Slots: answers at once.",
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(64),
                        ],
                    ),
                ),
                (
                    "n_gpu_layers",
                    models.PositiveIntegerField(
                        blank=True,
                        help_text="Empty: all layers.",
                        null=True,
                        validators=[django.core.validators.MaxValueValidator(10000)],
                    ),
                ),
                ("pinned", models.BooleanField(default=False, help_text="Never evicted nor unloaded for idleness.")),
                (
                    "keep_alive_seconds",
                    models.PositiveIntegerField(
                        blank=True,
                        help_text="Unloaded after this long without use. Empty: the box's default.",
                        null=True,
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("last_used_at", models.DateTimeField(blank=True, null=True)),
                (
                    "repository",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="variants", to="models_app.repository"
                    ),
                ),
            ],
            options={
                "ordering": ["name"],
            },
        ),
        migrations.CreateModel(
            name="Shard",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("number", models.PositiveSmallIntegerField(default=1, help_text="From 1, as in -00001-of-0000N.")),
                ("path", models.CharField(max_length=4096, unique=True)),
                ("size_bytes", models.BigIntegerField()),
                (
                    "mtime_ns",
                    models.BigIntegerField(
                        blank=True,
                        help_text="Of the file whose header was read: with the size, tells whether it changed.",
                        null=True,
                    ),
                ),
                ("sha256", models.CharField(blank=True, max_length=64)),
                (
                    "variant",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="shards", to="models_app.variant"
                    ),
                ),
            ],
            options={
                "ordering": ["variant", "number"],
                "constraints": [models.UniqueConstraint(fields=("variant", "number"), name="one_shard_per_number")],
            },
        ),
    ]
