// What stands in the address: the text of a sampler, and drawings, packed.

async function pipe(bytes, through) {
  return new Uint8Array(await new Response(new Blob([bytes]).stream().pipeThrough(through)).arrayBuffer());
}

export async function pack(bytes) {
  const packed = await pipe(bytes, new CompressionStream("deflate"));
  return btoa(String.fromCharCode(...packed)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

const bytes = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
export const unpack = (text) => pipe(bytes(text), new DecompressionStream("deflate"));
export const packText = (text) => pack(new TextEncoder().encode(text));
export const unpackText = async (text) => new TextDecoder().decode(await unpack(text));
