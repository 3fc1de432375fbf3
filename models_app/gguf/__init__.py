"""GGUF headers, read as the hostile input they are. Standard library only.

`read_header` reads a local file; `parse` is the same parser without I/O, for bytes that arrive by range request.
"""

from models_app.gguf.errors import BadGguf
from models_app.gguf.files import ShardName, combine, read_files, read_header, shard_paths
from models_app.gguf.header import Header, Tensor
from models_app.gguf.parser import Need, parse
from models_app.gguf.values import LongArray, Value

__all__ = [
    "BadGguf",
    "Header",
    "LongArray",
    "Need",
    "ShardName",
    "Tensor",
    "Value",
    "combine",
    "parse",
    "read_files",
    "read_header",
    "shard_paths",
]
