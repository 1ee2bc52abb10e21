"""Engines beside processes: Ray and Dask give the same archive, where they are installed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, TypeAlias

import pytest

from fakes.fake_codec import FakeSource, pictures
from kinpack.archive.archive import Archive
from kinpack.archive.care.verification import verify
from kinpack.errors import ImageError, KinpackError
from kinpack.jobs.mapping import Lost, map_ordered
from kinpack.jobs.table import engine_named
from kinpack.progress import Progress
from tests.archive_checks import CODEC, content, expected

Cluster: TypeAlias = Literal["ray", "dask"]


@pytest.fixture(scope="module", params=["ray", "dask"])
def cluster(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Iterator[Cluster]:
    """A cluster of two workers on this machine, begun once."""
    name: Cluster = request.param
    if name == "ray":
        ray = pytest.importorskip("ray")
        os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
        yield name
        ray.shutdown()
        return
    distributed = pytest.importorskip("distributed")
    import dask

    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as made,
        pytest.MonkeyPatch.context() as patched,
    ):
        patched.setenv("DASK_SCHEDULER_ADDRESS", made.scheduler_address)
        yield name


class Doubling:
    """Work that odd things end or fail."""

    def __call__(self, things: Sequence[int], progress: Progress) -> list[int]:
        if any(thing < 0 for thing in things):
            os.kill(os.getpid(), signal.SIGKILL)
        if any(thing > 99 for thing in things):
            raise ImageError("too large")
        progress(len(things))
        return [2 * thing for thing in things]


@pytest.mark.slow
def test_work_on_a_cluster(cluster: Cluster) -> None:
    told: list[int] = []
    with engine_named(cluster)(Doubling(), 2) as engine:
        made = list(map_ordered(engine, [[1, 2], [3, -4], [7]], told.append))
        lost = [one for one in made if isinstance(one, Lost)]
        assert [one.thing for one in lost] == [-4]
        assert "ended" in lost[0].reason
        assert [two for one in made if not isinstance(one, Lost) for two in one] == [2, 4, 6, 14]
        assert sum(told) == 5
        with pytest.raises(ImageError, match="too large"):
            list(map_ordered(engine, [[100]]))


@pytest.mark.slow
def test_a_cluster_makes_the_same_archive(cluster: Cluster, tmp_path: Path) -> None:
    source = FakeSource([*pictures(30).images, ("broken", None, None)])
    path = tmp_path / "a.kin"
    with Archive.create(path, CODEC, describer=None) as archive:
        report = archive.add(source, jobs=2, engine=cluster, skip_broken=True)
        assert (report.added, [name for name, _ in report.broken]) == (30, ["broken"])
        assert archive.ids == [name for name, _, _ in source.images[:-1]]
    assert verify(path, deep=True).notes == []
    assert content(path) == expected(pictures(30))


def test_an_unknown_engine_is_refused() -> None:
    name: Any = "spark"
    with pytest.raises(KinpackError, match="ray"), suppress(ImportError):
        engine_named(name)
