"""`python -m inference.engine.chat.template_process`: the process in which strangers' templates and schemas run.

Jinja's sandbox stops no endless loop and no `"x" * 10**10`, and neither can be interrupted from inside Python. So they run
here, with little memory and little time to lose; the worker ends this process when it takes too long and starts another.

Requests and replies are JSON lines on standard input and output, in turn. The end of the input ends the process; so does
using up the CPU time of one request, should nobody be left to end it.
"""

from __future__ import annotations

import json
import resource
import sys
from contextlib import suppress
from typing import Any

from inference.engine.chat.template import ChatTemplate, TemplateFailed
from inference.engine.llama.llama_package import json_schema_to_gbnf

MEMORY_BYTES = 1 << 30
"""Address space of the process. A 16 MB request needs about a tenth."""
CPU_SECONDS = 5


def main() -> None:
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    replies = sys.stdout.buffer
    # Whatever prints by accident must not end up between the replies.
    sys.stdout = sys.stderr
    template: ChatTemplate | None = None
    for line in sys.stdin.buffer:
        _allow_cpu_seconds(CPU_SECONDS)
        try:
            request = json.loads(line)
            if request["type"] == "compile":
                template = ChatTemplate(request["template"])
                reply: dict[str, Any] = {"text": ""}
            else:
                reply = {"text": _answer(template, request)}
        except TemplateFailed as failed:
            reply = {"error": failed.detail, "in_its_words": failed.in_its_words}
        except Exception as error:
            reply = {"error": f"{type(error).__name__}: {error}"[:500]}
        replies.write(json.dumps(reply).encode() + b"\n")
        replies.flush()


def _answer(template: ChatTemplate | None, request: dict[str, Any]) -> str:
    if request["type"] == "schema":
        return json_schema_to_gbnf(request["schema"])
    if template is None:
        raise TemplateFailed("no template is compiled")
    return template.render(request["messages"], request["tokens"])


def _allow_cpu_seconds(seconds: int) -> None:
    used = resource.getrusage(resource.RUSAGE_SELF)
    with suppress(ValueError, OSError):
        _, most = resource.getrlimit(resource.RLIMIT_CPU)
        resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + 1 + seconds, most))


if __name__ == "__main__":
    main()
