import assert from "node:assert/strict";
import test from "node:test";
import { createFrameWheel, quietPort } from "../../../test/bench/frame-wheel.ts";
import { KEY_WORDS } from "../../flow/key.ts";
import { COPY_SPAN, forward, withCopies } from "../../pipeline/actions.ts";
import type { Port } from "../../ports/port.ts";
import * as M from "../../shm/copies.ts";
import { attach, createFlowMemory } from "../../shm/memory.ts";
import { Engine } from "./engine.ts";

const TURN_FRAMES = 256;
const SPAN = (COPY_SPAN << 24) | 3;

/** A thread whose time goes to sending alone: so many ns a frame. `turns` turns; after each but full ones as long an idle one. */
function run(turns: number, frameNs: number, isFull: boolean): { matched: number; copies: number; dropped: number } {
  let nowNs = 1e9;
  let originals = 0;
  let copies = 0;
  const memory = attach(createFlowMemory({ capacity: 1024, ports: 8 }));
  const engine = new Engine({ memory, seed: 1, clock: () => nowNs });
  const wheel = createFrameWheel(10);
  let isEmpty = false;
  const sending = (sent: (frames: number) => void): Port => {
    let queued = 0;
    return {
      ...quietPort(),
      transmit: () => ++queued > 0,
      flush() {
        nowNs += queued * frameNs;
        sent(queued);
        queued = 0;
      },
    };
  };
  engine.attach(1, { ...wheel, receive: (batch, now) => (isEmpty ? 0 : wheel.receive(batch, now)) });
  engine.attach(
    2,
    sending((frames) => (originals += frames)),
  );
  engine.attach(
    3,
    sending((frames) => (copies += frames)),
  );
  const actions = withCopies(forward([{ port: 2 }]), [{ port: 3, kind: COPY_SPAN, sessions: 1 }]);
  const all = new Uint32Array(KEY_WORDS);
  engine.apply({
    add: [{ index: 0, gen: 1, mask: all, key: all, actions }],
    enabled: [1, 2, 3].map((port) => ({ port, up: true })),
    mirrors: [{ bit: 0, epoch: 1, snaplen: 0, sample: 1, pps: 0, bps: 0, packets: 0, outputs: [SPAN] }],
  });
  for (let n = 0; n < turns; n++) {
    isEmpty = !isFull && n % 2 === 1;
    engine.breathe(nowNs);
    if (isEmpty) nowNs += 2 * TURN_FRAMES * frameNs;
  }
  const { sessions } = memory;
  assert.equal(sessions[M.M_SENT], copies, "what was counted as sent was sent");
  assert.equal(sessions[M.M_OUTPUTS], copies);
  assert.equal(sessions[M.M_MATCHED], originals);
  return { matched: originals, copies, dropped: sessions[M.M_QUEUE_DROPPED]! };
}

test("copies get their share of a thread that has no time left; what is not made is counted", () => {
  const { matched, copies, dropped } = run(2000, 1000, true);
  assert.equal(matched, 2000 * TURN_FRAMES);
  assert.equal(copies + dropped, matched);
  // 0.3 of the time for copies that cost what originals cost, and the burst at the beginning.
  assert.ok(copies / matched > 0.3 / 0.7 && copies / matched < 0.55, `${copies} of ${matched}`);
});

test("a thread that has time makes every copy, whatever they cost", () => {
  const { matched, copies, dropped } = run(2000, 1000, false);
  assert.deepEqual([copies, dropped], [matched, 0]);
});
