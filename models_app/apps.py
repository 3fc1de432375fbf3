from django.apps import AppConfig


class ModelsAppConfig(AppConfig):
    name = "models_app"
    verbose_name = "Inventory"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from models_app.jobs import register

        # By path: only the process that runs a job imports what it takes.
        intake = "models_app.intake"
        register("download", f"{intake}.download_job.run", at_once=2, discard=f"{intake}.download_job.discard")
        register("import", f"{intake}.import_job.run", at_once=1, discard=f"{intake}.import_job.discard")
        register("upload", f"{intake}.upload_job.run", at_once=2, discard=f"{intake}.upload_job.discard")
        register("verify", f"{intake}.verify_job.run", at_once=1)
