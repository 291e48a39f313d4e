"""What publishers do to averages, checked against what it says."""

import numpy as np
import pytest
import torch

from coldavg import Settings, load, mix, round_to_8_bits
from coldavg.publishing import TREATMENTS, keeps_average, parse_form, publish, release

FORMS = ["png", "float", "jpeg-50", "noise-0.3", "blur-1.5", "small-2", "bits-2", "shift-2", "weights-3",
         "shift-1+noise-0.1+small-4+jpeg-80", "linear", "floor", "jpeg420-75", "resized-1.5",
         "linear+shift-1+resized-2+floor"]
pairs = load("digits")[:12].unflatten(0, (6, 2))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("k, channels", [(2, 1), (3, 3)])
def test_every_form_gives_8_bit_pictures_that_depend_on_their_own_seed_alone(form, k, channels):
    images = torch.rand(4, k, channels, 13, 17, generator=torch.Generator().manual_seed(0)) * 2 - 1
    whole = release(images, form)
    assert whole.shape == (4, channels, 13, 17) and whole.abs().max() <= 1
    assert form == "float" or torch.equal(whole, round_to_8_bits(whole))
    assert torch.equal(whole, release(images, form)), "the same seeds, the same pictures"
    part = release(images[2:], form, seeds=[2, 3])
    torch.testing.assert_close(whole[2:], part, atol=1e-6, rtol=0, msg="the others of a batch change nothing")
    drawn = "noise" in form or "shift" in form or "weights" in form
    assert torch.equal(whole, release(images, form, seeds=range(9, 13))) != drawn


def test_what_is_published_is_what_can_be_read():
    mixtures = mix(pairs)
    assert torch.equal(publish(mixtures, "float"), mixtures)
    assert torch.equal(publish(mixtures, "png"), round_to_8_bits(mixtures))
    lost = {quality: (publish(mixtures, f"jpeg-{quality}") - mixtures).square().mean() for quality in (10, 50, 95)}
    assert 0 < lost[95] < lost[50] < lost[10]
    flat = torch.full((2, 3, 16, 16), 51 / 127.5 - 1)  # one colour survives any quality, but for a level
    assert (publish(flat, "jpeg-50") - flat).abs().max() < 2 / 127.5
    assert publish(flat[0], "jpeg-50").shape == (3, 16, 16)


@pytest.mark.parametrize("form", ["gif", "jpeg", "jpeg-", "jpeg-0", "jpeg-96", "jpeg-x", "jpeg-1.5", "noise-0",
                                  "noise-inf", "noise-nan", "bits-9", "float+jpeg-50", "png-3", "", "+"])
def test_a_form_that_is_none_is_told_all_that_there_is(form):
    with pytest.raises(ValueError, match="png, float, or one or more of shift-1 to -32, weights-1"):
        release(pairs, form)
    with pytest.raises(ValueError, match="png, float, or one or more of"):
        Settings(target="joint", published=form)


def test_what_begins_before_the_averaging_needs_the_images():
    with pytest.raises(ValueError, match="use release with the images"):
        publish(mix(pairs), "shift-1")
    with pytest.raises(ValueError, match="both given and secret"):
        release(pairs, "weights-2", [0.4, 0.6])


def test_each_treatment_does_what_it_says():
    flat = torch.full((1, 1, 16, 16), 0.2)
    published = {form: publish(flat, form) for form in ("noise-0.1", "blur-3", "small-4", "bits-1", "bits-8")}
    for form in ("blur-3", "small-4", "bits-8"):
        assert torch.equal(published[form], round_to_8_bits(flat)), f"{form} leaves a flat picture as it is"
    assert torch.equal(published["bits-1"], torch.ones_like(flat))
    many = publish(torch.zeros(60, 1, 32, 32), "noise-0.1")
    assert many.std().item() == pytest.approx(0.1, rel=0.02) and abs(many.mean().item()) < 0.002
    dot = torch.full((1, 1, 33, 33), -1.0)
    dot[..., 16, 16] = 127.0  # blurred before it is rounded: the kernel itself
    blurred = TREATMENTS["blur"].apply(dot[0], 2.0, None)[0] + 1
    offsets = torch.arange(33) - 16
    kernel = torch.exp(-offsets.square() / 8)
    torch.testing.assert_close(blurred / blurred.sum(), torch.outer(kernel, kernel) / kernel.sum() ** 2,
                               atol=1e-4, rtol=0)
    ramp = torch.arange(16.0).reshape(1, 1, 4, 4) / 8 - 1
    means = ramp.unflatten(2, (2, 2)).unflatten(4, (2, 2)).mean((3, 5))
    torch.testing.assert_close(TREATMENTS["small"].apply(ramp[0], 2.0, None),
                               means[0].repeat_interleave(2, 1).repeat_interleave(2, 2))


def test_a_shift_moves_whole_images_and_not_all_alike():
    dot = torch.full((1, 2, 1, 15, 15), -1.0)
    dot[..., 7, 7] = 1
    places = set()
    for seed in range(200):
        moved = TREATMENTS["shift"].apply(dot[0], 2.0, np.random.default_rng(seed))
        assert (moved == 1).sum() == 2
        places |= {tuple(place.tolist()) for place in (moved[:, 0] == 1).nonzero()[:, 1:]}
    assert places == {(row, column) for row in range(5, 10) for column in range(5, 10)}


def test_secret_weights_lie_where_the_form_says_and_sum_to_one():
    shares = [TREATMENTS["weights"].apply(torch.ones(2, 1, 1, 1), 3.0, np.random.default_rng(seed)).flatten() / 2
              for seed in range(300)]
    shares = torch.stack(shares)
    torch.testing.assert_close(shares.sum(1), torch.ones(300))
    ratio = shares.max(1).values / shares.min(1).values
    assert 2.5 < ratio.max() <= 3 and ratio.min() < 1.1


def test_only_plain_averages_bind_the_answers():
    assert {form for form in [*FORMS, "png+png"] if keeps_average(form)} == {"png", "float", "png+png"}
    assert [each.name for each, _ in parse_form("shift-2+jpeg-9")] == ["shift", "jpeg"]


def test_in_linear_light_black_and_white_average_to_more_than_half():
    """Half of the light is level 188 of sRGB, not 128."""
    both = torch.stack([-torch.ones(1, 4, 4), torch.ones(1, 4, 4)])[None]
    assert ((release(both, "linear") + 1) * 127.5).round().unique().tolist() == [188]
    same = pairs[:, :1].expand(-1, 2, -1, -1, -1)
    assert torch.equal(release(same, "linear"), pairs[:, 0]), "the average of an image with itself is the image"
    assert (release(both, "linear", weights=(0.2, 0.8)) > release(both, "linear")).all()


def test_floor_cuts_where_png_rounds():
    images = torch.tensor([[0.0, 255.0], [1.0, 255.0], [0.0, 3.0], [2.0, 2.0]]) / 127.5 - 1
    cut = ((release(images[:, :, None, None, None], "floor") + 1) * 127.5).round().flatten().tolist()
    assert cut == [127, 128, 1, 2]


def test_half_the_colours_change_colours_and_no_grey():
    images = torch.rand(2, 2, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert not torch.equal(release(images, "jpeg420-90"), release(images, "jpeg-90"))
    grey = images.mean(2, keepdim=True)
    assert torch.equal(release(grey, "jpeg420-90"), release(grey, "jpeg-90"))


def test_what_is_resized_after_averaging_keeps_what_is_smooth():
    ramp = torch.linspace(-1, 1, 64).expand(1, 1, 64, 64)
    fine = torch.tensor([-1.0, 1.0]).repeat(32).expand(1, 1, 64, 64)
    assert (publish(ramp, "resized-2") - ramp)[..., 4:-4].abs().max() < 0.02
    assert publish(fine, "resized-2").abs().max() < 0.3, "what is finer than two pixels is gone"
