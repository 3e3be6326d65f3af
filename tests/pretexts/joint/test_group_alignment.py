import pytest
import torch
from entries import EXACT, build, small_params, stored
from steps import step
from torch import Tensor

from eqssl import pretexts
from eqssl.config.pretexts import PretextSettings
from eqssl.pretexts.joint.group_alignment import GroupAlignment, aligning_element, nearest_element
from eqssl.pretexts.views import TurnedView
from eqssl.symmetry import group, group_names
from eqssl.symmetry.turning import flip_and_degrees
from eqssl.symmetry.turns import Turns

GROUPS = [name for name in group_names() if name != "trivial"]


def alignment(name: str, aligned_by: str = "predicted") -> GroupAlignment:
    params = small_params(name)
    values = {**params.pretexts["group_alignment"].plain(), "aligned_by": aligned_by}
    entry = PretextSettings.read(values, "pretexts.group_alignment")
    changed = params.model_copy(update={"pretexts": {"group_alignment": entry}})
    pretext = pretexts.build("group_alignment", changed)
    assert isinstance(pretext, GroupAlignment)
    with torch.no_grad():  # scores that differ, as after training
        pretext.head[-1].weight.mul_(1000)
    return pretext.double().eval()


def drawn(count: int, most: int, seed: int) -> Tensor:
    return torch.randint(most, (count,), generator=torch.Generator().manual_seed(seed))


def given_views(seed: int, turn: str) -> list[TurnedView]:
    """Two views of noise with turns: of the pixel grid, or any."""
    made = []
    for number in (seed, seed + 10):
        generator = torch.Generator().manual_seed(number)
        images = torch.rand(6, 1, 28, 28, generator=generator, dtype=torch.float64)
        degrees = 360 * torch.rand(6, generator=generator)
        if turn == "grid":
            degrees = 90.0 * drawn(6, 4, number)
        made.append(TurnedView(images, Turns(degrees, drawn(6, 2, number + 5) > 0)))
    return made


def turns_of(name: str, positions: Tensor) -> Turns:
    G = group(name)
    moves = [flip_and_degrees(G.matrix(G.elements[int(i)])) for i in positions]
    return Turns(torch.tensor([d for _, d in moves]), torch.tensor([m for m, _ in moves]))


def turned(view: TurnedView, name: str, seed: int, tell: bool = True) -> TurnedView:
    """Each image turned by its own element; with `tell`, its known turn says so."""
    positions = drawn(len(view.images), group(name).order, seed)
    turns = turns_of(name, positions).after(view.turns) if tell else view.turns
    return TurnedView(group(name).act_each(view.images, positions), turns)


def loss(pretext: GroupAlignment, views: list[TurnedView]) -> float:
    pretext.draw_turned_views = lambda images, generator: views  # type: ignore[method-assign]
    return float(pretext(step(stored(len(views[0].images)))).loss.detach())


@pytest.mark.parametrize("turn", ["grid", "angle"])
@pytest.mark.parametrize("aligned_by", ["predicted", "known"])
@pytest.mark.parametrize("name", [name for name in EXACT if name != "trivial"])
def test_every_view_can_be_turned_by_itself_with_its_known_turn(name: str, aligned_by: str, turn: str):
    pretext, views = alignment(name, aligned_by), given_views(1, turn)
    expected = loss(pretext, views)
    for seed in range(4):
        moved = [turned(view, name, seed + 20 * i) for i, view in enumerate(views)]
        assert loss(pretext, moved) == pytest.approx(expected, rel=1e-6)
    untold = [turned(view, name, 7 + 20 * i, tell=False) for i, view in enumerate(views)]
    assert abs(loss(pretext, untold) - expected) > 1e-4


@pytest.mark.parametrize("name", [name for name in EXACT if name != "trivial"])
def test_without_alignment_the_contrast_is_not_invariant(name: str, monkeypatch: pytest.MonkeyPatch):
    pretext, views = alignment(name), given_views(1, "grid")
    module = "eqssl.pretexts.joint.group_alignment.turned_back"
    monkeypatch.setattr(module, lambda z, orientations, G: z)
    moved = [turned(view, name, 20 * i) for i, view in enumerate(views)]
    assert abs(loss(pretext, moved) - loss(pretext, views)) > 1e-4


@pytest.mark.parametrize("name", GROUPS)
def test_the_nearest_element_of_a_turn_of_the_group_is_itself(name: str):
    G = group(name)
    everything = torch.arange(G.order)
    for shift in (0.0, 10.0, -10.0):
        turns = turns_of(name, everything)
        near = Turns(turns.degrees + shift, turns.mirrored)
        found, exists = nearest_element(G, near)
        assert torch.equal(found, everything)
        assert bool(exists.all())
        assert torch.equal(aligning_element(G, near), everything)


def test_turns_between_two_elements_and_mirrored_ones_have_no_nearest_element_where_there_is_none():
    turns = Turns(torch.tensor([90.0, 45.0, 44.0, 0.0]), torch.tensor([False, False, False, True]))
    assert nearest_element(group("C2"), turns)[1].tolist() == [False, True, True, False]
    assert nearest_element(group("C4"), turns)[1].tolist() == [True, False, True, False]
    assert nearest_element(group("D4"), turns)[1].tolist() == [True, False, True, True]
    assert nearest_element(group("D1"), turns)[1].tolist() == [True, True, True, True]


def test_views_without_known_turns_are_refused():
    views = [view._replace(turns=None) for view in given_views(1, "grid")]
    with pytest.raises(ValueError, match="turns of the views: given none"):
        loss(alignment("C4"), views)


def test_the_trivial_group_is_refused_with_the_reason():
    with pytest.raises(ValueError, match=r"given 'trivial' with pretext 'group_alignment': .* one element"):
        build("group_alignment", "trivial")


@pytest.mark.parametrize("name", GROUPS)
def test_every_group_trains_every_weight_and_names_both_losses(name: str):
    pretext = build("group_alignment", name).train()
    found, scalars = pretext(step(stored()))
    found.backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in pretext.parameters())
    total = scalars["contrast"] + pretext.weight * scalars["orientation"]
    torch.testing.assert_close(found.detach(), total)


def test_the_head_learns_how_two_views_are_turned():
    """The views of one image differ by a turn and noise."""
    torch.manual_seed(0)
    pretext = build("group_alignment", "C4").train()
    image = torch.rand(1, 1, 28, 28)
    optimiser = torch.optim.Adam(pretext.parameters(), lr=3e-3)
    for number in range(12):
        views = []
        for seed in (number, number + 100):
            positions = drawn(8, 4, seed)
            images = group("C4").act_each(image.expand(8, -1, -1, -1), positions)
            noise = 0.1 * torch.randn(8, 1, 28, 28, generator=torch.Generator().manual_seed(seed))
            views.append(TurnedView(images + noise, turns_of("C4", positions)))
        pretext.draw_turned_views = lambda images, generator, views=views: views  # type: ignore[method-assign]
        found, scalars = pretext(step(stored()))
        optimiser.zero_grad()
        found.backward()
        optimiser.step()
    assert float(scalars["orientation"]) < 0.5 * torch.log(torch.tensor(4.0)) / 4
    assert float(scalars["turn_found"]) == 1
