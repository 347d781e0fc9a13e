/**
 * The whole switch with its datapath in a worker, under generated traffic, while its configuration changes several times
 * a second: every audit holds within the frames in flight, and after the end exactly.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Bridge } from "../../src/bridge/bridge.ts";
import type { BridgeConfig, PortConfig } from "../../src/config/config.ts";
import { MAX_PORTS } from "../../src/datapath/datapath.ts";
import { UserspaceDatapath } from "../../src/datapath/userspace/index.ts";
import trafficPort from "../../src/ports/traffic/index.ts";
import { RecordCursor, RecordLog } from "../../src/shm/log.ts";

const SECONDS = Number(process.env.WEIR_SOAK_SECONDS ?? 3);

test("under load and reconfiguration every audit holds", { timeout: (SECONDS + 30) * 1000 }, async (t) => {
  const failures: Error[] = [];
  const capacity = 512;
  const datapath = new UserspaceDatapath({
    capacity,
    ports: MAX_PORTS,
    bridge: "weir0",
    baseDir: ".",
    seed: 1,
    onAttention: () => bridge.answerMisses(datapath.nowNs()),
    onFailure: (error) => failures.push(error),
  });
  const options = trafficPort.schema.parse({ profile: "tenants", seed: 1, rate: "20kpps" });
  const ports = trafficPort.plan!("gen", options).map((plan): PortConfig => ({
    name: plan.name,
    type: "traffic",
    enabled: true,
    origin: "config",
    options: plan.options,
    ...(plan.vlan && { vlan: plan.vlan }),
    ...(plan.owner && { owner: plan.owner }),
  }));
  const config = (some: readonly PortConfig[]): BridgeConfig => ({
    name: "weir0",
    datapath: "userspace",
    mode: "switch",
    failMode: "standalone",
    macAgingMs: 300_000,
    macTableSize: 8192,
    dropMalformed: false,
    sampling: { rate: 100, header: 128 },
    ports: some,
  });
  const log = RecordLog.create(1 << 16);
  const bridge = new Bridge({
    config: config(ports),
    flows: { activeTimeoutMs: 1000, idleTimeoutMs: 500, tcpEndTimeoutMs: 200, max: capacity, maxPerPort: 0.5 },
    datapath,
    log,
    boot: { unixMs: 0, ns: 0 },
    ifIndexFor: (_bridge, name) => 20001 + ports.findIndex((port) => port.name === name),
  });
  const timer = setInterval(() => bridge.tick(datapath.nowNs()), 5);
  try {
    assert.deepEqual(await bridge.start(), []);
    let audits = 0;
    for (let round = 0; round < SECONDS * 5; round++) {
      await sleep(200);
      const proof = bridge.audit();
      assert.deepEqual([proof.failing, proof.ok], [[], true], `round ${round}`);
      audits++;
      // Each round another port is away, and another has no VLAN.
      const away = ports[round % ports.length]!;
      const plain = ports[(round + 3) % ports.length]!;
      const some = ports
        .filter((port) => port !== away)
        .map((port) => (port === plain ? { ...port, vlan: { mode: "access", tag: 4000 } as const } : port));
      assert.deepEqual(await bridge.apply(config(some)), []);
    }
    await bridge.stop();
    const proof = bridge.audit();
    assert.deepEqual([proof.failing, proof.ok, proof.exact, proof.pending, proof.inTable], [[], true, true, 0, 0]);
    assert.ok(proof.rx > SECONDS * 5000 && proof.forwarded > 0 && proof.dropped > 0 && proof.unattributed > 0);
    assert.equal(proof.inRecords + proof.unattributed, proof.rx);
    const cursor = new RecordCursor();
    let inLog = 0;
    for (let n = log.oldest; n < log.head; n++) inLog += log.at(n, cursor).packets;
    if (log.oldest === 0) assert.equal(inLog, proof.inRecords);
    assert.deepEqual(failures, []);
    t.diagnostic(
      `${audits} audits, ${proof.rx} frames, ${log.head} records, ${proof.unattributed} unattributed ${JSON.stringify(proof.causes)}, ` +
        `drops ${JSON.stringify(proof.drops)}, rules ${JSON.stringify(bridge.rules.stats())}`,
    );
  } finally {
    clearInterval(timer);
    await datapath.close();
  }
});
