"""What is wrong with a page, seen in headless Chromium with no network but the page's own server."""

import threading
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, sync_playwright

CHROMIUM = Path("/usr/bin/chromium")
VIEWS = [(scheme, width) for scheme in ("light", "dark") for width in (1280, 390)]
RULES = ["color-contrast", "heading-order", "image-alt", "role-img-alt", "label", "link-name", "button-name",
         "scrollable-region-focusable", "duplicate-id-aria"]

OPEN = """async () => {
  for (const folded of document.querySelectorAll("details")) folded.open = true;
  if (window.MathJax) await MathJax.startup.promise;
  await new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)));
}"""
SEEN = """() => {
  const faults = [], article = document.querySelector("article") || document.body;
  for (const image of document.images)
    if (image.complete && !image.naturalWidth) faults.push(`missing figure: ${image.src.slice(0, 80)}`);
  const formulas = article.querySelectorAll(".math").length, drawn = article.querySelectorAll("mjx-container").length;
  if (drawn < formulas) faults.push(`unrendered mathematics: ${formulas} formulas, ${drawn} drawn`);
  for (const error of article.querySelectorAll("mjx-merror, [data-mjx-error]"))
    faults.push(`unrendered mathematics: ${error.textContent.slice(0, 80)}`);
  const wide = document.scrollingElement.scrollWidth - window.innerWidth;
  if (wide > 1) faults.push(`horizontal overflow: ${wide} pixels`);
  return faults;
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


def faults(browser, address: str, place: str, scheme: str = "light", width: int = 1280) -> list[str]:
    """All that is wrong with the page `place` under `address`."""
    found = []
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})
    context.route(lambda url: not url.startswith((address, "data:", "blob:")), lambda route: (
        found.append(f"a request that leaves: {route.request.url[:100]}"), route.abort()))
    page = context.new_page()
    page.on("console", lambda message: message.type == "error" and found.append(f"console: {message.text[:200]}"))
    page.on("pageerror", lambda error: found.append(f"console: {str(error)[:200]}"))
    page.on("response", lambda answer: answer.status >= 400 and found.append(f"{answer.status}: {answer.url[-100:]}"))
    page.goto(f"{address}/{place}", wait_until="load")
    page.add_style_tag(content="* { transition: none !important; animation: none !important }")
    page.evaluate(OPEN)
    found += page.evaluate(SEEN)
    if scheme == "light":
        found += [fault for slider in page.query_selector_all("input[type=range]") for fault in moved(slider)]
    if width == 1280:
        found += accessible(page)
    context.close()
    return found


def moved(slider) -> list[str]:
    """Move a slider by keyboard; a picture in its figure must change."""
    name = slider.get_attribute("aria-label")
    pictures = slider.query_selector("xpath=ancestor::figure").query_selector_all("[role=img]")
    before = [picture.screenshot() for picture in pictures]
    slider.focus()
    slider.press("End" if slider.input_value() == "0" else "Home")
    after = [picture.screenshot() for picture in pictures]
    return [] if before != after else [f"dead slider: {name}"]


def accessible(page: Page) -> list[str]:
    """What axe finds in the article: contrast, alternative text, names, the order of headings."""
    inside = "article" if page.query_selector("article") else "body"
    report = Axe().run(page, context=inside, options={"runOnly": RULES, "resultTypes": ["violations"]})
    return [f"{rule['id']}: {node['target'][0]}: {node['html'][:100]}"
            for rule in report.response["violations"] for node in rule["nodes"]]
