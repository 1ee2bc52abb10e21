"""Codecs with lattice context: what their networks see, how they learn, how a run resumes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kinpack.errors import CodecError, SourceError

torch = pytest.importorskip("torch")

from kinpack.codec.codec import Codec  # noqa: E402
from kinpack.codec.learned.lattice import order_of  # noqa: E402
from kinpack.codec.learned.lattice_contexts import Group  # noqa: E402
from kinpack.learn.forms import network_of  # noqa: E402
from kinpack.learn.freezing.lattice_codec import byte_synthesis_of, freeze_lattice  # noqa: E402
from kinpack.learn.freezing.lattice_freeze import frozen_coder, latents_in_units  # noqa: E402
from kinpack.learn.freezing.scales import LIMIT, UNIT  # noqa: E402
from kinpack.learn.lattice.config import LatticeConfig  # noqa: E402
from kinpack.learn.lattice.context import LatticeContext  # noqa: E402
from kinpack.learn.lattice.model import LatticeModel  # noqa: E402
from kinpack.learn.lattice.patch_files import PatchFiles, Share  # noqa: E402
from kinpack.learn.lattice.run import averaged_model, begin_with, lattice_run  # noqa: E402
from kinpack.learn.lattice.seen_error import squared_error, structure_error  # noqa: E402
from kinpack.learn.models.config import NetworkConfig, TrainingConfig  # noqa: E402
from kinpack.learn.models.model import quantiser_step  # noqa: E402
from kinpack.learn.training.loop import TrainingRun  # noqa: E402
from kinpack.learn.training.start_file import read_start, shipped_start, start_of  # noqa: E402
from kinpack.metrics import psnr  # noqa: E402
from kinpack.networks.integer_network import ByteNetwork  # noqa: E402
from tests.small_lattice import SMALL  # noqa: E402

pytestmark = [pytest.mark.learn, pytest.mark.slow]


def _patches(folder: Path, *, side: int = 32, n: int = 12) -> PatchFiles:
    rng = np.random.default_rng(3)
    base = rng.integers(0, 256, size=(n, 1, 1, 3))
    ramp = np.arange(side)[None, :, None, None] + np.arange(side)[None, None, :, None]
    pictures = (base + 2 * ramp + rng.integers(0, 12, size=(n, side, side, 3))).clip(0, 255)
    np.save(folder / "patches.npy", pictures.astype(np.uint8))
    return PatchFiles([Share(folder / "patches.npy", 1)], pixels=4 * side * side)


def test_the_lattice_keeps_latents_within_half_a_step() -> None:
    torch.manual_seed(0)
    lattice = LatticeContext(4, 16)
    y = 5 * torch.randn(2, 4, 7, 10)
    step = quantiser_step(torch.tensor([40.0, 70.0]))
    y_hat, bits = lattice(y, torch.zeros(2), step)
    # Moved inward in its cell, a latent is off by up to a whole half more.
    assert ((y_hat - y).abs() <= step.view(2, 1, 1, 1) * 1.001).all()
    assert bits.shape == (2, len(order_of(7, 10).levels))
    assert (bits > 0).all()


def test_a_level_sees_only_what_is_coded_before_it() -> None:
    torch.manual_seed(1)
    lattice = LatticeContext(4, 16)
    order = order_of(6, 5)
    y = 3 * torch.randn(1, 4, 6, 5)
    _, before = lattice(y, torch.zeros(1), torch.ones(1))
    start = 0
    for index, count in enumerate(order.counts):
        changed = y.clone().flatten(2)
        changed[:, :, order.places[start : start + count].tolist()] += 4
        _, after = lattice(changed.view_as(y), torch.zeros(1), torch.ones(1))
        assert torch.equal(after[:, :index], before[:, :index])
        assert not torch.equal(after, before)
        start += count


def test_flat_latents_are_predicted_from_one_position() -> None:
    """To begin with a position is predicted as the mean of what is nearest."""
    lattice = LatticeContext(4, 16)
    y = torch.full((1, 4, 8, 8), 37.0)
    _, bits = lattice(y, torch.zeros(1), torch.ones(1))
    first, others = bits[0, 0], bits[0, 1:].sum() / 63
    assert first > 10 * others


def test_groups_must_follow_one_another() -> None:
    for groups in ((Group(4, 12, True),), (Group(4, 12, True), Group(11, 24, False))):
        with pytest.raises(CodecError, match="groups"):
            replace(SMALL, groups=groups)


def test_configurations_survive_as_plain_values() -> None:
    assert LatticeConfig.from_dict(SMALL.to_dict()) == SMALL
    training = TrainingConfig(minutes=2, chroma=(0.5, 0.4))
    assert TrainingConfig.from_dict(training.to_dict()) == training
    with pytest.raises(CodecError, match="no field"):
        TrainingConfig.from_dict({"hours": 1})


def test_errors_weigh_luma_and_are_nothing_for_equal_pictures() -> None:
    picture = torch.rand(2, 3, 32, 32) - 0.5
    assert squared_error(picture, picture, (0.6, 0.5)).abs().max() == 0
    assert structure_error(picture, picture).abs().max() < 1e-5
    grey = picture + 1 / 255
    assert squared_error(grey, picture, (0.6, 0.5)) == pytest.approx([1, 1], rel=1e-3)
    assert (structure_error(torch.rand(2, 3, 32, 32) - 0.5, picture) > 0.5).all()


def test_batches_depend_on_seed_and_step_alone(tmp_path: Path) -> None:
    patches, again = _patches(tmp_path), _patches(tmp_path)
    assert patches.batch(7).shape == (4, 3, 32, 32)
    assert (patches.batch(7) == again.batch(7)).all()
    assert (patches.batch(7) != patches.batch(8)).any()


def test_files_that_hold_no_patches_are_refused(tmp_path: Path) -> None:
    (tmp_path / "broken.npy").write_bytes(b"no array")
    np.save(tmp_path / "floats.npy", np.zeros((2, 8, 8, 3)))
    for name in ("broken.npy", "floats.npy", "missing.npy"):
        with pytest.raises(SourceError, match=name):
            PatchFiles([Share(tmp_path / name, 1)], pixels=1024)
    with pytest.raises(SourceError, match="no patches"):
        PatchFiles([], pixels=1024)


def test_a_resumed_run_repeats_an_unbroken_one(tmp_path: Path) -> None:
    patches = _patches(tmp_path)

    def run(folder: str) -> TrainingRun:
        training = TrainingConfig(minutes=60)
        return lattice_run(
            patches.batch, network=SMALL, training=training, folder=tmp_path / folder
        )

    whole = run("whole")
    losses = [whole.advance()["loss"] for _ in range(4)]
    parted = run("parted")
    found = [parted.advance()["loss"] for _ in range(2)]
    parted.keep()
    again = run("parted")
    assert again.step == 2
    found += [again.advance()["loss"] for _ in range(2)]
    assert found == pytest.approx(losses, rel=1e-3)
    again.keep()
    assert averaged_model(again.budget.checkpoint).config == SMALL


def test_damaged_and_foreign_checkpoints_are_refused(tmp_path: Path) -> None:
    patches = _patches(tmp_path)
    run = lattice_run(patches.batch, network=SMALL, training=TrainingConfig(), folder=tmp_path)
    run.keep()
    with pytest.raises(CodecError, match="other sizes"):
        lattice_run(
            patches.batch,
            network=replace(SMALL, deep=32),
            training=TrainingConfig(),
            folder=tmp_path,
        )
    run.budget.checkpoint.write_bytes(run.budget.checkpoint.read_bytes()[:1000])
    with pytest.raises(CodecError, match="cannot be read"):
        averaged_model(run.budget.checkpoint)


def test_a_model_begins_with_a_start_of_its_sizes(tmp_path: Path) -> None:
    torch.manual_seed(2)
    old, model = LatticeModel(SMALL), LatticeModel(SMALL)
    given = start_of(old, SMALL.to_dict(), codec_id="ab" * 32).to_bytes()
    start = read_start(given, where="x.kins")
    assert LatticeConfig.from_dict(start.network) == SMALL
    begin_with(model, start)
    for name, value in old.state_dict().items():
        assert torch.allclose(model.state_dict()[name], value, rtol=1e-3, atol=1e-6)
    with pytest.raises(CodecError, match="other sizes"):
        begin_with(LatticeModel(replace(SMALL, deep=32)), start)
    begin_with(model, None)


def test_a_frozen_context_takes_about_the_bytes_that_were_estimated(tmp_path: Path) -> None:
    patches = _patches(tmp_path, n=40)
    run = lattice_run(patches.batch, network=SMALL, training=TrainingConfig(), folder=tmp_path)
    for _ in range(30):
        run.advance()
    run.keep()
    model = averaged_model(run.budget.checkpoint)
    batches = [patches.batch(1000 + i) for i in range(8)]
    coder = frozen_coder(model, [np.concatenate(batches)])
    pictures, quality = patches.batch(77), np.full(4, 60)
    y = latents_in_units(model, pictures, 60)
    y_hat, messages = coder.encode(y, quality=quality)
    assert (coder.decode(messages, size=y.shape[2:], quality=quality) == y_hat).all()
    with torch.no_grad():
        _, bits = model.code(torch.from_numpy(y / UNIT).float(), torch.full((4,), 60.0))
    # Symbols chosen by cost and tables learned from them take less than the estimate.
    assert 0.5 < 8 * sum(map(len, messages)) / float(bits.sum()) < 1.1


def test_the_synthesis_in_bytes_draws_what_the_float_one_does(tmp_path: Path) -> None:
    patches = _patches(tmp_path)
    run = lattice_run(patches.batch, network=SMALL, training=TrainingConfig(), folder=tmp_path)
    for _ in range(20):
        run.advance()
    model, pictures = run.network.eval(), patches.batch(5)
    assert isinstance(model, LatticeModel)
    layers = byte_synthesis_of(model, [patches.batch(i) for i in range(3)])
    y = latents_in_units(model, pictures, 60).round()
    x = np.concatenate([y, np.full((len(y), 1, *y.shape[2:]), 10.0)], 1).astype(np.float32)
    drawn = [
        ByteNetwork(layers, reach=LIMIT, name="synthesis", engine=engine)(x)
        for engine in ("onnxruntime", "numpy")
    ]
    assert (drawn[0] == drawn[1]).all()
    with torch.no_grad():
        wanted = model.draw(torch.from_numpy(y / UNIT).float(), torch.full((len(y),), 60.0))
    levels = ((wanted + 0.5).clamp(0, 1) * 255).numpy()
    assert np.abs(drawn[0] - levels).mean() < 0.6


def test_a_model_becomes_a_codec_whose_payloads_need_no_side_code(tmp_path: Path) -> None:
    patches = _patches(tmp_path, n=40)
    run = lattice_run(patches.batch, network=SMALL, training=TrainingConfig(), folder=tmp_path)
    for _ in range(20):
        run.advance()
    assert isinstance(run.network, LatticeModel)
    made = freeze_lattice(
        run.network,
        [np.concatenate([patches.batch(1000 + i) for i in range(4)])],
        description={"name": "small"},
    )
    codec = Codec.from_bytes(made.to_bytes(), where="a codec")
    assert codec.codec_id == made.codec_id
    pictures = [
        patches.batch(9)[0].transpose(1, 2, 0)[:h, :w].copy() for h, w in ((32, 32), (7, 19))
    ]
    coder = codec.learned_coder()
    payloads, drawn = coder.encode(pictures, quality=70)
    assert codec.parts.side_code() is None
    sizes = [(picture.shape[0], picture.shape[1]) for picture in pictures]
    for engine in ("onnxruntime", "numpy"):
        again = codec.parts.untested_coder(engine=engine).decode(payloads, sizes=sizes, quality=70)
        assert all((a == b).all() for a, b in zip(again, drawn, strict=True))
    assert all(psnr(a, b) > 20 for a, b in zip(pictures, drawn, strict=True))
    packets = codec.encode(pictures, quality=70)
    assert [image.shape for image in codec.decode(packets)] == [p.shape for p in pictures]


def test_weights_that_ship_fit_their_form() -> None:
    start = shipped_start("default")
    network = network_of(start)
    assert isinstance(network, LatticeConfig)
    begin_with(LatticeModel(network), start)
    assert isinstance(network_of(shipped_start("checkerboard")), NetworkConfig)
    with pytest.raises(CodecError, match="no start"):
        shipped_start("other")
    with pytest.raises(CodecError, match="form"):
        network_of(replace(start, network={"unknown": 1}))
