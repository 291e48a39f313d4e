// A sampler against the built-in ones: teach/workshop.py's comparison, on pairs that the page has.
import { reduce, roundHalfEven } from "./arrays.mjs";
import { bootstrapInterval, mean, roundTo8Bits, scorePairs } from "./pixels.mjs";

// Rows { name, calls, psnr, mine, ahead, interval, wins }, best first, of the sampler of a text and each class of
// built-in ones, on `pairs` (B, 2, C, H, W) at as many calls as whole steps allow; `progress` is told the share done
export async function compare({ text, pairs, calls }, { name, calls: four }, network, python, known, progress) {
  const mixture = roundTo8Bits(reduce("mean", pairs, [1])), rows = [];
  const texts = { ...Object.fromEntries(known.builtIn.map((one) => [one, known.samplers[one]])), [name]: text };
  let first = null;
  for (const [sampler, of] of Object.entries(texts)) {
    let asked = 0;
    const ask = async (x, alpha) => {
      const start = x === mixture && alpha === 0.5; // what all samplers ask first is asked once
      const answer = await (start ? (first ??= network.ask(x, alpha)) : network.ask(x, alpha));
      await progress((rows.length + Math.min(1, ++asked / calls)) / Object.keys(texts).length);
      return answer;
    };
    const steps = sampler === name ? Math.max(1, roundHalfEven((4 * calls) / four)) : calls;
    const { images } = await python.unmix({ mixture, text: of, steps }, { ...network, ask });
    rows.push({ name: sampler, calls: asked, psnrs: scorePairs(images, pairs).map(mean) });
  }
  return measure(rows, name).sort((one, other) => other.psnr - one.psnr);
}

// By how much one sampler is ahead of each, pair by pair, with the 95 % interval, and on which share of the pairs
export function measure(rows, mine) {
  const own = rows.find(({ name }) => name === mine).psnrs;
  return rows.map(({ name, calls, psnrs }) => {
    const ahead = own.map((psnr, i) => psnr - psnrs[i]), wins = mean(ahead.map((more) => +(more > 0)));
    const facts = { name, calls, psnr: mean(psnrs), mine: name === mine };
    return { ...facts, ahead: mean(ahead), interval: bootstrapInterval(ahead), wins };
  });
}
