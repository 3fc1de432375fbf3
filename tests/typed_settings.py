"""The settings as mypy's plug-in reads them: the box's own, over a data folder that is gone once they are read.

The plug-in imports them to learn the tables. A check must leave no data folder in the clone, nor read one.
"""

import os
import tempfile

with tempfile.TemporaryDirectory(prefix="hostui-types-") as _folder:
    os.environ["HOSTUI_DATA_DIR"] = _folder
    from hostui.settings import *  # noqa: F403
