// The page of the laboratory: a form, whose state is also its address; whatever changes in it is computed anew.
import { Generator, cat, each, stack } from "./arrays.mjs";
import { Client } from "./client.mjs";
import * as draw from "./draw.mjs";
import { openEditor } from "./editor.mjs";
import { pack, packText, unpack, unpackText } from "./link.mjs";
import { digit, mean, roundTo8Bits, scorePairs, toDigit } from "./pixels.mjs";

const USUAL = { kind: "digits", weight: "0.5", noise: "0", round: "on" };
const SLOTS = ["first", "second"], BLANK = digit(Array(784).fill(0));
const $ = (id) => document.getElementById(`lab-${id}`);
const say = (id, words) => { $(id).textContent = words; };

export async function start(template) {
  const client = new Client(new URL("./", import.meta.url)), known = await client.ready;
  document.getElementById("lab-start").replaceWith(template.content.cloneNode(true));
  await new Page(client, known, document.getElementById("lab")).open();
}

class Page {
  constructor(client, known, form) {
    const { indices, pairs, pixels } = known.shelf, levels = Uint8Array.from(atob(pixels), (c) => c.charCodeAt(0));
    Object.assign(this, { client, known, form, pictures: [], files: [], points: [] });
    this.digits = Object.fromEntries(indices.map((name, i) => [name, digit(levels.subarray(784 * i, 784 * (i + 1)))]));
    this.pairs = pairs.map((two) => two.map((i) => String(indices[i])));
    this.editor = openEditor($("editor"), this.guard(() => this.run()), (text) => { form.code.value = text; });
  }

  get state() { return { round: "", ...Object.fromEntries(new FormData(this.form)) }; }
  get network() { return this.known.networks.find(({ name }) => name === this.form.network.value); }

  // Offer what there is, listen, and begin as the address asks
  async open() {
    const { form, known } = this;
    form.sampler.replaceChildren(...[...Object.keys(known.samplers), "yours"].map((name) => new Option(name)));
    $("shelf").innerHTML = known.shelf.indices.map((name, i) => `<button type="button" data-does="choose"
      value="${name}" aria-label="a ${known.shelf.labels[i]}, test image ${name}"><canvas></canvas></button>`).join("");
    for (const button of $("shelf").children) draw.paint(button.firstChild, this.digits[button.value]);
    form.onsubmit = (event) => event.preventDefault();
    form.oninput = this.guard(({ target }) => this.hear(target));
    form.onclick = this.guard(({ target }) => this[target.dataset.does]?.(target));
    this.listenToPad();
    window.onhashchange = () => location.hash.includes("=") && this.set(); // another link, put into the same window
    await this.set();
  }

  // Set the form as the address asks; a link that was cut short on its way is said to be so
  async set() {
    const { form, known } = this, asked = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
    const [first, second] = this.pairs[0], set = { first, second, sampler: "cold", ...USUAL, ...asked };
    try {
      for (const slot of SLOTS) this.digits[set[slot]] ??= digit(await unpack(set[slot]));
      set.code &&= await unpackText(set.code);
    } catch { // what is in the address is no text, or no digit
      history.replaceState(null, "", "#");
      await this.set();
      return say("said", "This link is damaged. Ask for it again; here is the usual pair.");
    }
    form.kind.value = set.kind === "pictures" ? set.kind : "digits";
    this.offerNetworks(asked.network);
    for (const name of [...SLOTS, "weight", "noise", "steps"]) if (name in set) form[name].value = set[name];
    form.sampler.value = set.sampler in known.samplers ? set.sampler : "cold";
    form.round.checked = set.round === "on";
    this.editor.write(set.code || known.samplers[form.sampler.value]);
    await this.guard(() => this.run())();
  }

  // A function that says what went wrong in it
  guard(f) {
    return async (...values) => {
      try {
        await f(...values);
      } catch ({ message, line }) {
        if (message === "superseded") return;
        const own = /^(Line|Your text)/.test(message), said = own ? "The sampler has a mistake: see step 3." : message;
        const compared = $("progress").hidden ? "" : message;
        for (const [id, words] of Object.entries({ said, mistake: own ? message : "", compared })) say(id, words);
        $("stop").hidden = $("progress").hidden = true;
        this.editor.mark(line, message);
      }
    };
  }

  async hear(target) {
    await this[target.dataset.hears]?.();
    if (target.name === "sampler" && target.value !== "yours") this.editor.write(this.known.samplers[target.value]);
    if (target.name) await this.run();
  }
  offerNetworks(wanted) {
    const { kind, network } = this.form, digits = kind.value === "digits";
    const fit = this.known.networks.filter(({ size }) => (size[0] === 28) === digits);
    network.replaceChildren(...fit.map(({ name }) => new Option(name)));
    network.value = fit.some(({ name }) => name === wanted) ? wanted : digits ? "digits-original" : "portraits-joint";
    this.setSteps();
  }
  setSteps() {
    const { target, looks } = this.network, joint = target === "joint", { steps } = this.form;
    if (joint || $("path").hidden) steps.value = joint ? looks || 1 : 10;
    steps.disabled = joint && !looks;
    $("path").hidden = joint;
  }

  // What the buttons do
  stop() { this.client.stop("Stopped."); }
  clear() { $("pad").getContext("2d").clearRect(0, 0, $("pad").width, $("pad").height); }
  link() { return this.copy(location.href); }
  python() { return this.copy($("cell").textContent); }
  choose({ value }) {
    this.form[this.form.slot.value].value = value;
    return this.run();
  }
  another() {
    const { first, second } = this.form, at = this.pairs.findIndex(([name]) => name === first.value);
    [first.value, second.value] = this.pairs[(at + 1) % this.pairs.length];
    return this.run();
  }

  listenToPad() {
    const pad = $("pad"), context = pad.getContext("2d", { willReadFrequently: true });
    const at = ({ offsetX, offsetY }) => [offsetX, offsetY].map((value) => (value * pad.width) / pad.clientWidth);
    Object.assign(context, { lineWidth: 22, lineCap: "round", lineJoin: "round", strokeStyle: "#fff" });
    pad.onpointerdown = (event) => {
      pad.setPointerCapture(event.pointerId);
      context.beginPath();
      pad.onpointermove = (moved) => [context.lineTo(...at(moved)), context.stroke()];
      pad.onpointermove(event);
    };
    pad.onpointerup = pad.onpointercancel = this.guard(async () => {
      pad.onpointermove = null;
      const { data } = context.getImageData(0, 0, pad.width, pad.height);
      const levels = toDigit(data.filter((_, i) => i % 4 === 0), pad.width), value = await pack(levels);
      this.digits[value] = digit(levels);
      await this.choose({ value });
    });
  }

  // What was chosen goes to the place that is pressed; then the other one is pressed
  async read() {
    const files = [...$("files").files].slice(0, 2), { slot } = this.form, size = this.network.size[0];
    say("read", "Reading …");
    const pictures = await this.client.ask("read", { files, size }).finally(() => say("read", ""));
    files.forEach((file, i) => {
      const at = SLOTS.indexOf(slot.value);
      [this.files[at], this.pictures[at], slot.value] = [file, pictures[i], SLOTS[1 - at]];
    });
    await this.run();
  }

  // The two images, the brighter first, as the book has it
  pair({ kind, ...state }) {
    const images = kind === "digits" ? SLOTS.map((slot) => this.digits[state[slot]])
      : [0, 1].map((i) => this.pictures[i]?.[this.network.channels === 3 ? 1 : 0]);
    images.forEach((image, i) => draw.paint($(SLOTS[i]), image ?? BLANK, `the ${SLOTS[i]} picture`));
    if (images.includes(undefined)) {
      $("seen").hidden = true;
      draw.paint($("mixture"), BLANK);
      throw new Error(`Choose ${images.some(Boolean) ? "the other picture" : "two pictures"} in step 1.`);
    }
    return mean(images[0].data) >= mean(images[1].data) ? images : images.reverse();
  }

  publish([brighter, other], { weight, noise, round }) {
    const drawn = new Generator(0).randn(brighter.shape), mix = (x, r, z) => weight * x + (1 - weight) * r + noise * z;
    const mixture = each(mix, brighter, other, drawn);
    return round ? roundTo8Bits(mixture) : each((value) => Math.min(1, Math.max(-1, value)), mixture);
  }

  // Average, un-average, show; and write down in the address what was asked
  async run() {
    const { form, network } = this, joint = network.target === "joint", steps = Number(form.steps.value);
    for (const output of form.querySelectorAll("[data-of]")) output.value = form[output.dataset.of].value;
    if (this.known.samplers[form.sampler.value] !== form.code.value) form.sampler.value = "yours";
    $("compare").disabled = joint || form.kind.value !== "digits";
    for (const id of ["mistake", "cell", "compared", "findings", "table"]) say(id, "");
    $("stop").hidden = $("progress").hidden = true;
    this.editor.mark();
    const { state } = this, pair = this.pair(state), mixture = this.publish(pair, state), { weight, code } = state;
    this.write(state).catch(() => {}); // some browsers refuse many addresses in a short time
    draw.paint($("mixture"), mixture);
    this.truth = stack(pair, 1);
    [this.points, this.average] = [[], mean(scorePairs(stack([mixture, mixture], 1), this.truth)[0])];
    say("said", `Asking ${network.name} …`);
    const problem = { name: network.name, mixture, steps, text: code, alpha0: 1 - weight,
      state: { ...state, steps, files: this.files.map(({ name }) => name) } };
    const { images, milliseconds, printed, cell } = await this.client.ask("unmix", problem, ({ point }) => {
      this.points.push({ ...point, psnr: mean(scorePairs(point.guesses, this.truth)[0]) });
      this.showAll(Math.max(this.points.length, joint ? steps : steps + 1));
    });
    this.showAll(this.points.length);
    say("printed", printed.join("\n"));
    say("cell", cell);
    const calls = milliseconds.length, each = milliseconds.sort((a, b) => a - b)[calls >> 1].toFixed(0);
    say("said", `${scorePairs(images, this.truth)[0].map((psnr) => psnr.toFixed(1)).join(" and ")} dB came back `
      + `(the average itself: ${this.average.toFixed(1)} dB), in ${calls} call${calls > 1 ? "s" : ""} of ${each} ms.`
      + `${joint && weight !== "0.5" ? " This network was trained on equal weights, and takes them for equal." : ""}`);
  }

  // All points so far, of as many as are to come
  showAll(columns) {
    $("seen").hidden = false;
    this.form.style.setProperty("--columns", columns);
    draw.film($("film"), this.points, columns);
    draw.curve($("curve"), this.points.map(({ psnr }) => psnr), columns, this.average);
    Object.assign($("call"), { max: columns - 1, value: this.points.length - 1 });
    this.show();
  }

  // The point at which the lower slider stands
  show() {
    const i = Math.min(+$("call").value, this.points.length - 1), { alpha, psnr, x, guesses } = this.points[i];
    const words = `${i + 1} of ${+$("call").max + 1}: at α = ${alpha.toFixed(2)}, guesses of ${psnr.toFixed(1)} dB`;
    draw.paint($("x"), x, `where it stands, ${words}`);
    ["the brighter image", "the other image"].forEach((name, k) => {
      draw.paint($(`guess-${k}`), guesses, `guess at ${name}, ${words}`, k);
      draw.paint($(`true-${k}`), this.truth, `${name} as it is`, k);
    });
    $("call").ariaValueText = words;
    say("call-said", words);
    this.form.style.setProperty("--call", i);
  }

  // The state in the address, but for what is usual, for the reader's own pictures, and for a built-in text
  async write({ slot, ...state }) {
    const own = state.sampler === "yours", left = [own && "sampler", ...(state.kind === "digits" ? [] : SLOTS)];
    const kept = Object.entries({ ...state, code: own ? await packText(state.code) : "" })
      .filter(([name, value]) => value !== (USUAL[name] ?? "") && !left.includes(name));
    history.replaceState(null, "", `#${new URLSearchParams(kept)}`);
  }

  async copy(text) {
    const done = navigator.clipboard && await navigator.clipboard.writeText(text).then(() => true, () => false);
    say("copied", done ? "Copied." : "This browser lets no page copy: take it from the address, or from below.");
  }

  async compare() {
    const { network, form } = this, begin = performance.now(), problem = {
      name: network.name, text: form.code.value, calls: Number(form.steps.value),
      pairs: cat(this.pairs.map((two) => stack(two.map((name) => this.digits[name]), 1)), 0) };
    for (const id of ["mistake", "findings", "table"]) say(id, "");
    say("compared", "Comparing …");
    $("stop").hidden = $("progress").hidden = false;
    const rows = await this.client.ask("compare", problem, ({ share = 0, findings = [] }) => {
      $("progress").value = share;
      $("findings").append(...findings.map(([holds, words]) => Object.assign(document.createElement("li"),
        { textContent: `${{ true: "Yes. ", false: "No. " }[holds] ?? ""}${words}` })));
    });
    $("stop").hidden = $("progress").hidden = true;
    say("compared", `${network.name}, ${this.pairs.length} pairs, ${((performance.now() - begin) / 1000).toFixed(1)} s.`
      + " Where an interval holds zero, these pairs do not tell.");
    $("table").innerHTML = draw.table(rows);
  }
}
