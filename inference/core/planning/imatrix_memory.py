"""What the making of an importance matrix holds beside a model. Apart from host.planning.imatrix_load: every worker imports this."""

from __future__ import annotations

from inference.core.planning.header import Header

_COPIES = 3
"""Of the sums: the ones that grow, the file that is made of them, and its pieces."""


def sums_bytes(header: Header) -> int:
    """The bytes of the sums. In RAM wherever the products are computed: for each matrix of a layer a float a column, experts apart."""
    columns = sum(
        tensor.shape[0] * (tensor.shape[2] if len(tensor.shape) > 2 else 1)
        for tensor in header.tensors
        if tensor.layer is not None and len(tensor.shape) > 1
    )
    return _COPIES * 4 * columns
