import torch

from eqssl.symmetry.constants import constant


def test_a_constant_is_made_once_for_its_arguments():
    made = []

    @constant
    def numbers(count: int, device: torch.device) -> torch.Tensor:
        made.append(count)
        return torch.arange(count, device=device)

    cpu = torch.device("cpu")
    assert numbers(3, cpu) is numbers(3, cpu)
    assert numbers(4, cpu).tolist() == [0, 1, 2, 3]
    assert made == [3, 4]


def test_a_constant_made_in_inference_mode_still_takes_part_in_gradients():
    @constant
    def two() -> torch.Tensor:
        return torch.tensor(2.0)

    with torch.inference_mode():
        assert not two().is_inference()
        assert torch.tensor(2.0).is_inference()  # what would not
    weight = torch.tensor(3.0, requires_grad=True)
    (two() * weight).backward()
    assert weight.grad == 2
