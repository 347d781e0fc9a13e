/**
 * Ports of any type, joined by the simplest switch there is: what comes in on one leaves on all others. Runs in a worker
 * of its own (this file is also that worker), so that tests may block.
 */
import { Worker, isMainThread, parentPort, workerData } from "node:worker_threads";
import type { TestContext } from "node:test";
import { createBatch, type Port, type PortStatus, type PortType } from "../../src/ports/port.ts";
import { createPoller, wake } from "../../src/sys/poll.ts";

export interface PortEntry {
  readonly type: "netdev" | "tap" | "internal";
  readonly name: string;
  readonly options: Record<string, unknown>;
}

export interface Forwarder {
  status(): Promise<PortStatus[]>;
  /** Frames taken in and refused by `transmit`, per port. */
  counts(): Promise<{ received: number; refused: number; gso: number }[]>;
  stop(): Promise<void>;
}

/** Open the ports and forward between them until the test ends. */
export async function forward(t: TestContext, entries: readonly PortEntry[], mode = "switch"): Promise<Forwarder> {
  const worker = new Worker(new URL(import.meta.url), { workerData: { entries, mode } });
  const failed = new Promise<never>((_, reject) => worker.once("error", reject));
  failed.catch(() => {});
  const next = (): Promise<any> => Promise.race([failed, new Promise((resolve) => worker.once("message", resolve))]);
  const { wakeFd } = await next();
  let isStopped = false;
  const ask = (what: string): Promise<any> => {
    worker.postMessage(what);
    wake(wakeFd);
    return next();
  };
  const stop = async (): Promise<void> => {
    if (isStopped) return;
    isStopped = true;
    await ask("stop");
    await worker.terminate();
  };
  t.after(stop);
  return { status: () => ask("status"), counts: () => ask("counts"), stop };
}

const LOADERS: Record<string, () => Promise<{ default: PortType }>> = {
  netdev: () => import("../../src/ports/netdev/index.ts"),
  tap: () => import("../../src/ports/tap/index.ts"),
  internal: () => import("../../src/ports/internal/index.ts"),
};

async function run({ entries, mode }: { entries: PortEntry[]; mode: "switch" | "observe" }): Promise<void> {
  const ports: Port[] = [];
  for (const { type, name, options } of entries) {
    const { default: portType } = await LOADERS[type]!();
    ports.push(portType.open(portType.schema.parse(options), { name, bridge: "test", baseDir: ".", nowNs: 0, mode }));
  }
  const poller = createPoller();
  poller.set(Int32Array.from(ports.flatMap((port) => port.pollFds ?? [port.pollFd ?? -1])));
  const batch = createBatch(256);
  const counts = ports.map(() => ({ received: 0, refused: 0, gso: 0 }));
  const nowNs = (): number => Number(process.hrtime.bigint());

  function turn(now: number): number {
    let total = 0;
    for (const [index, port] of ports.entries()) {
      const count = port.receive(batch, now);
      counts[index]!.received += count;
      for (let n = 0; n < count; n++) {
        if (batch.gsoSize[n]! > 0) counts[index]!.gso++;
        for (const other of ports) {
          if (other === port) continue;
          if (!other.transmit(batch.bytes, batch.offset[n]!, batch.captured[n]!, batch.length[n]!, batch.vnet))
            counts[index]!.refused++;
        }
      }
      for (const other of ports) other.flush();
      total += count;
    }
    return total;
  }

  const control = { isStopped: false };
  parentPort!.on("message", (what: string) => {
    if (what === "stop") {
      control.isStopped = true;
      for (const port of ports) port.close();
      for (const port of ports) port.close();
    }
    parentPort!.postMessage(what === "status" ? ports.map((port) => port.status()) : what === "counts" ? counts : {});
  });
  parentPort!.postMessage({ wakeFd: poller.wakeFd });
  let lookedNs = 0;
  while (!control.isStopped) {
    const now = nowNs();
    let moved = 0;
    for (let turns = 0; turns < 32; turns++) {
      const count = turn(now);
      moved += count;
      if (count === 0) break;
    }
    if (now - lookedNs > 250e6) {
      lookedNs = now;
      for (const port of ports) port.status();
    }
    if (moved === 0) poller.wait(20);
    await new Promise((resolve) => setImmediate(resolve));
  }
  poller.close();
}

if (!isMainThread && workerData?.entries) await run(workerData);
