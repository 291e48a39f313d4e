// A network of the package: its graph in ONNX, its parameters in the file that the package ships; run by onnxruntime.
import { array, stack } from "./arrays.mjs";

const load = (address) => fetch(address).then((answer) => (answer.ok ? answer.arrayBuffer() : Promise.reject())).then(
  (content) => new Uint8Array(content),
  () => { throw new Error(`${address} can't be loaded: is the server still there?`); });

// { facts, ask, close } of a network: `facts` as in laboratory.json; `runtime` is onnxruntime-web, from `folder`
export async function openNetwork(facts, runtime, folder) {
  const address = (ending) => new URL(`${facts.name}.${ending}`, folder);
  const [graph, parameters] = await Promise.all([load(address("onnx")), load(address("safetensors"))]);
  Object.assign(runtime.env.wasm, { numThreads: 1, wasmPaths: folder }); // threads need headers that few servers send
  const session = await runtime.InferenceSession.create(graph, {
    executionProviders: ["wasm"], externalData: [{ path: "parameters", data: parameters }] });
  const tensor = ({ shape, data }) => new runtime.Tensor("float32", Float32Array.from(data), shape);

  // One call: x (B, C, H, W) at alpha; for a network that looks again, its `last` answer (B, 2, C, H, W) if any
  async function ask(x, alpha, last) {
    const alphas = array([x.shape[0]], new Float64Array(x.shape[0]).fill(alpha));
    const again = facts.looks ? { last: tensor(last || stack([x, x], 1)) } : {};
    const { answer } = await session.run({ x: tensor(x), alpha: tensor(alphas), ...again });
    return array([...answer.dims], Float64Array.from(answer.data));
  }
  return { facts, ask, close: () => session.release() };
}
