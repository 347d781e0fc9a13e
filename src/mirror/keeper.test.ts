/** The end of a session: its numbers are the datapath's last ones, its name and its file are free at once. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { fileContent } from "../../test/helpers/capture-content.ts";
import type { MirrorConfig } from "../config/config.ts";
import * as M from "../shm/copies.ts";
import { RecordRing } from "../shm/ring.ts";
import { hostTunnels } from "./erspan.ts";
import { MirrorKeeper } from "./keeper.ts";
import type { SessionTotals } from "./output.ts";
import { Remotes } from "./remotes.ts";

/** A datapath that goes on for a while after it was told, as one on another processor does. */
class SlowDatapath {
  readonly kind = "userspace";
  readonly copies = RecordRing.create(1 << 16);
  readonly sessions = new Float64Array(M.MAX_SESSIONS * M.SESSION_COUNTERS);
  private told = 0;
  private inForce = 0;

  program(): number {
    const generation = ++this.told;
    setTimeout(() => {
      this.pass(0);
      this.inForce = generation;
    }, 5);
    return generation;
  }

  applied(): number {
    return this.inForce;
  }

  /** One frame, copied. */
  pass(bit: number): void {
    this.sessions[bit * M.SESSION_COUNTERS + M.M_MATCHED]! += 2;
    this.sessions[bit * M.SESSION_COUNTERS + M.M_SENT]! += 1;
    this.sessions[bit * M.SESSION_COUNTERS + M.M_RATE_DROPPED]! += 1;
    const at = this.copies.reserve(M.COPY_HEAD_BYTES + 60);
    const w = at >>> 2;
    this.copies.u8.fill(bit, at, at + M.COPY_HEAD_BYTES + 60);
    this.copies.f64[at >>> 3] = 1e9;
    const { u32 } = this.copies;
    for (let n = 2; n < M.COPY_HEAD_BYTES / 4; n++) u32[w + n] = 0;
    u32[w + M.COPY_SESSIONS] = 1 << bit;
    u32[w + M.COPY_PORT] = u32[w + M.COPY_DIRECTION] = 1;
    u32[w + M.COPY_LENGTH] = u32[w + M.COPY_CAPTURED] = 60;
    this.copies.commit();
  }
}

test("what the datapath counts and copies until its gate is closed is in the numbers and in the file", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "weir-keeper-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const datapath = new SlowDatapath();
  const keeper = new MirrorKeeper({
    bridge: "weir0",
    mode: () => "switch",
    datapath: Object.assign(datapath, { nowNs: () => 0 }),
    capturesDir: folder,
    tunnels: hostTunnels,
    remotes: new Remotes(),
    ports: () => [{ no: 1, name: "a", ifIndex: 20_001, attached: true, config: {}, status: {} }],
    port: () => ({ name: "a", speed: 0 }),
    setPlan: () => {},
    isTemplated: () => false,
    nowNs: () => 0,
    unix: () => ({ seconds: 1, nanoseconds: 0 }),
    tell: () => {},
  });
  const config = (more: Partial<MirrorConfig> = {}): MirrorConfig => ({
    name: "m",
    snaplen: 0,
    sample: 1,
    outputs: [{ type: "file", path: "m.pcapng" }],
    limit: { pps: 0, bps: 0, durationMs: 0, packets: 0 },
    select: { all: true, ports: [], owners: [], direction: "both", dropped: "include" },
    ...more,
  });
  const by = { origin: "api", startedBy: "test" } as const;
  keeper.start(config(), by, 0);
  await pause(10);
  keeper.tick(0);
  const output = keeper.find("m")!.outputs[0]!;
  let totals: SessionTotals | undefined;
  const close = output.close.bind(output);
  output.close = (final) => close((totals = final));
  const ending = keeper.stop("m");
  assert.deepEqual([keeper.find("m"), keeper.list()[0]!.state], [undefined, "ended"], "its name is free");
  const { matched, sent, rateDropped } = await ending;
  const counted = datapath.sessions[M.M_MATCHED]!;
  assert.ok(counted > 4, "it went on");
  assert.deepEqual([matched, sent, rateDropped, totals], [counted, counted / 2, counted / 2, { matched, lost: sent }]);
  assert.equal(output.sent, sent);
  assert.equal(fileContent(join(folder, "m.pcapng")).packets.length, sent);

  // Started anew into the same file, while the one before is ending.
  keeper.start(config(), by, 0);
  keeper.start(config({ snaplen: 20 }), by, 0);
  datapath.pass(keeper.find("m")!.options.bit);
  await pause(30);
  keeper.tick(0);
  assert.deepEqual(
    keeper.list().map(({ name, state }) => [name, state]),
    [["m", "running"]],
  );
  await keeper.close();
  const { packets, error } = fileContent(join(folder, "m.pcapng"));
  assert.deepEqual([packets.map(({ captured }) => captured), error], [[20], undefined]);
});
