/** The datapath suite with real frames: veth pairs whose other ends stand in a namespace. */
import { existsSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { runDatapathSuite } from "../../../test/conformance/datapath.ts";
import { needs, needsRoot } from "../../../test/helpers/needs.ts";
import { wireEnds } from "../../../test/helpers/wire-ends.ts";
import { CounterSnapshot } from "../../shm/counters.ts";
import { MAX_PORTS } from "../datapath.ts";
import { KernelDatapath } from "./index.ts";
import { OBJECT } from "./maps.ts";

const QUIET_MS = 25;

runDatapathSuite({
  name: "kernel",
  shortestFrame: 14,
  available: (t) => needsRoot(t) && (existsSync(fileURLToPath(OBJECT)) || needs(t, "clang-14")),
  async create(capacity) {
    const wires = wireEnds(3);
    const failures: Error[] = [];
    let datapath: KernelDatapath;
    try {
      datapath = new KernelDatapath({
        capacity,
        onAttention: () => {},
        onFailure: (error) => failures.push(error),
      });
    } catch (error) {
      wires.close();
      throw error;
    }
    const close = async (): Promise<void> => {
      await datapath.close();
      wires.close();
      if (failures.length > 0) throw failures[0]!;
    };
    try {
      for (const [n, { device }] of wires.ends.entries()) {
        const options = { device, takeOver: false, slots: 256 };
        await datapath.addPort({ no: n + 1, name: `p${n + 1}`, type: "netdev", options });
      }
    } catch (error) {
      await close();
      throw error;
    }
    datapath.program({ enabled: [1, 2, 3].map((port) => ({ port, up: true })) });
    const snapshot = new CounterSnapshot(MAX_PORTS);
    const look = (): string => datapath.counters(snapshot).values.join();
    return {
      datapath,
      send: (no, frame) => wires.ends[no - 1]!.send(frame),
      received: (no) => wires.ends[no - 1]!.received(),
      async settle() {
        for (let before = "", now = look(); now !== before; now = look()) {
          before = now;
          await sleep(QUIET_MS);
        }
        await datapath.settled();
      },
      close,
    };
  },
});
