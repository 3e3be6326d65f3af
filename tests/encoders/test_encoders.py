import json
import subprocess
import sys
from itertools import product

import pytest
import torch
from small_encoders import new, relative, settings, trained_statistics
from wide_products import one_in

from eqssl.encoders import build_encoder, load_encoder, names, network, save_encoder
from eqssl.encoders.base import flop_count, parameter_count
from eqssl.encoders.layers import Normalised
from eqssl.nn.convolution import GroupConv2d
from eqssl.symmetry import act_on_regular, assert_equivariant, equivariance_error, group, group_names
from eqssl.symmetry.fourier import field_representation, field_size

GROUPS = group_names()
SIZES = [28, 32, 33, 64, 96, 224]
WIDE = list(product(GROUPS, names(), SIZES, ["pool", "boxed"]))
# every group, every encoder, every size, both ways of halving; the whole product is slow
QUICK = [
    (g, e, SIZES[k % 3], ["pool", "boxed"][i % 2])
    for i, g in enumerate(GROUPS)
    for k, e in enumerate(names())
    if (i + k) % 3 == 0
]
QUICK += [("D4", "resnet18", 64, "boxed"), ("C4", "resnet50", 96, "boxed"), ("D2", "resnet18", 224, "pool")]


def check_every_stage(group_name: str, encoder_name: str, size: int, downsampling: str) -> None:
    """Exact at the elements that map the grid to itself: all of them, in groups that are exact on pixels."""
    G = group(group_name)
    encoder = new(group_name, channels=3, size=size, name=encoder_name, downsampling=downsampling)
    trained_statistics(encoder)
    for dtype, tolerance in [(torch.float32, 1e-5), (torch.float64, 1e-6 if G.is_continuous else 1e-10)]:
        images = torch.randn(2, 3, size, size, dtype=dtype)
        encoder.to(dtype)
        with torch.no_grad():
            reference = [*encoder.stages(images), encoder.invariant(images)]
            for g in G.grid_elements:
                moved = [*encoder.stages(G.act(images, g)), encoder.invariant(G.act(images, g))]
                expected = [act_on_regular(G, x, g) for x in reference[:-1]] + reference[-1:]
                for found, right in zip(moved, expected, strict=True):
                    assert float((found - right).norm() / right.norm()) < tolerance


@pytest.mark.parametrize(("group_name", "encoder_name", "size", "downsampling"), QUICK)
def test_every_stage_is_exactly_equivariant(group_name: str, encoder_name: str, size: int, downsampling: str):
    check_every_stage(group_name, encoder_name, size, downsampling)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("group_name", "encoder_name", "size", "downsampling"), sorted(set(WIDE) - set(QUICK))
)
def test_every_stage_of_every_combination_is_exactly_equivariant(
    group_name: str, encoder_name: str, size: int, downsampling: str
):
    check_every_stage(group_name, encoder_name, size, downsampling)


@pytest.mark.parametrize("size", [28, 33, 10])
@pytest.mark.parametrize("name", [name for name in GROUPS if group(name).is_exact])
def test_the_assertion_that_users_have_holds_for_exact_groups(name: str, size: int):
    encoder = trained_statistics(new(name))
    assert_equivariant(encoder, group(name), torch.randn(2, 1, size, size))


@pytest.mark.parametrize(
    ("name", "encoder_name"), one_in(3, [name for name in GROUPS if name != "trivial"], names())
)
def test_training_mode_is_equivariant_when_only_part_of_a_batch_turns(name: str, encoder_name: str):
    G, encoder = group(name), new(name, name=encoder_name).double()
    images = torch.randn(4, 1, 28, 28, dtype=torch.float64)
    with torch.no_grad():
        reference = encoder(images)
        for g in G.grid_elements:
            found = encoder(torch.cat([G.act(images[:2], g), images[2:]]))
            expected = torch.cat([act_on_regular(G, reference[:2], g), reference[2:]])
            assert float((found - expected).norm() / expected.norm()) < (1e-6 if G.is_continuous else 1e-10)


def test_a_plain_network_is_not_equivariant():
    """The negative control: the trivial group's encoder, whose features a quarter turn changes."""
    encoder = trained_statistics(new("trivial"))
    images = torch.randn(2, 1, 28, 28)
    assert equivariance_error(encoder.invariant, group("C4"), images, output="invariant") > 1e-2


def test_batch_norm_per_channel_breaks_the_symmetry():
    encoder = new("C4").double()
    for block in encoder.blocks:
        pair = next(layer for layer in block if isinstance(layer, Normalised))
        pair[1] = torch.nn.BatchNorm2d(4 * pair[1].fields).double()
    trained_statistics(encoder)
    assert equivariance_error(encoder, group("C4"), torch.randn(2, 1, 28, 28, dtype=torch.float64)) > 1e-3


@pytest.mark.parametrize(
    ("name", "size", "side", "nearest"),
    [
        ("cnn", 28, 28, "25 or 29"),
        ("cnn", 31, 16, "29 or 33"),
        ("resnet18", 32, 32, "25 or 33"),
        ("resnet50", 224, 224, "195 or 225"),
    ],
)
def test_strides_of_the_wrong_parity_are_refused_when_an_encoder_is_built(
    name: str, size: int, side: int, nearest: str
):
    words = rf"layer \S+ of {name}: .* {side} x {side} pixels, for images of {size} pixels; .*: {nearest}"
    with pytest.raises(ValueError, match=words):
        new("C4", size=size, name=name, downsampling="strided")
    # the plain network has no symmetry to break
    new("trivial", size=size, name=name, downsampling="strided")


@pytest.mark.parametrize(
    ("name", "size"), [("cnn", 29), ("resnet18", 33), ("resnet50", 225), ("wide_resnet16_8", 33)]
)
def test_strides_of_the_right_parity_are_exact(name: str, size: int):
    encoder = trained_statistics(new("D4", size=size, name=name, downsampling="strided"))
    assert_equivariant(encoder, group("D4"), torch.randn(2, 1, size, size))


def test_the_first_stages_may_be_equivariant_and_the_others_plain():
    G, encoder = group("D4"), trained_statistics(new("D4", equivariant_stages=1))
    assert encoder.stage_groups == ["D4", "trivial", "trivial"]
    assert encoder.group is group("trivial")
    images = torch.randn(2, 1, 28, 28)
    stages = encoder.stages(images)
    assert [stage.shape[2] for stage in stages] == [8, 1, 1]
    assert_equivariant(lambda x: encoder.stages(x)[0], G, images)
    assert equivariance_error(encoder.invariant, G, images, output="invariant") > 1e-2
    whole = parameter_count(new("trivial"))
    assert parameter_count(encoder) == pytest.approx(whole, rel=0.1)


@pytest.mark.parametrize("name", [name for name in GROUPS if name != "trivial"])
def test_the_restriction_is_that_of_escnns_representations(name: str):
    """Restricted to the trivial group, a field is as many trivial ones as it has channels, in any basis."""
    G = group(name)
    gspace, _, _ = G.gspace.restrict(_trivial_id(G))
    restricted = field_representation(G).restrict(_trivial_id(G))
    assert [gspace.fibergroup.irrep(*irrep).is_trivial() for irrep in restricted.irreps] == [
        True
    ] * field_size(G)
    encoder = new(name, equivariant_stages=1)
    assert encoder.incoming(1) == encoder.shape.fields[0] * field_size(G)
    assert encoder.blocks[1][1][0].in_fields == encoder.incoming(1)


def _trivial_id(G) -> object:
    """Escnn's name of the trivial subgroup of a group."""
    return {"O2": (None, 1), "SO2": 1}.get(G.name, (None, 1) if G.name in ("D2", "D4", "D8") else 1)


@pytest.mark.parametrize("name", GROUPS)
def test_groups_have_equal_parameters(name: str):
    wide = {"width": [8, 16, 32, 48]}
    target = parameter_count(new("trivial", **wide))
    assert parameter_count(new(name, **wide)) == pytest.approx(target, rel=0.02)


@pytest.mark.parametrize("name", GROUPS)
def test_groups_have_equal_channels_where_that_is_asked_for(name: str):
    encoder = new(name, match="channels", width=[28, 56])
    channels = [fields * encoder.shape.size for fields in encoder.shape.fields]
    assert channels == pytest.approx([28, 56], abs=field_size(group(name)) / 2)


def test_operations_are_counted_as_in_a_plain_network():
    encoder = new("trivial", width=[4, 6, 8])
    # two operations for each multiply-add: sides 28, 14, 7
    assert flop_count(encoder) == 2 * 9 * (1 * 4 * 28**2 + 4 * 6 * 14**2 + 6 * 8 * 7**2)


@pytest.mark.parametrize("name", GROUPS)
def test_a_saved_encoder_is_the_same_when_loaded(name: str, tmp_path):
    encoder, images = trained_statistics(new(name)), torch.randn(2, 1, 28, 28)
    save_encoder(encoder, tmp_path, {"pretext": "none"})
    loaded = load_encoder(tmp_path)
    assert torch.equal(loaded(images), encoder(images))
    assert loaded.group is group(name)
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    described = json.loads((tmp_path / "encoder.json").read_text())
    assert described["pretext"] == "none"
    assert described["parameters"] == parameter_count(encoder)


@pytest.mark.parametrize("name", ["trivial", "D4", "C8", "O2"])
def test_an_encoder_saved_with_another_filter_basis_keeps_it(name: str, tmp_path):
    """As encoders were saved when the basis was escnn's."""
    encoder, images = trained_statistics(new(name)), torch.randn(2, 1, 28, 28)
    before = encoder(images)
    bases: dict[tuple[int, ...], torch.Tensor] = {}
    for layer in [layer for layer in encoder.modules() if isinstance(layer, GroupConv2d)]:
        shape = tuple(layer.basis.shape)
        turned = bases.setdefault(shape, torch.linalg.qr(torch.randn(shape[0], shape[0]))[0])
        with torch.no_grad():
            layer.basis.copy_(turned @ layer.basis)
            layer.weight.copy_(turned @ layer.weight)
    expected = encoder(images)
    assert relative(expected, before) < 1e-5
    save_encoder(encoder, tmp_path, {})
    assert torch.equal(load_encoder(tmp_path)(images), expected)
    # as a checkpoint of a training is loaded: into a new encoder, which has the canonical basis
    continued = new(name, seed=1).eval()
    continued.load_state_dict(encoder.state_dict())
    assert torch.equal(continued(images), expected)


def test_saving_twice_gives_the_same_bytes(tmp_path):
    for folder in ("a", "b"):
        save_encoder(new("C4"), tmp_path / folder, {})
    for file in ("encoder.safetensors", "encoder.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_loading_needs_no_escnn(tmp_path):
    save_encoder(new("D4"), tmp_path, {})
    code = (
        "import sys, torch; sys.modules['escnn'] = None; import eqssl; "
        f"print(tuple(eqssl.load_encoder({str(tmp_path)!r})(torch.zeros(1, 1, 28, 28)).shape))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("(1, ")


def test_loading_leaves_the_global_generator_alone(tmp_path):
    save_encoder(new("C4"), tmp_path, {})
    before = torch.get_rng_state()
    load_encoder(tmp_path)
    assert torch.equal(torch.get_rng_state(), before)


def test_damaged_files_are_named(tmp_path):
    save_encoder(new("C4"), tmp_path, {})
    weights, description = tmp_path / "encoder.safetensors", tmp_path / "encoder.json"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-4])
    with pytest.raises(ValueError, match=r"encoder\.safetensors: SHA-256"):
        load_encoder(tmp_path)
    weights.write_bytes(whole)
    description.write_text('{"name": "cnn"}')
    with pytest.raises(ValueError, match=r"encoder\.json: group, order, .*: missing"):
        load_encoder(tmp_path)
    description.write_text("{")
    with pytest.raises(ValueError, match="not JSON"):
        load_encoder(tmp_path)


def test_a_description_that_was_edited_is_refused(tmp_path):
    save_encoder(new("C4"), tmp_path, {"seed": 0})
    path = tmp_path / "encoder.json"
    path.write_text(path.read_text().replace('"seed": 0', '"seed": 1'))
    with pytest.raises(ValueError, match=r"encoder\.json: seal: .* damaged or edited"):
        load_encoder(tmp_path)


def test_an_encoder_of_before_there_were_seals_is_taken_with_a_warning(tmp_path):
    encoder, images = trained_statistics(new("C4")), torch.randn(2, 1, 28, 28)
    save_encoder(encoder, tmp_path, {})
    weights, path = tmp_path / "encoder.safetensors", tmp_path / "encoder.json"
    values = json.loads(path.read_text())
    old = {key: value for key, value in values.items() if key not in ("seal", "files", "made_of")}
    path.write_text(json.dumps(old))
    with pytest.warns(UserWarning, match=r"encoder\.json: has no seal, so that only its weights are checked"):
        loaded = load_encoder(tmp_path)
    assert torch.equal(loaded(images), encoder(images))
    weights.write_bytes(weights.read_bytes()[:-4])
    with (
        pytest.warns(UserWarning, match="has no seal"),
        pytest.raises(ValueError, match=r"encoder\.safetensors: SHA-256"),
    ):
        load_encoder(tmp_path)


def test_wrong_images_are_refused():
    with pytest.raises(ValueError, match=r"given shape \(2, 3, 28, 28\), allowed: \(batch, 1, side, side\)"):
        new("C4")(torch.zeros(2, 3, 28, 28))
    with pytest.raises(ValueError, match="square"):
        build_encoder(settings(), "C4", (1, 28, 32), [0.5], [0.5])


@pytest.mark.parametrize("encoder_name", names())
@pytest.mark.parametrize("name", ["C2", "C4", "D4", "C8", "SO2"])
def test_bfloat16_is_as_equivariant_as_bfloat16_can_be(name: str, encoder_name: str):
    G, encoder = group(name), trained_statistics(new(name, name=encoder_name))
    images = torch.randn(2, 1, 28, 28)

    def run(x):
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            return encoder(x).float()

    reference = run(images)
    for g in G.grid_elements:
        expected = act_on_regular(G, reference, g)
        assert float((run(G.act(images, g)) - expected).norm() / expected.norm()) < 2e-2


def test_an_unknown_encoder_is_named():
    with pytest.raises(ValueError, match="'vit', allowed: cnn"):
        network("vit")


def test_settings_that_no_architecture_has_are_refused():
    with pytest.raises(ValueError, match=r"encoder\.width: given \[4, 6\], allowed: 4 numbers, .* resnet18"):
        new("C4", name="resnet18", width=[4, 6])
    with pytest.raises(ValueError, match=r"encoder\.equivariant_stages: given 4, allowed: at most 3"):
        new("C4", equivariant_stages=4)
