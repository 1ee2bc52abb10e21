"""Networks whose numbers are exact, at run time: for onnxruntime or for numpy."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

import numpy as np

from kinpack.errors import CodecError
from kinpack.networks.byte_arithmetic import byte_graph, run_bytes
from kinpack.networks.byte_layers import ByteLayers
from kinpack.networks.integer_arithmetic import run
from kinpack.networks.integer_layers import IntegerLayers
from kinpack.networks.networks import Array, Engine, Network, Session
from kinpack.networks.numpy_engine import numpy_step
from kinpack.networks.onnx_writer import PlainGraph
from kinpack.networks.tiling import Tiling

L = TypeVar("L", bound=IntegerLayers | ByteLayers)


class ExactNetwork(Network, Generic[L]):
    """A network whose numbers are exact, checked when it is made, started when first used.

    Args:
        layers: of it.
        reach: largest size of a number of its input.
        name: for messages.
        threads: of one run in onnxruntime; None leaves the choice to it.
        engine: what runs it: both give the same bytes.
        optimise: whether onnxruntime may rearrange the graph: all it can, or nothing.

    Attributes:
        layers: of it.
        engine: what runs it.

    Raises:
        CodecError: the layers do not fit together, or a sum may not be exact.
    """

    def __init__(
        self,
        layers: L,
        *,
        reach: int,
        name: str,
        threads: int | None = None,
        engine: Engine = "onnxruntime",
        optimise: bool = True,
    ) -> None:
        super().__init__(name=name, threads=threads, owner="codec", optimise=optimise)
        self.layers = layers
        self.engine: Engine = engine
        try:
            layers.check(reach)
        except CodecError as error:
            raise self.fault(str(error)) from error

    def check_fits(self, tiling: Tiling, *, takes: int, gives: int) -> None:
        """See that it maps pictures as it should, in pieces as at once.

        Args:
            tiling: sizes of the pieces.
            takes: channels of its input.
            gives: channels of its output.

        Raises:
            CodecError: it does not.
        """
        layers = self.layers
        if layers.channels != (takes, gives):
            found = "{} channels and gives {}".format(*layers.channels)
            raise self.fault(f"takes {found}, not {takes} and {gives}")
        if layers.up != tiling.up:
            raise self.fault(f"gives {layers.up} positions for one, not {tiling.up}")
        if layers.halo > tiling.halo:
            raise self.fault(
                f"cannot be run in tiles: it sees {layers.halo} positions beyond a tile, which has "
                f"a halo of {tiling.halo}"
            )

    def _limits(self) -> Callable[[tuple[int, ...]], object]:
        return self.layers.check_run

    def _engine(self) -> Session:
        return _InNumpy(self._arrays) if self.engine == "numpy" else self.session_of(self._graph())

    @abstractmethod
    def _arrays(self, x: Array) -> Array:
        """Run it in numpy."""

    @abstractmethod
    def _graph(self) -> bytes:
        """Write it as a graph from x, (n, channels, h, w), to what it gives."""


class IntegerNetwork(ExactNetwork[IntegerLayers]):
    """A network of integers."""

    def _arrays(self, x: Array) -> Array:
        y: Array = run(self.layers, x, numpy_step)
        return y

    def _graph(self) -> bytes:
        graph = PlainGraph([("x", ["n", "c", "h", "w"])])

        def write(op: str, x: str, /, *inputs: Any, **attributes: Any) -> str:
            names = [one if isinstance(one, str) else graph.constant(one) for one in inputs]
            return graph.node(op, x, *names, **attributes)

        return graph.to_bytes(run(self.layers, "x", write), ["n", "d", "i", "j"])


class ByteNetwork(ExactNetwork[ByteLayers]):
    """A network of bytes."""

    def _arrays(self, x: Array) -> Array:
        return run_bytes(self.layers, x)

    def _graph(self) -> bytes:
        return byte_graph(self.layers)


class _InNumpy:
    """A network in numpy, run as a session of onnxruntime is."""

    def __init__(self, arrays: Callable[[Array], Array]) -> None:
        self._arrays = arrays

    def run(self, output_names: None, input_feed: Mapping[str, Array]) -> list[Array]:
        # Some builds of BLAS raise the processor's flags over numbers that they do not use.
        with np.errstate(all="ignore"):
            return [self._arrays(input_feed["x"])]
