import json
import os
import signal
import threading

import pytest
import torch

from eqssl.training import checkpoints, loop

STEPS = 15  # 160 training images, batches of 32, 3 epochs


def outcome(trainer):
    weights = {name: tensor.clone() for name, tensor in trainer.pretext.state_dict().items()}
    return weights, trainer.rows, trainer.generator.get_state()


def same(first, second):
    (a, rows_a, random_a), (b, rows_b, random_b) = first, second
    return (
        rows_a == rows_b
        and torch.equal(random_a, random_b)
        and all(torch.equal(a[name], b[name]) for name in a)
    )


def run(trainer, tmp_path, seconds=1000.0):
    torch.manual_seed(9)  # dropout draws from the global generator
    trainer.train(tmp_path / "state.safetensors", tmp_path / "log.jsonl", seconds)
    return trainer


class Stopping:
    """Sends this process a signal in the middle of the steps that it is given."""

    def __init__(self, pretext, steps, number=signal.SIGTERM):
        self.pretext, self.steps, self.number = pretext, steps, number

    def __enter__(self):
        inner = self.pretext.forward

        def forward(step):
            result = inner(step)
            if self.pretext.steps in self.steps:
                os.kill(os.getpid(), self.number)
            return result

        self.pretext.forward = forward

    def __exit__(self, *_):
        del self.pretext.forward


@pytest.mark.parametrize("optimiser", ["adamw", "lars", "sgd"])
def test_training_goes_on_after_any_step_with_the_same_bits(trainer, tmp_path, optimiser):
    expected = outcome(run(trainer(optimiser=optimiser), tmp_path))
    state, log = tmp_path / "state.safetensors", tmp_path / "log.jsonl"
    for step in range(1, STEPS):
        first = trainer(optimiser=optimiser)
        with Stopping(first.pretext, {step}), pytest.raises(SystemExit) as stop:
            run(first, tmp_path)
        assert (stop.value.code, first.step) == (143, step)
        torch.manual_seed(1000 + step)
        torch.rand(step)
        second = trainer(optimiser=optimiser)
        second.restore(*checkpoints.load(state))
        second.train(state, log, 1000.0)
        assert same(outcome(second), expected), f"stopped after step {step}"
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        assert sorted({line["step"] for line in lines} | {step, 5, 10, 15}) == [
            line["step"] for line in lines
        ]


@pytest.mark.parametrize("lost", ["random/views", "random/cpu", "optimiser/0/exp_avg", "sums"])
def test_a_checkpoint_with_any_wrong_part_leads_to_another_result(trainer, tmp_path, lost):
    expected = outcome(run(trainer(), tmp_path))
    first = trainer()
    with Stopping(first.pretext, {7}), pytest.raises(SystemExit):
        run(first, tmp_path)
    tensors, values = checkpoints.load(tmp_path / "state.safetensors")
    if lost.startswith("random"):
        torch.manual_seed(77)
        tensors[lost] = torch.Generator().manual_seed(77).get_state()
    else:
        tensors[lost] = torch.zeros_like(tensors[lost])
    second = trainer()
    second.restore(tensors, values)
    second.train(tmp_path / "state.safetensors", tmp_path / "log.jsonl", 1000.0)
    assert not same(outcome(second), expected)


def test_writing_checkpoints_changes_nothing(trainer, tmp_path, monkeypatch):
    expected = outcome(run(trainer(), tmp_path))
    assert not (tmp_path / "state.safetensors").exists()
    written = []
    save = checkpoints.save
    monkeypatch.setattr(loop.checkpoints, "save", lambda *a: written.append(a[2]["step"]) or save(*a))
    assert same(outcome(run(trainer(), tmp_path, 0.0)), expected)
    assert written == list(range(1, STEPS))


def test_rows_are_means_over_the_steps_of_each_epoch(trainer, tmp_path):
    trained = trainer()
    seen, inner = [], trained.pretext.forward

    def forward(step):
        value, scalars = inner(step)
        seen.append((value.item(), scalars["accuracy"].item()))
        return value, scalars

    trained.pretext.forward = forward
    run(trained, tmp_path)
    assert trained.meter.names == ["loss", "accuracy"]
    for epoch, row in enumerate(trained.rows):
        expected = torch.tensor(seen[5 * epoch : 5 * epoch + 5], dtype=torch.float64).mean(0)
        assert row == pytest.approx(expected.tolist(), rel=1e-12)
    losses = [row[0] for row in trained.rows]
    assert losses[-1] < losses[0]


def test_log_has_a_line_for_each_reading(trainer, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "READ_SECONDS", 0.0)
    trained = run(trainer(), tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, STEPS + 1))
    assert [line["epoch"] for line in lines] == [1] * 5 + [2] * 5 + [3] * 5
    keys = ["step", "epoch", "loss", "accuracy", "learning_rate", "images_per_second", "seconds"]
    assert list(lines[0]) == keys
    assert sum(line["loss"] for line in lines[:5]) / 5 == pytest.approx(trained.rows[0][0])
    assert max(line["learning_rate"] for line in lines) == pytest.approx(0.003)
    assert lines[-1]["learning_rate"] < 0.0001


def test_host_reads_the_loss_once_an_interval_only(trainer, tmp_path, monkeypatch):
    readings = []
    read = loop.Meter.read
    monkeypatch.setattr(loop.Meter, "read", lambda meter: readings.append(1) or read(meter))
    run(trainer(), tmp_path)
    assert len(readings) == 3  # the ends of the epochs; none of the 15 steps takes a second


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_loss_that_is_not_finite_is_an_error(trainer, tmp_path, bad):
    trained = trainer()
    inner = trained.pretext.forward

    def forward(step):
        value, scalars = inner(step)
        return (value * bad if trained.pretext.steps == 7 else value), scalars

    trained.pretext.forward = forward
    with pytest.raises(ValueError, match=r"pictures/C4/mine/s0: .* epoch 2, found at step 10"):
        run(trained, tmp_path)


def test_state_that_is_not_finite_is_never_saved(trainer, tmp_path):
    trained = trainer()
    trained.pretext.scale = float("nan")
    with pytest.raises(ValueError, match="no longer finite in epoch 1, found at step 1;"):
        run(trained, tmp_path, 0.0)
    assert not (tmp_path / "state.safetensors").exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signals_save_and_end_with_their_code(trainer, tmp_path, number, code):
    before = signal.getsignal(number)
    stopped = trainer()
    with Stopping(stopped.pretext, {4}, number), pytest.raises(SystemExit) as stop:
        run(stopped, tmp_path)
    assert stop.value.code == code
    assert checkpoints.load(tmp_path / "state.safetensors")[1]["step"] == 4
    assert signal.getsignal(number) is before


def test_signal_in_the_last_step_lets_the_training_end(trainer, tmp_path):
    trained = trainer()
    with Stopping(trained.pretext, {STEPS}):
        run(trained, tmp_path)
    assert trained.step == STEPS


def test_training_works_outside_of_the_main_thread(trainer, tmp_path):
    trained = trainer()
    thread = threading.Thread(target=run, args=(trained, tmp_path))
    thread.start()
    thread.join()
    assert trained.step == STEPS


def test_bfloat16_rounds_the_forward_pass_and_leaves_weights_and_sums_alone(trainer, tmp_path):
    expected, rounded = run(trainer(), tmp_path), trainer()
    rounded.precision = torch.bfloat16
    run(rounded, tmp_path)
    assert rounded.rows[0] == pytest.approx(expected.rows[0], rel=0.05)
    assert rounded.rows != expected.rows
    assert {parameter.dtype for parameter in rounded.pretext.parameters()} == {torch.float32}


def test_warmup_longer_than_the_training_is_refused(trainer):
    with pytest.raises(ValueError, match=r"warmup_epochs: given 4\.0, allowed: at most epochs \(3\)"):
        trainer(warmup_epochs=4.0)
