"""The parts of a codec file: its networks, arrays and tables, checked and made ready."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from kinpack.codec.causal.causal_alpha import CausalAlpha
from kinpack.codec.causal.causal_coder import CausalCoder
from kinpack.codec.causal.causal_image import CausalImages, causal_test
from kinpack.codec.causal.causal_model import CausalModel
from kinpack.codec.classic.payloads import ClassicImages
from kinpack.codec.learned.dense_layers import DenseLayers, DenseNetwork, Run
from kinpack.codec.learned.latent_coder import LatentCoder
from kinpack.codec.learned.latent_format import LatentFormat
from kinpack.codec.learned.lattice_coder import LatticeCoder
from kinpack.codec.learned.learned import LearnedCoder, LearnedImages
from kinpack.codec.learned.self_test import learned_test
from kinpack.codec.learned.side_code import SideCode
from kinpack.codec.learned.symbol_choice import SymbolChoice
from kinpack.codec.packets.packet import Kind
from kinpack.codec.packets.payload import Payload, Payloads
from kinpack.describers.descriptor import NetworkDescriptor
from kinpack.describers.product_code import ProductQuantiser
from kinpack.errors import CodecError, KinpackError
from kinpack.networks.byte_layers import ByteLayers
from kinpack.networks.container import Container, array_of, integers_of
from kinpack.networks.graphs.network_graph import network_fault
from kinpack.networks.integer_layers import MOST_READ, IntegerLayers
from kinpack.networks.integer_network import ByteNetwork, ExactNetwork, IntegerNetwork
from kinpack.networks.networks import Engine, Network, OnnxNetwork, engines

_Made = TypeVar("_Made")
_log = logging.getLogger(__name__)


class CodecParts:
    """Makes what a codec needs of what its file holds.

    Args:
        container: the file's content.
        threads: of the networks; None leaves the choice to the runtime.
        engine: what runs the networks that decode; None takes onnxruntime, and numpy where that
            fails the file's test packets.
        optimise: whether onnxruntime may rearrange the graphs.
    """

    def __init__(
        self,
        container: Container,
        *,
        threads: int | None = None,
        engine: Engine | None = None,
        optimise: bool = True,
    ) -> None:
        self._blobs, self._arrays, self._threads = container.blobs, container.arrays, threads
        self._engine, self._optimise = engine, optimise
        self._header = container.header
        self._name = str(self._header.get("name", "unnamed"))

    def payloads(self) -> Payloads:
        """All ways of coding that the codec has, a line for each, in the order they are tried."""
        learned: dict[tuple[Kind, ...], Callable[[], Payload | None]] = {
            LearnedImages.kinds: self._tested_learned,
            CausalImages.kinds: self._tested_causal,
        }
        own = learned if self._header.get("sort") == "learned" else {}
        makers = {**own, ClassicImages.kinds: ClassicImages}
        return Payloads(self._name, makers, own=tuple(own), alpha=self._causal_alpha())

    def untested_coder(self, engine: Engine = "onnxruntime") -> LearnedCoder:
        """Coder of learned payloads whose decoding networks run in an engine, not yet tested.

        Args:
            engine: what runs them; what only encodes runs in onnxruntime.

        Raises:
            CodecError: the codec's parts do not fit together.
        """
        latents = self._latents(engine)
        reach = max(latents.latent.limit, MOST_READ)
        return LearnedCoder(
            latents,
            analysis=self._network("analysis"),
            synthesis=self._synthesis(engine, reach),
        )

    def untested_learned(self, engine: Engine = "onnxruntime") -> LearnedImages:
        """Learned payloads whose decoding networks run in an engine, not yet tested.

        Raises:
            CodecError: the codec's parts do not fit together.
        """
        return LearnedImages(self.untested_coder(engine), self.side_code())

    def side_code(self) -> SideCode | None:
        """What goes before messages; codecs with a lattice need nothing."""
        if "lattice" in self._header:
            return None
        books = array_of(self._arrays, "codebooks").astype(np.float32)
        quantiser = ProductQuantiser(books)
        return SideCode(NetworkDescriptor(self._network("code"), quantiser.D), quantiser)

    def _latents(self, engine: Engine) -> LatentCoder | LatticeCoder:
        """What codes latents: on a lattice, or in the steps of a checkerboard."""
        if "lattice" in self._header:
            started = self._dense_network if engine == "onnxruntime" else None
            return LatticeCoder.from_file(self._header, self._arrays, started)
        latent = LatentFormat.from_dict(self._header.get("latent", {}))
        code_context = integers_of(self._arrays, "code_context")
        books = array_of(self._arrays, "codebooks")
        if code_context.shape[:2] != books.shape[:2]:
            raise CodecError(
                f"the side code of codec {self._name!r} does not fit its payloads; make it anew"
            )
        reach = max(latent.limit, MOST_READ)
        return LatentCoder(
            latent,
            context=[
                self._integer_network(f"context{i}", engine, reach)
                for i in range(len(latent.steps))
            ],
            code_context=code_context,
            choice=SymbolChoice.from_arrays(self._arrays, limit=latent.limit),
        )

    def _dense_network(self, layers: DenseLayers, name: str) -> Run:
        """Dense layers in onnxruntime."""
        return DenseNetwork(layers, name=name, threads=self._threads, optimise=self._optimise).rows

    def _tested_learned(self) -> LearnedImages:
        """Learned payloads in the first engine that passes the file's test packets.

        Raises:
            CodecError: the codec's parts do not fit together, or no engine passes.
        """
        return self._tested(
            self.untested_learned,
            lambda images: learned_test(self._header.get("test")).failure(images),
        )

    def untested_causal(self, engine: Engine = "onnxruntime") -> CausalImages | None:
        """Coder of causal payloads whose restoration runs in an engine; None if there is none.

        Raises:
            CodecError: its parts do not fit together.
        """
        if "causal_steps" not in self._arrays:
            return None
        return CausalImages(
            CausalCoder(CausalModel.from_arrays(self._arrays, "grey")),
            self._integer_network("restoration", engine, MOST_READ),
            integers_of(self._arrays, "causal_steps"),
        )

    def _tested_causal(self) -> CausalImages | None:
        """Causal payloads in the first engine that passes the file's test packets.

        Raises:
            CodecError: the codec's parts do not fit together, or no engine passes.
        """
        test = self._header.get("causal_test")
        return self._tested(
            self.untested_causal,
            lambda images: causal_test(test).failure(images) if images else None,
        )

    def _tested(
        self, make: Callable[[Engine], _Made], failure: Callable[[_Made], KinpackError | None]
    ) -> _Made:
        """What is made in the first engine that passes the file's test packets."""
        failures: list[KinpackError] = []
        for engine in (self._engine,) if self._engine else engines():
            made = make(engine)
            fault = failure(made)
            if fault is None:
                return made
            failures.append(fault)
            _log.warning("kinpack: codec %r in %s: %s", self._name, engine, fault)
        raise failures[0]

    def _causal_alpha(self) -> CausalAlpha | None:
        if "alpha_weight0" not in self._arrays:
            return None
        return CausalAlpha(CausalCoder(CausalModel.from_arrays(self._arrays, "alpha")))

    def _network(self, name: str) -> Network:
        graph = self._blobs.get(name)
        if graph is None:
            raise CodecError(f"codec {self._name!r} lacks the network {name!r}; make it anew")
        return OnnxNetwork(graph, name=name, threads=self._threads, optimise=self._optimise)

    def _synthesis(self, engine: Engine, reach: int) -> ExactNetwork[Any]:
        """The network that draws, whose inputs lie within ±reach: of bytes, or of integers."""
        if "byte_networks" not in self._header:
            return self._integer_network("synthesis", engine, reach)
        layers = self._layers("byte_networks", "synthesis", ByteLayers.from_parts)
        return ByteNetwork(layers, reach=reach, name="synthesis", **self._running(engine))

    def _integer_network(self, name: str, engine: Engine, reach: int) -> IntegerNetwork:
        """A network whose inputs lie within ±reach."""
        layers = self._layers("integer_networks", name, IntegerLayers.from_parts)
        return IntegerNetwork(layers, reach=reach, name=name, **self._running(engine))

    def _layers(
        self,
        key: str,
        name: str,
        read: Callable[[Any, Mapping[str, NDArray[Any]], str], _Made],
    ) -> _Made:
        stored = self._header.get(key)
        if not isinstance(stored, Mapping) or name not in stored:
            raise CodecError(f"codec {self._name!r} lacks the network {name!r}; make it anew")
        try:
            return read(stored[name], self._arrays, name)
        except CodecError as error:
            raise network_fault(str(error), name=name, owner="codec") from error

    def _running(self, engine: Engine) -> dict[str, Any]:
        return {"threads": self._threads, "engine": engine, "optimise": self._optimise}
