// MicroPython, and in it the package's own walk with the reader's step function: text goes in, images come out.
import * as arrays from "./arrays.mjs";

// What went wrong, in one sentence, with the line of the reader's text
export function explain(error) {
  const lines = String(error.message).trim().split("\n"), [, kind, words] = lines.at(-1).match(/^(\w+): ?(.*)$/) ?? [];
  const line = Number(lines.findLast((text) => text.includes('File "yours"'))?.match(/line (\d+)/)[1]) || null;
  const where = line ? `Line ${line}` : "Your text", said = words ? `: ${words} (${kind}).` : ` raises ${kind}.`;
  const sentence = !kind ? lines.at(-1) : where + (kind === "SyntaxError" ? ` is not Python: ${words}.` : said);
  return Object.assign(new Error(sentence), { line });
}

export class Python {
  held = new Map(); // arrays by their keys
  keys = 0;
  printed = [];
  // `load` is loadMicroPython, `sources` are small_torch.py, walk.py and cell.py, `known` is laboratory.json
  static async start(load, sources, known) {
    const python = new Python();
    const machine = await load({ heapsize: 32 << 20, linebuffer: true, stdout: (line) => python.print(line) });
    machine.registerJsModule("js", {}); // a step function has no business with the page
    machine.registerJsModule("arrays", python.arrays());
    for (const source of [...sources, known.package]) machine.runPython(source);
    for (const name of ["furnish", "meet", "walk", "inspect", "cell"]) python[name] = machine.globals.get(name);
    python.furnish(JSON.stringify(known));
    return python;
  }

  call(name, ...values) {
    this.tell?.(true);
    try {
      return this[name](...values);
    } catch (error) {
      throw explain(error);
    } finally {
      this.tell?.(false);
    }
  }

  print(line) { if (this.printed.length < 100) this.printed.push(line); }
  keep(made) {
    this.held.set(`#${++this.keys}`, made);
    return `#${this.keys}`;
  }

  // What small_torch.py and walk.py call, with keys of arrays ("#7 #8"), lists ("1,-1"), numbers, true and false.
  // Nothing is thrown through Python: it gets the words of an error, and raises it itself
  arrays() {
    const get = (key) => {
      if (!this.held.has(key)) throw new Error("this tensor is from an earlier walk");
      return this.held.get(key);
    };
    const read = (value) => {
      if (typeof value !== "string") return value;
      if (value[0] === "#") return value.includes(" ") ? value.split(" ").map(get) : get(value);
      return value ? value.split(",").map((part) => (part && Number.isFinite(+part) ? +part : part)) : [];
    };
    const guarded = (f) => (name, ...values) => {
      try {
        return f(name, ...values.map(read));
      } catch ({ message }) {
        return message;
      }
    };
    return {
      make: guarded((name, ...values) => this.keep(arrays.OPERATIONS[name](...values))),
      draw: guarded((name, ...values) => this.keep(this.generator[name](...values))),
      tell: guarded((name, { [name]: numbers }) => `=${numbers.join(",")}`),
      answer: guarded((_, x, alpha, last) => this.answer(x, alpha, last)),
      seed: (seed) => { this.generator = new arrays.Generator(seed); },
      visit: (alpha, x, guesses) => this.points.push({ alpha, x: get(x), guesses: arrays.stack(read(guesses), 1) }),
    };
  }

  // The images (B, 2, C, H, W) of a mixture, what each call took, what was printed.  The walk is left where it asks the
  // network, and walked again with the answer at hand; `visit` gets each new point, { alpha, x, guesses }
  async unmix({ mixture, text = "", steps, alpha0 = 0.5 }, network, visit = () => {}) {
    const answers = [], milliseconds = [];
    for (let visited = 0; ; visited = this.points.length) {
      let number = 0, question = null;
      this.answer = (x, alpha, last) => {
        const known = answers[number++];
        if (known && (known.alpha !== alpha || known.x.data.some((value, i) => value !== x.data[i])))
          throw new Error("walked again, this sampler asks something else: draw random numbers with s.generator");
        if (!known) question ??= { x, alpha, last };
        return known ? this.keep(known.answer) : "";
      };
      [this.points, this.printed, this.held] = [[], [], new Map([["#mixture", mixture]])];
      this.call("meet", JSON.stringify(network.facts));
      const key = this.call("walk", text, "#mixture", steps, alpha0);
      for (const point of this.points.slice(visited)) await visit(point);
      if (!question) return { images: this.held.get(key), milliseconds, printed: this.printed };
      const start = performance.now(), answer = await network.ask(question.x, question.alpha, question.last);
      answers.push({ ...question, answer });
      milliseconds.push(performance.now() - start);
    }
  }

  // What the workshop finds of the sampler of a text: { name, findings, calls } (those of four steps)
  look(text) {
    this.held = new Map();
    return JSON.parse(this.call("inspect", text));
  }
}
