"""The GGUF header reader, as `engine` may import it: a file is checked before llama.cpp opens it."""

from models_app.gguf import BadGguf, Header, read_files

__all__ = ["BadGguf", "Header", "read_files"]
