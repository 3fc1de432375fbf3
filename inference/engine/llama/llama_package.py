"""Gives access to llama_cpp's low-level modules without its package code.

`import llama_cpp` runs the high-level API and with it numpy, diskcache and pydantic-like extras: 220 ms and 40 MB that a
worker never uses. A bare package object with the right search path lets `llama_cpp.llama_cpp` load in 47 ms.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any


def open_package() -> None:
    """Makes `llama_cpp.<module>` importable. Does nothing where the package is loaded already. Raises ImportError."""
    if "llama_cpp" in sys.modules:
        return
    spec = importlib.util.find_spec("llama_cpp")
    if spec is None or spec.submodule_search_locations is None:
        raise ImportError("llama-cpp-python is not installed", name="llama_cpp")
    package = ModuleType("llama_cpp", "llama_cpp without its __init__")
    package.__path__ = list(spec.submodule_search_locations)
    package.__spec__ = spec
    sys.modules["llama_cpp"] = package


def json_schema_to_gbnf(schema: Mapping[str, Any]) -> str:
    """llama.cpp's own conversion. Raises whatever it raises: assertion, key, type, value and recursion errors.

    It copies rules as often as the schema says (`maxItems`), so a stranger's schema belongs into a process with limits.
    """
    open_package()
    converter = importlib.import_module("llama_cpp.llama_grammar")
    return str(converter.json_schema_to_gbnf(json.dumps(schema)))
