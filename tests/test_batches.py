"""Batches: which images are drawn, in which order, and of what they are a function."""

import numpy as np
import pytest
import torch

from coldavg import Settings, load, mix
from coldavg.batches import draw, held_out
from coldavg.imagesets.tuples import thumbnails


@pytest.mark.parametrize("k, target", [(2, "original"), (4, "original"), (3, "joint")])
def test_tuples_hold_different_images_in_their_order(k, target):
    images = (torch.arange(40.0) / 20 - 1).reshape(40, 1, 1, 1)
    sizes = set()
    for order in ("brightest", "random"):
        for step in range(20):
            tuples = draw(images, Settings(k=k, target=target, order=order), step)[0].flatten(1)
            sizes.add(tuples.shape[1])
            assert all(len(set(row)) == len(row) for row in tuples.tolist())
            brightest = (tuples[:, :1] >= tuples).all()
            assert brightest == (order == "brightest")
    assert sizes == ({k} if target == "joint" else set(range(2, k + 1)))


def test_the_smallest_set_of_images_can_be_trained_on():
    tuples, *_ = draw(torch.arange(4.0).reshape(4, 1, 1, 1) / 4, Settings(k=4, target="joint"), 0)
    assert {tuple(sorted(row)) for row in tuples.flatten(1).tolist()} == {(0, 0.25, 0.5, 0.75)}


def test_a_batch_is_a_function_of_the_seed_and_the_step_and_processes_share_it():
    images, settings = load("digits", "train")[:50], Settings(batch=12, k=3, flips=True)
    *whole, _ = draw(images, settings, 7)
    draw(images, settings, 8)
    for rank in range(3):
        parts = draw(images, settings, 7, slice(rank, None, 3))
        assert all(torch.equal(part, every[rank::3]) for part, every in zip(parts, whole))
    alpha = whole[2]
    assert not torch.equal(draw(images, settings, 8).alpha, alpha)
    assert not torch.equal(draw(images, Settings(batch=12, seed=1), 7).alpha, alpha)
    assert 0 < alpha.min() and alpha.max() <= settings.alpha_max


@pytest.mark.parametrize("k", [2, 4])
def test_a_share_of_the_points_lies_where_samplers_start(k):
    images = torch.rand(40, 1, 4, 4) * 2 - 1
    for share, count in (0, 0), (0.5, 6), (1, 12):
        for step in range(5):
            tuples, _, alpha, _ = draw(images, Settings(k=k, batch=12, at_start=share), step)
            start = 1 - 1 / tuples.shape[1]
            assert torch.isclose(alpha, torch.tensor(start)).sum() == count


def test_held_out_images_are_never_drawn():
    images = (torch.arange(40.0) / 20 - 1).reshape(40, 1, 1, 1)
    drawn, checked = held_out(40)
    assert len(checked) == 4 and sorted([*drawn, *checked]) == list(range(40))
    seen = torch.cat([draw(images, Settings(), step)[0].flatten() for step in range(20)])
    assert set(seen.tolist()) == set(images[torch.from_numpy(drawn)].flatten().tolist())
    assert len(held_out(8)[1]) == 0 and len(held_out(10**5)[1]) == 64


def test_flips_draw_mirror_images_half_of_the_time():
    image = torch.zeros(2, 1, 4, 4)
    image[..., 0] = 1
    tuples = torch.cat([draw(image, Settings(flips=True), step)[0] for step in range(10)])
    share = (tuples[..., 0, -1] == 1).float().mean()
    assert 0.4 < share < 0.6 and torch.equal(tuples + tuples.flip(-1), torch.tensor([1.0, 0, 0, 1]).expand_as(tuples))
    assert torch.equal(draw(image, Settings(), 0)[0], image[0].expand(64, 2, 1, 4, 4))


def test_a_joint_network_that_looks_again_is_trained_after_each_number_of_looks():
    images = load("digits", "train")[:20]
    looks = [draw(images, Settings(target="joint", looks=3, batch=2), step).looks for step in range(60)]
    assert min(looks.count(number) for number in (1, 2, 3)) > 10 and set(looks) == {1, 2, 3}
    plain, again = (draw(images, Settings(target="joint", looks=looks, batch=2), 5) for looks in (0, 3))
    assert plain.looks == 1 and torch.equal(plain.given, again.given), "the mixtures are the same"


def test_training_forms_tuples_as_the_publisher_does():
    images = load("digits", "train")[:200]

    def apart(pool: int) -> float:
        tuples, given, *_ = draw(images, Settings(target="joint", pool=pool, published="noise-0.2"), 3)
        inside = mix(tuples).abs() < 0.2  # where nothing is cut off
        assert (given - mix(tuples))[inside].std().item() == pytest.approx(0.2, rel=0.1)
        small = thumbnails(tuples.flatten(0, 1), np.arange(128)).unflatten(0, (64, 2))
        return (small[:, 0] - small[:, 1]).square().mean().item()

    assert apart(180) < apart(20) < apart(0)
