import pytest
import torch
from label_tasks import PARAMS, TASKS
from steps import step

from eqssl import pretexts
from eqssl.config.pretexts import PretextSettings

CONTRAST = {
    "task": "simclr",
    "similarity": "max",
    "angles": 64,
    "temperature": 0.2,
    "hidden": 16,
    "embedding": 16,
}
PARTS = {
    "where": {"weight": 0.5, "pretext": TASKS["grid"]},
    "contrast": {"weight": 2.0, "pretext": CONTRAST},
}


def combined(parts: dict, group: str = "C4"):
    entry = PretextSettings.read({"task": "combined", "parts": parts}, "pretexts.sum")
    params = PARAMS.model_copy(update={"group": group, "pretexts": {"sum": entry}})
    return pretexts.build("sum", params)


def images() -> torch.Tensor:
    return (torch.rand(6, 1, 28, 28, generator=torch.Generator().manual_seed(0)) * 255).byte()


def test_the_loss_is_the_weighted_sum_and_parts_are_named():
    task = combined(PARTS).eval()
    found, scalars = task(step(images(), seed=1))
    one, total = step(images(), seed=1), 0.0
    for name, part in task.parts().items():
        loss, _ = part(one)
        torch.testing.assert_close(scalars[f"{name}/loss"], loss.detach())
        total = total + PARTS[name]["weight"] * loss
    torch.testing.assert_close(found, total)
    told = ("loss", "alignment", "uniformity", "rank", "similarity_of_others", "turn_found")
    assert set(scalars) == {"where/loss", "where/accuracy", *(f"contrast/{key}" for key in told)}


def test_all_parts_train_one_encoder():
    task = combined(PARTS)
    assert all(part.encoder is task.encoder for part in task.parts().values())
    task(step(images())).loss.backward()
    assert all(parameter.grad is not None for parameter in task.parameters())
    assert task.described()["where"]["labels"] == 8


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ({}, r"parts: given {}, allowed: at least 1 entry"),
        (
            {"a": {"weight": 0.0, "pretext": CONTRAST}},
            r"parts\.a\.weight: given 0\.0, allowed: 1e-12 to 1e\+09",
        ),
        ({"a": {"weight": 1.0, "pretext": 3}}, r"parts\.a\.pretext: given 3, allowed: a table of settings"),
        (
            {"a": {"weight": 1.0, "pretext": {**CONTRAST, "temprature": 1}}},
            r"parts\.a\.pretext\.temprature: no such setting; did you mean 'temperature'\?",
        ),
        (
            {"a": {"weight": 1.0, "pretext": {"task": "jigsaws"}}},
            r"parts\.a\.pretext\.task: given 'jigsaws', allowed: .*combined, .*; did you mean 'jigsaw'\?",
        ),
        (
            {"a": {"weight": 1.0, "pretext": {**TASKS["grid"], "patch": 9}}},
            r"parts\.a\.pretext\.patch: given 9 in a cell of 14",
        ),
        (
            {"a": {"weight": 1.0, "pretext": {**CONTRAST, "twin": "b"}}},
            r"parts\.a\.pretext\.twin: no such setting of a part",
        ),
        (
            {"a": {"weight": 1.0, "pretext": {"task": "combined", "parts": {"b": {"weight": 1.0}}}}},
            r"parts\.a\.pretext\.parts\.b\.pretext: is missing",
        ),
    ],
)
def test_bad_parts_are_named(parts: dict, reason: str):
    with pytest.raises(ValueError, match=r"pretexts\.sum\." + reason):
        combined(parts)


def test_a_group_that_a_part_refuses_is_refused_with_its_name():
    with pytest.raises(ValueError, match=r"part where: .* square cells"):
        combined(PARTS, "C8")


def test_every_modules_code_counts_for_the_record():
    entry = PretextSettings.read({"task": "combined", "parts": PARTS})
    assert entry.modules() == [
        "eqssl.pretexts.combined",
        "eqssl.pretexts.labels.location",
        "eqssl.pretexts.joint.simclr",
    ]
