/** Random frames, configurations and operations for a switch; small pools, so that they meet. */
import fc from "fast-check";
import type { VlanConfig } from "../../src/flow/attachment.ts";
import { buildFrame } from "../../src/wire/builder.ts";
import { TPIDS } from "./vlan-model.ts";

/** A frame as it comes in. */
export interface Made {
  readonly bytes: Uint8Array;
  /** On the wire; more than `bytes` where a capture cut it. */
  readonly length: number;
  readonly gsoSize: number;
  readonly gsoHeaders: number;
  readonly vnet: boolean;
  /** Built whole and well-formed: nothing about it may be refused but by VLAN and address. */
  readonly isSound: boolean;
}

export interface PortChoice {
  readonly vlan: VlanConfig | undefined;
  readonly enabled: boolean;
  readonly sampling: number | undefined;
  /** Attached anew by this change. */
  readonly isOther: boolean;
  /** Its type cannot open it. */
  readonly isBroken: boolean;
}

export interface Setup {
  readonly mode: "exact" | "resolve" | "ring";
  readonly capacity: number;
  readonly startNs: number;
  readonly sampleWords: number;
  readonly noticeWords: number;
  readonly missWords: number;
  readonly unattributedRows: number;
}

export interface Change {
  readonly ports: readonly (PortChoice | undefined)[];
  readonly mode: "switch" | "observe";
  readonly dropMalformed: boolean;
  readonly macTableSize: number;
  readonly macAgingMs: number;
  readonly samplingRate: number;
  readonly header: number;
  readonly activeMs: number;
  readonly idleMs: number;
  readonly tcpEndMs: number;
  readonly maxPerPort: number;
}

export type Operation =
  | { readonly kind: "frames"; readonly port: number; readonly frames: readonly Made[] }
  | { readonly kind: "burst"; readonly port: number; readonly count: number; readonly vary: "mac" | "port" | "vid" }
  | { readonly kind: "step" | "tick" | "drain" | "refresh" }
  | { readonly kind: "time"; readonly ns: number }
  | { readonly kind: "apply"; readonly change: Change; readonly wait: boolean }
  | { readonly kind: "enable"; readonly port: number; readonly up: boolean }
  | {
      readonly kind: "link";
      readonly port: number;
      readonly state: "up" | "down" | "ended";
      readonly accepts: boolean;
      readonly mtu: number;
    };

export const PORTS = 6;
const VIDS = [1, 5, 100, 200, 4094];

const vid = fc.constantFrom(...VIDS);
const trunks = fc.oneof(
  fc.constant<"all">("all"),
  fc.uniqueArray(vid, { maxLength: 4 }).map((list) => list.toSorted((a, b) => a - b)),
);
const vlan: fc.Arbitrary<VlanConfig | undefined> = fc.oneof(
  fc.constant(undefined),
  vid.map((tag): VlanConfig => ({ mode: "access", tag })),
  trunks.map((some): VlanConfig => ({ mode: "trunk", trunks: some })),
  fc
    .tuple(fc.constantFrom<("nativeTagged" | "nativeUntagged")[]>("nativeTagged", "nativeUntagged"), vid, trunks)
    .map(([mode, tag, some]): VlanConfig => ({ mode, tag, trunks: some })),
);

function usually(value: boolean): fc.Arbitrary<boolean> {
  return fc.integer({ min: 0, max: 9 }).map((n) => (n < 9 ? value : !value));
}

const portChoice: fc.Arbitrary<PortChoice> = fc.record({
  vlan,
  enabled: usually(true),
  sampling: fc.option(fc.constantFrom(0, 1, 2, 7, 400), { nil: undefined }),
  isOther: usually(false),
  isBroken: fc.integer({ min: 0, max: 19 }).map((n) => n === 13),
});

const MILLISECONDS = [1, 10, 1000, 15_000, 60_000, 86_400_000];

export const change: fc.Arbitrary<Change> = fc.record({
  ports: fc.array(fc.option(portChoice, { nil: undefined, freq: 5 }), { minLength: PORTS, maxLength: PORTS }),
  mode: fc.constantFrom<("switch" | "observe")[]>("switch", "switch", "switch", "switch", "observe"),
  dropMalformed: fc.boolean(),
  macTableSize: fc.constantFrom(1, 2, 4, 64),
  macAgingMs: fc.constantFrom(1000, 10_000, 300_000),
  samplingRate: fc.constantFrom(0, 1, 2, 10, 400),
  header: fc.constantFrom(16, 128, 256),
  activeMs: fc.constantFrom(...MILLISECONDS),
  idleMs: fc.constantFrom(...MILLISECONDS),
  tcpEndMs: fc.constantFrom(...MILLISECONDS),
  maxPerPort: fc.constantFrom(0.1, 0.5, 1),
});

export const setup: fc.Arbitrary<Setup> = fc.record({
  mode: fc.constantFrom<Setup["mode"][]>("exact", "resolve", "ring", "ring"),
  capacity: fc.integer({ min: 8, max: 64 }),
  startNs: fc.constantFrom(1, 1e9, 2 ** 32 - 1000, 2 ** 33, 2 ** 56 + 1e9),
  sampleWords: fc.constantFrom(16, 128, 1024),
  noticeWords: fc.constantFrom(16, 128, 1024),
  missWords: fc.constantFrom(16, 64, 256, 4096),
  unattributedRows: fc.constantFrom(4, 8, 64),
});

// ---- frames -----------------------------------------------------------------------------------------------------------

function mac(n: number): string {
  return `02:00:00:00:00:${n.toString(16).padStart(2, "0")}`;
}

const SPECIAL = ["ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:fb", "33:33:00:00:00:01"];
const source = fc.oneof(
  { weight: 12, arbitrary: fc.integer({ min: 1, max: 8 }).map(mac) },
  { weight: 1, arbitrary: fc.constantFrom("00:00:00:00:00:00", "01:00:5e:00:00:01", "02:ff:ff:00:00:01") },
);
const destination = fc.oneof(
  { weight: 12, arbitrary: fc.integer({ min: 1, max: 8 }).map(mac) },
  { weight: 5, arbitrary: fc.constantFrom(...SPECIAL) },
  { weight: 1, arbitrary: fc.constantFrom("01:80:c2:00:00:00", "01:80:c2:00:00:0e", "01:80:c2:00:00:10") },
);
const tag = fc.record({
  vid: fc.oneof({ weight: 8, arbitrary: vid }, { weight: 2, arbitrary: fc.constantFrom(0, 4095, 300) }),
  pcp: fc.integer({ min: 0, max: 7 }),
  dei: fc.boolean(),
  tpid: fc.constantFrom(0x8100, 0x8100, ...TPIDS),
});
const number = fc.integer({ min: 1, max: 6 });
const payload = fc.integer({ min: 8, max: 60 }).map((length) => new Uint8Array(length));

const body = fc.oneof(
  fc.record({ dst: number, payload }).map((o) => ({
    ip: { src: "10.0.0.1", dst: `10.0.0.${o.dst}` },
    udp: { src: 1000, dst: o.dst },
    payload: o.payload,
  })),
  fc.record({ dst: number, flags: fc.constantFrom(2, 16, 17, 4, 0x18), payload }).map((o) => ({
    ip: { src: "10.0.0.1", dst: "10.0.0.2" },
    tcp: { src: 2000, dst: o.dst, flags: o.flags },
    payload: o.payload,
  })),
  fc.record({ dst: number, payload }).map((o) => ({
    ip: { src: "fd00::1", dst: `fd00::${o.dst}` },
    udp: { src: 1000, dst: 53 },
    payload: o.payload,
  })),
  fc.record({ more: fc.boolean(), payload }).map((o) => ({
    ip: { src: "10.0.0.1", dst: "10.0.0.2", proto: 17, fragment: { offset: 1480, more: o.more } },
    payload: o.payload,
  })),
  fc.constant({ arp: { senderIp: "10.0.0.1", targetIp: "10.0.0.2" } }),
  payload.map((some) => ({ etherType: 0x88b5, payload: some })),
  payload.map((some) => ({ payload: some })),
);

const sound = fc
  .record({ ethSrc: source, ethDst: destination, vlans: fc.array(tag, { maxLength: 2 }), body })
  .map(({ body: inner, ...ethernet }) => buildFrame({ ...ethernet, ...inner }));

const plain = (bytes: Uint8Array, isSound: boolean): Made => ({
  bytes,
  length: bytes.length,
  gsoSize: 0,
  gsoHeaders: 0,
  vnet: false,
  isSound,
});

/** Nearly all sound; some cut, some mangled, some noise, some super-packets. Never 22 … 29 bytes (see `stamp`). */
const frame: fc.Arbitrary<Made> = fc.oneof(
  { weight: 10, arbitrary: sound.map((bytes) => plain(bytes, true)) },
  {
    weight: 2,
    arbitrary: fc.tuple(sound, fc.nat(80)).map(([bytes, keep]) => plain(bytes.slice(0, keep), false)),
  },
  {
    weight: 1,
    arbitrary: fc
      .tuple(sound, fc.nat(80))
      .map(([bytes, keep]) => ({ ...plain(bytes.slice(0, keep), false), length: bytes.length })),
  },
  {
    weight: 2,
    arbitrary: fc.tuple(sound, fc.nat(), fc.nat(255)).map(([bytes, at, value]) => {
      bytes[12 + (at % (bytes.length - 12))] = value;
      return plain(bytes, false);
    }),
  },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 100 }).map((bytes) => plain(bytes, false)) },
  {
    weight: 2,
    arbitrary: fc
      .tuple(sound, fc.integer({ min: 1, max: 1448 }), fc.integer({ min: 54, max: 90 }), fc.nat(65_000), fc.boolean())
      .map(([bytes, gsoSize, gsoHeaders, size, vnet]) => {
        const whole = new Uint8Array(Math.max(bytes.length, size));
        whole.set(bytes);
        return { ...plain(whole, false), gsoSize, gsoHeaders, vnet };
      }),
  },
);

const STAMP_FROM = 30;

/** Writes `id` over the last bytes, so that what leaves is known again; false: too short to be told apart. */
export function stamp(bytes: Uint8Array, id: number): boolean {
  if (bytes.length < STAMP_FROM) return false;
  new DataView(bytes.buffer, bytes.byteOffset).setUint32(bytes.length - 4, id);
  return true;
}

/** The stamp of a frame that left, with or without a tag more or less; undefined: it never had one. */
export function stampOf(bytes: Uint8Array): number | undefined {
  if (bytes.length < STAMP_FROM - 4) return undefined;
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(bytes.length - 4);
}

const port = fc.nat(PORTS - 1);
const known = frame.map((made) => {
  const tooShort = made.bytes.length > 21 && made.bytes.length < STAMP_FROM;
  return tooShort ? { ...made, bytes: made.bytes.slice(0, 21), length: 21 } : made;
});

export const operation: fc.Arbitrary<Operation> = fc.oneof(
  {
    weight: 20,
    arbitrary: fc.record({
      kind: fc.constant("frames"),
      port,
      frames: fc.array(known, { minLength: 1, maxLength: 12 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("burst"),
      port,
      count: fc.integer({ min: 20, max: 600 }),
      vary: fc.constantFrom<("mac" | "port" | "vid")[]>("mac", "port", "vid"),
    }),
  },
  {
    weight: 14,
    arbitrary: fc.record({ kind: fc.constantFrom<("step" | "tick")[]>("step", "tick", "step", "tick") }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom<("drain" | "refresh")[]>("drain", "refresh") }) },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("time"),
      ns: fc.constantFrom(1, 1000, 1e6, 99e6, 1e9, 1.5e9, 14e9, 16e9, 61e9, 301e9, 86_400e9 * 3),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("apply"), change, wait: usually(true) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("enable"), port, up: fc.boolean() }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant("link"),
      port,
      state: fc.constantFrom<("up" | "down" | "ended")[]>("up", "up", "down", "ended"),
      accepts: fc.boolean(),
      mtu: fc.constantFrom(0, 0, 64, 1500),
    }),
  },
);
