// What stands in the address: the text of a sampler, and drawings, packed.
const pipe = async (bytes, through) =>
  new Uint8Array(await new Response(new Blob([bytes]).stream().pipeThrough(through)).arrayBuffer());
export const pack = async (bytes) => btoa(String.fromCharCode(...await pipe(bytes, new CompressionStream("deflate"))))
  .replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
const bytes = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
export const unpack = (text) => pipe(bytes(text), new DecompressionStream("deflate"));
export const packText = (text) => pack(new TextEncoder().encode(text));
export const unpackText = async (text) => new TextDecoder().decode(await unpack(text));
