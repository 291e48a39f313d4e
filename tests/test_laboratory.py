"""The laboratory: the same images in the page as in the package, sentences for mistakes, nothing sent anywhere."""

import base64
import gzip
import importlib.util
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from axe_playwright_python.sync_playwright import Axe
from PIL import Image

import coldavg as ca
from coldavg.evaluation import protocol, recover
from coldavg.imagesets.pictures import Fit
from coldavg.imagesets.reading import decode
from coldavg.metrics import bootstrap_interval, score
from coldavg.networks import manifest
from coldavg.samplers import SAMPLERS
from coldavg.support.pixels import from_8_bits
from coldavg.teach import workshop
from tests import browser as checks

ROOT = Path(__file__).parent.parent
SITE, LAB = ROOT / "_build" / "html", ROOT / "_static" / "lab"
THERE = SITE / "_static" / "lab" / "laboratory.json"
CI = bool(os.environ.get("CI"))
needs_laboratory = pytest.mark.skipif(
    not CI and not (THERE.exists() and checks.CHROMIUM.exists()),
    reason="the laboratory was left out: it needs /usr/bin/chromium, and npm when the book is built")
needs_node = pytest.mark.skipif(not CI and not shutil.which("node"),
                                reason="tests of JavaScript were left out: there is no node")
CLOSE = 2e-3
PAGE = "book/laboratory.html"
KNOWN = json.loads(THERE.read_text()) if THERE.exists() else {"networks": [], "samplers": {}}


@needs_node
def test_the_arithmetic_of_the_page():
    run = subprocess.run(["node", "--test", "tests/lab"], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0 and "# pass 13" in run.stdout, run.stdout


def test_the_page_has_little_code_of_its_own():
    start = (ROOT / PAGE).read_text().split("<script>\n")[1].split("</script>")[0]  # of the page, before it is started
    modules = [file.read_text() for file in (*LAB.glob("*.mjs"), ROOT / "_static" / "offline.js")]
    assert sum(len(text.splitlines()) for text in [start, *modules]) < 900
    assert max(len(line) for text in modules for line in text.splitlines()) <= 120


def test_without_npm_the_page_says_why_it_holds_no_laboratory(tmp_path):
    spec = importlib.util.spec_from_file_location("extension", ROOT / "book" / "extension.py")
    extension = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(extension)
    assert "without npm" in extension.laboratory(tmp_path).astext()
    (tmp_path / "_extra" / "_static" / "lab").mkdir(parents=True)
    (tmp_path / "_extra" / "_static" / "lab" / "laboratory.json").write_text("{}")
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "laboratory.html").write_text("<p>here</p>")
    assert extension.laboratory(tmp_path).astext() == "<p>here</p>"


@pytest.fixture(scope="module")
def browser():
    with checks.chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def site():
    with checks.served(SITE) as address:
        yield address


@pytest.fixture(scope="module")
def worker(browser, site):
    """The worker of the laboratory, asked without its page."""
    page = browser.new_page()
    page.goto(f"{site}/{PAGE}")
    page.evaluate("""async () => {
      const folder = new URL("../_static/lab/", location.href);
      const { Client } = await import(new URL("client.mjs", folder));
      window.client = new Client(folder);
      await client.ready;
      const raw = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer;
      const whole = (text) => Float64Array.from(new Float32Array(raw(text)));
      window.ask = async (task, { arrays = {}, ...problem }) => {
        for (const [name, { shape, text }] of Object.entries(arrays)) problem[name] = { shape, data: whole(text) };
        const answer = await client.ask(task, problem);
        if (!answer.images) return answer;
        const bytes = new Uint8Array(Float32Array.from(answer.images.data).buffer);
        let text = "";
        for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));
        return { ...answer, images: { shape: answer.images.shape, text: btoa(text) } };
      };
    }""")
    yield page
    page.close()


def ask(worker, task, arrays=(), **problem):
    """What the worker answers; `arrays` are tensors, and so are the images that come back."""
    sent = {name: {"shape": list(tensor.shape), "text": base64.b64encode(tensor.float().numpy().tobytes()).decode()}
            for name, tensor in dict(arrays).items()}
    answer = worker.evaluate("([task, problem]) => ask(task, problem)", [task, problem | {"arrays": sent}])
    if "images" in answer:
        floats = np.frombuffer(base64.b64decode(answer["images"]["text"]), np.float32)
        answer["images"] = torch.from_numpy(floats.copy()).reshape(answer["images"]["shape"])
    return answer


STATE = {"kind": "digits", "first": "0", "second": "1", "weight": "0.5", "noise": "0", "round": "on", "code": "",
         "files": [], "steps": 1}


def unmix(worker, mixture, name, text="", steps=1, alpha0=0.5):
    return ask(worker, "unmix", {"mixture": mixture}, name=name, text=text, steps=steps, alpha0=alpha0, state=STATE)


@pytest.fixture(scope="module")
def pairs():
    return protocol("digits", 2, 20)


def sampler_of(text):
    """The sampler that a text enters, as a notebook would."""
    before = dict(SAMPLERS)
    try:
        exec(text, {"ca": ca, "torch": torch, "Tensor": torch.Tensor, "Step": ca.Step, "sampler": ca.sampler,
                    "on_path": ca.on_path})
        return next(chosen for name, chosen in SAMPLERS.items() if chosen is not before.get(name))
    finally:
        SAMPLERS.clear()
        SAMPLERS.update(before)


NOISY = """@sampler("noisy", partner="state")
def noisy(s):
    there = s.predict(s.x + 0.1 * torch.randn(s.x.shape, generator=s.generator), s.b)
    shift = torch.randint(-1, 2, (2,), generator=s.generator).tolist()
    kept = torch.rand(s.x.shape, generator=s.generator) < 0.9
    return on_path(torch.where(kept, there.original, s.original).roll(shift, (-2, -1)), s.remainder, s.b)
"""
PATHS = [facts["name"] for facts in KNOWN["networks"] if facts["target"] != "joint" and facts["size"] == [28, 28]]
OTHERS = [facts["name"] for facts in KNOWN["networks"] if facts["name"] not in PATHS]


def test_every_network_that_takes_two_apart_is_in_the_page():
    if not KNOWN["networks"]:
        pytest.skip("the laboratory was not built")
    expected = [name for name, known in manifest().items() if known["settings"]["target"] != "joint"
                or known["settings"]["k"] == 2]
    assert [facts["name"] for facts in KNOWN["networks"]] == expected and len(PATHS) == len(ca.mixing.TARGETS)
    assert [*KNOWN["samplers"]] == [*SAMPLERS, "heun", "boxed"]
    assert all(text in (ROOT / "coldavg" / "samplers.py").read_text() for name, text in KNOWN["samplers"].items()
               if name in SAMPLERS), "the text as it stands"


@needs_laboratory
@pytest.mark.parametrize("name", PATHS)
def test_every_sampler_gives_the_images_of_the_package(worker, pairs, name):
    truth, mixture = pairs
    network = ca.load_network(name)
    for sampler, text in (KNOWN["samplers"] | {"noisy": NOISY}).items():
        answer = unmix(worker, mixture, name, text, 2)
        images, calls = recover(mixture, network, sampler_of(text), 2)
        assert len(answer["milliseconds"]) == calls, sampler
        assert (answer["images"] - images).abs().max() < CLOSE, sampler
        here, there = (score(one, truth, mixture)["psnr"].mean() for one in (answer["images"], images))
        assert abs(here - there) < 0.05, sampler


@needs_laboratory
def test_a_long_walk_from_unequal_weights_gives_the_images_of_the_package(worker, pairs):
    truth, _ = pairs
    mixture = ca.round_to_8_bits(ca.mix(truth[:4], [0.7, 0.3]))
    answer = unmix(worker, mixture, "digits-original", KNOWN["samplers"]["cold"], 20, 0.3)
    expected = ca.unmix(mixture, ca.load_network("digits-original"), "cold", 20, alpha0=0.3)
    assert (answer["images"] - expected.images).abs().max() < CLOSE


@needs_laboratory
@pytest.mark.parametrize("name", OTHERS)
def test_joint_networks_and_those_for_pictures_give_the_images_of_the_package(worker, pairs, name):
    network = ca.load_network(name)
    truth = pairs[0] if network.target == "joint" else pairs[0][:4]
    if network.size != (28, 28):  # any pictures serve, if they are smooth
        flat = torch.nn.functional.interpolate(truth.flatten(0, 1), network.size, mode="bilinear")
        shades = torch.linspace(1, 0.4, network.channels)[:, None, None]
        truth = flat.unflatten(0, truth.shape[:2]).repeat(1, 1, network.channels, 1, 1) * shades
    mixture = ca.round_to_8_bits(ca.mix(truth))
    steps = min(network.looks, 2) or 1
    answer = unmix(worker, mixture, name, KNOWN["samplers"]["cold"], steps)
    expected = ca.unmix(mixture, network, "cold", steps)
    assert len(answer["milliseconds"]) == expected.calls
    assert (answer["images"] - expected.images).abs().max() < CLOSE
    here, there = (score(one, truth, mixture)["psnr"].mean() for one in (answer["images"], expected.images))
    assert abs(here - there) < 0.05


@needs_laboratory
def test_the_comparison_is_that_of_the_workshop(worker, pairs):
    text = KNOWN["samplers"]["boxed"]
    heard = worker.evaluate("""async ([name, text, shape, bytes]) => {
      const raw = Uint8Array.from(atob(bytes), (c) => c.charCodeAt(0)), heard = [];
      const pairs = { shape, data: Float64Array.from(new Float32Array(raw.buffer)) };
      const rows = await client.ask("compare", { name, text, pairs, calls: 3 }, (news) => heard.push(news));
      return { rows, heard };
    }""", ["digits-original", text, list(pairs[0].shape), base64.b64encode(pairs[0].numpy().tobytes()).decode()])
    found = workshop.inspect(sampler_of(text))
    assert heard["heard"][0]["findings"] == [[finding.holds, finding.words] for finding in found]
    shares = [news["share"] for news in heard["heard"][1:]]
    assert shares == sorted(shares) and 0 < shares[0] and shares[-1] == 1
    psnrs = workshop.compare(sampler_of(text), ca.load_network("digits-original"), *pairs, calls=3)
    rows = {row["name"]: row for row in heard["rows"]}
    assert set(rows) == set(psnrs) and [row["psnr"] for row in heard["rows"]] == sorted(
        (row["psnr"] for row in heard["rows"]), reverse=True)
    for name, values in psnrs.items():
        ahead = psnrs["boxed"] - values
        assert abs(rows[name]["psnr"] - values.mean().item()) < 0.05
        assert abs(rows[name]["ahead"] - ahead.mean().item()) < 0.05
        low, high = bootstrap_interval(ahead[:, None])
        assert np.allclose(rows[name]["interval"], (low, high), atol=0.05)


@needs_laboratory
@pytest.mark.parametrize("name", [name for name in KNOWN["samplers"] if name in SAMPLERS])
def test_the_findings_are_those_of_the_workshop(worker, pairs, name):
    text = KNOWN["samplers"][name]
    answer = worker.evaluate("""(text) => new Promise((heard) => client.ask("compare",
      { name: "digits-original", text, pairs: null, calls: 1 }, heard).catch(() => {}))""", text)
    found = workshop.inspect(SAMPLERS[name])
    assert answer["name"] == name
    assert answer["findings"] == [[finding.holds, finding.words] for finding in found]


def picture(width, height, length):
    """A picture of coloured waves of that length."""
    waves = np.add.outer(np.arange(height), np.arange(width) * 2) / length
    return Image.fromarray((127 + 120 * np.stack([np.sin(waves), np.cos(2 * waves), np.sin(waves / 3)], 2)).astype(
        np.uint8))


@needs_laboratory
@pytest.mark.parametrize("width, height", [(64, 64), (300, 211), (97, 160), (40, 31)])
def test_pictures_are_cropped_and_reduced_as_the_package_does_it(worker, tmp_path, width, height):
    picture(width, height, 9).save(tmp_path / "x.png")
    content = (tmp_path / "x.png").read_bytes()
    answer = worker.evaluate("""async ([bytes, size]) => {
      const file = new File([Uint8Array.from(atob(bytes), (c) => c.charCodeAt(0))], "x.png", { type: "image/png" });
      return (await client.ask("read", { files: [file], size }))[0].map(({ shape, data }) => [shape, [...data]]);
    }""", [base64.b64encode(content).decode(), 64])
    for channels, (shape, values) in zip((1, 3), answer):
        expected = from_8_bits(torch.tensor(decode(content, Fit(64, channels)).values)).movedim(-1, -3)
        off = (torch.tensor(values).reshape(shape)[0] - expected).abs() * 127.5
        assert off.max() < 1.01 and (off > 0.5).double().mean() < 0.01, "one level, here and there"


def opened(browser, site, address="", **options):
    """A page with the laboratory started; what leaves, and what is asked for, is noted."""
    usual = {"viewport": {"width": 1280, "height": 900}, "service_workers": "block"}  # nothing passes the route unseen
    context = browser.new_context(**usual | options)
    page = context.new_page()
    page.noted, page.left, page.wrong = [], [], []
    page.on("request", lambda request: request.url.endswith("mark.svg") or page.noted.append(request.url))
    if "service_workers" not in options:
        context.route(lambda url: not url.startswith((site, "data:", "blob:")), lambda route: (
            page.left.append(route.request.url), route.abort()))
    page.on("pageerror", lambda error: page.wrong.append(str(error)))
    page.goto(f"{site}/{PAGE}{address}")
    before = list(page.noted)
    assert not [url for url in before if "/_static/lab/" in url], "nothing of it is loaded before it is started"
    page.set_default_timeout(120_000)
    page.click("#lab-button")
    return page


def said(page):
    """What the page says once it has an answer or a mistake."""
    place = page.locator("#lab-said, #lab-mistake").filter(has_text=re.compile("came back|Line|Your text|Choose"))
    place.first.wait_for(timeout=120_000)
    return place.first.inner_text()


def write(page, text):
    """Replace the text in the editor, by keyboard."""
    page.locator(".cm-content").click()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text(text)
    page.keyboard.press("Control+Enter")


MINE = '@sampler("mine", partner="state")\ndef mine(s):\n'
MISTAKES = {
    "it raises": (MINE + '    raise ValueError("no luck")\n', "Line 3: no luck (ValueError)."),
    "no Python": (MINE + "    return s.x +\n", "Line 3 is not Python: invalid syntax."),
    "an unknown name": (MINE + "    return x\n", "Line 3: name 'x' isn't defined (NameError)."),
    "an unknown field": (MINE + "    return s.y\n", "Line 3: s has no y; it has x, a, b, original, remainder, mixture, "
                         "alpha0, first, predict, generator (AttributeError)."),
    "no partner": ('@sampler("mine")\ndef mine(s):\n    return s.x\n',
                   "Line 1: partner must be state or mixture, got None (ValueError)."),
    "another shape": (MINE + "    return s.x[0]\n", "Your text: sampler 'mine' must return a tensor (1, 1, 28, 28), "
                      "got (1, 28, 28) (ValueError)."),
    "nothing": (MINE + "    s.x\n", "Your text: sampler 'mine' must return a tensor (1, 1, 28, 28), got NoneType "
                "(ValueError)."),
    "no sampler": ("x = 3\n", 'Your text: there is no sampler here: put @sampler("mine", partner="state") above a '
                   "function of s (ValueError)."),
    "no generator": (MINE + "    return s.x + torch.randn(s.x.shape)\n", "Line 3: torch.randn needs "
                     "generator=s.generator: the same seed is to give the same pictures (ValueError)."),
    "the page itself": (f"import js\n{MINE}    js.fetch('https://example.com')\n    return s.x\n",
                        "Line 4: 'JsProxy' object has no attribute 'fetch' (AttributeError)."),
    "for ever": (MINE + "    while True:\n        pass\n",
                 "Your text ran for 10 seconds and was stopped. Is there a loop that never ends?"),
}


@needs_laboratory
def test_each_mistake_gets_its_sentence_and_the_page_lives_on(browser, site):
    page = opened(browser, site)
    first = said(page)
    for text, sentence in MISTAKES.values():
        write(page, text)
        page.locator("#lab-mistake").filter(has_text=sentence).wait_for()
        assert page.locator("#lab-mistake").inner_text() == sentence
        assert page.locator(".cm-lintRange-error").count() == sentence.startswith("Line")
    page.select_option("select[name=sampler]", "cold")
    assert said(page).split(", in ")[0] == first.split(", in ")[0] and page.left == [] == page.wrong
    page.context.close()


@needs_laboratory
def test_nothing_is_sent_and_the_browser_would_refuse_to(browser, site, tmp_path, monkeypatch, capsys):
    """Two pictures of the reader's own are averaged and taken apart without one request; and none could leave."""
    monkeypatch.chdir(tmp_path)  # where the cell looks for them
    picture(120, 90, 9).save("one.png")
    picture(200, 350, 40).save("two.png")
    page = opened(browser, site)
    said(page)
    page.check("input[value=pictures]")
    said(page)
    page.locator("select[name=network]").select_option("flowers-joint")
    page.locator("#lab-said").filter(has_text="Choose two pictures").wait_for()
    assert not page.locator("#lab-seen").is_visible(), "what came back of other pictures is gone"
    start = len(page.noted)
    page.set_input_files("#lab-files", "one.png")  # one after the other, as on a phone
    page.locator("#lab-said").filter(has_text="Choose the other picture").wait_for()
    page.set_input_files("#lab-files", "two.png")
    page.locator("#lab-said").filter(has_text="came back").wait_for()
    asked = page.noted[start:]
    assert {url.rsplit("/", 1)[1] for url in asked if not url.startswith("blob:")} <= {
        "flowers-joint.onnx", "flowers-joint.safetensors", "ort-wasm-simd-threaded.wasm", "ort-wasm-simd-threaded.mjs"}
    start = len(page.noted)
    page.locator("input[name=weight]").press("ArrowLeft")
    page.locator("#lab-said").filter(has_text="came back").wait_for()
    assert page.noted[start:] == [] and page.left == []
    page.locator("input[name=weight]").press("ArrowRight")
    there = said(page)
    assert agree(page.locator("#lab-cell").text_content(), there, capsys)
    refused = page.evaluate("() => fetch('https://example.com/').then(() => 'sent', () => 'refused')")
    within = page.evaluate("""() => new Promise((resolve) => {
      const code = "fetch('https://example.com/').then(() => 'sent', () => 'refused').then(postMessage)";
      new Worker(URL.createObjectURL(new Blob([code]))).onmessage = ({ data }) => resolve(data);
    })""")
    assert (refused, within) == ("refused", "refused") and page.left == []
    page.context.close()


def agree(cell, shown, capsys):
    """Whether a cell prints the mean of the two numbers that the page shows, but for their rounding."""
    before = dict(SAMPLERS)
    try:
        exec(cell, {})
    finally:
        SAMPLERS.clear()
        SAMPLERS.update(before)
    calls, printed = re.fullmatch(r"(\d+) calls, ([\d.]+) dB\n", capsys.readouterr().out).groups()
    came, took = shown.split(" came back ")
    return (abs(float(printed) - np.mean([float(number) for number in re.findall(r"[\d.]+", came)])) < 0.06
            and f"in {calls} call" in took)


@needs_laboratory
def test_a_link_brings_everything_back_and_the_cell_does_the_same_in_python(browser, site, capsys):
    page = opened(browser, site)
    said(page)
    page.get_by_role("button", name="a 3,").first.click()
    page.locator("input[name=weight]").press("ArrowRight")
    page.locator("input[name=noise]").press("ArrowRight")
    page.locator("input[name=steps]").press("Home")
    page.locator("input[name=steps]").press("ArrowRight")
    write(page, KNOWN["samplers"]["cold"].replace("s.b)", "s.b) * 0.99"))
    page.locator("#lab-cell").filter(has_text="0.99").wait_for(state="attached")
    there = said(page)
    assert page.locator("select[name=sampler]").input_value() == "yours" and "code=" in page.url
    other = opened(browser, site, page.url[page.url.index("#"):])
    assert said(other).split(" came")[0] == there.split(" came")[0]
    assert "0.99" in other.locator(".cm-content").inner_text()
    assert agree(page.locator("#lab-cell").text_content(), there, capsys)
    page.context.close()
    other.context.close()


@needs_laboratory
def test_a_damaged_link_says_so_and_a_good_one_put_into_the_same_window_is_followed(browser, site):
    page = opened(browser, site, "#code=eJxLKS&first=405")
    page.locator("#lab-said").filter(has_text="This link is damaged").wait_for()
    page.evaluate("location.hash = 'first=405&second=1274&network=digits-joint&kind=digits'")
    assert "in 6 calls" in said(page) and page.locator("select[name=network]").input_value() == "digits-joint"
    page.evaluate("location.hash = 'sampler=none&kind=none&network=none&weight=9&steps=99'")
    page.locator("#lab-said").filter(has_text="in 20 calls").wait_for()
    assert page.locator("input[name=weight]").input_value() == "0.8" and page.wrong == []
    page.context.close()


@needs_laboratory
def test_what_is_loaded_is_kept_and_runs_without_a_server(browser):
    with checks.served(SITE) as site:
        page = opened(browser, site, service_workers="allow")
        there = said(page)
        page.wait_for_function("""() => caches.open("laboratory").then((shelf) => shelf.match("laboratory.html"))""")
    write(page, MISTAKES["for ever"][0])
    page.locator("#lab-mistake").filter(has_text="ran for").wait_for()
    page.select_option("select[name=sampler]", "cold")
    assert said(page).split(", in")[0] == there.split(", in")[0], "the worker that was stopped is started anew"
    page.select_option("select[name=network]", "digits-joint")
    page.locator("#lab-said").filter(has_text="can't be loaded: is the server still there?").wait_for()
    page.goto(f"{site}/{PAGE}#steps=10")
    page.reload()
    page.click("#lab-button")
    assert said(page).split(", in")[0] == there.split(", in")[0], "and so is the page"
    page.context.close()


@needs_laboratory
def test_what_is_loaded_is_light(browser, site):
    page = opened(browser, site)
    said(page)
    places = {url.removeprefix(f"{site}/_static/lab/") for url in page.noted if "/_static/lab/" in url}
    sizes = {place: len(gzip.compress((THERE.parent / place).read_bytes(), 6)) for place in places}
    networks = {place for place in places if place.endswith((".onnx", ".safetensors"))}
    assert networks == {"digits-original.onnx", "digits-original.safetensors"}, "one network, no more"
    assert sum(sizes[place] for place in places - networks) < 6e6
    page.context.close()


WAIT = """async (selector, words) => {
  for (;;) {
    const found = [...document.querySelectorAll(selector)].map((one) => one.textContent);
    if (found.some((text) => text.includes(words))) return found.find((text) => text.includes(words));
    await new Promise((next) => setTimeout(next, 100));
  }
}"""


@needs_laboratory
@pytest.mark.skipif(not CI and not checks.FIREFOX.exists(),
                    reason="the second browser was left out: it needs firefox-esr")
def test_a_second_browser_says_the_same(browser, site):
    page = opened(browser, site)
    there = said(page)
    page.context.close()
    with checks.firefox() as other:
        other.goto(f"{site}/{PAGE}")
        other.press("#lab-button")
        here = other.evaluate(WAIT, "#lab-said", "came back")
        assert here.split(" of ")[0] == there.split(" of ")[0]
        other.press(".cm-content")
        for keys in ("\ue009a", MISTAKES["an unknown name"][0], "\ue009\ue007"):  # Ctrl+A, the text, Ctrl+Enter
            other.write(".cm-content", keys)
        assert other.evaluate(WAIT, "#lab-mistake", "Line") == MISTAKES["an unknown name"][1]
        refused = other.evaluate("() => fetch('https://example.com/').then(() => 'sent', () => 'refused')")
        assert refused == "refused"


@needs_laboratory
def test_a_digit_is_drawn_and_stands_in_the_address(browser, site, capsys):
    page = opened(browser, site, has_touch=True)
    first = said(page)
    page.locator("#lab-pad").scroll_into_view_if_needed()
    box = page.locator("#lab-pad").bounding_box()
    page.mouse.move(box["x"] + 84, box["y"] + 30)
    page.mouse.down()
    page.mouse.move(box["x"] + 80, box["y"] + 140, steps=8)
    page.mouse.up()
    page.wait_for_url(re.compile("first=[^&]{40}"))
    page.locator("#lab-cell").filter(has_text="zlib").wait_for(state="attached")
    there = said(page)
    assert there != first and agree(page.locator("#lab-cell").text_content(), there, capsys)
    page.context.close()


@needs_laboratory
def test_all_of_it_by_keyboard_in_both_schemes_and_on_a_phone(browser, site):
    page = opened(browser, site, reduced_motion="reduce")
    said(page)
    page.evaluate(Axe().axe_script)
    page.locator("input[name=kind]").first.focus()
    reached = set()
    for _ in range(75):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("""() => {
          const { name, id, dataset, className } = document.activeElement;
          return name || id || dataset.does || className;
        }"""))
    assert {"slot", "weight", "noise", "round", "network", "sampler", "steps", "lab-call", "lab-run", "lab-compare",
            "link", "python", "another", "clear"} <= reached and any("cm-content" in name for name in reached)
    page.locator(".cm-content").focus()
    page.keyboard.press("Control+Home")
    page.keyboard.type("# a/b")  # the book's own shortcuts are not for the editor
    assert page.locator(".cm-line").first.inner_text().startswith("# a/b@sampler")
    page.locator("#lab-call").focus()
    page.keyboard.press("Home")
    assert page.locator("#lab-call-said").inner_text().startswith("1 of 11: at α = 0.50")
    page.locator("select[name=network]").select_option("digits-joint")
    said(page)
    for scheme, width in checks.VIEWS:
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 900})
        page.evaluate(checks.OPEN)
        seen = page.evaluate(checks.SEEN, [scheme, width])
        seen += page.evaluate(checks.AXE, checks.RULES if scheme == "light" else ["color-contrast"])
        assert seen == [], (scheme, width)
    page.context.close()


@needs_laboratory
def test_opened_as_a_file_it_says_what_is_needed(browser):
    page = browser.new_page()
    page.goto((SITE / PAGE).as_uri())
    page.click("#lab-button")
    assert "python -m http.server" in page.locator("#lab-says").inner_text()
    page.close()
