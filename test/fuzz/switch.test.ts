/**
 * Hostile frames through a whole switch: every capture as it is, cut and changed at random, whatever its link type, taken
 * for Ethernet. Nothing throws, what leaves is what came (but for the tag that the port's VLANs ask for), and the
 * books stay exact. WEIR_FUZZ=20 changes each frame so many times more (WEIR_SEED: another sequence).
 */
import assert from "node:assert/strict";
import { basename } from "node:path";
import test from "node:test";
import type { VlanConfig } from "../../src/flow/attachment.ts";
import { createCaptureBatch, openCaptureFile } from "../../src/wire/capture-file.ts";
import { captures } from "../helpers/captures.ts";
import { random } from "../helpers/random.ts";
import type { Change, Made, PortChoice, Setup } from "../property/arbitraries.ts";
import { SwitchUnderTest } from "../property/switch-under-test.ts";

const ROUNDS = Number(process.env.WEIR_FUZZ ?? 1);
const SEED = Number(process.env.WEIR_SEED ?? 20260401);
/** Frames of one capture: what a long one says is said by then. */
const MAX_FRAMES = 400;
const MAX_BYTES = 9000;
const CHECK_EVERY = 2000;

const setup: Setup = {
  mode: "resolve",
  capacity: 512,
  startNs: 1e9,
  sampleWords: 4096,
  noticeWords: 4096,
  missWords: 1024,
  unattributedRows: 64,
};

const port = (vlan?: VlanConfig): PortChoice => ({
  vlan,
  enabled: true,
  sampling: undefined,
  isOther: false,
  isBroken: false,
});

const base: Change = {
  ports: [port(), port(), port()],
  mode: "switch",
  dropMalformed: false,
  macTableSize: 256,
  macAgingMs: 300_000,
  samplingRate: 7,
  header: 128,
  activeMs: 60_000,
  idleMs: 15_000,
  tcpEndMs: 2000,
  maxPerPort: 0.5,
};

const access = (tag: number): PortChoice => port({ mode: "access", tag });
const trunk = port({ mode: "trunk", trunks: "all" });
const native = (mode: "nativeTagged" | "nativeUntagged"): PortChoice => port({ mode, tag: 1, trunks: "all" });

const CASES: readonly { readonly name: string; readonly setup: Setup; readonly change: Change }[] = [
  { name: "no VLANs", setup, change: base },
  {
    name: "every VLAN mode",
    setup,
    change: {
      ...base,
      ports: [native("nativeUntagged"), native("nativeTagged"), trunk, access(1), access(100), port()],
    },
  },
  {
    name: "native VLANs, malformed frames refused, tiny tables, exact timeouts",
    setup: { ...setup, mode: "exact", capacity: 16 },
    change: {
      ...base,
      ports: [native("nativeUntagged"), native("nativeUntagged"), trunk],
      dropMalformed: true,
      macTableSize: 4,
      samplingRate: 1,
    },
  },
];

function framesOf(path: string): Made[] {
  const reader = openCaptureFile(path, { anyLinktype: true });
  const batch = createCaptureBatch(256);
  const frames: Made[] = [];
  for (let count = reader.read(batch); count > 0 && frames.length < MAX_FRAMES; count = reader.read(batch)) {
    for (let n = 0; n < count && frames.length < MAX_FRAMES; n++) {
      const at = batch.offset[n]!;
      const captured = Math.min(batch.captured[n]!, MAX_BYTES);
      frames.push(made(batch.bytes.slice(at, at + captured), Math.min(batch.length[n]!, 0xffff)));
    }
  }
  reader.close();
  return frames;
}

function made(bytes: Uint8Array, length: number): Made {
  return { bytes, length: Math.max(length, bytes.length), gsoSize: 0, gsoHeaders: 0, vnet: false, isSound: false };
}

/** One of: bytes changed, cut on the wire, cut by the capture, a tag put in, addresses of another frame's kind. */
function change({ bytes, length }: Made, next: () => number): Made {
  const other = bytes.slice();
  for (let n = next() % 4; n > 0 && other.length > 0; n--) other[next() % other.length] = next();
  switch (next() % 5) {
    case 0:
      return made(other.slice(0, next() % (other.length + 1)), 0);
    case 1:
      return made(other.slice(0, next() % (other.length + 1)), length);
    case 2: {
      const tpid = [0x81, 0x00, 0x88, 0xa8, 0x91, 0x00].slice((next() % 3) * 2).slice(0, 2);
      const tag = [...tpid, next() & 0xf0, [0, 1, 100, 255][next() % 4]!];
      return made(Uint8Array.of(...other.subarray(0, 12), ...tag, ...other.subarray(12)), length + 4);
    }
    case 3:
      for (let n = 0; n < 12 && n < other.length; n++) other[n] = n % 6 === 5 ? next() % 4 : 2;
      return made(other, length);
    default:
      return made(other, length);
  }
}

for (const one of CASES)
  test(`captures, cut and changed, through the switch: ${one.name}`, async (t) => {
    const files = (["apps", "protocols", "malformed"] as const).map((kind) => captures(t, kind));
    if (files.includes(undefined)) return;
    const next = random(SEED);
    const under = new SwitchUnderTest(one.setup, one.change);
    await under.start();
    const ports = one.change.ports.length;
    let fed = 0;
    for (const path of files.flatMap((some) => some ?? [])) {
      for (const frame of framesOf(path)) {
        for (let round = 0; round <= ROUNDS; round++) {
          const frameNow = round === 0 ? frame : change(frame, next);
          try {
            under.feed(next() % ports, frameNow, next() % 2e6);
          } catch (error) {
            const hex = Buffer.from(frameNow.bytes.subarray(0, 128)).toString("hex");
            throw new Error(`${basename(path)}, ${frameNow.bytes.length} of ${frameNow.length} bytes: ${hex}`, {
              cause: error,
            });
          }
          if (++fed % 200 === 0) await under.run({ kind: "tick" }, fed % CHECK_EVERY === 0);
        }
      }
    }
    assert.ok(fed > 1000);
    await under.stop();
    t.diagnostic(`${fed} frames`);
  });
