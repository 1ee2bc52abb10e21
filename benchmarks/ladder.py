"""What each part of the context model saves: the ladder of docs/codec.md.

    python benchmarks/ladder.py --cifar DIR --photos DIR --minutes 2 --threads 1

The transforms stay those of the shipped codec. For each rung the context networks are learned anew,
for the same time, and the toy database is coded with frequency tables refitted on training patches.
Bits are those that the integer tables give to the symbols; true payloads are longer by 0.1 % and 3
bytes at most (tests/test_entropy.py).
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.machine import describe_machine
from kinpack.codec.embedder import Embedder
from kinpack.codec.quality import lam
from kinpack.learn.bottlenecks import SCALE_HIGH, SCALE_LOW, gaussian_bits
from kinpack.learn.config import NetworkConfig, Step
from kinpack.learn.freeze import BINS_PER_OCTAVE
from kinpack.learn.learning import read_collection
from kinpack.learn.model import CodecModel, quantiser_step
from kinpack.learn.networks import parity_mask
from kinpack.learn.patches import PatchSampler
from kinpack.learn.start_file import shipped_start
from kinpack.learn.tables import gaussian_tables, refit_tables
from kinpack.learn.training import balance
from kinpack.learn.warm_start import take_over
from kinpack.metrics import bd_rate
from kinpack.sources import open_source
