/**
 * What every datapath does, said once and run by each implementation: rules in, frames through, counts out. A harness
 * gives ports whose other ends the test holds, and a way to let frames flow until all is quiet.
 */
import assert from "node:assert/strict";
import test, { type TestContext } from "node:test";
import type { Datapath, Rule } from "../../src/datapath/datapath.ts";
import {
  CAUSE_MISS_REFUSED,
  CAUSE_NO_FLOW,
  CAUSE_TABLE_FULL,
  DROP_CPU_BACKLOG,
  DROP_DEV_READY,
  DROP_INGRESS_VLAN_FILTER,
  DROP_PKT_TOO_SMALL,
} from "../../src/flow/disposition.ts";
import { KEY_PORT, KEY_WORDS } from "../../src/flow/key.ts";
import { type ActionBlock, drop, forward, TAG_POP, TAG_PUSH, TAG_SET_VID } from "../../src/pipeline/actions.ts";
import * as C from "../../src/shm/counters.ts";
import { plainCounter, SLOT_PACKETS, SLOT_STATE, SLOT_WORDS, STATE_LIVE } from "../../src/shm/slots.ts";
import { buildFrame, type FrameOptions } from "../../src/wire/builder.ts";
import { flows, samplesOf, toolsFor, type Tools } from "../helpers/datapath-tools.ts";

export interface DatapathHarness {
  readonly datapath: Datapath;
  /** Put a frame on the wire towards port `no`. */
  send(no: number, frame: Uint8Array): void;
  /** Frames that left by port `no` since the last call. */
  received(no: number): Uint8Array[];
  /** Let frames, messages and counters flow until nothing moves. */
  settle(): Promise<void>;
  close(): Promise<void>;
}

export interface DatapathSuite {
  readonly name: string;
  /** Shorter frames than this cannot be put on the harness's wire: 14 where it is a real device. */
  readonly shortestFrame?: number;
  /** Asked before each check: false = this host cannot run it, and the check has been skipped by name. */
  readonly available?: (t: TestContext) => boolean;
  /** A datapath with `slots` flow slots and ports 1, 2, 3, enabled. */
  create(slots: number): Promise<DatapathHarness>;
}

function words(values: Partial<Record<number, number>>): Uint32Array {
  const key = new Uint32Array(KEY_WORDS);
  for (const [word, value] of Object.entries(values)) key[Number(word)] = value!;
  return key;
}

/** A rule for every frame of a port. */
function portRule(index: number, port: number, actions: ActionBlock, gen = 1): Rule {
  return { index, gen, mask: words({ [KEY_PORT]: 0xffff0000 }), key: words({ [KEY_PORT]: port << 16 }), actions };
}

function udp(options: Partial<FrameOptions> & { port?: number; size?: number } = {}): Uint8Array {
  const { port = 2000, size = 18, ...rest } = options;
  const ip = { src: "10.1.0.1", dst: "10.1.0.2" };
  return buildFrame({ ip, udp: { src: 1000, dst: port }, payload: new Uint8Array(size), ...rest });
}

function firstLive({ slots }: Datapath): number {
  for (let slot = 0; slot < slots.capacity; slot++)
    if (slots.u32[slot * SLOT_WORDS + SLOT_STATE] === STATE_LIVE) return slot;
  throw new Error("no live flow");
}

export function runDatapathSuite({ name, create, available, shortestFrame = 0 }: DatapathSuite): void {
  const check = (what: string, body: (harness: DatapathHarness, tools: Tools) => Promise<void>, slots = 1024): void => {
    test(`${name}: ${what}`, async (t) => {
      if (available?.(t) === false) return;
      const harness = await create(slots);
      try {
        await body(harness, toolsFor(harness.datapath));
      } finally {
        await harness.close();
      }
    });
  };

  check("forwards by a rule, byte for byte, and makes one flow that counts", async (harness, { program, counter }) => {
    program({ add: [portRule(0, 1, forward([{ port: 2 }]))] });
    const frame = udp();
    for (let n = 0; n < 3; n++) harness.send(1, frame);
    await harness.settle();
    assert.deepEqual(harness.received(2), [frame, frame, frame]);
    assert.deepEqual(harness.received(1), []);
    const bytes = 3 * frame.length;
    assert.deepEqual(flows(harness.datapath), [
      { packets: 3, bytes, l3Bytes: 3 * 46, droppedPackets: 0, reason: 0, tcpFlags: 0 },
    ]);
    assert.equal(counter(1, C.C_RX_PACKETS), 3);
    assert.equal(counter(1, C.C_RX_BYTES), bytes);
    assert.equal(counter(1, C.C_FORWARDED), 3);
    assert.equal(counter(2, C.C_TX_PACKETS), 3);
    assert.equal(counter(2, C.C_TX_BYTES), bytes);
  });

  check("floods to many with one disposition", async (harness, { program, counter }) => {
    program({ add: [portRule(0, 1, forward([{ port: 2 }, { port: 3 }]))] });
    harness.send(1, udp({ ethDst: "ff:ff:ff:ff:ff:ff" }));
    await harness.settle();
    assert.equal(harness.received(2).length, 1);
    assert.equal(harness.received(3).length, 1);
    assert.equal(counter(1, C.C_FORWARDED), 1);
    assert.equal(counter(1, C.C_RX_BROADCAST), 1);
    assert.equal(counter(2, C.C_TX_BROADCAST), 1);
  });

  check("refuses with a reason, on port and flow, and says so in a notice", async (harness, { program, counter }) => {
    program({ add: [portRule(0, 1, drop(DROP_INGRESS_VLAN_FILTER))] });
    const frame = udp({ vlans: [{ vid: 200 }] });
    harness.send(1, frame);
    await harness.settle();
    assert.equal(counter(1, C.C_DROPPED), 1);
    assert.equal(counter(1, C.C_DROP_REASON + DROP_INGRESS_VLAN_FILTER), 1);
    const [flow] = flows(harness.datapath);
    assert.equal(flow?.droppedPackets, 1);
    assert.equal(flow.reason, DROP_INGRESS_VLAN_FILTER);
    const [notice] = samplesOf(harness.datapath.notices);
    assert.equal(notice?.kind, "drop");
    assert.equal(notice.reason, DROP_INGRESS_VLAN_FILTER);
    assert.deepEqual(notice.data, frame.slice(0, 128));
  });

  check("gives each output its own tag, and the next one the frame as received", async (harness, { program }) => {
    const untagged = udp();
    program({ add: [portRule(0, 1, forward([{ port: 2, tag: TAG_PUSH, tci: (5 << 13) | 100 }, { port: 3 }]))] });
    harness.send(1, untagged);
    await harness.settle();
    assert.deepEqual(harness.received(2), [udp({ vlans: [{ vid: 100, pcp: 5 }] })]);
    assert.deepEqual(harness.received(3), [untagged]);

    const tagged = udp({ vlans: [{ vid: 7, pcp: 3 }] });
    const actions = forward([{ port: 2, tag: TAG_POP }, { port: 3, tag: TAG_SET_VID, tci: 9 }, { port: 1 }]);
    program({ replace: [{ index: 0, actions }] });
    harness.send(1, tagged);
    await harness.settle();
    assert.deepEqual(harness.received(2), [udp()]);
    assert.deepEqual(harness.received(3), [udp({ vlans: [{ vid: 9, pcp: 3 }] })]);
    assert.deepEqual(harness.received(1), [tagged]);
  });

  check("a replaced rule changes what its flows do; their counters go on", async (harness, { program }) => {
    program({ add: [portRule(4, 1, forward([{ port: 2 }]))] });
    harness.send(1, udp());
    await harness.settle();
    program({ replace: [{ index: 4, actions: forward([{ port: 3 }]) }] });
    harness.send(1, udp());
    await harness.settle();
    assert.equal(harness.received(2).length, 1);
    assert.equal(harness.received(3).length, 1);
    assert.deepEqual(
      flows(harness.datapath).map(({ packets }) => packets),
      [2],
    );
  });

  check("a flow whose rule is gone is classified again at its next frame", async (harness, { program }) => {
    program({ add: [portRule(0, 1, forward([{ port: 2 }]))] });
    harness.send(1, udp());
    await harness.settle();
    program({ remove: [0], add: [portRule(0, 1, forward([{ port: 3 }]), 2)] });
    harness.send(1, udp());
    await harness.settle();
    assert.equal(harness.received(3).length, 1);
    assert.deepEqual(
      flows(harness.datapath).map(({ packets }) => packets),
      [2],
    );
  });

  check("a miss waits with its followers, in order, and is decided once", async (harness, { program, counter }) => {
    const frames = [udp({ size: 1 }), udp({ size: 2 }), udp({ size: 3, port: 3000 })];
    for (const frame of frames) harness.send(1, frame);
    await harness.settle();
    const misses = harness.datapath.misses.take(10);
    assert.equal(misses.length, 1, "one question for one port and MAC pair");
    assert.equal(misses[0]!.key[KEY_PORT]! >>> 16, 1);
    assert.equal(counter(1, C.C_PENDING), 3);
    program({ add: [portRule(0, 1, forward([{ port: 2 }]))], resume: [{ miss: misses[0]!.id }] });
    await harness.settle();
    assert.deepEqual(harness.received(2), frames);
    assert.equal(counter(1, C.C_PENDING), 0);
    assert.equal(counter(1, C.C_RX_PACKETS), 3);
    assert.equal(counter(1, C.C_FORWARDED), 3);
    assert.equal(flows(harness.datapath).length, 2);
  });

  check("a miss that is refused is counted without a flow", async (harness, { program, counter, unattributed }) => {
    harness.send(1, udp({ vlans: [{ vid: 42 }] }));
    await harness.settle();
    const [miss] = harness.datapath.misses.take(10);
    program({ resume: [{ miss: miss!.id, refuse: DROP_CPU_BACKLOG }] });
    await harness.settle();
    assert.equal(counter(1, C.C_DROP_REASON + DROP_CPU_BACKLOG), 1);
    assert.equal(counter(1, C.C_UNATTRIBUTED + CAUSE_MISS_REFUSED), 1);
    assert.deepEqual(unattributed(), [[1, 42, 1]]);
  });

  check("a flood of misses is bounded; what finds no room is refused and counted", async (harness, tools) => {
    const hex = (n: number): string => n.toString(16).padStart(2, "0");
    for (let n = 0; n < 3000; n++) harness.send(1, udp({ ethSrc: `02:00:00:00:${hex(n >> 8)}:${hex(n & 0xff)}` }));
    await harness.settle();
    const waiting = tools.counter(1, C.C_PENDING);
    assert.ok(waiting > 0 && waiting < 3000, `${waiting} wait`);
    assert.equal(tools.counter(1, C.C_UNATTRIBUTED + CAUSE_MISS_REFUSED), 3000 - waiting);
    tools.conserved(1);
  });

  const shorter = "a frame without a whole Ethernet header is refused, without a flow";
  if (shortestFrame >= 14) test(`${name}: ${shorter}`, { skip: "no Ethernet device takes such a frame" }, () => {});
  else
    check(shorter, async (harness, tools) => {
      harness.send(1, new Uint8Array(13));
      await harness.settle();
      assert.equal(tools.counter(1, C.C_DROP_REASON + DROP_PKT_TOO_SMALL), 1);
      assert.equal(tools.counter(1, C.C_UNATTRIBUTED + CAUSE_NO_FLOW), 1);
      tools.conserved(1);
    });

  check(
    "a full table goes on forwarding, and counts by port and VLAN",
    async (harness, { program, counter, unattributed, conserved }) => {
      program({ add: [portRule(0, 1, forward([{ port: 2 }]))] });
      for (let n = 0; n < 50; n++) harness.send(1, udp({ port: 3000 + n }));
      await harness.settle();
      assert.equal(harness.received(2).length, 50);
      assert.equal(flows(harness.datapath).length, 32);
      assert.equal(counter(1, C.C_UNATTRIBUTED + CAUSE_TABLE_FULL), 18);
      assert.deepEqual(unattributed(), [[1, 0, 18]]);
      conserved(1);
    },
    32,
  );

  check("a port gets no more than its share of the table; others go on", async (harness, { program, counter }) => {
    const out = forward([{ port: 3 }]);
    program({ limits: { maxFlowsPerPort: 4 }, add: [portRule(0, 1, out), portRule(1, 2, out)] });
    for (let n = 0; n < 10; n++) harness.send(1, udp({ port: 3000 + n }));
    for (let n = 0; n < 3; n++) harness.send(2, udp({ port: 3000 + n }));
    await harness.settle();
    assert.equal(counter(1, C.C_FLOWS), 4);
    assert.equal(counter(2, C.C_FLOWS), 3);
    assert.equal(counter(1, C.C_UNATTRIBUTED + CAUSE_TABLE_FULL), 6);
    assert.equal(counter(2, C.C_UNATTRIBUTED + CAUSE_TABLE_FULL), 0);
  });

  check("a retired slot comes back quiet, and its next frame makes a new flow", async (harness, { program }) => {
    program({ add: [portRule(0, 1, forward([{ port: 2 }]))] });
    harness.send(1, udp());
    await harness.settle();
    const { datapath } = harness;
    const slot = firstLive(datapath);
    datapath.retire([slot]);
    await harness.settle();
    const quiet: number[] = [];
    assert.equal(datapath.quiesced(quiet), 1);
    assert.deepEqual(quiet, [slot]);
    assert.equal(plainCounter(datapath.slots.u32, slot * SLOT_WORDS + SLOT_PACKETS), 1);
    datapath.release(quiet);
    harness.send(1, udp());
    harness.send(1, udp());
    await harness.settle();
    assert.deepEqual(
      flows(datapath).map(({ packets }) => packets),
      [2],
    );
  });

  check("a disabled output refuses until it is enabled", async (harness, { program, counter }) => {
    program({ add: [portRule(0, 1, forward([{ port: 2 }]))], enabled: [{ port: 2, up: false }] });
    harness.send(1, udp());
    await harness.settle();
    assert.equal(counter(1, C.C_DROP_REASON + DROP_DEV_READY), 1);
    assert.equal(harness.received(2).length, 0);
    program({ enabled: [{ port: 2, up: true }] });
    harness.send(1, udp());
    await harness.settle();
    assert.equal(harness.received(2).length, 1);
  });

  check("samples: the pool is every frame, the bytes are as received", async (harness, { program, counter }) => {
    program({
      sampling: [{ port: 1, rate: 4, header: 40 }],
      add: [portRule(0, 1, forward([{ port: 2, tag: TAG_PUSH, tci: 100 }]))],
    });
    const frame = udp();
    for (let n = 0; n < 400; n++) harness.send(1, frame);
    await harness.settle();
    const samples = samplesOf(harness.datapath.samples);
    assert.equal(counter(1, C.C_SAMPLE_POOL), 400);
    assert.equal(samples.length, counter(1, C.C_SAMPLES));
    assert.ok(samples.length > 60 && samples.length < 160, `${samples.length} of 400 at 1 in 4`);
    for (const sample of samples) {
      assert.deepEqual(sample.data, frame.slice(0, 40));
      assert.equal(sample.rate, 4);
      assert.equal(sample.wireLength, frame.length);
      assert.equal(sample.outputs, 1);
      assert.equal(sample.outputPort, 2);
      assert.equal(sample.inTci, 0);
      assert.equal(sample.outTci & 0xfff, 100);
    }
    assert.equal(harness.received(2).length, 400);
  });

  check("sends an injected frame, received by nobody", async (harness, { counter }) => {
    harness.datapath.inject(udp(), forward([{ port: 3, tag: TAG_PUSH, tci: 5 }]));
    await harness.settle();
    assert.deepEqual(harness.received(3), [udp({ vlans: [{ vid: 5 }] })]);
    assert.equal(counter(3, C.C_TX_PACKETS), 1);
    assert.equal(counter(3, C.C_RX_PACKETS), 0);
  });

  check("a removed port refuses output and keeps its counters", async (harness, { program, counter, conserved }) => {
    program({ add: [portRule(0, 1, forward([{ port: 2 }]))] });
    harness.send(1, udp());
    await harness.settle();
    await harness.datapath.removePort(2);
    harness.send(1, udp());
    await harness.settle();
    assert.equal(counter(2, C.C_TX_PACKETS), 1);
    assert.equal(counter(1, C.C_DROP_REASON + DROP_DEV_READY), 1);
    conserved(1);
  });

  check("sends frames of any length as they are, and reads nothing behind them", async (harness, tools) => {
    tools.program({ add: [portRule(0, 1, forward([{ port: 2, tag: TAG_PUSH, tci: 3 }]))] });
    const whole = udp({ size: 60 });
    for (let length = 14; length < whole.length; length++) harness.send(1, whole.slice(0, length));
    await harness.settle();
    assert.deepEqual(
      harness.received(2).map((frame) => frame.length),
      Array.from({ length: whole.length - 14 }, (_, n) => n + 18),
    );
    tools.conserved(1);
  });
}
