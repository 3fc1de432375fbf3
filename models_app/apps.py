from django.apps import AppConfig


class ModelsAppConfig(AppConfig):
    name = "models_app"
    verbose_name = "Inventory"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from models_app.jobs import register

        # By path: only the process that runs a job imports what it takes.
        folder = "models_app.downloads"
        register("download", f"{folder}.download.run", at_once=2, discard=f"{folder}.download.discard")
        register("import", f"{folder}.imports.run", at_once=1, discard=f"{folder}.imports.discard")
        register("upload", f"{folder}.uploads.run", at_once=2, discard=f"{folder}.uploads.discard")
        register("verify", f"{folder}.verify.run", at_once=1)
