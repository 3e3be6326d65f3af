import numpy as np
import pytest
import torch
from torch import nn

from eqssl.training import checkpoints

VALUES = {"step": 7, "rows": [[0.1 + 0.2, 1e-17]], "text": "ä"}


def tensors():
    base = torch.arange(12.0).view(3, 4)
    return {
        "a": base,
        "same memory": base,
        "transposed": base.t(),
        "half": base.bfloat16(),
        "integer": torch.tensor(2**40 + 1),
        "empty": torch.zeros(0, 3),
        "bytes": torch.arange(5, dtype=torch.uint8),
    }


def test_a_saved_checkpoint_is_loaded_unchanged(tmp_path):
    path = tmp_path / "folder" / "state.safetensors"
    checkpoints.save(path, tensors(), VALUES)
    found, values = checkpoints.load(path)
    assert values == VALUES
    assert set(found) == set(tensors())
    for name, tensor in tensors().items():
        assert torch.equal(found[name], tensor)
        assert found[name].dtype == tensor.dtype
    assert [file.name for file in path.parent.iterdir()] == ["state.safetensors"]


def test_every_kind_of_damage_is_found(tmp_path):
    path = tmp_path / "state.safetensors"
    checkpoints.save(path, tensors(), VALUES)
    content = path.read_bytes()
    header = content.index(b"{", 8) + content[8:].rindex(b"}")
    numbers = np.random.default_rng(0)
    flips = [3, header - 5, len(content) - 1, *numbers.integers(0, len(content), 60).tolist()]
    damaged = [content[: len(content) // 2], content[:5], b"", b"junk" * 40, content + b"x"]
    for place in flips:
        changed = bytearray(content)
        changed[place] ^= 1 << int(numbers.integers(8))
        damaged.append(bytes(changed))
    found = 0
    for bad in damaged:
        path.write_bytes(bad)
        try:
            given, values = checkpoints.load(path)
        except ValueError as error:
            assert str(path) in str(error)  # noqa: PT017
            assert "damaged" in str(error)  # noqa: PT017
            found += 1
        else:  # a change of blanks between the header and the tensors changes nothing
            assert values == VALUES
            assert all(torch.equal(given[name], tensor) for name, tensor in tensors().items())
    assert found >= len(damaged) - 3


def test_a_missing_file_is_an_error_of_the_system(tmp_path):
    with pytest.raises(OSError, match="nothing"):
        checkpoints.load(tmp_path / "nothing.safetensors")


def test_optimiser_goes_on_with_the_same_bits_and_strides(tmp_path):
    def made():
        torch.manual_seed(0)
        module = nn.Conv2d(3, 5, 3).to(memory_format=torch.channels_last)
        return module, torch.optim.AdamW(module.parameters(), lr=0.1)

    def step(module, optimiser, seed):
        torch.manual_seed(seed)
        optimiser.zero_grad()
        module(torch.randn(2, 3, 8, 8)).square().sum().backward()
        optimiser.step()

    module, optimiser = made()
    step(module, optimiser, 1)
    path = tmp_path / "state.safetensors"
    state = {**checkpoints.module_state(module), **checkpoints.optimiser_state(optimiser)}
    checkpoints.save(path, state, {})
    other, again = made()
    found, _ = checkpoints.load(path)
    checkpoints.restore_module(other, found)
    checkpoints.restore_optimiser(again, found)
    for a, b in zip(optimiser.state.values(), again.state.values(), strict=True):
        assert {key: t.stride() for key, t in a.items()} == {key: t.stride() for key, t in b.items()}
    for seed in (2, 3):
        step(module, optimiser, seed)
        step(other, again, seed)
    assert torch.equal(module.weight, other.weight)
    assert torch.equal(module.bias, other.bias)
