from django.apps import AppConfig


class ModelsAppConfig(AppConfig):
    name = "models_app"
    verbose_name = "Inventory"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from models_app.jobs import register

        # By path: only the process that runs a job imports what it takes.
        folder = "models_app.intake"
        register("download", f"{folder}.download_job.run", at_once=2, discard=f"{folder}.download_job.discard")
        register("import", f"{folder}.import_job.run", at_once=1, discard=f"{folder}.import_job.discard")
        register("upload", f"{folder}.upload_job.run", at_once=2, discard=f"{folder}.upload_job.discard")
        register("verify", f"{folder}.verify_job.run", at_once=1)
