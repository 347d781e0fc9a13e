/** Processes that end before the flows of other maps are records: each frame is in one record, and in every sum once. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { bridgeConfig } from "../../../test/helpers/bridge-config.ts";
import { kernelAvailable } from "../../../test/helpers/kernel-harness.ts";
import { appendRecord } from "../../../test/helpers/records.ts";
import { wireEnds } from "../../../test/helpers/wire-ends.ts";
import { Bridge } from "../../bridge/bridge.ts";
import { COUNTS } from "../../flow/totals.ts";
import { RecordBatch, RecordLog } from "../../shm/log.ts";
import { buildFrame } from "../../wire/builder.ts";
import { KernelDatapath } from "./index.ts";
import { detachBridge } from "./left.ts";
import { openMaps } from "./maps.ts";
import { Moves } from "./moves.ts";
import { bridgeFolder } from "./pins.ts";

const RECORDS = 1024;
const MAC = (n: number): string => `02:00:00:00:06:0${n}`;
/** More slots than a turn looks at. */
const MANY = 16_384;

test("three tables one after the other, none of them emptied before the next", async (t) => {
  if (!kernelAvailable(t)) return;
  const wires = wireEnds(2);
  const stateDir = mkdtempSync(join(tmpdir(), "weir-generations-"));
  const owner = { stateDir, bridge: "g" };
  t.after(() => {
    detachBridge(owner);
    wires.close();
    rmSync(stateDir, { recursive: true });
  });
  let sent = 0;
  /** A process with a table of this size. `work` is what it comes to do before it ends. */
  const live = async (
    max: number,
    work: (bridge: Bridge, datapath: KernelDatapath) => Promise<void>,
  ): Promise<void> => {
    const datapath = new KernelDatapath({
      capacity: max,
      records: RECORDS,
      owner,
      onAttention: () => {},
      onFailure: (error) => assert.fail(error),
    });
    const ports = wires.ends.map(({ device }, n) => {
      const options = { device, takeOver: false, slots: 256, direction: "ingress" };
      return { name: `p${n}`, type: "netdev", enabled: true, origin: "config" as const, options };
    });
    const bridge = new Bridge({
      config: bridgeConfig({ name: "g", datapath: "kernel", ports }),
      flows: { activeTimeoutMs: 60_000, idleTimeoutMs: 60_000, tcpEndTimeoutMs: 60_000, max, maxPerPort: 1 },
      datapath,
      log: datapath.kept.log,
      boot: { unixMs: 1_700_000_000_000, ns: 0 },
      ifIndexFor: (_bridge, name) => 1000 + Number(name.slice(1)),
    });
    assert.deepEqual(await bridge.start(), []);
    await work(bridge, datapath);
    await datapath.close({ keepForwarding: true });
  };
  const send = (flows: number): void => {
    for (let n = 0; n < flows; n++, sent++) {
      const udp = { src: 1000 + n, dst: 53 };
      const ip = { src: "10.6.0.1", dst: "10.6.0.2" };
      wires.ends[0]!.send(buildFrame({ ethSrc: MAC(1), ethDst: MAC(2), ip, udp, payload: 18 }));
    }
  };
  const quiet = async (bridge: Bridge, datapath: KernelDatapath, turns: number): Promise<void> => {
    for (let n = 0; n < turns; n++) {
      bridge.tick(datapath.nowNs());
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  };

  await live(MANY, async (bridge, datapath) => {
    wires.ends[1]!.send(
      buildFrame({ ethSrc: MAC(2), ethDst: MAC(1), ip: { src: "10.6.0.2", dst: "10.6.0.1" }, payload: 46 }),
    );
    send(1);
    await quiet(bridge, datapath, 20);
    send(100);
  });
  sent++;
  // Some of the first table's flows become records; then it is killed.
  await live(2048, async (bridge, datapath) => {
    send(50);
    bridge.tick(datapath.nowNs());
    assert.ok(datapath.kept.log.head > 0);
  });
  // None of the second's.
  await live(MANY, async () => send(25));
  // One that was killed before the rules were in its maps: the next takes them from those before.
  const folder = bridgeFolder(owner);
  openMaps({ capacity: 4096, records: RECORDS, pins: { folder, meta: { ...owner, mode: "switch" } } }).close();
  await live(4096, async (bridge, datapath) => {
    assert.ok(datapath.kept.left!.rules.length > 0, "rules go on");
    send(10);
    await quiet(bridge, datapath, 60);
    const audit = bridge.audit();
    assert.deepEqual([audit.ok, audit.rx, audit.inTable, audit.inRecords], [true, sent, 10, sent - 10]);
    const { log } = datapath.kept;
    const batch = new RecordBatch(log, 0, log.head);
    let packets = 0;
    for (let n = 0; n < batch.count; n++) packets += batch.at(n).packets;
    assert.equal(packets, sent - 10);
  });
});

test("killed between a slot's record and what follows: it is taken once, and its sum is right", () => {
  const buffer = new ArrayBuffer(Moves.bytes);
  const log = RecordLog.create(64);
  const recorded = new Float64Array(8 * COUNTS);
  const PORT = 3;
  recorded.fill(7, PORT * COUNTS, (PORT + 1) * COUNTS);
  const moves = (): Moves => new Moves(buffer, log, recorded);
  moves().end(4, 9);
  moves().setTaken(4);

  moves().begin(4, 10, PORT);
  moves().repair();
  assert.deepEqual([moves().next(4), recorded[PORT * COUNTS]], [10, 7], "no record was made");

  for (const half of [0, 1, 3, COUNTS]) {
    const slot = moves().next(4);
    const before = recorded.slice();
    moves().begin(4, slot, PORT);
    appendRecord(log, { packets: 5, bytes: 500, l3Bytes: 430, droppedPackets: 1, droppedBytes: 100 });
    for (let n = 0; n < half; n++) recorded[PORT * COUNTS + n]! += [5, 500, 430, 1, 100][n]!;
    moves().repair();
    assert.equal(moves().next(4), slot + 1);
    const added = recorded.map((value, n) => value - before[n]!);
    assert.deepEqual([...added.subarray(PORT * COUNTS, (PORT + 1) * COUNTS)], [5, 500, 430, 1, 100]);
    moves().repair();
    assert.equal(recorded[PORT * COUNTS], before[PORT * COUNTS]! + 5, "once");
  }
  // Others stand by themselves.
  assert.deepEqual([moves().next(5), moves().isTaken(5), moves().isTaken(4)], [0, false, true]);
  moves().forget(4);
  assert.deepEqual([moves().next(4), moves().isTaken(4)], [0, false]);
});
