"""A compute graph by sizes alone, and the buffers that ggml reserves for it.

Follows ggml-alloc.c (`ggml_gallocr_alloc_graph_impl`: best fit, results written over an operand nobody else reads) and
ggml-backend.cpp (`ggml_backend_sched_split_graph`: a run of nodes on one device begins with copies of what it reads from
others). What has a buffer of its own, weights and caches, appears only where another device reads it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

_ALIGNMENT = 128
_ENDLESS = 1 << 62
HOST = 0


class GraphNode:
    """A tensor: the result of an operation, an input, or a view of another tensor."""

    __slots__ = (
        "allocated", "device", "extra_bytes", "in_place", "is_input", "is_output", "is_weight", "n_bytes", "n_readers",
        "n_views", "offset", "owner", "source", "visited", "visits",
    )  # fmt: skip

    def __init__(self, n_bytes: int, device: int, visits: tuple[GraphNode, ...]) -> None:
        self.n_bytes = n_bytes
        self.device = device
        self.visits = visits
        """Operands, left to right."""
        self.source: GraphNode | None = None
        """Of a view: the tensor whose bytes it shows."""
        self.extra_bytes = 0
        """Scratch that the operation wants behind its result."""
        self.in_place = self.is_input = self.is_output = self.is_weight = False
        self.visited = self.allocated = False
        self.n_readers = self.n_views = self.offset = 0
        self.owner = device

    @property
    def is_view(self) -> bool:
        return self.source is not None and self.source is not self


class Graph:
    """Nodes in the order llama.cpp expands them. `device` holds what the next operation reads, and runs it."""

    def __init__(self) -> None:
        self.device = HOST
        self.helper: int | None = None
        """Runs what the host would: its weights and caches are copied over as they are needed. None: the host does that."""
        self._nodes: list[GraphNode] = []
        self._inputs: list[GraphNode] = []

    def input(self, n_bytes: int, device: int) -> GraphNode:
        node = GraphNode(n_bytes, device, ())
        node.is_input = True
        self._inputs.append(node)
        return node

    @property
    def runs_on(self) -> int:
        return self.helper if self.helper is not None and self.device == HOST else self.device

    @contextmanager
    def unhelped(self) -> Iterator[None]:
        """For operations on a cache or state itself, and those of one row: they run where that is."""
        helper, self.helper = self.helper, None
        yield
        self.helper = helper

    def kept(self, n_bytes: int, *, is_weight: bool = False) -> tuple[GraphNode, ...]:
        """What an operation reads out of a weight or cache of `device`: nothing to count where that runs it too."""
        if self.runs_on == self.device:
            return ()
        node = GraphNode(n_bytes, self.device, ())
        node.is_input, node.is_weight = True, is_weight
        return (node,)

    def result(self, n_bytes: int, *operands: GraphNode, in_place: bool = False, extra_bytes: int = 0) -> GraphNode:
        """`in_place`: ggml may write this over an operand of the same layout."""
        node = GraphNode(n_bytes, self.runs_on, operands)
        node.in_place, node.extra_bytes = in_place, extra_bytes
        return node

    def view(self, of: GraphNode, n_bytes: int | None = None) -> GraphNode:
        node = GraphNode(of.n_bytes if n_bytes is None else n_bytes, of.device, (of,))
        node.source = of.source or of
        return node

    def store(self, *operands: GraphNode) -> None:
        """A write into a cache of `device`: it reads and leaves nothing behind."""
        node = GraphNode(0, self.device, operands)
        node.source = node
        self.expand(node)

    def hold(self, *operands: GraphNode) -> None:
        """Keeps them until now, for a kernel that computes several operations at once."""
        node = GraphNode(0, self.runs_on, operands)
        node.source = node
        self.expand(node)

    def expand(self, node: GraphNode) -> GraphNode:
        """Appends what `node` needs, operands first, then itself."""
        stack = [(node, 0)]
        while stack:
            current, index = stack.pop()
            if index == 0:
                if current.visited:
                    continue
                current.visited = True
            if index < len(current.visits):
                stack.append((current, index + 1))
                stack.append((current.visits[index], 0))
            elif not current.is_input:
                self._nodes.append(current)
        return node

    def buffer_bytes(self, n_devices: int, n_copies: int = 1) -> list[int]:
        """What each device's buffer takes. `n_copies` > 1: so many batches are under way at once, each with inputs of its own."""
        schedule, copies = _with_copies(self._nodes)
        heaps = [_Heap() for _ in range(n_devices)]
        if n_copies > 1:
            for node in (*self._inputs, *copies):
                node.is_output = True
                for _ in range(n_copies):
                    _allocate(node, heaps)
        for node in self._inputs:
            if not node.allocated:
                _allocate(node, heaps)
        for node in schedule:
            if node.source is not None and node.is_view:
                node.source.n_views += 1
            for operand in node.visits:
                operand.n_readers += 1
        for node in schedule:
            if node.source is None and not node.allocated:
                _allocate(node, heaps)
            for operand in node.visits:
                _release(operand, heaps)
        return [heap.most_bytes for heap in heaps]


def _with_copies(nodes: Iterable[GraphNode]) -> tuple[list[GraphNode], list[GraphNode]]:
    """The schedule, where each run on one device first copies what it reads from elsewhere, and these copies.

    A weight from elsewhere begins a run of its own, so that the room of the one before is free again.
    """
    schedule: list[GraphNode] = []
    copies: dict[tuple[GraphNode, int], GraphNode] = {}
    run: list[GraphNode] = []
    device, has_copied = HOST, False
    for node in nodes:
        if node.is_view:
            run.append(node)
            continue
        here = node.device
        foreign = [operand for operand in node.visits if operand.device != here and operand.n_bytes]
        if here != device or (has_copied and any(operand.is_weight for operand in foreign)):
            schedule.extend(run)
            run.clear()
            device, has_copied = here, False
        if foreign:
            for operand in foreign:
                if (operand, here) in copies:
                    continue
                waits = GraphNode(0, here, (operand,))
                waits.source = waits
                copy = copies[operand, here] = GraphNode(operand.n_bytes, here, ())
                schedule.append(waits)
                schedule.append(copy)
                has_copied = True
            node.visits = tuple(copies.get((operand, here), operand) for operand in node.visits)
        run.append(node)
    schedule.extend(run)
    return schedule, list(copies.values())


def _allocate(node: GraphNode, heaps: list[_Heap]) -> None:
    if node.in_place:
        for operand in node.visits:
            # A view is never written over: ggml-alloc does not take it for its own.
            if not operand.allocated or operand.is_output or operand.n_bytes != node.n_bytes:
                continue
            if operand.n_readers == 1 and not operand.n_views:
                operand.allocated = False
                node.allocated, node.offset, node.owner = True, operand.offset, operand.owner
                return
    node.allocated, node.owner = True, node.device
    node.offset = heaps[node.device].take(_aligned(node.n_bytes + node.extra_bytes))


def _release(operand: GraphNode, heaps: list[_Heap]) -> None:
    operand.n_readers -= 1
    if operand.n_readers or operand.n_views:
        return
    holder = operand
    if operand.source is not None:
        holder = operand.source
        holder.n_views -= 1
        if holder.n_views or holder.n_readers:
            return
    if holder.allocated and not holder.is_output:
        heaps[holder.owner].give_back(holder.offset, _aligned(holder.n_bytes + holder.extra_bytes))
        holder.allocated = False


def _aligned(n_bytes: int) -> int:
    return -(-n_bytes // _ALIGNMENT) * _ALIGNMENT


class _Heap:
    """Best fit, the endless last block only where no other one suffices."""

    __slots__ = ("_free", "most_bytes")

    def __init__(self) -> None:
        self._free: list[list[int]] = [[0, _ENDLESS]]
        """Offset and size, by offset."""
        self.most_bytes = 0

    def take(self, n_bytes: int) -> int:
        best = len(self._free) - 1
        best_size = _ENDLESS
        for index in range(len(self._free) - 1):
            size = self._free[index][1]
            if n_bytes <= size <= best_size:
                best, best_size = index, size
        block = self._free[best]
        offset = block[0]
        block[0] += n_bytes
        block[1] -= n_bytes
        if not block[1]:
            del self._free[best]
        self.most_bytes = max(self.most_bytes, offset + n_bytes)
        return offset

    def give_back(self, offset: int, n_bytes: int) -> None:
        if not n_bytes:
            return
        free = self._free
        index = 0
        while index < len(free) and free[index][0] < offset:
            index += 1
        touches_next = index < len(free) and offset + n_bytes == free[index][0]
        if index and free[index - 1][0] + free[index - 1][1] == offset:
            free[index - 1][1] += n_bytes
            if touches_next:
                free[index - 1][1] += free[index][1]
                del free[index]
        elif touches_next:
            free[index][0] = offset
            free[index][1] += n_bytes
        else:
            free.insert(index, [offset, n_bytes])
