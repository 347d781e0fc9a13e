/** The worker datapath: what a thread adds to the engine, which local.test.ts has checked. Ports of type traffic. */
import assert from "node:assert/strict";
import test from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { flows, toolsFor } from "../../../test/helpers/datapath-tools.ts";
import { forward } from "../../pipeline/actions.ts";
import trafficPort from "../../ports/traffic/index.ts";
import * as C from "../../shm/counters.ts";
import { MAX_PORTS } from "../datapath.ts";
import { UserspaceDatapath } from "./index.ts";

async function until(what: string, isTrue: () => boolean): Promise<void> {
  for (let n = 0; n < 500; n++) {
    if (isTrue()) return;
    await sleep(10);
  }
  assert.fail(`not in 5 s: ${what}`);
}

test("a worker switches generated traffic, asks, learns the answer, and gives everything back", async () => {
  let calls = 0;
  const failures: Error[] = [];
  const datapath = new UserspaceDatapath({
    capacity: 4096,
    ports: MAX_PORTS,
    bridge: "weir0",
    baseDir: ".",
    onAttention: () => calls++,
    onFailure: (error) => failures.push(error),
  });
  const tools = toolsFor(datapath);
  try {
    const options = trafficPort.schema.parse({ profile: "tenants", seed: 1, rate: "5kpps" });
    const plans = trafficPort.plan!("gen", options);
    for (const [n, plan] of plans.entries())
      await datapath.addPort({ no: n + 1, name: plan.name, type: "traffic", options: plan.options });
    datapath.program({ enabled: plans.map((_, n) => ({ port: n + 1, up: true })) });
    await until("every port says that it is up", () =>
      plans.every((_, n) => datapath.portStatus(n + 1)?.state === "up"),
    );
    await until("the worker calls for an answer", () => calls > 0);

    // One rule for everything: a mask of no bits.
    const none = new Uint32Array(20);
    const generation = datapath.program({
      add: [{ index: 0, gen: 1, mask: none, key: none, actions: forward([{ port: 1 }]) }],
      resume: datapath.misses.take(10_000).map(({ id }) => ({ miss: id })),
    });
    await until("the rule is in force", () => datapath.applied() === generation);
    await until("flows are made", () => flows(datapath).length > 100);

    for (const [n] of plans.entries()) datapath.program({ enabled: [{ port: n + 1, up: false }] });
    const asked = datapath.misses.take(10_000).map(({ id }) => ({ miss: id }));
    const last = datapath.program({ resume: asked });
    await until("all is quiet", () => datapath.applied() === last);
    await sleep(50);
    for (const [n] of plans.entries()) tools.conserved(n + 1);
    assert.ok(plans.reduce((sum, _, n) => sum + tools.counter(n + 1, C.C_RX_PACKETS), 0) > 100);
  } finally {
    await datapath.close();
  }
  assert.deepEqual(failures, []);
});

test("a port that cannot be opened says why, and disturbs nobody", async () => {
  const datapath = new UserspaceDatapath({
    capacity: 64,
    ports: MAX_PORTS,
    bridge: "weir0",
    baseDir: "/nowhere",
    onAttention: () => {},
    onFailure: () => {},
  });
  try {
    await assert.rejects(
      datapath.addPort({ no: 1, name: "x", type: "nonesuch", options: {} }),
      /no port type nonesuch/,
    );
    await datapath.removePort(1);
  } finally {
    await datapath.close();
  }
});
