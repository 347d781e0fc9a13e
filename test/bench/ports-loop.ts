/**
 * Forwards between two netdev ports and does nothing else: the ceiling that the rings set for the userspace datapath.
 *
 *   node dist/js/test/bench/ports-loop.js DEVICE1 DEVICE2 SECONDS      prints one line of JSON at the end
 */
import netdev from "../../src/ports/netdev/index.ts";
import { createBatch, type Port } from "../../src/ports/port.ts";
import { createPoller } from "../../src/sys/poll.ts";

const [, , first = "", second = "", seconds = "5"] = process.argv;
const options = (device: string) => netdev.schema.parse({ device });
const env = (name: string) => ({ name, bridge: "bench", baseDir: ".", nowNs: 0 });
const a = netdev.open(options(first), env(first));
const b = netdev.open(options(second), env(second));
const batch = createBatch(256);
const poller = createPoller();
poller.set(Int32Array.from([...a.pollFds!, ...b.pollFds!]));

let frames = 0;
let wirePackets = 0;
let bytes = 0;
let refused = 0;
let batches = 0;

function move(from: Port, to: Port, nowNs: number): number {
  const count = from.receive(batch, nowNs);
  if (count === 0) return 0;
  for (let n = 0; n < count; n++) {
    const length = batch.length[n]!;
    const size = batch.gsoSize[n]!;
    wirePackets += size === 0 ? 1 : Math.ceil((length - batch.gsoHeaders[n]!) / size);
    bytes += length;
    if (!to.transmit(batch.bytes, batch.offset[n]!, batch.captured[n]!, length, batch.vnet)) refused++;
  }
  to.flush();
  frames += count;
  batches++;
  return count;
}

const started = process.hrtime.bigint();
const nowNs = (): number => Number(process.hrtime.bigint() - started);
const cpu = process.cpuUsage();
process.stdout.write("ready\n");
for (let now = 0; now < Number(seconds) * 1e9;) {
  now = nowNs();
  let moved = 0;
  for (let turns = 0; turns < 64; turns++) {
    const count = move(a, b, now) + move(b, a, now);
    moved += count;
    if (count === 0) break;
  }
  if (moved === 0) poller.wait(50);
}
const used = process.cpuUsage(cpu);
const lost = [a.status(), b.status()];
a.close();
b.close();
poller.close();
process.stdout.write(
  `${JSON.stringify({ frames, wirePackets, bytes, refused, framesPerBatch: +(frames / batches).toFixed(1), cpuNsPerFrame: Math.round(((used.user + used.system) * 1000) / frames), userNsPerFrame: Math.round((used.user * 1000) / frames), lost: lost.map((status) => status.lost), states: lost.map((status) => `${status.state} ${status.message ?? ""}`) })}\n`,
);
