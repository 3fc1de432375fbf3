from django.db import migrations, models

import models_app.models


class Migration(migrations.Migration):
    dependencies = [
        ("models_app", "0002_hardware_profile"),
    ]

    operations = [
        migrations.AddField(
            model_name="hardwareprofile",
            name="ram_reserve",
            field=models.CharField(
                blank=True,
                help_text='Kept free: "4GiB" or "10%". Empty: a tenth, at least 2 GiB.',
                max_length=40,
                validators=[models_app.models.validate_budget],
            ),
        ),
    ]
