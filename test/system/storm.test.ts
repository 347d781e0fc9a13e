/** A storm of new flows on the kernel datapath: nothing is lost but what is counted as such. */
import assert from "node:assert/strict";
import test from "node:test";
import { Bed } from "../bench/bed.ts";
import { weirServer } from "../bench/peers.ts";
import { storm } from "../bench/storm.ts";
import { kernelAvailable } from "../helpers/kernel-harness.ts";
import { needs } from "../helpers/needs.ts";

const SECONDS = 2;
const CAPACITY = 4096;

test("every frame a new flow, in a table that is smaller: all is forwarded, each stands in its books", async (t) => {
  if (!kernelAvailable(t) || !needs(t, "gcc", "ip", "tc", "ping")) return;
  const bed = new Bed();
  t.after(() => bed.close());
  // Every frame is sampled as well: that ring overflows, too.
  const flows = `{ max: ${CAPACITY}, maxPerPort: 50%, idleTimeout: 1s }`;
  const server = await weirServer(bed, "storm", { datapath: "kernel", flows, sampling: 1 });
  const { sent, arrived, received, otherSent, stormy, other, audit } = await storm(bed, server, SECONDS);
  t.diagnostic(`${sent} frames, ${stormy.flowsCreated} flows`);
  assert.ok(sent > 10 * CAPACITY, `${sent} frames in ${SECONDS} s`);
  assert.deepEqual(
    { arrived, received, rx: stormy.rxPackets, forwarded: stormy.forwarded, dropped: stormy.dropped },
    { arrived: sent, received: sent, rx: sent, forwarded: sent, dropped: 0 },
  );
  assert.equal(other.txPackets, sent);
  const { tableFull = 0, ...otherCauses } = stormy.unattributed;
  assert.equal(stormy.flowsCreated + tableFull, sent, "each frame is in a flow or in unattributed");
  assert.deepEqual(Object.values(otherCauses).filter(Boolean), []);
  assert.ok(stormy.flowsCreated >= CAPACITY / 2 && tableFull > 0);
  // The other port had room for its flows all the time.
  assert.equal(other.rxPackets, otherSent);
  assert.equal(other.unattributed["tableFull"] ?? 0, 0);
  assert.ok(other.flowsCreated >= 500, `${other.flowsCreated} flows of the other port`);
  assert.equal(stormy.samplePool, sent);
  assert.equal(stormy.samples + stormy.sampleDrops, sent, "each sample is in the ring or counted as lost");
  assert.ok(stormy.sampleDrops > 0);
  assert.ok(audit.ok && audit.exact, JSON.stringify(audit));
});
