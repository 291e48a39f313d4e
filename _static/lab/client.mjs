// The page's end of the worker.  Python that does not come back is stopped with its worker, and a new one started.

const PATIENCE = 10; // seconds for one walk in Python
const POLICY = { httpEquiv: "Content-Security-Policy", // nothing goes anywhere else
  content: "default-src 'self' data: blob: 'unsafe-inline' 'wasm-unsafe-eval'" };
const ENDLESS = `Your text ran for ${PATIENCE} seconds and was stopped. Is there a loop that never ends?`;

export class Client {
  asked = new Map();
  id = 0;
  constructor(folder) {
    this.folder = folder;
    document.head.append(Object.assign(document.createElement("meta"), POLICY));
    this.renew();
  }

  // A new worker.  It is made from a blob: only so the policy of the page holds in it
  renew() {
    const code = new Blob([`import "${new URL("worker.mjs", this.folder)}"`], { type: "text/javascript" });
    this.worker = new Worker(URL.createObjectURL(code), { type: "module" });
    this.ready = new Promise((resolve, reject) => {
      this.worker.onmessage = ({ data }) => (data.known ? resolve(data.known) : this.hear(data));
      this.worker.onerror = () => reject(new Error("The laboratory can't be loaded: is the server still there?"));
    });
  }

  hear({ id, python, news, answer, error }) {
    clearTimeout(this.timer);
    if (python) this.timer = setTimeout(() => this.stop(ENDLESS), PATIENCE * 1000);
    const { resolve, reject, listen } = this.asked.get(id) ?? {};
    if (news && id === this.id) listen?.(news);
    if (answer) resolve?.(answer);
    if (error) reject?.(Object.assign(new Error(error.message), error));
    if (answer || error) this.asked.delete(id);
  }

  // What is being computed is given up, with these words
  stop(words) {
    clearTimeout(this.timer);
    this.worker.terminate();
    for (const { reject } of this.asked.values()) reject(new Error(words));
    this.asked.clear();
    this.renew();
  }

  async ask(task, problem, listen) {
    await this.ready;
    return new Promise((resolve, reject) => {
      this.asked.set(++this.id, { resolve, reject, listen });
      this.worker.postMessage({ id: this.id, task, ...problem });
    });
  }
}
