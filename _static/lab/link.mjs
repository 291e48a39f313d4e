// What stands in the address: the text of a sampler, and drawings, packed.

async function pipe(bytes, through) {
  return new Uint8Array(await new Response(new Blob([bytes]).stream().pipeThrough(through)).arrayBuffer());
}

export async function pack(bytes) {
  const packed = await pipe(bytes, new CompressionStream("deflate"));
  return btoa(String.fromCharCode(...packed)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

export function unpack(text) {
  const bytes = Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));
  return pipe(bytes, new DecompressionStream("deflate"));
}

export const packText = (text) => pack(new TextEncoder().encode(text));
export const unpackText = async (text) => new TextDecoder().decode(await unpack(text));
