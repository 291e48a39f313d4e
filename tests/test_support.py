"""8-bit pictures, figures, files that are whole or not there."""

import base64
import io

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from coldavg import load, mix, round_to_8_bits
from coldavg.support.figures import label_dots, lines, show
from coldavg.support.files import fingerprint, list_names, write_atomically
from coldavg.support.pixels import embedded, from_8_bits, picture, png, rasterise, to_8_bits

digits = load("digits")[:4]


def test_pixels_are_those_of_the_image():
    image = torch.tensor([[-1.0, 0.0, 1.0, 5.0]]).reshape(1, 1, 4)
    assert picture(image).tolist() == [[0, 128, 255, 255]]
    assert picture(image.expand(3, 1, 4)).shape == (1, 4, 3)


def test_a_table_of_pictures_holds_them_all():
    figure = show([digits, digits[:2]], ["a", "b", "c", "d"], ["first", "second"], [["1", "2", "3", "4"]])
    shown = [axis.get_images()[0].get_array() for axis in figure.axes if axis.get_images()]
    assert len(shown) == 6
    assert all(np.array_equal(a, picture(d)) for a, d in zip(shown, [*digits, *digits[:2]]))


def test_the_names_of_dots_cover_no_dot_no_curve_and_no_other_name():
    """Forty dots, of which many stand close together; one has no name."""
    xs, ys = np.random.default_rng(0).normal(size=(2, 40)).round(1)
    axis = lines({"dots": (xs[:0], ys[:0]), "curve": ([-2, 2], [-1, 1])}, "x", "y").axes[0]
    axis.plot(xs, ys, "o")
    label_dots(axis, [*(f"name {i}" for i in range(39)), ""], xs, ys)
    axis.figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in axis.texts if text.get_text()]
    dots = axis.transData.transform(np.stack([xs, ys], 1))
    assert len(boxes) == 39
    assert not any(one.overlaps(other) for i, one in enumerate(boxes) for other in boxes[:i])
    assert not any(box.contains(*dot) for box in boxes for dot in dots)
    along = axis.transData.transform(np.linspace([-2, -1], [2, 1], 500))
    assert not any(box.shrunk(0.9, 0.9).count_contains(along) for box in boxes), "nor the curve"
    for box, dot in zip(boxes, dots):  # each stands beside its own
        assert np.hypot(*(dot - dot.clip(box.min, box.max))) < 150


def test_lines_have_names_and_a_level():
    figure = lines({"one": ([1, 2], [3, 4])}, "calls", "PSNR", log=True, level=("average", 2.0))
    axis = figure.axes[0]
    assert axis.get_xscale() == "log"
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["one", "average"]


def test_rounding_is_to_the_values_of_a_png_and_half_to_even():
    levels = torch.arange(256) / 127.5 - 1
    torch.testing.assert_close(round_to_8_bits(levels), levels, rtol=0, atol=1e-6)
    neighbours = torch.stack([levels[:-1], levels[1:]]).reshape(2, 1, 1, 255)  # each pair averages to a half
    even = [level + level % 2 for level in range(255)]
    assert ((round_to_8_bits(mix(neighbours)).flatten() + 1) * 127.5).round().tolist() == even
    assert round_to_8_bits(torch.tensor([-7.0, 7.0])).tolist() == [-1, 1]


@given(st.integers(0, 1000), st.sampled_from([1, 3]), st.sampled_from([torch.float32, torch.float64]))
def test_levels_pictures_and_files_come_back_as_they_were(seed, channels, dtype):
    levels = torch.randint(0, 256, (channels, 5, 7), generator=torch.Generator().manual_seed(seed)).byte()
    images = from_8_bits(levels, dtype)
    assert torch.equal(to_8_bits(images), levels) and torch.equal(round_to_8_bits(images), images)
    assert images.dtype is dtype and images.min() >= -1 and images.max() <= 1
    drawn = picture(images)
    assert drawn.dtype == np.uint8 and drawn.shape == ((5, 7) if channels == 1 else (5, 7, 3))
    assert np.array_equal(drawn.reshape(5, 7, channels).transpose(2, 0, 1), levels.numpy())
    for content in (png(images), png(drawn)):
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(content))), drawn)
    assert base64.b64decode(embedded(content).removeprefix("data:image/png;base64,")) == content


def test_all_256_levels_come_back():
    levels = torch.arange(256).byte()
    assert torch.equal(to_8_bits(from_8_bits(levels)), levels) and from_8_bits(levels)[[0, 255]].tolist() == [-1, 1]


def test_a_figure_becomes_pixels():
    figure = lines({"one": ([1, 2], [3, 4])}, "x", "y")
    drawn = rasterise(figure, 50)
    assert drawn.shape == (190, 350, 3) and drawn.dtype == np.uint8 and drawn.std() > 5


def test_files_are_told_apart_by_what_they_hold(tmp_path):
    for name, content in {"a": b"1", "b": b"1", "c": b"2"}.items():
        (tmp_path / name).write_bytes(content)
    one, same, other = (fingerprint(tmp_path / name) for name in "abc")
    assert one == same != other and len(one) == 64
    (tmp_path / "a").write_bytes(b"23")
    assert fingerprint(tmp_path / "a") != one, "it is read anew once it has changed"
    assert list_names(("x", "\x1b")) == "2 file(s) ('x', '\\x1b')"
    assert list_names(tuple("abcdefg")).endswith("'e', ...)")


def test_writing_is_all_or_nothing(tmp_path):
    path = tmp_path / "a"
    write_atomically(path, b"old")
    with pytest.raises(TypeError):
        write_atomically(path, "no bytes")
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]
