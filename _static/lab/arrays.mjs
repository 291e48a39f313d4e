// Arrays {shape, data}, and what PyTorch does with its tensors: arithmetic, indexing, and the same random numbers.
const count = (shape) => shape.reduce((product, size) => product * size, 1);
export const array = (shape, data = new Float64Array(count(shape))) => ({ shape, data });
const said = (shape) => `(${shape.join(", ")}${shape.length === 1 ? "," : ""})`;

// An array of `shape`, each value taken from where `from` says that it stands in `source`
function take(source, shape, from) {
  const taken = array(shape), at = shape.map(() => 0);
  const steps = source.shape.map((_, d) => count(source.shape.slice(d + 1)));
  for (let i = 0; i < taken.data.length; i++) {
    taken.data[i] = source.data[from(at).reduce((sum, k, d) => sum + k * steps[d], 0)];
    for (let d = shape.length - 1; d >= 0 && ++at[d] === shape[d]; d--) at[d] = 0;
  }
  return taken;
}

function expand(source, shape) {
  if (!source.shape) return new Float64Array(count(shape)).fill(source);
  const lead = shape.length - source.shape.length;
  if (source.shape.join() === shape.join()) return source.data;
  return take(source, shape, (at) => source.shape.map((size, d) => (size === 1 ? 0 : at[d + lead]))).data;
}

// f of each value of one to three arrays or numbers, which are broadcast as PyTorch does it
export function each(f, ...operands) {
  const shapes = operands.map((one) => one.shape ?? []), rank = Math.max(...shapes.map((shape) => shape.length));
  const shape = Array.from({ length: rank }, (_, d) => {
    const sizes = shapes.map((one) => one[d - rank + one.length] ?? 1), size = sizes.find((n) => n !== 1) ?? 1;
    if (sizes.some((n) => n !== 1 && n !== size))
      throw new Error(`tensors of the shapes ${shapes.map(said).join(" and ")} do not go together`);
    return size;
  });
  const made = array(shape), [a, b = a, c = a] = operands.map((one) => expand(one, shape));
  for (let i = 0; i < made.data.length; i++) made.data[i] = f(a[i], b[i], c[i]);
  return made;
}

export const roundHalfEven = (value) => Math.sign(value) * (Math.abs(value) + 2 ** 52 - 2 ** 52); // as floats round
const FUNCTIONS = {
  add: (a, b) => a + b, sub: (a, b) => a - b, mul: (a, b) => a * b, truediv: (a, b) => a / b, pow: (a, b) => a ** b,
  lt: (a, b) => +(a < b), le: (a, b) => +(a <= b), gt: (a, b) => +(a > b), ge: (a, b) => +(a >= b),
  maximum: (a, b) => (a > b || a !== a ? a : b), minimum: (a, b) => (a < b || a !== a ? a : b),
  where: (condition, a, b) => (condition ? a : b), lerp: (a, b, share) => a + share * (b - a),
  abs: Math.abs, sqrt: Math.sqrt, exp: Math.exp, log: Math.log, sin: Math.sin, cos: Math.cos, tanh: Math.tanh,
  sign: Math.sign, floor: Math.floor, round: roundHalfEven, square: (a) => a * a, neg: (a) => -a,
  sigmoid: (a) => 1 / (1 + Math.exp(-a)), isfinite: (a) => +Number.isFinite(a),
};

function place(d, rank) {
  if (d < -rank || d >= rank) throw new Error(`there is no number ${d} among ${rank}: they count from 0`);
  return (d + rank) % rank;
}

// The sum, mean, amax or amin over some dimensions (none: over all)
export function reduce(name, source, dims = [], keep = false) {
  const all = [...source.shape.keys()], over = new Set(dims.length ? dims.map((d) => place(d, all.length)) : all);
  const order = [...all].sort((one, other) => over.has(one) - over.has(other) || one - other);
  const moved = take(source, order.map((d) => source.shape[d]), (at) => all.map((d) => at[order.indexOf(d)]));
  const kept = source.shape.filter((_, d) => !over.has(d)), several = source.data.length / count(kept);
  const made = array(keep ? source.shape.map((size, d) => (over.has(d) ? 1 : size)) : kept);
  const join = { amax: FUNCTIONS.maximum, amin: FUNCTIONS.minimum }[name] ?? FUNCTIONS.add;
  for (let i = 0; i < made.data.length; i++)
    made.data[i] = moved.data.subarray(i * several, (i + 1) * several).reduce(join) / (name === "mean" ? several : 1);
  return made;
}

export function roll(source, shifts, dims) {
  const { shape } = source, moved = shape.map(() => 0);
  dims.forEach((d, i) => { moved[place(d, shape.length)] += shifts[i]; });
  return take(source, shape, (at) => at.map((k, d) => (((k - moved[d]) % shape[d]) + shape[d]) % shape[d]));
}

export function flip(source, dims) {
  const { shape } = source, turned = dims.map((d) => place(d, shape.length));
  return take(source, shape, (at) => at.map((k, d) => (turned.includes(d) ? shape[d] - 1 - k : k)));
}

// As brackets in Python: the parts are whole numbers, slices that go forwards, "None" and "..."
export function index(source, parts) {
  const left = source.shape.length - parts.filter((part) => part !== "None" && part !== "...").length;
  if (left < 0) throw new Error(`there are only ${source.shape.length} dimensions for what is in brackets`);
  const full = parts.includes("...") ? parts : [...parts, "..."], shape = [], from = [];
  for (const part of full.flatMap((one) => (one === "..." ? Array(left).fill(":") : [String(one)]))) {
    const size = source.shape[from.length];
    const [start, stop, step = 1] = part.split(":").map((end) => (end ? Number(end) : undefined));
    const within = (k) => Math.min(size, Math.max(0, k < 0 ? k + size : k));
    if (part === "None") shape.push(1);
    else if (part.includes(":")) {
      if (step < 1) throw new Error("a slice goes forwards: turn an image with flip");
      from.push([within(start ?? 0), step, shape.length]);
      shape.push(Math.max(0, Math.ceil((within(stop ?? size) - within(start ?? 0)) / step)));
    } else from.push([place(start, size), 0, 0]);
  }
  return take(source, shape, (at) => from.map(([start, step, axis]) => start + (step && step * at[axis])));
}

export function reshape(source, shape) {
  const known = count(shape.filter((size) => size >= 0));
  const whole = shape.map((size) => (size < 0 ? source.data.length / known : size));
  if (count(whole) !== source.data.length) throw new Error(`${said(source.shape)} is no ${said(shape)}`);
  return array(whole, source.data);
}

export function cat(arrays, dim) {
  const d = place(dim, arrays[0].shape.length), long = arrays.reduce((sum, { shape }) => sum + shape[d], 0);
  const made = array(arrays[0].shape.with(d, long)), outer = count(made.shape.slice(0, d));
  for (let i = 0, to = 0; i < outer; i++)
    for (const { data, length = data.length / outer } of arrays) {
      made.data.set(data.subarray(i * length, (i + 1) * length), to);
      to += length;
    }
  return made;
}

export const stack = (all, dim) => cat(all.map(({ shape, data }) => array(shape.toSpliced(dim, 0, 1), data)), dim);

// All that small_torch.py can ask for, by its name there
export const OPERATIONS = {
  roll, flip, index, reshape, cat, zeros: (shape) => array(shape),
  tensor: (values) => array([values.length], Float64Array.from(values)),
  ...Object.fromEntries(Object.entries(FUNCTIONS).map(([name, f]) => [name, (...operands) => each(f, ...operands)])),
  ...Object.fromEntries(["sum", "mean", "amax", "amin"].map((name) => [name, (...asked) => reduce(name, ...asked)])),
};

// PyTorch's random numbers on a CPU: MT19937, and its way to normal numbers
export class Generator {
  constructor(seed) {
    this.words = new Uint32Array(624);
    this.words[0] = seed;
    for (let i = 1; i < 624; i++)
      this.words[i] = Math.imul(1812433253, this.words[i - 1] ^ (this.words[i - 1] >>> 30)) + i;
    this.at = 0;
  }
  next() {
    const { words, at } = this, after = (at + 1) % 624, z = (words[at] & 0x80000000) | (words[after] & 0x7fffffff);
    let y = (words[at] = words[(at + 397) % 624] ^ (z >>> 1) ^ (z & 1 ? 0x9908b0df : 0));
    this.at = after;
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  }
  rand(shape) { return each(() => (this.next() & 0xffffff) / 2 ** 24, array(shape)); }
  randint(low, high, shape) { return each(() => low + (this.next() % (high - low)), array(shape)); }
  randn(shape) {
    const drawn = this.rand(shape), { data } = drawn;
    if (data.length < 16) throw new Error("torch.randn draws 16 numbers or more here: draw a whole image");
    const turn = (start) => { // Box and Muller, eight pairs at a time
      for (let i = start; i < start + 8; i++) {
        const radius = Math.sqrt(-2 * Math.log(1 - data[i])), angle = 2 * Math.PI * data[i + 8];
        [data[i], data[i + 8]] = [radius * Math.cos(angle), radius * Math.sin(angle)];
      }
    };
    for (let i = 0; i + 16 <= data.length; i += 16) turn(i);
    if (data.length % 16) data.set(this.randn([16]).data, data.length - 16); // the last 16 are drawn anew
    return drawn;
  }
}
