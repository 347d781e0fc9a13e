/**
 * What every port type promises (src/ports/port.ts): one suite, run by the test of each type.
 *
 * ```ts
 * portConformance("replay", (t) => ({ port: open(t), expected: frames, clock: virtualClock() }));
 * ```
 */
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { test, type TestContext } from "node:test";
import { VNET_BYTES, createBatch, type PacketBatch, type Port } from "../../src/ports/port.ts";

export interface PortUnderTest {
  readonly port: Port;
  /** The frames that will be received, in order; absent: at least 100 of the port's own. */
  readonly expected?: readonly Uint8Array[];
  /** The bridge's clock in ns, and how to let it go on by so much (a virtual one at once). */
  readonly clock: { now(): number; pass(ns: number): Promise<void> };
  /** It only receives: `transmit` refuses. */
  readonly receiveOnly?: boolean;
  /** The frames that left by the port since the last call; absent: it keeps nothing of them. */
  readonly sent?: () => readonly Uint8Array[] | Promise<readonly Uint8Array[]>;
}

/** Time that passes when the test says so. */
export function virtualClock(startNs = 1e9): PortUnderTest["clock"] {
  let now = startNs;
  return { now: () => now, pass: async (ns) => void (now += ns) };
}

/** The machine's, for ports of devices. */
export function realClock(): PortUnderTest["clock"] {
  return { now: () => Number(process.hrtime.bigint()), pass: (ns) => sleep(Math.max(1, ns / 1e6)) };
}

const CAPACITIES = [1, 7, 64];
const OWN_FRAMES = 100;
/** Ports that are not told when the next frame comes are asked this often, and given up after so many times. */
const POLL_NS = 1e6;
const PATIENCE = 3000;

/** The frames of a batch, each checked; their bytes are copied. */
function take(batch: PacketBatch, count: number, nowNs: number): Uint8Array[] {
  assert.ok(Number.isInteger(count) && count >= 0 && count <= batch.capacity, `${count} of ${batch.capacity} frames`);
  return Array.from({ length: count }, (_, n) => {
    const [offset, captured, length] = [batch.offset[n]!, batch.captured[n]!, batch.length[n]!];
    assert.ok(captured >= 0 && length >= captured, `captured ${captured} of ${length} bytes`);
    assert.ok(offset >= (batch.vnet ? VNET_BYTES : 0), `frame at ${offset}`);
    assert.ok(offset + captured <= batch.bytes.length, "a frame ends behind its memory");
    assert.ok(batch.gsoSize[n]! >= 0 && batch.gsoHeaders[n]! >= 0);
    assert.ok(batch.gsoSize[n] === 0 || batch.gsoHeaders[n]! > 0, "a GSO frame without headers");
    assert.ok(batch.timeNs[n]! >= 0 && batch.timeNs[n]! <= nowNs, "a frame of the future");
    return batch.bytes.slice(offset, offset + captured);
  });
}

/** Receive until all that is expected came, going on in time as the port says. */
async function receiveAll({ port, expected, clock }: PortUnderTest, capacity: number): Promise<Uint8Array[]> {
  const wanted = expected?.length ?? OWN_FRAMES;
  const batch = createBatch(capacity);
  const frames: Uint8Array[] = [];
  for (let tries = 0; frames.length < wanted && tries < PATIENCE;) {
    const now = clock.now();
    const count = port.receive(batch, now);
    frames.push(...take(batch, count, now));
    if (count > 0) continue;
    if (port.ended) break;
    tries++;
    const next = port.nextReceiveNs?.(now) ?? now + POLL_NS;
    await clock.pass(Math.min(Math.max(next - now, 0), 1e9) || POLL_NS);
  }
  return frames;
}

export function portConformance(
  name: string,
  make: (t: TestContext) => PortUnderTest | undefined | Promise<PortUnderTest | undefined>,
): void {
  for (const capacity of CAPACITIES) {
    test(`${name}: receives its frames in order, ${capacity} at a time`, async (t) => {
      const under = await make(t);
      if (!under) return;
      const frames = await receiveAll(under, capacity);
      if (under.expected) assert.deepEqual(frames, under.expected);
      else assert.ok(frames.length >= OWN_FRAMES, `${frames.length} frames`);
      under.port.close();
    });
  }

  test(`${name}: frames stay as they are until the next receive, whatever is sent`, async (t) => {
    const under = await make(t);
    if (!under) return;
    const { port, clock } = under;
    const batch = createBatch(4);
    let count = 0;
    for (let tries = 0; count === 0 && tries < PATIENCE; tries++) {
      count = port.receive(batch, clock.now());
      if (count === 0) await clock.pass(POLL_NS);
    }
    assert.ok(count > 0, "no frame came");
    const before = take(batch, count, clock.now());
    const frame = new Uint8Array(VNET_BYTES + 60).fill(0xee);
    for (let n = 0; n < 300; n++) port.transmit(frame, VNET_BYTES, 60, 60, false);
    port.flush();
    assert.deepEqual(take(batch, count, clock.now()), before);
    port.close();
  });

  test(`${name}: what is sent is copied or gone when transmit returns`, async (t) => {
    const under = await make(t);
    if (!under) return;
    const { port } = under;
    await under.sent?.();
    const frame = Uint8Array.from({ length: VNET_BYTES + 64 }, (_, n) => n);
    // Bytes before and behind the frame are not its own.
    assert.equal(port.transmit(frame, VNET_BYTES, 60, 60, false), under.receiveOnly !== true);
    const wanted = frame.slice(VNET_BYTES, VNET_BYTES + 60);
    frame.fill(0);
    port.flush();
    if (under.sent) assert.deepEqual([...(await under.sent())], [wanted]);
    port.close();
  });

  test(`${name}: says how it is`, async (t) => {
    const under = await make(t);
    if (!under) return;
    const status = under.port.status();
    assert.equal(status.state, "up");
    assert.ok(status.mtu >= 0 && status.speed >= 0 && status.ifIndex >= 0);
    for (const where of ["ring", "nic", "tap", "qdisc"] as const) assert.ok(status.lost[where] >= 0, where);
    under.port.close();
  });
}
