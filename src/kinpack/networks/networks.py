"""Networks of a codec or describer at run time: checked, then run whole or in tiles."""

from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import cache, cached_property, partial
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from kinpack.errors import CodecError, see_memory
from kinpack.networks.graph_session import GraphSession
from kinpack.networks.graphs.graph_shapes import check_run
from kinpack.networks.graphs.network_graph import Graph, network_fault
from kinpack.networks.graphs.onnx_reader import read_graph
from kinpack.networks.tiling import Tiling, pieces

Array = NDArray[np.float32]
Engine = Literal["onnxruntime", "numpy"]

_REMEMBERED = 256
"""Input shapes that are known to be harmless; beyond this they are checked anew."""


@cache
def engines() -> tuple[Engine, ...]:
    """Name the engines that are installed, the fastest first."""
    # Unless told so before it is imported, onnxruntime keeps an identity of the machine in the
    # user's folder, and sends its maker word of what is run.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        import onnxruntime  # noqa: F401
    except ImportError:
        return ("numpy",)
    return "onnxruntime", "numpy"


class Session(Protocol):
    """What runs a graph, as onnxruntime's sessions do."""

    def run(self, output_names: None, input_feed: Mapping[str, Array]) -> Sequence[Any]:
        """Give the outputs for inputs by their names."""


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
        self._input = "x"
        self._session: Session | None = None
        self._harmless: set[tuple[int, ...]] = set()
        self._lock = threading.Lock()

    def __call__(self, x: Array, gives: tuple[int, ...] | None = None) -> Array:
        """Run the network.

        Args:
            x: float32, in the network's input shape.
            gives: shape that the output must have, of numbers that are all finite; by default it
                may be any.

        Returns:
            float32 array in its output shape; a zero is never a negative one.

        Raises:
            CodecError: the network is refused, does not load, does not take this input, asks for
                too much, or gives something else.
        """
        session = self._session
        if session is None or x.shape not in self._harmless:
            session = self._started(x.shape)
        y = self.run(session, {self._input: np.ascontiguousarray(x, np.float32)})
        if gives is not None and y.shape != gives:
            raise self.fault(f"gives an array of shape {y.shape}, not {gives}")
        if gives is not None and not np.isfinite(y).all():
            raise self.fault("gives numbers that are not finite")
        return y

    def run(self, session: Session, inputs: Mapping[str, Array]) -> Array:
        """Run this network, or what stands for it.

        Args:
            session: that `session_of` has started, or another engine's.
            inputs: by their names.

        Returns:
            The output; a zero is never a negative one.

        Raises:
            CodecError: it does not run, or gives something else than one float32 array.
        """
        try:
            y = session.run(None, inputs)[0]
        except Exception as error:  # onnxruntime's errors share no base class
            see_memory(error, f"the network {self.name} of a {self._owner}")
            raise self.fault(f"does not run ({_line(error)})") from error
        if not isinstance(y, np.ndarray) or y.dtype != np.float32:
            raise self.fault("gives something else than one float32 array")
        # Engines differ in the sign of a zero, and in nothing else if all numbers are integers.
        with np.errstate(invalid="ignore"):
            return y + np.float32(0)

    def fault(self, what: str) -> CodecError:
        """Error that blames the file for what this network does."""
        return network_fault(what, name=self.name, owner=self._owner)

    def session_of(self, graph: bytes) -> Session:
        """Start a graph in onnxruntime: this network, or what stands for it.

        Args:
            graph: the serialised graph, of one output.

        Raises:
            CodecError: the graph does not load.
        """
        if "onnxruntime" not in engines():
            raise self.fault("is to run in onnxruntime, which is not installed here")
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # errors come as exceptions
        # Spinning workers cost other threads more than they save at these sizes.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # Steps between bytes and floats stay as they are written.
        options.add_session_config_entry("session.disable_quant_qdq", "1")
        # Plans of memory are kept for every shape of input; they save no time.
        options.enable_mem_pattern = False
        if self._threads is not None:
            options.intra_op_num_threads = self._threads
        if not self._optimise:
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        try:
            session: Session = onnxruntime.InferenceSession(
                graph, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            see_memory(error, f"the network {self.name} of a {self._owner}")
            raise self.fault(f"does not load ({_line(error)})") from error
        return session

    @abstractmethod
    def _limits(self) -> Callable[[tuple[int, ...]], object]:
        """Load it; returns what checks all that it asks for, given an input of some shape."""

    @abstractmethod
    def _engine(self) -> Session:
        """Start what runs it."""

    def _started(self, shape: tuple[int, ...]) -> Session:
        """Check an input's shape, and start the engine if this is the first."""
        with self._lock:
            check = self._limits()
            try:
                check(shape)
            except CodecError as error:
                raise self.fault(f"does not run ({error})") from error
            if len(self._harmless) >= _REMEMBERED:
                self._harmless.clear()
            self._harmless.add(shape)
            if self._session is None:
                self._session = self._engine()
            return self._session


class OnnxNetwork(Network):
    """One ONNX graph.

    The graph is read and checked before onnxruntime sees it (module ``onnx_reader``); so is what it
    asks for, given the first input and each one of a new shape (module ``graph_shapes``). Without
    onnxruntime it runs in numpy.

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

    def _limits(self) -> Callable[[tuple[int, ...]], object]:
        return partial(check_run, self._graph)

    def _engine(self) -> Session:
        if "onnxruntime" not in engines():
            return GraphSession(self._graph)
        return self.session_of(self._bytes)

    @cached_property
    def _graph(self) -> Graph:
        graph = read_graph(self._bytes, name=self.name, owner=self._owner)
        self._input = graph.input.name
        return graph


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
    up, down = tiling.up, tiling.down
    shape = (n, channels, height * up // down, width * up // down)
    if max(height, width) <= tiling.tile + 2 * tiling.halo:
        return network(x, shape)
    y: Array = np.empty(shape, np.float32)
    for piece in pieces((height, width), tiling):
        part = x[:, :, *piece.source]
        h, w = part.shape[2:]
        made = network(part, (n, channels, h * up // down, w * up // down))
        y[:, :, *piece.place] = made[:, :, *piece.kept]
    return y


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
