"""A child that notices that its supervisor is gone, however it went.

The supervisor keeps a pipe to the child's standard input open and never writes; the kernel closes it when the supervisor ends,
`kill -9` included, and end-of-file is the message.
"""

from __future__ import annotations

import os
import signal
import threading
import time

VARIABLE = "HOSTUI_LIFELINE"
GRACE_SECONDS = 8.0


def hold() -> None:
    """Watches standard input where the environment says `HOSTUI_LIFELINE=stdin`, else does nothing.

    At its end the process gets SIGTERM, and GRACE_SECONDS later it ends whatever it is doing.
    """
    # Taken out of the environment: what this process starts has other standard inputs.
    if os.environ.pop(VARIABLE, "") == "stdin":
        threading.Thread(target=_watch, name="lifeline", daemon=True).start()


def _watch() -> None:
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os._exit(1)
