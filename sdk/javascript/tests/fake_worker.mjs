// The worker's end of the calls socket, for tests. The SDK has one connection a process, so each test's agent is a process of its own:
// it runs the code of the test with `flodea` imported and says with `say(…)` what it found; `done()` waits for it to end.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const SDK = new URL("../flodea/index.js", import.meta.url).href;

export class RpcError {
  constructor(code, message, data) {
    Object.assign(this, { code, message, data });
  }
}

// A socket pair by other means: Node makes none, and passes a connected socket on as a child's descriptor.
async function connectedPair() {
  const directory = mkdtempSync(join(tmpdir(), "flodea-sdk-"));
  const server = createServer();
  server.listen(join(directory, "s"));
  await once(server, "listening");
  const { connect } = await import("node:net");
  const agentEnd = connect(join(directory, "s"));
  const [[workerEnd]] = await Promise.all([once(server, "connection"), once(agentEnd, "connect")]);
  server.close();
  rmSync(directory, { recursive: true });
  return [agentEnd, workerEnd];
}

export class Agent {
  // `answers`: method → what is its result, a function of the request that returns one, or an RpcError. Requests for other methods,
  // and notifications, are had one by one with `next`.
  static async start(code, answers = {}, { arguments: options = [], environment = {} } = {}) {
    const agent = new Agent();
    const [agentEnd, workerEnd] = await connectedPair();
    agent.answers = answers;
    agent.requests = [];
    agent.said = [];
    agent.socket = workerEnd;
    const prelude = `import * as flodea from ${JSON.stringify(SDK)};\nconst say = (value) => console.log(JSON.stringify(value, (k, v) => typeof v === "bigint" ? v + "n" : v));\n`;
    agent.process = spawn(process.execPath, [...options, "--input-type=module", "-e", prelude + code], {
      stdio: ["ignore", "pipe", "pipe", agentEnd], env: { ...process.env, FLODEA_FD: "3", ...environment },
    });
    agentEnd.destroy();
    agent.ended = once(agent.process, "close");
    agent.errors = "";
    agent.process.stderr.on("data", (text) => { agent.errors += text; });
    createInterface({ input: agent.process.stdout }).on("line", (text) => agent.#say(JSON.parse(text)));
    createInterface({ input: workerEnd }).on("line", (text) => agent.#take(JSON.parse(text)));
    workerEnd.on("error", () => {}); // the agent has ended before it read all
    return agent;
  }

  #waiting = [];
  #unanswered = [];
  #words = [];
  #listening = [];

  #say(value) {
    this.said.push(value);
    const listener = this.#listening.shift();
    if (listener) listener(value);
    else this.#words.push(value);
  }

  #take(request) {
    this.requests.push(request);
    const answer = this.answers[request.method];
    if (answer !== undefined && "id" in request) return this.reply(request, typeof answer === "function" ? answer(request) : answer);
    const at = this.#waiting.findIndex(({ method }) => method === request.method);
    if (at >= 0) this.#waiting.splice(at, 1)[0].resolve(request);
    else this.#unanswered.push(request);
  }

  // The next unanswered message of this method.
  next(method) {
    const at = this.#unanswered.findIndex((request) => request.method === method);
    if (at >= 0) return Promise.resolve(this.#unanswered.splice(at, 1)[0]);
    return new Promise((resolve) => this.#waiting.push({ method, resolve }));
  }

  // The next thing that it says.
  hear() {
    if (this.#words.length > 0) return Promise.resolve(this.#words.shift());
    return new Promise((resolve) => this.#listening.push(resolve));
  }

  reply(request, answer) {
    if (answer instanceof RpcError) this.send({ id: request.id, error: { code: answer.code, message: answer.message, data: answer.data } });
    else this.send({ id: request.id, result: answer });
  }

  item(request, seq, message) {
    this.send({ method: "stream", params: { id: request.id, seq, message } });
  }

  send(message) {
    this.socket.write(JSON.stringify({ jsonrpc: "2.0", ...message }) + "\n");
  }

  // Waits for its end; gives what it said. Fails where it ended otherwise than `status` says.
  async done(status = 0) {
    const [code, signal] = await this.ended;
    this.socket.destroy();
    if ((signal ?? code) !== status) throw new Error(`the agent ended with ${signal ?? code}: ${this.errors}`);
    return this.said;
  }
}
