"""The one importer of llama.cpp's bindings."""

from __future__ import annotations

from inference.engine.llama.llama_package import open_package

open_package()

from llama_cpp import llama_cpp as c  # noqa: E402  the stub package must be in place first

__all__ = ["LIBRARY", "c"]

LIBRARY = c._lib
"""libllama, through which the symbols of the ggml libraries that it links are found as well."""
