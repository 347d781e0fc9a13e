/**
 * A switch under full load whose configuration never stands still: no count is lost, the control thread stays awake, and
 * memory stays what it was. Short here (20 s, a change every 200 ms); WEIR_SOAK=10m runs so long, with one a second.
 */
import assert from "node:assert/strict";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { setImmediate as nextTurn, setTimeout as sleep } from "node:timers/promises";
import test, { type TestContext } from "node:test";
import { Bridge } from "../../src/bridge/bridge.ts";
import type { BridgeConfig, FlowsConfig, PortConfig } from "../../src/config/config.ts";
import { MAX_PORTS, type Datapath } from "../../src/datapath/datapath.ts";
import { UserspaceDatapath } from "../../src/datapath/userspace/index.ts";
import type { VlanConfig } from "../../src/flow/attachment.ts";
import trafficPort from "../../src/ports/traffic/index.ts";
import * as C from "../../src/shm/counters.ts";
import { RecordLog } from "../../src/shm/log.ts";
import { random } from "../helpers/random.ts";
import { Books } from "../property/books.ts";

const LONG = process.env.WEIR_SOAK;
const SOAK_MS = LONG === undefined ? 20_000 : minutes(LONG) * 60_000;
const CHANGE_MS = LONG === undefined ? 200 : 1000;
const TURN_MS = 20;
/** Before what is measured is taken as the measure. */
const WARM_UP_SHARE = 0.3;
const MAX_GROWTH = 48 << 20;
/** The control thread's event loop, 999 times in 1000, and ever: the machine is shared, and who is put aside is not at fault. */
const MAX_DELAY_MS = 250;
const MAX_WORST_MS = 2000;
const FLOWS = 16_384;
const RATE = "2Mpps";

interface SoakDatapath {
  readonly name: string;
  create(fail: (error: Error) => void, onAttention: () => void): Datapath;
}

const userspace: SoakDatapath = {
  name: "userspace",
  create: (onFailure, onAttention) =>
    new UserspaceDatapath({
      capacity: FLOWS,
      ports: MAX_PORTS,
      bridge: "weir0",
      baseDir: ".",
      seed: 1,
      onAttention,
      onFailure,
    }),
};

const options = trafficPort.schema.parse({ profile: "tenants", seed: 1, rate: RATE });
const plans = trafficPort.plan!("gen", options);

/** Another configuration of the same bridge: some port away or disabled, some VLAN changed, other tables and timers. */
function configOf(next: () => number, isFirst: boolean): [BridgeConfig, FlowsConfig] {
  const chance = (n: number): boolean => !isFirst && next() % n === 0;
  const vlans: (VlanConfig | undefined)[] = [
    undefined,
    { mode: "access", tag: 100 },
    { mode: "trunk", trunks: "all" },
    { mode: "nativeUntagged", tag: 110, trunks: [100, 200] },
  ];
  const ports = plans.flatMap((plan): PortConfig[] => {
    if (chance(12)) return [];
    const vlan = chance(4) ? vlans[next() % vlans.length] : plan.vlan;
    return [
      {
        name: plan.name,
        type: "traffic",
        enabled: !chance(12),
        options: plan.options,
        origin: "config",
        ...(vlan && { vlan }),
        ...(plan.owner && { owner: plan.owner }),
      },
    ];
  });
  const bridge: BridgeConfig = {
    name: "weir0",
    datapath: "userspace",
    mode: "switch",
    failMode: "standalone",
    macAgingMs: 300_000,
    macTableSize: chance(4) ? 16 : 8192,
    dropMalformed: chance(3),
    sampling: { rate: chance(3) ? 10 : 400, header: 128 },
    ports,
  };
  const flows: FlowsConfig = {
    activeTimeoutMs: chance(2) ? 500 : 2000,
    idleTimeoutMs: chance(2) ? 300 : 1000,
    tcpEndTimeoutMs: 200,
    max: FLOWS,
    maxPerPort: chance(3) ? 0.05 : 0.5,
  };
  return [bridge, flows];
}

/** "10m" */
function minutes(text: string): number {
  const found = /^([0-9.]+)m$/.exec(text);
  if (!found) throw new Error(`WEIR_SOAK is minutes, as "10m", not ${text}`);
  return Number(found[1]);
}

function empty(ring: Datapath["samples"]): void {
  while (ring.peek() >= 0) ring.release();
}

function memory(): { rss: number; heap: number } {
  globalThis.gc?.();
  const { rss, heapUsed } = process.memoryUsage();
  return { rss, heap: heapUsed };
}

const mega = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;

async function soak(t: TestContext, kind: SoakDatapath): Promise<void> {
  const failures: Error[] = [];
  const next = random(11);
  let attention = false;
  let wake = (): void => {};
  const called = (): Promise<void> => new Promise((resolve) => (wake = resolve));
  const datapath = kind.create(
    (error) => failures.push(error),
    () => {
      attention = true;
      wake();
    },
  );
  const [config, flows] = configOf(next, true);
  const nowNs = datapath.nowNs();
  const bridge = new Bridge({
    config,
    flows,
    datapath,
    log: RecordLog.create(1 << 17),
    boot: { unixMs: Date.now(), ns: nowNs },
    ifIndexFor: (_bridge, name) => 1 + plans.findIndex((plan) => plan.name === name),
  });
  const books = new Books(bridge);
  assert.deepEqual(await bridge.start(), []);
  const delay = monitorEventLoopDelay({ resolution: 5 });
  delay.enable();
  const started = performance.now();
  let changedMs = started;
  let changing: Promise<unknown> | undefined;
  let changes = 0;
  let audits = 0;
  let longestTick = 0;
  let before = memory();
  let isWarm = false;
  for (let ms = started; ms - started < SOAK_MS; ms = performance.now()) {
    const isBusy = bridge.tick(datapath.nowNs());
    longestTick = Math.max(longestTick, performance.now() - ms);
    books.readLog();
    empty(datapath.samples);
    empty(datapath.notices);
    if (changing === undefined && ms - changedMs >= CHANGE_MS) {
      changedMs = ms;
      changes++;
      changing = bridge.apply(...configOf(next, false)).then((failed) => {
        assert.deepEqual(failed, []);
        changing = undefined;
      });
      const audit = bridge.audit();
      audits++;
      assert.ok(audit.ok, `audit while running: ${JSON.stringify(audit.failing)}`);
    }
    if (!isWarm && ms - started > SOAK_MS * WARM_UP_SHARE) {
      isWarm = true;
      before = memory();
    }
    assert.deepEqual(failures, []);
    if (isBusy) await nextTurn();
    else if (!attention) await Promise.race([sleep(TURN_MS), called()]);
    attention = false;
  }
  delay.disable();
  await changing;
  const after = memory();
  const seconds = (performance.now() - started) / 1000;

  assert.ok(await bridge.stop(), "the datapath answers to the end");
  const numbers = bridge.portInfos().map(({ no }) => no);
  books.checkEnd(numbers);
  const rx = numbers.reduce((sum, no) => sum + books.snapshot.get(no, C.C_RX_PACKETS), 0);
  const made = numbers.reduce((sum, no) => sum + books.snapshot.get(no, C.C_FLOWS_CREATED), 0);
  await datapath.close({ keepForwarding: false });
  assert.deepEqual(failures, []);

  const worst = delay.max / 1e6;
  const usual = delay.percentile(99.9) / 1e6;
  t.diagnostic(`${seconds.toFixed(0)} s, ${changes} changes, ${audits} audits, ${rx} frames, ${made} flows`);
  t.diagnostic(
    `${(rx / seconds / 1e6).toFixed(2)} Mpps; event loop ${usual.toFixed(1)} ms (p99.9), ${worst.toFixed(1)} ms at worst, a tick ${longestTick.toFixed(1)} ms`,
  );
  t.diagnostic(`RSS ${mega(before.rss)} → ${mega(after.rss)}, heap ${mega(before.heap)} → ${mega(after.heap)}`);
  assert.ok(rx > 10_000 * seconds, `only ${rx} frames`);
  assert.ok(after.rss - before.rss < MAX_GROWTH, "resident memory does not grow");
  if (globalThis.gc) assert.ok(after.heap - before.heap < MAX_GROWTH / 4, "the heap does not grow");
  assert.ok(usual < MAX_DELAY_MS && worst < MAX_WORST_MS, `the control thread was away for ${worst.toFixed(0)} ms`);
}

for (const kind of [userspace])
  test(`${kind.name}: full load and a new configuration all the time`, { timeout: SOAK_MS + 60_000 }, (t) =>
    soak(t, kind),
  );
