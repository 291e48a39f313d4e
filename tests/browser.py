"""What is wrong with a page, seen in headless Chromium with no network but the page's own server; and Firefox."""

import json
import socket
import subprocess
import tempfile
import threading
import time
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

CHROMIUM, FIREFOX = Path("/usr/bin/chromium"), Path("/usr/bin/firefox-esr")
VIEWS = [("light", 1280), ("dark", 1280), ("dark", 390), ("light", 390)]  # a new width costs a second, so one change
RULES = ["color-contrast", "heading-order", "image-alt", "role-img-alt", "label", "link-name", "button-name",
         "scrollable-region-focusable", "duplicate-id-aria"]

OPEN = """async () => {
  for (const folded of document.querySelectorAll("details")) folded.open = true;
  if (window.MathJax) await MathJax.startup.promise;
  await new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)));
}"""
SEEN = """([scheme, width]) => {
  const faults = [], article = document.querySelector("article") || document.body;
  const theme = document.documentElement.dataset.theme || scheme;
  if (theme !== scheme) faults.push(`the page stays ${theme}`);
  for (const image of document.images) {
    if (image.complete && !image.naturalWidth) faults.push(`missing figure: ${image.src.slice(0, 80)}`);
    if (/^\\S+[.](png|jpe?g|svg|gif|webp)$/.test(image.alt)) faults.push(`a file for words: ${image.alt.slice(-80)}`);
  }
  const formulas = article.querySelectorAll(".math").length, drawn = article.querySelectorAll("mjx-container").length;
  if (drawn < formulas) faults.push(`unrendered mathematics: ${formulas} formulas, ${drawn} drawn`);
  for (const error of article.querySelectorAll("mjx-merror, [data-mjx-error]"))
    faults.push(`unrendered mathematics: ${error.textContent.slice(0, 80)}`);
  const wide = document.scrollingElement.scrollWidth - window.innerWidth;
  if (wide > 1) faults.push(`horizontal overflow: ${wide} pixels`);
  if (width < 1280) return faults;
  for (const part of article.querySelectorAll("div.cell_input, div.cell_input *, div.cell_output, div.cell_output *")) {
    const more = part.scrollWidth - part.clientWidth;
    if (more > 1 && ["auto", "scroll"].includes(getComputedStyle(part).overflowX))
      faults.push(`sideways: ${more} pixels: ${part.textContent.split("\\n").reduce(
        (longest, line) => line.length > longest.length ? line : longest).slice(0, 100)}`);
  }
  return faults;
}"""
# The contrast of a text follows from its own style and from what lies behind it.  A page has ten thousand pieces of
# coloured code in a dozen styles; axe takes milliseconds for each, so of each style it is shown the first three.
# While it looks, the other pieces are plain text, and formulas are empty: they hold no text, the style sheet draws
# each letter.  All that axe does takes longer with every element.
AXE = """async (rules) => {
  const article = document.querySelector("article") || document.body, seen = {}, grounds = new Map([[null, ""]]);
  const plain = "rgba(0, 0, 0, 0),none,1,normal,none,static,";
  const ground = (element) => {
    if (!grounds.has(element)) {
      const style = getComputedStyle(element);
      const own = [style.backgroundColor, style.backgroundImage, style.opacity, style.mixBlendMode, style.filter,
                   style.position, element.ariaDisabled].join();
      grounds.set(element, ground(element.parentElement) + (own === plain ? "" : `/${own}`));
    }
    return grounds.get(element);
  };
  for (const element of article.querySelectorAll("*:not(input, select, textarea)")) {
    const text = [...element.childNodes].filter((node) => node.nodeType === 3).map((node) => node.data.trim()).join("");
    let like = "";
    if (text) {
      const box = element.getBoundingClientRect(), style = getComputedStyle(element);
      like = [text.length > 1, box.width > 1, box.height > 1, style.visibility, style.color, style.fontSize,
              style.fontWeight, style.textShadow, ground(element)].join();
      seen[like] = (seen[like] || 0) + 1;
    }
    element.toggleAttribute("data-alike", !text || seen[like] > 3);
  }
  const back = [...article.querySelectorAll("mjx-container")].map((formula) => {
    const parts = [...formula.childNodes];
    return () => formula.replaceChildren(...parts);
  });
  for (const piece of article.querySelectorAll(".highlight span[data-alike]"))
    if (!piece.children.length && piece.textContent) {
      const text = document.createTextNode(piece.textContent);
      back.push(() => text.replaceWith(piece));
      piece.replaceWith(text);
    }
  for (const formula of article.querySelectorAll("mjx-container")) formula.replaceChildren();
  axe.configure({rules: [{id: "color-contrast", selector: "*:not([data-alike])"}]});
  const report = await axe.run(article, {runOnly: rules, resultTypes: ["violations"]});
  for (const restore of back) restore();
  return report.violations.flatMap((rule) => rule.nodes.map(
    (node) => `${rule.id}: ${node.target[0]}: ${node.html.slice(0, 100)}`));
}"""


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *words):
        pass


@contextmanager
def served(folder: Path):
    """The address at which `folder` is served, on this machine alone."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()


@contextmanager
def chromium():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield browser
        browser.close()


class Firefox:
    """Debian's Firefox, asked as geckodriver asks it: Marionette's messages, JSON behind its length and a colon."""

    def __init__(self, port: int):
        self.file = socket.create_connection(("127.0.0.1", port)).makefile("rwb")
        self.read()  # it says who it is
        self.ask("WebDriver:NewSession", timeouts={"script": 240_000, "pageLoad": 240_000})

    def read(self):
        length = b""
        while not length.endswith(b":"):
            length += self.file.read(1) or b"0:"
        return json.loads(self.file.read(int(length[:-1])))

    def ask(self, command: str, **values):
        message = json.dumps([0, 1, command, values]).encode()
        self.file.write(b"%d:%s" % (len(message), message))
        self.file.flush()
        _, _, error, answer = self.read()
        if error:
            raise RuntimeError(f"{command}: {error['message']}")
        return answer

    def goto(self, address: str) -> None:
        self.ask("WebDriver:Navigate", url=address)

    def evaluate(self, code: str, *values):
        """What an asynchronous function of these values returns, run in the page."""
        script = ("const [done, values] = [arguments[1], arguments[0]]; "
                  f"({code})(...values).then(done, (e) => done(`${{e}}`))")
        return self.ask("WebDriver:ExecuteAsyncScript", script=script, args=[values], sandbox=None)["value"]

    def element(self, selector: str) -> dict:
        return self.ask("WebDriver:FindElement", using="css selector", value=selector)["value"]

    def press(self, selector: str) -> None:
        self.ask("WebDriver:ElementClick", id=next(iter(self.element(selector).values())))

    def write(self, selector: str, text: str) -> None:
        self.ask("WebDriver:ElementSendKeys", id=next(iter(self.element(selector).values())), text=text)


@contextmanager
def firefox():
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        Path(profile, "user.js").write_text('user_pref("marionette.port", 0);\n')
        words = [str(FIREFOX), "-headless", "-marionette", "-no-remote", "-profile", profile]
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            port = Path(profile, "MarionetteActivePort")
            while not port.exists() or not port.read_text():
                assert process.poll() is None, "Firefox ended before it could be asked"
                time.sleep(0.1)
            yield Firefox(int(port.read_text()))
        finally:
            process.terminate()
            process.wait(30)


def faults(browser, address: str, place: str, views: list[tuple[str, int]] = VIEWS) -> list[str]:
    """All that is wrong with the page `place` under `address`: loaded once, in the first view, then turned to each."""
    found = []
    scheme, width = views[0]
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})
    context.route(lambda url: not url.startswith((address, "data:", "blob:")), lambda route: (
        found.append(f"a request that leaves: {route.request.url[:100]}"), route.abort()))
    page = context.new_page()
    page.on("console", lambda message: message.type == "error" and found.append(f"console: {message.text[:200]}"))
    page.on("pageerror", lambda error: found.append(f"console: {str(error)[:200]}"))
    page.on("response", lambda answer: answer.status >= 400 and found.append(f"{answer.status}: {answer.url[-100:]}"))
    page.goto(f"{address}/{place}", wait_until="load")
    page.add_style_tag(content="* { transition: none !important; animation: none !important }")
    page.evaluate(Axe().axe_script)
    for scheme, width in views:
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 900})
        page.evaluate(OPEN)
        seen = page.evaluate(SEEN, [scheme, width])
        if scheme == "light":
            seen += [fault for slider in page.query_selector_all("input[type=range]") for fault in moved(slider)]
        if width == 1280:  # of the rules only the contrast depends on the colours
            seen += page.evaluate(AXE, RULES if scheme == "light" else ["color-contrast"])
        found += [f"{fault} [{scheme}, {width} pixels]" for fault in seen]
    context.close()
    return found


def moved(slider) -> list[str]:
    """Move a slider by keyboard; a picture in its figure must change."""
    name = slider.get_attribute("aria-label")
    pictures = slider.query_selector("xpath=ancestor::figure").query_selector_all("[role=img], .kinds")
    before = [picture.screenshot() for picture in pictures]
    slider.focus()
    slider.press("End" if slider.input_value() == "0" else "Home")
    after = [picture.screenshot() for picture in pictures]
    return [] if before != after else [f"dead slider: {name}"]
