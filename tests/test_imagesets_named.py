"""Image sets that have a name: how they are fetched, and what is said where they can not be."""

import hashlib
import os
import shutil
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from coldavg import load
from coldavg.cli import main
from coldavg.imagesets import SETS, open_images
from coldavg.imagesets.named import DECLARED, ask_size, cache_folder, find_source
from coldavg.support.files import fingerprint

from .pictures import disk_of, fill, idx, noise, packed, tarred, zipped


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("COLDAVG_CACHE", str(tmp_path / "cache"))


class Home(BaseHTTPRequestHandler):
    """A public home of image sets: `files` by path; of /cut... only the first half arrives."""

    files: dict[str, bytes] = {}
    asked: list[str] = []

    def do_GET(self):
        self.asked.append(self.path)
        content = self.files.get(self.path)
        if content is None:
            return self.send_error(404)
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if self.path.startswith("/cut") else content)

    def do_HEAD(self):
        found = self.path in self.files
        self.send_response(200 if found else 404)
        if found and not self.path.startswith("/silent"):
            self.send_header("Content-Length", str(len(self.files[self.path])))
        self.end_headers()

    def log_message(self, *words):
        pass


@pytest.fixture
def home(monkeypatch):
    """Its address; all else of the network is not to be had."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Home)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("COLDAVG_DATA", raising=False)
    monkeypatch.delenv(DECLARED, raising=False)
    monkeypatch.setattr(Home, "files", {})
    monkeypatch.setattr(Home, "asked", [])
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def publish(monkeypatch, home, name, path, content, **known):
    """Put `content` at the home, as the public file of the set `name`."""
    Home.files[path] = content
    known = {"hash": f"md5:{hashlib.md5(content).hexdigest()}", "address": home + path} | known
    monkeypatch.setitem(SETS, name, replace(SETS[name], **known))


def flowers(tmp_path):
    """A tar as that of the flowers, of larger images, not sorted, with others beside them."""
    files = {f"jpg/image_{i:05d}.jpg": packed(noise(i, (80, 120, 3)), "JPEG") for i in (5, 3, 9, 1, 7, 2, 8)}
    return tarred(tmp_path / "made.tgz", files | {"other/x.jpg": packed(noise(0), "JPEG")}).read_bytes()


def test_flowers_are_fetched_once(home, monkeypatch, tmp_path, capsys):
    publish(monkeypatch, home, "flowers", "/102flowers.tgz", flowers(tmp_path))
    opened = open_images("flowers", "all")
    terms, fetching, *_ = capsys.readouterr().err.splitlines()
    assert SETS["flowers"].terms in terms and "/102flowers.tgz, 0." in fetching and fetching.endswith(" MB"), fetching
    assert opened.shape == (7, 3, 64, 64) and opened.sizes == ((120, 80),) * 2 and opened.flips
    assert len(open_images("flowers", "train")) == 5 and len(open_images("flowers")) == 2, "image by image"
    assert Home.asked == ["/102flowers.tgz"] and capsys.readouterr().err == "", "terms are shown once"
    assert opened.sha256 == fingerprint(cache_folder() / "102flowers.tgz") and find_source("flowers") == opened.source
    assert not [path for path in cache_folder().rglob("*") if path.suffix == ".jpg"], "nothing is extracted"
    assert main(["data", "flowers"]) == 0 and opened.sha256 in capsys.readouterr().out
    monkeypatch.setenv("COLDAVG_DATA", str(tmp_path))
    zipped(tmp_path / "flowers.zip", {f"flowers/{i}/{i}.png": packed(noise(i)) for i in range(4)})
    assert len(open_images("flowers", "all")) == 4, "a prepared copy comes first"


def test_xrays_are_the_grey_images_of_their_folder(home, monkeypatch, tmp_path):
    files = {f"MedNIST/{kind}/{i:06d}.jpeg": packed(noise(i, (64, 64)), "JPEG")
             for i in range(4) for kind in ("CXR", "Hand")}
    publish(monkeypatch, home, "xrays", "/MedNIST.tar.gz", tarred(tmp_path / "made", files).read_bytes())
    assert open_images("xrays", "all").shape == (4, 1, 64, 64) and not open_images("xrays").broken


def test_the_size_is_what_the_server_says_if_it_says_it(home):
    Home.files |= {"/known": bytes(2_345_678), "/silent": b"some"}
    assert ask_size(f"{home}/known") == "2.3 MB"
    for nobody in (f"{home}/silent", f"{home}/absent", "http://127.0.0.1:9/x"):
        assert ask_size(nobody) == "of a size that can't be asked"


def test_portraits_have_no_public_address_and_are_placed_by_hand(home, monkeypatch, tmp_path, capsys):
    assert main(["data", "portraits"]) == 2
    error = capsys.readouterr().err
    assert "needs the file portraits.zip, not found" in error and "it has no public address" in error, error
    made = zipped(tmp_path / "made.zip", {f"portraits/{i}.jpg": packed(noise(i), "JPEG") for i in range(9)})
    cache_folder().mkdir()
    shutil.copy(made, cache_folder() / "portraits.zip")
    assert open_images("portraits", "all").shape == (9, 3, 64, 64) and not Home.asked
    assert len(set(open_images("portraits", "all").identities)) == 9, "nobody is told apart: image by image"


MNIST = SETS["digits-full"].file


def test_the_whole_of_mnist_is_fetched(home, monkeypatch):
    pixels = noise(0, (30, 28, 28))
    publish(monkeypatch, home, "digits-full", f"/{MNIST}", idx(pixels))
    assert load("digits-full").shape == (2000, 1, 28, 28) and not Home.asked, "its test images are in the package"
    assert (open_images("digits-full", "train").pixels[:30, ..., 0] == pixels).all()
    assert Home.asked == [f"/{MNIST}"]


NAMES = ["Ann_Bo_0001", "Ann_Bo_0002", "Ann_Boe_0001", "Cy_0001", "Cy_0002", "Cy_0003", "Di_0001"]


def faces(tmp_path, names=NAMES, size=64):
    files = {f"lfwcrop_color/faces/{name}.ppm": packed(noise(i, (size, size, 3)), "PPM")
             for i, name in enumerate(names)}
    return zipped(tmp_path / "made.zip", files | {"lfwcrop_color/README": b"Ann Bo"}).read_bytes()


@pytest.mark.parametrize("by_hand", [False, True])
def test_faces_are_numbered_and_no_name_is_kept(home, monkeypatch, tmp_path, capsys, by_hand):
    publish(monkeypatch, home, "faces", "/lfwcrop_color.zip", faces(tmp_path), hash=None, count=len(NAMES))
    if by_hand:
        cache_folder().mkdir()
        shutil.copy(tmp_path / "made.zip", cache_folder() / "lfwcrop_color.zip")
    opened = open_images("faces", "all")
    assert len(Home.asked) == (not by_hand)
    assert opened.identities.tolist() == [0, 0, 1, 2, 2, 2, 3]
    assert all((opened.pixels[i] == noise(i)).all() for i in range(7)), "bit for bit"
    train, test = open_images("faces", "train"), open_images("faces")
    assert not set(train.identities) & set(test.identities) and len(train) + len(test) == 7
    assert main(["data", "faces"]) == 0
    said = "".join(capsys.readouterr()).encode()
    for kept in [said, *(path.read_bytes() for path in cache_folder().iterdir())]:
        assert not any(name.encode() in kept for name in ("Ann_", "Cy_0", "Di_0"))


@pytest.mark.parametrize("content, words", [
    (lambda path: faces(path, NAMES[1:]), "holds 6 pictures, not 7"),
    (lambda path: faces(path, size=60), "broken or not 64 x 64"),
    (lambda path: faces(path).replace(b"P6", b"P9", 1), "broken or not 64 x 64"),
    (lambda path: faces(path)[:-30], "no whole zip or tar"),
])
def test_foreign_faces_are_refused_without_a_name(home, monkeypatch, tmp_path, capsys, content, words):
    publish(monkeypatch, home, "faces", "/lfwcrop_color.zip", content(tmp_path), hash=None, count=7)
    assert main(["data", "faces"]) == 2
    error = capsys.readouterr().err
    assert words in error and "Ann" not in error and not (cache_folder() / "faces.zip").exists()


TROUBLE = {
    "cut connection": ({"address": "/cut"}, "can't be fetched (ChunkedEncodingError)"),
    "wrong hash": ({"hash": "md5:" + "0" * 32}, "its hash differs"),
    "not there": ({"address": "/absent"}, "can't be fetched (status 404)"),
    "no network": ({"address": "http://127.0.0.1:9"}, "can't be fetched (ConnectionError)"),
}


@pytest.mark.parametrize("case", TROUBLE)
def test_what_can_not_be_fetched_says_how_to_place_it_by_hand(home, monkeypatch, tmp_path, capsys, case):
    known, words = TROUBLE[case]
    content = flowers(tmp_path)
    Home.files["/cut/102flowers.tgz"] = content
    if "address" in known:
        known = {"address": (known["address"] if "http" in known["address"] else home + known["address"])
                 + "/102flowers.tgz"}
    publish(monkeypatch, home, "flowers", "/102flowers.tgz", content, **known)
    assert main(["data", "flowers"]) == 2
    terms, fetching, error = capsys.readouterr().err.splitlines()
    assert words in error and SETS["flowers"].address in error
    assert f"by hand and put it into {str(cache_folder())!r}, or set COLDAVG_DATA" in error and "flowers.zip" in error
    assert not list(cache_folder().iterdir())
    with pytest.raises(FileNotFoundError if case != "wrong hash" else ValueError):
        load("flowers")
    (cache_folder() / "102flowers.tgz").write_bytes(content)  # as it says
    if case != "wrong hash":
        assert len(open_images("flowers", "all")) == 7
    else:
        with pytest.raises(ValueError, match="its hash differs; delete it"):
            load("flowers")


def test_a_disk_that_is_full_while_fetching(home, monkeypatch, tmp_path, capsys):
    publish(monkeypatch, home, "flowers", "/102flowers.tgz", flowers(tmp_path))
    with disk_of(10_000):
        assert main(["data", "flowers"]) == 2
    assert "set COLDAVG_CACHE to another folder" in capsys.readouterr().err.splitlines()[-1]
    assert not list(cache_folder().iterdir())
    assert len(open_images("flowers", "all")) == 7


def test_only_declared_sets_open_though_the_files_are_there(home, monkeypatch, tmp_path, capsys):
    """Where COLDAVG_SETS is set, a chapter or a test gets what it says it needs, on every machine alike."""
    monkeypatch.setenv("COLDAVG_DATA", str(tmp_path))
    for name in ("flowers", "xrays"):
        zipped(tmp_path / f"{name}.zip", {f"{i}/{i}.png": packed(noise(i)) for i in range(9)})
    assert open_images("flowers").shape[0] > 0, "where it is not set, all open"
    monkeypatch.setenv(DECLARED, "xrays,faces")
    assert open_images("xrays").shape[1] == 1
    for split in ("train", "test", "all"):
        with pytest.raises(FileNotFoundError, match="'flowers' is not among the sets that COLDAVG_SETS lists, 'xrays"):
            open_images("flowers", split)
    assert main(["data", "flowers"]) == 2 and "add it there" in capsys.readouterr().err
    monkeypatch.setenv(DECLARED, "xrays, flowers")
    assert open_images("flowers").shape[0] > 0
    assert not Home.asked


def test_where_sets_are_declared_nothing_is_fetched(home, monkeypatch, tmp_path, capsys):
    publish(monkeypatch, home, "flowers", "/102flowers.tgz", flowers(tmp_path))
    for declared, words in (("flowers", "needs the file flowers.zip, not found"), ("", "is not among the sets")):
        monkeypatch.setenv(DECLARED, declared)
        with pytest.raises(FileNotFoundError, match=words):
            open_images("flowers")
        error = capsys.readouterr().err if main(["data", "flowers"]) == 2 else ""
        assert words in error and ("unset COLDAVG_SETS, and fetch it" in error or not declared), error
    assert not Home.asked and not cache_folder().exists()
    monkeypatch.delenv(DECLARED)
    assert len(open_images("flowers", "all")) == 7 and Home.asked == ["/102flowers.tgz"]


def test_the_digits_of_the_package_and_ones_own_folders_open_always(home, monkeypatch, tmp_path):
    monkeypatch.setenv(DECLARED, "")
    assert load("digits").shape == load("digits-full").shape == (2000, 1, 28, 28)
    with pytest.raises(FileNotFoundError, match="'digits-full' is not among the sets"):
        load("digits-full", "train")
    own = fill(tmp_path / "own", {f"{i}.png": packed(noise(i)) for i in range(4)})
    assert len(open_images(own, "all")) == 4 and not Home.asked


@pytest.mark.parametrize("data", ["/dev/zero", "/dev/null", "PIPE"])
def test_what_is_no_regular_file_and_no_folder_is_refused_at_once(data, tmp_path):
    if data == "PIPE":
        os.mkfifo(tmp_path / "pipe")
        data = str(tmp_path / "pipe")
    with pytest.raises(ValueError, match="or a folder or zip that is there"):
        find_source(data)
