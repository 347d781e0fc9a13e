/** Fifty ports of the kernel datapath: one flood domain, ports that come and go under load, and nothing left behind. */
import assert from "node:assert/strict";
import test from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Bridge } from "../../src/bridge/bridge.ts";
import type { BridgeConfig } from "../../src/config/config.ts";
import { KernelDatapath } from "../../src/datapath/kernel/index.ts";
import { MAX_PORTS } from "../../src/datapath/datapath.ts";
import * as C from "../../src/shm/counters.ts";
import { RecordLog } from "../../src/shm/log.ts";
import { buildFrame } from "../../src/wire/builder.ts";
import { bridgeConfig } from "../helpers/bridge-config.ts";
import { bpfObjects, isThere } from "../helpers/bpf-objects.ts";
import { kernelAvailable } from "../helpers/kernel-harness.ts";
import { needs } from "../helpers/needs.ts";
import { wireEnds } from "../helpers/wire-ends.ts";

const PORTS = 50;
const CAPACITY = 4096;
const FLOODS = 10;
const CHANGES = 8;
const BROADCAST = "ff:ff:ff:ff:ff:ff";

const mac = (n: number): string => `02:00:00:00:05:${n.toString(16).padStart(2, "0")}`;

function frame(from: number, to: number | undefined, flow: number): Uint8Array {
  return buildFrame({
    ethSrc: mac(from),
    ethDst: to === undefined ? BROADCAST : mac(to),
    ip: { src: `10.5.0.${from + 1}`, dst: to === undefined ? "10.5.0.255" : `10.5.0.${to + 1}` },
    udp: { src: 1000 + (flow % 1000), dst: 53 },
    payload: 18,
  });
}

test("fifty ports: a flood reaches all, ports come and go under load, nothing is left", async (t) => {
  if (!kernelAvailable(t) || !needs(t, "ip", "bpftool")) return;
  const wires = wireEnds(PORTS, 256);
  t.after(() => wires.close());
  const before = bpfObjects();
  const datapath = new KernelDatapath({
    capacity: CAPACITY,
    onAttention: () => bridge.tick(datapath.nowNs()),
    onFailure: (error) => assert.fail(error),
  });
  let isClosed = false;
  t.after(async () => isClosed || (await datapath.close()));
  const config = (isThereToo: (n: number) => boolean): BridgeConfig => {
    const ports = wires.ends.flatMap(({ device }, n) => {
      const options = { device, takeOver: false, direction: "ingress", slots: 256 };
      return isThereToo(n)
        ? [{ name: `p${n}`, type: "netdev", enabled: true, origin: "config" as const, options }]
        : [];
    });
    return bridgeConfig({ name: "weir0", datapath: "kernel", sampling: { rate: 10, header: 128 }, ports });
  };
  const flows = { activeTimeoutMs: 1000, idleTimeoutMs: 500, tcpEndTimeoutMs: 500, max: CAPACITY, maxPerPort: 0.5 };
  const bridge: Bridge = new Bridge({
    config: config(() => true),
    flows,
    datapath,
    log: RecordLog.create(1 << 16),
    boot: { unixMs: 1_700_000_000_000, ns: datapath.nowNs() },
    ifIndexFor: (_bridge, name) => 1000 + Number(name.slice(1)),
  });
  await bridge.start();
  const timer = setInterval(() => bridge.tick(datapath.nowNs()), 5);
  t.after(() => clearInterval(timer));
  const snapshot = new C.CounterSnapshot(MAX_PORTS);
  const quiet = async (): Promise<void> => {
    for (let last = "", now = "-"; now !== last || Number(bridge.audit().pending) > 0; await sleep(30)) {
      last = now;
      now = datapath.counters(snapshot).values.join();
    }
  };
  const send = (from: number, to: number | undefined, flow: number): void =>
    wires.ends[from]!.send(frame(from, to, flow));

  for (let n = 0; n < FLOODS; n++) send(0, undefined, n);
  await quiet();
  const got = wires.ends.map((end) => end.received().length);
  assert.deepEqual(got, [0, ...Array.from({ length: PORTS - 1 }, () => FLOODS)]);
  const running = bpfObjects();
  const ours = [...running].filter((one) => !before.has(one));
  assert.ok(ours.filter((one) => one.startsWith("link")).length >= PORTS, "a link for each port");

  let sent = 0;
  const load = setInterval(() => {
    for (let n = 0; n < 40; n++, sent++) send(sent % PORTS, n % 20 === 0 ? undefined : (sent * 7 + 1) % PORTS, sent);
  }, 2);
  t.after(() => clearInterval(load));
  for (let n = 0; n < CHANGES; n++) {
    await bridge.apply(
      config((port) => n % 2 === 1 || port % 3 !== n % 3),
      flows,
    );
    await sleep(20);
    assert.ok(bridge.audit().ok, JSON.stringify(bridge.audit()));
  }
  clearInterval(load);
  await quiet();
  assert.ok(sent > 500, `${sent} frames`);
  const audit = bridge.audit();
  assert.ok(audit.ok && audit.exact, JSON.stringify(audit));
  const count = (objects: Set<string>, kind: string): number =>
    [...objects].filter((one) => one.startsWith(kind)).length;
  for (const kind of ["map", "prog", "link"]) assert.equal(count(bpfObjects(), kind), count(running, kind), kind);
  for (const end of wires.ends) end.received();
  for (let n = 0; n < FLOODS; n++) send(7, undefined, n);
  await quiet();
  for (const [n, end] of wires.ends.entries()) assert.equal(end.received().length, n === 7 ? 0 : FLOODS, `port ${n}`);

  clearInterval(timer);
  assert.ok(await bridge.stop());
  assert.equal(datapath.free.size, CAPACITY, "every slot is back");
  await datapath.close();
  isClosed = true;
  // Maps and programs end after a grace period of the kernel's.
  for (let tries = 0; tries < 50 && ours.some(isThere); tries++) await sleep(50);
  assert.deepEqual(ours.filter(isThere), [], "bpftool shows none of ours");
});
