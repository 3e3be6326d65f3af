import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from sealed import resealed

from eqssl.encoders import build_encoder, load_encoder, save_encoder
from eqssl.encoders.release.fold import release
from eqssl.machine.files import sha256


@pytest.fixture(scope="module", params=["D4", "C8", "SO2"])
def saved(request, params, tmp_path_factory):
    """Folder of a trained encoder, and the names of one convolution's tensors."""
    folder = tmp_path_factory.mktemp(request.param)
    settings = params.encoder.model_copy(update={"width": (4, 8)})
    encoder = build_encoder(settings, request.param, (1, 12, 12), [0.5], [0.5])
    save_encoder(encoder, folder, {})
    return folder


def rewritten(saved, folder, change):
    """Change the state, with a correct SHA-256. `change` gets it and the prefix of its second convolution."""
    folder.mkdir()
    tensors = load_file(saved / "encoder.safetensors")
    prefix = sorted(name for name in tensors if name.endswith(".index"))[1].removesuffix("index")
    changed = change(tensors, prefix)
    save_file(changed if changed is not None else tensors, folder / "encoder.safetensors")
    shutil.copy(saved / "encoder.json", folder)
    named_again(folder)
    return folder


def named_again(folder):
    """Name the weights that are there now in encoder.json."""
    found = sha256(folder / "encoder.safetensors")
    resealed(folder / "encoder.json", lambda values: values.update(weights_sha256=found))


def set_to(name, change):
    def apply(tensors, prefix):
        tensors[prefix + name] = change(tensors[prefix + name]).contiguous()

    return apply


def one(index, place, value):
    index[place] = value
    return index


def norm(change):
    def apply(tensors, prefix):
        name = next(name for name in sorted(tensors) if name.endswith("running_var"))
        tensors[name] = change(tensors[name])

    return apply


def more(tensors, prefix):
    tensors["more"] = torch.zeros(1)


CASES = {
    "index beyond the end": (
        set_to("index", lambda x: one(x, (0, 0), 10**6)),
        "index: holds a place outside",
    ),
    "negative index": (set_to("index", lambda x: one(x, (0, 0), -1)), "index: holds a place outside"),
    "index twice": (set_to("index", lambda x: one(x, (0, 0), int(x[0, 1]))), "index: its rows are not"),
    "one row of zeros": (set_to("index", lambda x: one(x, 0, 0)), "index: its rows are not"),
    "other outputs": (set_to("index", lambda x: x[:0]), "index: is no table"),
    "one output less": (set_to("index", lambda x: x[1:]), "index|basis"),
    "index of one dimension": (set_to("index", torch.Tensor.flatten), "index: is no table"),
    "index of 64 bits": (set_to("index", torch.Tensor.long), "index: holds int64, allowed: float32, int32"),
    "index with fractions": (set_to("index", torch.Tensor.float), "index: holds float32, allowed: int32"),
    "no index": (lambda t, prefix: {k: v for k, v in t.items() if k != f"{prefix}index"}, "basis"),
    "no basis": (
        lambda t, prefix: {k: v for k, v in t.items() if k != f"{prefix}basis"},
        "index: is no table",
    ),
    "basis of another shape": (set_to("basis", lambda x: x[:, :-1]), "index"),
    "basis of fewer filters": (set_to("basis", lambda x: x[:-1]), r"(weight|basis): has shape"),
    "weights that are not finite": (
        set_to("weight", lambda x: one(x, (0, 0, 0), float("nan"))),
        "weight: holds a number that is not finite",
    ),
    "weights without end": (set_to("weight", lambda x: x / 0), "weight: holds a number that is not finite"),
    "weights of 16 bits": (set_to("weight", torch.Tensor.half), "weight: holds float16, allowed"),
    "weights of 8 bits": (set_to("weight", lambda x: x.to(torch.float8_e4m3fn)), "weight: holds float8"),
    "integer weights": (set_to("weight", torch.Tensor.int), "weight: holds int32, allowed: float32"),
    "other weights": (
        set_to("weight", lambda x: x[:-1]),
        r"weight: has shape \(\d+, \d+, \d+\), allowed: \(",
    ),
    "a variance that is not finite": (norm(lambda x: x * float("nan")), "running_var: holds a number"),
    "a tensor more": (more, "more: does not belong to this network"),
    "a tensor less": (lambda t, p: {k: v for k, v in t.items() if k != f"{p}weight"}, "weight: is missing"),
    "nothing": (lambda t, p: {}, "holds no lift basis|is missing"),
}


@pytest.mark.parametrize("case", CASES)
def test_weights_that_cannot_be_are_refused_in_one_line(saved, tmp_path, case):
    change, reason = CASES[case]
    folder = rewritten(saved, tmp_path / "cell", change)
    with pytest.raises(ValueError, match=reason) as refused:
        load_encoder(folder)
    assert "\n" not in str(refused.value)
    assert "encoder.safetensors" in str(refused.value)


def test_an_unchanged_file_of_weights_is_loaded(saved, tmp_path):
    folder = rewritten(saved, tmp_path / "cell", lambda tensors, prefix: None)
    images = torch.zeros(1, 1, 12, 12)
    assert torch.equal(load_encoder(folder)(images), load_encoder(saved)(images))


def test_released_weights_are_checked_too(saved, tmp_path):
    save_encoder(release(load_encoder(saved)), tmp_path / "plain", {})
    load_encoder(tmp_path / "plain")

    def damaged(tensors):
        name = next(name for name in sorted(tensors) if name.endswith("weight"))
        tensors[name].view(-1)[0] = float("inf")
        return tensors

    weights = tmp_path / "plain/encoder.safetensors"
    save_file(damaged(load_file(weights)), weights)
    named_again(tmp_path / "plain")
    with pytest.raises(
        ValueError, match=r"encoder\.safetensors: .*weight: holds a number that is not finite"
    ):
        load_encoder(tmp_path / "plain")


def test_a_file_of_something_else_is_refused_in_one_line(saved, tmp_path):
    folder = rewritten(saved, tmp_path / "cell", lambda tensors, prefix: None)
    weights = folder / "encoder.safetensors"
    deep = b'{"a":' * 10**5
    for content in (b"", b"junk" * 9, len(deep).to_bytes(8, "little") + deep, b"\xff" * 100):
        weights.write_bytes(content)
        named_again(folder)
        with pytest.raises(ValueError, match=r"encoder\.safetensors: not safetensors: ") as refused:
            load_encoder(folder)
        assert "\n" not in str(refused.value)


def test_an_encoder_is_loaded_from_the_path_that_is_given_and_no_other(saved):
    for path in (saved, saved / "encoder.json", saved / "encoder.safetensors"):
        assert load_encoder(path).image_shape[0] == load_encoder(saved).image_shape[0]
    for missing in (saved / "no_such_version", saved / "encoder.pt", saved / "a" / "b"):
        with pytest.raises(FileNotFoundError, match=rf"{missing.name}: there is no such file or folder"):
            load_encoder(missing)
    other = saved / "notes.txt"
    other.write_text("x")
    with pytest.raises(ValueError, match=r"notes\.txt: given another file, allowed: a folder, encoder\.json"):
        load_encoder(other)
    other.unlink()


@pytest.mark.parametrize("is_released", [False, True])
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda x: (x * 255).byte(), r"given torch\.uint8, allowed: floating-point numbers; scale them"),
        (lambda x: x.numpy(), r"given ndarray, allowed: a tensor of torch"),
        (lambda x: x.double(), r"given torch\.float64, allowed: torch\.float32, as the weights are"),
        (lambda x: x.half(), r"given torch\.float16, allowed: torch\.float32, as the weights are"),
        (
            lambda x: x.repeat(1, 2, 1, 1),
            r"given shape \(2, 2, \d+, \d+\), allowed: \(batch, 1, side, side\)",
        ),
        (lambda x: x[..., :-1], r"given shape \(2, 1, \d+, \d+\), allowed: \(batch, 1, side, side\)"),
        (lambda x: x[0], r"given shape \(1, \d+, \d+\), allowed: \(batch, 1, side, side\)"),
    ],
)
def test_images_that_do_not_fit_are_refused_with_what_to_do(saved, change, reason, is_released):
    encoder = load_encoder(saved)
    encoder = release(encoder) if is_released else encoder
    channels, side, _ = encoder.image_shape
    images = torch.rand(2, channels, side, side)
    encoder(images)
    for call in (encoder, encoder.stages, encoder.invariant):
        with pytest.raises(ValueError, match=rf"images: {reason}"):
            call(change(images))
