/** The generator's tenants through the real switch, in one thread and in virtual time: what must be refused is, no more. */
import assert from "node:assert/strict";
import test from "node:test";
import { Bridge } from "../../src/bridge/bridge.ts";
import type { PortConfig } from "../../src/config/config.ts";
import { MAX_PORTS } from "../../src/datapath/datapath.ts";
import { LocalDatapath } from "../../src/datapath/userspace/local.ts";
import { DROP_REASONS } from "../../src/flow/disposition.ts";
import traffic, { type TrafficPortOptions } from "../../src/ports/traffic/index.ts";
import {
  C_DROP_REASON,
  C_DROPPED,
  C_FORWARDED,
  C_RX_PACKETS,
  C_TX_PACKETS,
  CounterSnapshot,
} from "../../src/shm/counters.ts";
import { RecordLog } from "../../src/shm/log.ts";
import { FLOWS } from "../helpers/local-bed.ts";

const STEP_NS = 1e6;

async function start(rate: number): Promise<{ bridge: Bridge; datapath: LocalDatapath; names: string[] }> {
  const plans = traffic.plan!("gen", { profile: "tenants", seed: 7, rate });
  const ports = plans.map((plan): PortConfig => ({ ...plan, type: "traffic", enabled: true, origin: "config" }));
  const flows = { ...FLOWS, max: 65_536 };
  const datapath = new LocalDatapath({
    capacity: flows.max,
    ports: MAX_PORTS,
    seed: 1,
    open: ({ name, options }) =>
      traffic.open(options as TrafficPortOptions, { name, bridge: "weir0", baseDir: ".", nowNs: 0 }),
  });
  const names = ["", ...plans.map((plan) => plan.name)];
  const bridge = new Bridge({
    config: {
      name: "weir0",
      datapath: "userspace",
      mode: "switch",
      failMode: "standalone",
      macAgingMs: 300_000,
      macTableSize: 8192,
      dropMalformed: false,
      sampling: { rate: 400, header: 128 },
      ports,
    },
    flows,
    datapath,
    log: RecordLog.create(65_536),
    boot: { unixMs: 0, ns: 0 },
    ifIndexFor: (_bridge, name) => 20_000 + names.indexOf(name),
    exact: true,
  });
  datapath.resolve = (miss) => bridge.resolve(miss);
  datapath.due = bridge.sweeper;
  assert.deepEqual(await bridge.start(), []);
  return { bridge, datapath, names };
}

test("thirty seconds of five tenants: the faults are refused, the rest is learned and forwarded, all of it counted", async () => {
  const { bridge, datapath, names } = await start(5000);
  const advance = (fromNs: number, toNs: number): void => {
    for (let now = fromNs; now < toNs; now += STEP_NS) {
      datapath.step(now);
      bridge.tick(now);
    }
  };
  advance(0, 10e9);
  const before = datapath.counters(new CounterSnapshot(MAX_PORTS));
  advance(10e9, 30e9);
  const after = datapath.counters(new CounterSnapshot(MAX_PORTS));

  const sum = (counter: number): number =>
    names.reduce((total, _, no) => total + after.get(no, counter) - before.get(no, counter), 0);
  const received = sum(C_RX_PACKETS);
  assert.ok(received > 98_000 && received < 102_000, `${received} frames in 20 s`);
  assert.equal(sum(C_FORWARDED) + sum(C_DROPPED), received);

  // Which port is refused for what.
  const refused = new Map<string, Set<string>>();
  for (const [no, name] of names.entries())
    for (const [reason, { name: why }] of DROP_REASONS.entries())
      if (after.get(no, C_DROP_REASON + reason) > 0) {
        refused.set(why, (refused.get(why) ?? new Set()).add(name));
      }
  assert.deepEqual(refused.get("ingress_vlan_filter"), new Set(["gen.globex-lab7"]));
  assert.deepEqual(refused.get("pkt_too_small"), new Set(["gen.initech-bot"]));
  assert.deepEqual(refused.get("src_mac_is_multicast"), new Set(["gen.globex-ci1"]));
  assert.deepEqual(refused.get("dmac_is_reserved"), new Set(["gen.acme-nas1"]));
  const other = [...refused.keys()].filter(
    (why) => !["ingress_vlan_filter", "pkt_too_small", "src_mac_is_multicast", "dmac_is_reserved"].includes(why),
  );
  assert.deepEqual(other, []);
  const share = sum(C_DROPPED) / received;
  assert.ok(share > 0.004 && share < 0.009, `${share} refused`);

  // Everybody was learned: little more leaves than came in.
  assert.ok(sum(C_TX_PACKETS) < 1.15 * sum(C_FORWARDED), `${sum(C_TX_PACKETS)} sent of ${sum(C_FORWARDED)}`);
  const audit = bridge.audit();
  assert.equal(audit.ok, true, JSON.stringify(audit));
  await datapath.close();
});
