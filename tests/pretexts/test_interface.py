"""The interface between training and pretexts, tested with a pretext that uses all of it."""

import os
import signal
from copy import deepcopy

import pytest
import small_encoders
import torch
from momentum_pretext import SMALL, Momentum
from small_encoders import trained_statistics
from steps import step

from eqssl.config.params import Params
from eqssl.pretexts import build
from eqssl.pretexts.combined import Combined
from eqssl.symmetry import assert_equivariant
from eqssl.training import checkpoints
from eqssl.training.schedules import learning_rate

STEPS = 10  # 160 training images, batches of 32, 2 epochs


def momentum(params: Params, size: int = 12, seed: int = 0, **changes) -> Momentum:
    encoder = small_encoders.new("C4", size=size, seed=seed, **{"width": [4, 8], **changes})
    return Momentum(encoder, None, params.views, 2, torch.Generator().manual_seed(seed))


@pytest.fixture
def start_training(params, trainer, tmp_path):
    def make(optimiser="adamw"):
        return trainer(momentum(params), optimiser=optimiser, epochs=2)

    return make


def run(trained, tmp_path):
    torch.manual_seed(9)
    trained.train(tmp_path / "state.safetensors", tmp_path / "log.jsonl", 1000.0)
    return trained


def stop_after(trained, number):
    inner = trained.pretext.forward

    def forward(step):
        if len(trained.pretext.told) == number - 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return inner(step)

    trained.pretext.forward = forward


def bytes_of(trained):
    tensors = {**trained.pretext.state_dict(), **checkpoints.optimiser_state(trained.optimiser)}
    return {name: tensor.contiguous().numpy().tobytes() for name, tensor in tensors.items()}, trained.rows


@pytest.mark.parametrize("optimiser", ["adamw", "sgd", "lars"])
def test_momentum_queue_and_temperature_go_on_after_any_step_with_the_same_bytes(
    start_training, tmp_path, optimiser
):
    expected = bytes_of(run(start_training(optimiser), tmp_path))
    for number in range(1, STEPS):
        first = start_training(optimiser)
        stop_after(first, number)
        with pytest.raises(SystemExit):
            run(first, tmp_path)
        assert first.step == number
        second = start_training(optimiser)
        second.restore(*checkpoints.load(tmp_path / "state.safetensors"))
        assert bytes_of(run(second, tmp_path)) == expected, f"stopped after step {number}"


@pytest.mark.parametrize("lost", ["model/queue", "model/place", "model/temperature", "teacher"])
def test_a_checkpoint_without_a_part_of_the_pretexts_state_ends_otherwise(start_training, tmp_path, lost):
    expected = bytes_of(run(start_training(), tmp_path))
    first = start_training()
    stop_after(first, 5)
    with pytest.raises(SystemExit):
        run(first, tmp_path)
    tensors, values = checkpoints.load(tmp_path / "state.safetensors")
    fresh = checkpoints.module_state(start_training().pretext)
    tensors |= {name: fresh[name] for name in fresh if lost in name}
    second = start_training()
    second.restore(tensors, values)
    assert bytes_of(run(second, tmp_path)) != expected


def test_after_step_is_told_once_after_each_step_how_much_is_done(start_training, tmp_path):
    trained, seen = start_training(), []
    inner = trained.pretext.forward

    def forward(step):
        assert len(trained.pretext.told) == len(seen)
        seen.append(step.progress)
        return inner(step)

    trained.pretext.forward = forward
    run(trained, tmp_path)
    assert seen == [number / STEPS for number in range(STEPS)]
    assert trained.pretext.told == [number / STEPS for number in range(1, STEPS + 1)]


def test_the_predictor_keeps_its_rate_and_the_rest_follows_the_schedule(start_training, tmp_path):
    trained, rates = start_training(), []
    inner = trained.pretext.after_step

    def after_step(progress):
        assert not torch.is_grad_enabled()
        rates.append([group["lr"] for group in trained.optimiser.param_groups])
        inner(progress)

    trained.pretext.after_step = after_step
    run(trained, tmp_path)
    expected = [learning_rate(number, STEPS, 2, 0.003) for number in range(STEPS)]
    assert rates == [[rate, rate, 0.003, 0.003] for rate in expected]
    names = {id(parameter): name for name, parameter in trained.pretext.named_parameters()}
    groups = [[names[id(p)] for p in group["params"]] for group in trained.optimiser.param_groups]
    assert groups[2:] == [["predictor.weight"], ["predictor.bias"]]
    assert not any(name.startswith(("predictor", "teacher")) for group in groups[:2] for name in group)


def test_without_labels_a_self_supervised_pretext_works_and_the_supervised_one_says_what_is_missing(params):
    images = torch.randint(256, (8, 1, 12, 12), dtype=torch.uint8)
    assert momentum(params)(step(images)).loss.isfinite()
    supervised = build("supervised", params, image_shape=(1, 12, 12))
    with pytest.raises(ValueError, match="labels: given none, allowed: a class for each image"):
        supervised(step(images))


def test_distributed_training_sees_the_loss_of_a_step(params, tmp_path):
    images = torch.randint(256, (8, 1, 12, 12), dtype=torch.uint8)
    alone, wrapped = momentum(params), momentum(params)
    alone(step(images)).loss.backward()
    store = torch.distributed.FileStore(str(tmp_path / "store"), 1)
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        torch.nn.parallel.DistributedDataParallel(wrapped)(step(images)).loss.backward()
    finally:
        torch.distributed.destroy_process_group()
    for one, other in zip(alone.parameters(), wrapped.parameters(), strict=True):
        assert one.requires_grad == (one.grad is not None)
        assert one.grad is None or torch.equal(one.grad, other.grad)


def test_a_sum_calls_after_step_of_its_parts_and_keeps_their_groups(params):
    one, other = momentum(params), momentum(params, seed=1)
    other.encoder = one.encoder
    summed = Combined.__new__(Combined)
    torch.nn.Module.__init__(summed)
    summed.members, summed.weights = torch.nn.ModuleDict({"a": one, "b": other}), {"a": 1.0, "b": 1.0}
    summed.after_step(0.25)
    assert one.told == other.told == [0.25]
    groups = summed.parameter_groups()
    listed = [id(parameter) for group in groups for parameter in group["params"]]
    trained = {id(parameter) for parameter in summed.parameters() if parameter.requires_grad}
    assert len(listed) == len(set(listed))
    assert set(listed) == trained
    fixed = {id(p) for group in groups if group.get("fixed_rate") for p in group["params"]}
    assert fixed == {id(p) for part in (one, other) for p in part.predictor.parameters()}


# ---- views of two sizes


def test_views_have_the_declared_count_and_sizes(params):
    pretext = momentum(params)
    images = torch.randint(256, (4, 1, 12, 12), dtype=torch.uint8)
    drawn = pretext.draw_views(images, torch.Generator().manual_seed(0))
    assert [tuple(view.shape) for view in drawn] == [(4, 1, 12, 12), *[(4, 1, SMALL, SMALL)] * 2]
    embedded = pretext.eval().embed_views(step(images))
    assert len(embedded) == 3
    for view, found in zip(drawn, embedded, strict=True):
        torch.testing.assert_close(found, pretext.embed(view), atol=1e-5, rtol=1e-4)
    small = drawn[1].double()
    assert_equivariant(pretext.double().embed, pretext.group, small, 1e-10)


def test_a_size_at_which_the_encoder_is_not_exact_is_refused_with_those_that_are(params):
    """13 pixels are good for strides of 2, 8 are not."""
    with pytest.raises(ValueError, match=r"^size of a view: given 8: .* sizes of images that work: 7 or 9"):
        momentum(params, size=13, downsampling="strided")


# ---- momentum encoders


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("write", ["lerp", "data", "foreach"])
def test_a_momentum_encoder_follows_weights_that_are_written_in_place(write, training):
    """In eval mode a layer keeps its expanded filters, which have to be made anew."""
    online = trained_statistics(small_encoders.new("D4", seed=0))
    teacher = deepcopy(online).requires_grad_(False).train(training)
    other = trained_statistics(small_encoders.new("D4", seed=1)).train(training)
    images = torch.randn(4, 1, 28, 28)
    with torch.no_grad():
        before = teacher(images)
        pairs = list(zip(teacher.state_dict().values(), other.state_dict().values(), strict=True))
        if write == "foreach":
            floats = [pair for pair in pairs if pair[0].is_floating_point()]
            torch._foreach_lerp_([mine for mine, _ in floats], [theirs for _, theirs in floats], 1.0)
        for mine, theirs in pairs:
            if write == "lerp" and mine.is_floating_point():
                mine.lerp_(theirs, 1.0)
            if write == "data" and mine.is_floating_point():
                mine.data.mul_(0).add_(theirs)
        after, expected = teacher(images), other(images)
    assert not torch.allclose(before, after, atol=1e-3)
    torch.testing.assert_close(after, expected, atol=1e-5, rtol=1e-4)
