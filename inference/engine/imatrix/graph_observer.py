"""What a context shows the nodes of its graph to. Loads no numpy, as every worker imports it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inference.engine.imatrix.collector import Collector


class GraphObserver:
    """Passes a graph's nodes to the collector of the present pass, if there is one. `observe` is llama.Context's `on_node`."""

    def __init__(self) -> None:
        self.collector: Collector | None = None

    def observe(self, address: int, ask: bool) -> bool:
        """See Collector.observe. False where nothing is collected."""
        return self.collector is not None and self.collector.observe(address, ask)
