/**
 * Random lives of flows against a naive model that keeps a list of frames for each flow: hits, gaps, FINs, intervals,
 * forced ends, epochs of time, full tables. Exact mode must make just the records that the model makes.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { COUNTS, PortTotals } from "../../src/flow/totals.ts";
import { flowBench, keyOf, SECOND } from "../helpers/flowbed.ts";

const ACTIVE = 10 * SECOND;
const IDLE = 4 * SECOND;
const TCP_END = 1 * SECOND;

interface Frame {
  readonly port: number;
  readonly flow: number;
  /** Milliseconds since the frame before. */
  readonly gapMs: number;
  readonly packets: number;
  readonly bytes: number;
  readonly tcpFlags: number;
  readonly dropped: boolean;
}

const frame: fc.Arbitrary<Frame> = fc.record({
  port: fc.integer({ min: 1, max: 3 }),
  flow: fc.integer({ min: 0, max: 2 }),
  gapMs: fc.oneof(
    { weight: 8, arbitrary: fc.integer({ min: 0, max: 400 }) },
    { weight: 1, arbitrary: fc.integer({ min: 900, max: 6000 }) },
    { weight: 2, arbitrary: fc.constantFrom(1000, 4000, 10_000, 86_400_000) },
  ),
  packets: fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 4_000_000_000 })),
  bytes: fc.oneof(fc.integer({ min: 60, max: 65_535 }), fc.integer({ min: 1, max: 4_294_967_295 })),
  tcpFlags: fc.oneof(
    { weight: 6, arbitrary: fc.constant(0x10) },
    { weight: 1, arbitrary: fc.constantFrom(0x02, 0x11, 0x04) },
  ),
  dropped: fc.boolean(),
});

interface Interval {
  firstNs: number;
  lastNs: number;
  packets: number;
  bytes: number;
  flags: number;
}

/** One flow as a person would do it on paper. */
class Model {
  readonly records: string[] = [];
  private readonly flows = new Map<string, { interval: Interval | undefined; lastNs: number; ended: boolean }>();

  hit(name: string, nowNs: number, { packets, bytes, tcpFlags }: Frame): void {
    let flow = this.flows.get(name);
    if (flow) {
      const silent = nowNs - flow.lastNs;
      if ((flow.ended && silent >= TCP_END) || silent >= IDLE) {
        this.close(name);
        flow = undefined;
      } else if (flow.interval && nowNs - flow.interval.firstNs >= ACTIVE) {
        this.write(name, flow.interval);
        flow.interval = undefined;
      }
    }
    if (!flow) this.flows.set(name, (flow = { interval: undefined, lastNs: nowNs, ended: false }));
    flow.interval ??= { firstNs: nowNs, lastNs: nowNs, packets: 0, bytes: 0, flags: 0 };
    flow.interval.lastNs = nowNs;
    flow.interval.packets += packets;
    flow.interval.bytes += bytes;
    flow.interval.flags |= tcpFlags;
    flow.lastNs = nowNs;
    if (tcpFlags & 5) flow.ended = true;
  }

  close(name: string): void {
    const interval = this.flows.get(name)?.interval;
    if (interval) this.write(name, interval);
    this.flows.delete(name);
  }

  closeAll(): void {
    for (const name of this.flows.keys()) this.close(name);
  }

  private write(name: string, { firstNs, lastNs, packets, bytes, flags }: Interval): void {
    this.records.push([name, firstNs / 1e6, lastNs / 1e6, packets, bytes, flags].join(" "));
  }
}

test("exact mode makes the records that a naive model makes", () => {
  fc.assert(
    fc.property(fc.array(frame, { maxLength: 150 }), (frames) => {
      const bed = flowBench({ exact: true, activeNs: ACTIVE, idleNs: IDLE, tcpEndNs: TCP_END, capacity: 256 });
      const model = new Model();
      let now = SECOND;
      for (const one of frames) {
        now += one.gapMs * 1e6;
        const { packets, bytes, tcpFlags } = one;
        model.hit(`${one.port} ${one.flow}`, now, one);
        bed.frame(keyOf(one.port, one.flow), now, { packets, bytes, tcpFlags, ...(one.dropped && { dropped: 4 }) });
      }
      bed.sweeper.endAll(now);
      model.closeAll();
      const made = bed
        .records()
        .map(({ port, flow, firstMs, lastMs, packets, bytes, tcpFlags }) =>
          [`${port} ${flow}`, firstMs, lastMs, packets, bytes, tcpFlags].join(" "),
        );
      assert.deepEqual(made.toSorted(), model.records.toSorted());
      assert.equal(bed.views.free.size, bed.views.slots.capacity);
      assert.equal(bed.table.size, 0);
    }),
    { numRuns: 300 },
  );
});

test("nothing is lost between frames, flows, records and the frames that found no slot", () => {
  const step = fc.oneof(
    { weight: 20, arbitrary: frame.map((one) => ({ kind: "frame" as const, one })) },
    { weight: 3, arbitrary: fc.constant({ kind: "sweep" as const }) },
    { weight: 1, arbitrary: fc.constant({ kind: "answer" as const }) },
    { weight: 1, arbitrary: fc.integer({ min: 1, max: 3 }).map((port) => ({ kind: "endPort" as const, port })) },
    { weight: 1, arbitrary: fc.constant({ kind: "endAll" as const }) },
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), fc.boolean(), (steps, exact) => {
      const bed = flowBench({ exact, activeNs: ACTIVE, idleNs: IDLE, tcpEndNs: TCP_END, capacity: 16 });
      const { sweeper } = bed;
      const seen = new PortTotals(16);
      const table = new PortTotals(16);
      const unrecorded = new PortTotals(16);
      let now = SECOND;
      for (const step of steps) {
        if (step.kind === "frame") {
          const { port, flow, gapMs, packets, bytes, tcpFlags, dropped } = step.one;
          now += gapMs * 1e6;
          const facts = { packets, bytes, l3Bytes: bytes, tcpFlags, ...(dropped && { dropped: 4 }) };
          if (bed.frame(keyOf(port, flow), now, facts) < 0) continue;
          seen.add(port, Float64Array.of(packets, bytes, bytes, dropped ? packets : 0, dropped ? bytes : 0));
        } else if (step.kind === "sweep") sweeper.sweep(now, 300);
        else if (step.kind === "answer") bed.answer();
        else if (step.kind === "endPort") sweeper.endPort(step.port, now);
        else sweeper.endAll(now);
        sweeper.table(table);
        sweeper.table(unrecorded, true);
        for (let n = 0; n < 4 * COUNTS; n++) {
          assert.equal(table.values[n]! + sweeper.retired.values[n]!, seen.values[n], "flows");
          assert.equal(sweeper.recorded.values[n]! + unrecorded.values[n]!, seen.values[n], "records");
        }
      }
      sweeper.endAll(now);
      bed.sweepLive(now);
      bed.sweepLive(now);
      assert.equal(sweeper.closing, 0);
      assert.deepEqual(sweeper.recorded.values, seen.values);
      assert.equal(bed.views.free.size, 16);
    }),
    { numRuns: 200 },
  );
});
