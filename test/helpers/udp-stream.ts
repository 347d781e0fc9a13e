/** A UDP stream with sequence numbers between two guests: what was lost, and what came twice. */
import type { TestContext } from "node:test";
import { type Guest, type Running, start, until } from "./netns.ts";

const SEND = `
const [to, port, everyMs, payload] = process.argv.slice(1);
const socket = require("dgram").createSocket("udp4");
const bytes = Buffer.alloc(Number(payload));
let sent = 0;
const timer = setInterval(() => { bytes.writeUInt32BE(sent++); socket.send(bytes, port, to); }, Number(everyMs));
process.on("SIGTERM", () => { clearInterval(timer); setTimeout(() => { console.log(sent); process.exit(); }, 300); });
`;

const RECEIVE = `
const socket = require("dgram").createSocket("udp4");
const seen = new Map();
socket.on("message", (bytes) => { const n = bytes.readUInt32BE(0); seen.set(n, (seen.get(n) ?? 0) + 1); });
socket.bind(Number(process.argv[1]), () => console.log("ready"));
process.on("SIGTERM", () => {
  const top = Math.max(-1, ...seen.keys());
  const lost = []; for (let n = 0; n <= top; n++) if (!seen.has(n)) lost.push(n);
  console.log(JSON.stringify({ received: seen.size, top, lost, twice: [...seen.values()].filter((n) => n > 1).length }));
  process.exit();
});
`;

export interface StreamResult {
  readonly sent: number;
  readonly received: number;
  /** Sequence numbers that did not arrive. */
  readonly lost: readonly number[];
  readonly twice: number;
}

export interface UdpStream {
  /** Stop sending, wait for the rest, and judge. */
  end(): Promise<StreamResult>;
}

/** One datagram of `payload` bytes every `everyMs`. */
export async function udpStream(
  t: TestContext,
  from: Guest,
  to: Guest,
  { port = 7000, everyMs = 1, payload = 100 } = {},
): Promise<UdpStream> {
  const node = process.execPath;
  const receiver: Running = start(t, to, node, "-e", RECEIVE, `${port}`);
  await until(() => receiver.output().includes("ready"), "the receiver listens");
  const sender = start(t, from, node, "-e", SEND, to.ip, `${port}`, `${everyMs}`, `${payload}`);
  return {
    async end() {
      await sender.stop();
      await receiver.stop();
      const sent = Number(sender.output().trim());
      const { received, lost, twice } = JSON.parse(receiver.output().split("\n")[1]!);
      for (let n = received + lost.length; n < sent; n++) lost.push(n);
      return { sent, received, lost, twice };
    },
  };
}
