"""ggml's registry of devices and its tensors, which llama.cpp's bindings leave out: types and functions as in its headers."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any, ClassVar

from inference.engine.llama.bindings import LIBRARY


class DeviceProperties(ctypes.Structure):
    """ggml-backend.h's ggml_backend_dev_props."""

    _fields_: ClassVar = [
        ("name", ctypes.c_char_p),
        ("description", ctypes.c_char_p),
        ("memory_free", ctypes.c_size_t),
        ("memory_total", ctypes.c_size_t),
        ("type", ctypes.c_int),
        ("device_id", ctypes.c_char_p),
        ("caps", ctypes.c_bool * 5),
    ]
    memory_free: int
    memory_total: int
    device_id: bytes | None


class GgmlTensor(ctypes.Structure):
    """ggml.h's ggml_tensor."""

    _fields_: ClassVar = [
        ("type", ctypes.c_int),
        ("buffer", ctypes.c_void_p),
        ("ne", ctypes.c_int64 * 4),
        ("nb", ctypes.c_size_t * 4),
        ("op", ctypes.c_int),
        ("op_params", ctypes.c_int32 * 16),
        ("flags", ctypes.c_int32),
        ("src", ctypes.c_void_p * 10),
        ("view_src", ctypes.c_void_p),
        ("view_offs", ctypes.c_size_t),
        ("data", ctypes.c_void_p),
        ("name", ctypes.c_char * 64),
        ("extra", ctypes.c_void_p),
        ("padding", ctypes.c_char * 8),
    ]
    type: int
    buffer: int | None
    ne: ctypes.Array[ctypes.c_int64]
    nb: ctypes.Array[ctypes.c_size_t]
    op: int
    src: ctypes.Array[ctypes.c_void_p]
    view_src: int | None
    data: int
    name: bytes


def _bound(name: str, result: Any, *arguments: Any) -> Any:
    """A function of the library. Its callers' types stand beside it: ctypes knows none."""
    function = getattr(LIBRARY, name)
    function.restype, function.argtypes = result, arguments
    return function


_text, _handle, _size, _int = ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int

# devices: handles are addresses, None where there is none

device_count: Callable[[], int] = _bound("ggml_backend_dev_count", _size)
device_at: Callable[[int], int] = _bound("ggml_backend_dev_get", _handle, _size)
device_type: Callable[[int], int] = _bound("ggml_backend_dev_type", _int, _handle)
device_name: Callable[[int], bytes | None] = _bound("ggml_backend_dev_name", _text, _handle)
device_description: Callable[[int], bytes | None] = _bound("ggml_backend_dev_description", _text, _handle)
device_registry: Callable[[int], int] = _bound("ggml_backend_dev_backend_reg", _handle, _handle)
device_buffer_type: Callable[[int], int | None] = _bound("ggml_backend_dev_buffer_type", _handle, _handle)
cpu_buffer_type: Callable[[], int] = _bound("ggml_backend_cpu_buffer_type", _handle)
buffer_type_name: Callable[[int], bytes | None] = _bound("ggml_backend_buft_name", _text, _handle)
registry_name: Callable[[int], bytes | None] = _bound("ggml_backend_reg_name", _text, _handle)
registry_by_name: Callable[[bytes], int | None] = _bound("ggml_backend_reg_by_name", _handle, _text)
register: Callable[[int], None] = _bound("ggml_backend_register", None, _handle)
_properties = _bound("ggml_backend_dev_get_props", None, _handle, ctypes.POINTER(DeviceProperties))
_address = _bound("ggml_backend_reg_get_proc_address", _handle, _handle, _text)


def device_properties(device: int) -> DeviceProperties:
    """Asks the device's driver. May block."""
    properties = DeviceProperties()
    _properties(device, ctypes.byref(properties))
    return properties


def add_rpc_server_function() -> Callable[[bytes], int | None] | None:
    """Makes a registry of the devices behind `host:port`; None where the server offers none. None: not in this build."""
    registry = registry_by_name(b"RPC")
    address = _address(registry, b"ggml_backend_rpc_add_server") if registry else None
    return ctypes.CFUNCTYPE(_handle, _text)(address) if address else None


# tensors, by their addresses

op_name: Callable[[int], bytes] = _bound("ggml_op_name", _text, _int)
tensor_bytes: Callable[[int], int] = _bound("ggml_nbytes", _size, _handle)
buffer_is_host: Callable[[int], bool] = _bound("ggml_backend_buffer_is_host", ctypes.c_bool, _handle)
copy_tensor: Callable[[int, ctypes.Array[ctypes.c_char], int, int], None] = _bound(
    "ggml_backend_tensor_get", None, _handle, _handle, _size, _size
)
"""(address, into, offset in the tensor, number of bytes)."""
