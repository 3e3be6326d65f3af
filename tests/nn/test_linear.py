import pytest
import torch

from eqssl.nn.heads import VectorBatchNorm, equivariant_mlp, plain_mlp
from eqssl.nn.linear import EquivariantLinear, PairLinear, pair_orbits
from eqssl.symmetry import GSet, _escnn, act_on_regular, equivariance_error, grid_slots, group, group_names

GROUPS = group_names()
OUTER = [(r, c) for r in range(3) for c in range(3) if (r, c) != (1, 1)]


def sets(name: str) -> dict[str, GSet]:
    G = group(name)
    # off the grid there are no slots to go to; the elements in pairs are another set of many orbits
    slots = grid_slots(G, 3, OUTER) if G.is_exact else GSet.regular(G).product(GSet.fixed(G, 2))
    return {"regular": GSet.regular(G), "slots": slots, "fixed": GSet.fixed(G, 2)}


@pytest.mark.parametrize("target", ["regular", "slots", "fixed"])
@pytest.mark.parametrize("source", ["regular", "slots", "fixed"])
@pytest.mark.parametrize("name", GROUPS)
def test_any_two_sets_are_joined_equivariantly(name: str, source: str, target: str):
    X, Y = sets(name)[source], sets(name)[target]
    layer = EquivariantLinear(X, Y, 3, 2).double()
    torch.nn.init.normal_(layer.bias)
    x = torch.randn(4, 3, X.size, dtype=torch.float64)
    error = equivariance_error(layer, group(name), x, output=Y, act=X.act_on_logits)
    assert error < 1e-14
    assert pair_orbits(X, Y).shape == (Y.size, X.size)


@pytest.mark.parametrize("name", ["C4", "D4"])
def test_the_number_of_free_weights_is_the_dimension_of_the_space(name: str):
    """By Burnside, orbits on pairs = the mean over g of (fixed points in X) * (fixed points in Y)."""
    G, X, Y = group(name), sets(name)["regular"], sets(name)["slots"]
    fixed = [
        int((X.action[i] == torch.arange(X.size)).sum()) * int((Y.action[i] == torch.arange(Y.size)).sum())
        for i in range(G.order)
    ]
    assert int(pair_orbits(X, Y).max()) + 1 == sum(fixed) // G.order


@pytest.mark.parametrize("name", [n for n in GROUPS if n != "trivial" and not group(n).is_continuous])
def test_the_dimension_is_that_of_escnns_basis(name: str):
    G = group(name)
    field = _escnn.nn.FieldType(G.gspace, [G.gspace.regular_repr])
    theirs = _escnn.nn.R2Conv(field, field, 1, bias=False, initialize=False)
    ours = EquivariantLinear(GSet.regular(G), GSet.regular(G), 1, 1)
    assert len(ours.weight) == theirs.weights.numel() == G.order


def slot_representations(G):
    """The eight outer slots as escnn has them: for each orbit G/H a quotient representation."""
    regular, trivial = G.gspace.regular_repr, G.gspace.trivial_repr
    if G.name in ("C2", "C4"):
        return [regular] * (8 // G.order)
    if G.name == "D1":
        return [trivial, trivial, regular, regular, regular]
    # stabilisers that mirror in either of two kinds of axis
    mirrored = [G.gspace.quotient_repr((axis, 1)) for axis in (0, 1)]
    return mirrored if G.name == "D4" else [*mirrored, regular]


@pytest.mark.parametrize("name", ["C2", "C4", "D1", "D2", "D4"])
def test_the_dimension_of_maps_between_any_two_sets_is_that_of_escnns_basis(name: str):
    G, X = group(name), sets(name)
    types = {"regular": [G.gspace.regular_repr], "slots": slot_representations(G)}
    for source, a in types.items():
        for target, b in types.items():
            field_types = [_escnn.nn.FieldType(G.gspace, each) for each in (a, b)]
            theirs = _escnn.nn.R2Conv(*field_types, 1, bias=False, initialize=False)
            ours = EquivariantLinear(X[source], X[target], 1, 1)
            assert len(ours.weight) == theirs.weights.numel(), (source, target)


def test_the_map_equals_the_slow_double_sum():
    X, Y = sets("C4")["regular"], sets("C4")["slots"]
    layer, x = EquivariantLinear(X, Y, 2, 3), torch.randn(1, 2, 4)
    torch.nn.init.normal_(layer.bias)
    out = layer(x)
    for o in range(3):
        for y in range(8):
            expected = layer.bias[layer.points[y], o]
            for i in range(2):
                for h in range(4):
                    expected = expected + layer.weight[layer.pairs[y, h], o, i] * x[0, i, h]
            torch.testing.assert_close(out[0, o, y], expected)


def test_a_map_of_pairs_is_the_map_of_both_halves_side_by_side():
    """And its first weights are as large as that one's."""
    X, Y = sets("C4")["regular"], sets("C4")["slots"]
    torch.manual_seed(0)
    halves = EquivariantLinear(X, Y, 16, 3, bias=False), EquivariantLinear(X, Y, 16, 3)
    torch.nn.init.normal_(halves[1].bias)
    pairs, whole = PairLinear(*halves), EquivariantLinear(X, Y, 32, 3)
    largest = [float(layer.weight.detach().abs().max()) for layer in (halves[0], whole)]
    assert largest[0] == pytest.approx(largest[1], rel=0.02)
    with torch.no_grad():
        whole.weight.copy_(torch.cat([half.weight for half in halves], 2))
        whole.bias.copy_(halves[1].bias)
    u, v = torch.randn(5, 16, 4), torch.randn(3, 5, 16, 4)
    found = pairs((u, v.flatten(0, 1))).unflatten(0, (3, 5))
    for k in range(3):
        for b in range(5):
            expected = whole(torch.cat([u[b], v[k, b]])[None])[0]
            torch.testing.assert_close(found[k, b], expected)


@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_of_vectors_is_torchs_over_batch_and_points(training: bool):
    ours, theirs = VectorBatchNorm(3).train(training), torch.nn.BatchNorm1d(3).train(training)
    x = torch.randn(6, 4, 3).transpose(1, 2).requires_grad_()
    weights = torch.randn(6, 3, 4)
    results = [layer(x) for layer in (ours, theirs)]
    torch.testing.assert_close(*results)
    torch.testing.assert_close(*[torch.autograd.grad((y * weights).sum(), x)[0] for y in results])
    torch.testing.assert_close(ours.norm.running_var, theirs.running_var)


@pytest.mark.parametrize("name", ["trivial", "C4", "D4"])
def test_nothing_is_copied_between_an_encoders_features_and_the_logits(name: str):
    G = group(name)
    features = torch.randn(8, G.order, 5).transpose(1, 2)
    head = equivariant_mlp(G, [5, 4, 1], sets(name)["slots"])
    for layer in head:
        assert features.transpose(1, 2).is_contiguous()
        features = layer(features)


def test_sets_of_two_groups_are_refused():
    with pytest.raises(ValueError, match="C2 and C4"):
        EquivariantLinear(GSet.regular(group("C2")), GSet.regular(group("C4")), 1, 1)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", [name for name in GROUPS if name != "trivial"])
def test_heads_are_equivariant_and_their_plain_twins_are_not(name: str, training: bool):
    G, Y = group(name), sets(name)["slots"]
    x = torch.randn(16, 3, G.order)

    def act(values, g):
        return act_on_regular(G, values, g)

    equal = equivariant_mlp(G, [3, 8, 1], Y).train(training)
    plain = plain_mlp(G, [3, 8, 1], Y.size).train(training)
    assert equal(x).shape == plain(x).shape == (16, 1, Y.size)
    assert equivariance_error(equal, G, x, output=Y, act=act) < 1e-5
    assert equivariance_error(plain, G, x, output=Y, act=act) > 1e-2


@pytest.mark.parametrize("hidden", [[], [8], [8, 4]])
def test_heads_of_pairs_are_equivariant_and_as_wide_as_their_plain_twins(hidden: list[int]):
    G, Y = group("D4"), sets("D4")["slots"]
    x = torch.randn(6, 3, 3, G.order)
    pair, twin = (
        make(G, [3, *hidden, 1], size, of_pairs=True).train()
        for make, size in ((equivariant_mlp, Y), (plain_mlp, 8))
    )

    def logits(head):
        return lambda values: head((values[:, 0], values[:, 1:].transpose(0, 1).flatten(0, 1)))

    def act(values, g):
        return act_on_regular(G, values, g)

    assert logits(pair)(x).shape == logits(twin)(x).shape == (12, 1, 8)
    assert equivariance_error(logits(pair), G, x, output=Y, act=act) < 1e-5
    assert equivariance_error(logits(twin), G, x, output=Y, act=act) > 1e-2
    biases = [name for name, _ in pair.named_parameters() if name.endswith("bias") and "norm" not in name]
    assert len(biases) == 1


def test_a_generator_decides_the_first_weights():
    G = group("C4")
    for make in (equivariant_mlp, plain_mlp):
        one, two, other = (make(G, [2, 4, 3], generator=torch.Generator().manual_seed(s)) for s in (0, 0, 1))
        assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
        assert not torch.equal(next(one.parameters()), next(other.parameters()))
