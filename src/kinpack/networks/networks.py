"""Networks of a codec or describer at run time: checked, then run whole or in tiles."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from kinpack.errors import CodecError
from kinpack.networks.graphs.graph_shapes import check_run
from kinpack.networks.graphs.network_graph import Graph, network_fault
from kinpack.networks.graphs.onnx_reader import read_graph
from kinpack.networks.tiling import Tiling, pieces

Array = NDArray[np.float32]
Engine = Literal["onnxruntime", "numpy"]

_REMEMBERED = 256
"""Input shapes that are known to be harmless; beyond this they are checked anew."""


class Network(ABC):
    """A network with one float32 input and one float32 output; started when first used.

    Args:
        name: for messages.
        threads: of one run in onnxruntime; None leaves the choice to it.
        owner: whose network it is, for messages.
        optimise: whether onnxruntime may rearrange the graph: all it can, or nothing.
    """

    def __init__(self, *, name: str, threads: int | None, owner: str, optimise: bool) -> None:
        self.name, self._owner = name, owner
        self._threads, self._optimise = threads, optimise
        self._run: Callable[[Array], Any] | None = None
        self._harmless: set[tuple[int, ...]] = set()
        self._lock = threading.Lock()

    def __call__(self, x: Array) -> Array:
        """Run the network.

        Args:
            x: float32, in the network's input shape.

        Returns:
            float32 array in its output shape; a zero is never a negative one.

        Raises:
            CodecError: the network is refused, does not load, does not take this input, asks for
                too much, or gives no float32.
        """
        run = self._started(x.shape)
        try:
            y = run(np.ascontiguousarray(x, np.float32))
        except CodecError:
            raise
        except Exception as error:  # onnxruntime's errors share no base class
            raise self.fault(f"does not run ({_line(error)})") from error
        if not isinstance(y, np.ndarray) or y.dtype != np.float32:
            raise self.fault("gives something else than one float32 array")
        # Engines differ in the sign of a zero, and in nothing else if all numbers are integers.
        with np.errstate(invalid="ignore"):
            return y + np.float32(0)

    def fault(self, what: str) -> CodecError:
        """Error that blames the file for what this network does."""
        return network_fault(what, name=self.name, owner=self._owner)

    def session_of(self, graph: bytes) -> Callable[[Mapping[str, Array]], Array]:
        """Start a graph in onnxruntime: this network, or what stands for it.

        Args:
            graph: the serialised graph, of one output.

        Returns:
            What maps the inputs by their names to the output.

        Raises:
            CodecError: the graph does not load.
        """
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # errors come as exceptions
        # Spinning workers cost other threads more than they save at these sizes.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # Plans of memory are kept for every shape of input; they save no time.
        options.enable_mem_pattern = False
        if self._threads is not None:
            options.intra_op_num_threads = self._threads
        if not self._optimise:
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        try:
            session = onnxruntime.InferenceSession(
                graph, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            raise self.fault(f"does not load ({_line(error)})") from error

        def run(inputs: Mapping[str, Array]) -> Array:
            try:
                y: Array = session.run(None, dict(inputs))[0]
            except Exception as error:  # onnxruntime's errors share no base class
                raise self.fault(f"does not run ({_line(error)})") from error
            return y

        return run

    @abstractmethod
    def _limits(self) -> Callable[[tuple[int, ...]], object]:
        """Load it; returns what checks all that it asks for, given an input of some shape."""

    @abstractmethod
    def _engine(self) -> Callable[[Array], Any]:
        """Start what runs it."""

    def _started(self, shape: tuple[int, ...]) -> Callable[[Array], Any]:
        """Check an input's shape, and start the engine if this is the first."""
        with self._lock:
            if shape not in self._harmless:
                check = self._limits()
                try:
                    check(shape)
                except CodecError as error:
                    raise self.fault(f"does not run ({error})") from error
                if len(self._harmless) >= _REMEMBERED:
                    self._harmless.clear()
                self._harmless.add(shape)
            if self._run is None:
                self._run = self._engine()
            return self._run


class OnnxNetwork(Network):
    """One ONNX graph.

    The graph is read and checked before onnxruntime sees it (module ``onnx_reader``); so is what it
    asks for, given the first input and each one of a new shape (module ``graph_shapes``).

    Args:
        graph: the serialised graph.
        name: for messages.
        threads: of one run in onnxruntime; None leaves the choice to it.
        owner: whose network it is, for messages.
        optimise: whether onnxruntime may rearrange the graph: all it can, or nothing.
    """

    def __init__(
        self,
        graph: bytes,
        *,
        name: str,
        threads: int | None = None,
        owner: str = "codec",
        optimise: bool = True,
    ) -> None:
        super().__init__(name=name, threads=threads, owner=owner, optimise=optimise)
        self._bytes = graph

    @cached_property
    def _graph(self) -> Graph:
        return read_graph(self._bytes, name=self.name, owner=self._owner)

    def _limits(self) -> Callable[[tuple[int, ...]], object]:
        graph = self._graph
        return lambda shape: check_run(graph, shape)

    def _engine(self) -> Callable[[Array], Any]:
        session, name = self.session_of(self._bytes), self._graph.input.name
        return lambda x: session({name: x})


def run_tiled(network: Network, x: Array, tiling: Tiling, *, channels: int) -> Array:
    """Run a convolutional network in pieces, so that memory stays flat in the picture's size.

    Args:
        network: of stride ``down`` or growth ``up``.
        x: (n, channels in, H, W); the sides, the tile and the halo are multiples of ``down``.
        tiling: sizes.
        channels: that the network gives.

    Returns:
        (n, channels, H·up/down, W·up/down), what one run of the whole would give.

    Raises:
        CodecError: the network does not run, or gives another shape or numbers that are not finite.
    """
    n, _, height, width = x.shape
    if height <= tiling.tile + 2 * tiling.halo and width <= tiling.tile + 2 * tiling.halo:
        return _run(network, x, tiling, channels)
    y: Array = np.empty((n, channels, tiling.scaled(height), tiling.scaled(width)), np.float32)
    for piece in pieces((height, width), tiling):
        made = _run(network, x[:, :, *piece.source], tiling, channels)
        y[:, :, *piece.place] = made[:, :, *piece.kept]
    return y


def _run(network: Network, x: Array, tiling: Tiling, channels: int) -> Array:
    """Run once, checking what comes out: a codec file may hold any network."""
    y = network(x)
    n, _, height, width = x.shape
    up, down = tiling.up, tiling.down
    shape = (n, channels, height * up // down, width * up // down)
    if y.shape != shape:
        raise network.fault(f"gives an array of shape {y.shape}, not {shape}")
    if not np.isfinite(y).all():
        raise network.fault("gives numbers that are not finite")
    return y


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
