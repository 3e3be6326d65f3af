import pytest
import torch
from torch import Tensor

from eqssl.nn.eager import is_eager


def marked(x: Tensor) -> Tensor:
    return x + 1 if is_eager() else x - 1


def test_operations_that_run_one_after_the_other_are_eager():
    x = torch.zeros(2)
    assert torch.equal(marked(x), x + 1)
    with torch.no_grad():
        assert torch.equal(marked(x), x + 1)
    x.requires_grad_()
    assert torch.equal(torch.autograd.grad(marked(x).sum(), x)[0], torch.ones(2))


@pytest.mark.filterwarnings("ignore")
def test_compiled_traced_and_transformed_programs_are_not_eager():
    x = torch.zeros(2)
    torch._dynamo.reset()
    assert torch.equal(torch.compile(marked, backend="eager", fullgraph=True)(x), x - 1)
    assert torch.equal(torch.jit.trace(marked, x)(x), x - 1)
    assert torch.equal(torch.func.vmap(marked)(x), x - 1)
    assert torch.equal(torch.func.jvp(marked, (x,), (x,))[0], x - 1)
