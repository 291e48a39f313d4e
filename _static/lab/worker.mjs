// The worker: it computes, so that the page never freezes.  A newer question takes the place of an older one.
import { compare } from "./compare.mjs";
import { loadMicroPython } from "./micropython.mjs";
import { openNetwork } from "./network.mjs";
import * as runtime from "./ort.wasm.min.mjs";
import { fitPicture } from "./pixels.mjs";
import { Python } from "./python.mjs";

const folder = new URL("./", import.meta.url).href;
const text = async (name) => (await fetch(new URL(name, folder))).text();
const known = JSON.parse(await text("laboratory.json"));
const sources = await Promise.all(["small_torch.py", "walk.py", "cell.py"].map(text));
const python = await Python.start(loadMicroPython, sources, known);
let network = null, latest = 0, turn = Promise.resolve();
python.tell = (busy) => postMessage({ python: busy }); // for it may never come back

const TASKS = {
  async unmix(problem, tell) {
    const answer = await python.unmix(problem, network, (point) => tell({ point }));
    return { ...answer, cell: python.call("cell", JSON.stringify({ ...problem.state, facts: network.facts })) };
  },
  async compare(problem, tell) {
    const seen = python.look(problem.text);
    await tell(seen);
    return compare(problem, seen, network, python, known, (share) => tell({ share }));
  },
  // The reader's own pictures, each as an image of one channel and as one of three
  read: ({ files, size }) => Promise.all(files.map(async (file) => {
    const bitmap = await createImageBitmap(file).catch(() => {
      throw new Error(`${file.name} is no picture that this browser can read.`);
    });
    const { width, height } = bitmap, context = new OffscreenCanvas(width, height).getContext("2d", { alpha: false });
    Object.assign(context, { fillStyle: "#fff" }).fillRect(0, 0, width, height); // what is transparent shows white
    context.drawImage(bitmap, 0, 0);
    const { data } = context.getImageData(0, 0, width, height);
    return [1, 3].map((channels) => fitPicture(data, width, height, size, channels));
  })),
};
async function answer({ id, task, name, ...problem }) {
  const superseded = () => { if (latest !== id) throw new Error("superseded"); };
  const tell = async (news) => {
    postMessage({ id, news });
    await new Promise((next) => setTimeout(next)); // so that a newer question can come in
    superseded();
  };
  try {
    superseded();
    if (name && network?.facts.name !== name) {
      await network?.close();
      network = null;
      network = await openNetwork(known.networks.find((facts) => facts.name === name), runtime, folder);
    }
    postMessage({ id, answer: await TASKS[task](problem, tell) });
  } catch ({ message, line = null }) {
    postMessage({ id, error: { message, line } });
  }
}
onmessage = ({ data }) => {
  latest = data.id;
  turn = turn.then(() => answer(data)); // one after another
};
postMessage({ known });
