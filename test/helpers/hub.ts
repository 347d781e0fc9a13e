/** A hub that exports to collectors of this host at a pace, as replay's does: no ports, state in memory, real time. */
import type { TestContext } from "node:test";
import { Hub } from "../../src/telemetry/hub.ts";

export function openHub(t: TestContext, pace = 2000): Hub {
  const state = new Map<string, unknown>();
  const hub = new Hub({
    state: { get: (name) => state.get(name), set: (name, value) => void state.set(name, value) },
    port: () => undefined,
    ports: () => [],
    agentAddress: "127.0.0.1",
    log: () => {},
    now: Date.now,
    pace,
  });
  t.after(() => hub.close());
  return hub;
}
