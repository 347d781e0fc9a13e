/** Frames that the builder, the segmenter and the checksum completer make, judged by tshark. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { gsoFrame } from "../../test/helpers/gso-frame.ts";
import { needs } from "../../test/helpers/needs.ts";
import { tsharkFrames } from "../../test/helpers/tshark.ts";
import { buildFrame } from "./builder.ts";
import type { FrameOptions } from "./builder.ts";
import { readU16, readU32, writeLe16 } from "./bytes.ts";
import { checksum, updateChecksum } from "./checksum.ts";
import { segmentGso } from "./gso.ts";
import { TCP_ACK, TCP_CWR, TCP_FIN, TCP_PSH, TCP_SYN } from "./tcp.ts";
import * as vnet from "./vnet.ts";

const CHECKED = ["ip", "tcp", "udp"].map((name) => `${name}.check_checksum:TRUE`);

function tshark(frames: readonly Uint8Array[], ...fields: string[]): string[][] {
  return tsharkFrames(frames, fields, CHECKED);
}

const v4 = { src: "10.1.0.5", dst: "10.1.0.9" };
const v6 = { src: "2001:db8::5", dst: "2001:db8::9" };
const tcp = { src: 40000, dst: 443, flags: TCP_SYN, options: Uint8Array.of(2, 4, 5, 0xb4) };

test("built frames are sound and say what was asked", (t) => {
  if (!needs(t, "tshark")) return;
  const made: [FrameOptions, string][] = [
    [{ ip: { ...v4, tos: 0xb8, ttl: 3 }, tcp, payload: "abc" }, "eth:ethertype:ip:tcp"],
    [
      { ip: { ...v4, options: Uint8Array.of(1, 1, 1, 0) }, udp: { src: 1000, dst: 2001 }, payload: 5 },
      "eth:ethertype:ip:udp:data",
    ],
    [
      { vlans: [{ vid: 100, pcp: 5 }], ip: v4, icmp: { type: 8, id: 7, seq: 1 }, payload: 56 },
      "eth:ethertype:vlan:ethertype:ip:icmp:data",
    ],
    [
      { vlans: [{ vid: 7, tpid: 0x88a8 }, { vid: 9 }], ip: v6, tcp },
      "eth:ethertype:ieee8021ad:ethertype:vlan:ethertype:ipv6:tcp",
    ],
    [{ ip: v6, udp: { src: 1000, dst: 2001 }, payload: 3, pad: true }, "eth:ethertype:ipv6:udp:data"],
    [{ ip: v6, icmp: { type: 128, id: 1, seq: 1 } }, "eth:ethertype:ipv6:icmpv6"],
    [
      { ip: { ...v6, extensions: [{ type: 0, body: Uint8Array.of(1, 4, 0, 0, 0, 0) }] }, tcp },
      "eth:ethertype:ipv6:ipv6.hopopts:tcp",
    ],
    [{ arp: { senderIp: "10.1.0.5", targetIp: "10.1.0.9" }, pad: true }, "eth:ethertype:arp"],
    [{ etherType: 0x88b5, payload: 46 }, "eth:ethertype:data"],
    [{ payload: Uint8Array.of(0x42, 0x42, 3, 0, 0, 0, 0, 0) }, "eth:llc:stp"],
    [{ ip: { ...v4, proto: 6, fragment: { offset: 1480, more: true } }, payload: 16 }, "eth:ethertype:ip:data"],
  ];
  const rows = tshark(
    made.map(([options]) => buildFrame(options)),
    "frame.protocols",
    "_ws.malformed",
    "ip.checksum.status",
    "tcp.checksum.status",
    "udp.checksum.status",
    "icmp.checksum.status",
    "icmpv6.checksum.status",
    "vlan.priority",
  );
  for (const [n, [options, protocols]] of made.entries()) {
    const [found, , ...statuses] = rows[n]!;
    assert.ok(found!.startsWith(protocols), `${found} for ${JSON.stringify(options)}`);
    for (const status of statuses.slice(0, 5))
      assert.ok(status === "" || status === "1", `${protocols}: ${statuses.join()}`);
  }
  assert.equal(rows[2]![7], "5");
  assert.equal(buildFrame({ ip: v4, icmp: { type: 8 }, pad: true }).length, 60);
});

test("bad options are named", () => {
  assert.throws(() => buildFrame({ ip: { src: "10.0.0.1", dst: "::1" } }), /families/);
  assert.throws(() => buildFrame({ ethSrc: "1:2" }), /ethSrc is not a MAC address: 1:2/);
  assert.throws(() => buildFrame({ ip: { src: "10.0.0.256", dst: "10.0.0.1" } }), /ip\.src/);
});

test("checksums: RFC 1071's example, odd lengths, large buffers, incremental update", () => {
  assert.equal(checksum(Uint8Array.of(0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7), 0, 8), ~0xddf2 & 0xffff);
  assert.equal(checksum(Uint8Array.of(0xff), 0, 1), 0x00ff);
  const large = new Uint8Array(200_001).fill(0xff);
  assert.equal(checksum(large, 0, 200_000), 0);
  assert.equal(checksum(large, 0, 200_001), 0x00ff);
  // RFC 1624 section 4.
  assert.equal(updateChecksum(0xdd2f, 0x5555, 0x3285), 0x0000);
});

const offsets = new Int32Array(64);
const lengths = new Int32Array(64);
const out = new Uint8Array(80_000);

test("a GSO frame is cut into packets that a receiver takes", (t) => {
  if (!needs(t, "tshark")) return;
  const payload = Uint8Array.from({ length: 10_000 }, (_, n) => n * 7);
  const flags = TCP_ACK | TCP_PSH | TCP_FIN | TCP_CWR;
  const cases: [FrameOptions, number, number][] = [
    [
      { ip: { ...v4, id: 65535, df: true }, tcp: { ...tcp, seq: 0xfffffff0, flags }, payload },
      vnet.VNET_GSO_TCPV4 | vnet.VNET_GSO_ECN,
      1448,
    ],
    [{ vlans: [{ vid: 5 }], ip: v6, tcp: { ...tcp, flags }, payload }, vnet.VNET_GSO_TCPV6, 1428],
    [{ ip: v4, udp: { src: 5, dst: 4433 }, payload }, vnet.VNET_GSO_UDP_L4, 1200],
    [{ ip: v6, udp: { src: 5, dst: 4433 }, payload }, vnet.VNET_GSO_UDP_L4, 1200],
  ];
  for (const [options, type, size] of cases) {
    const bytes = gsoFrame(options, type, size);
    const length = bytes.length - vnet.VNET_HEADER_BYTES;
    const headers = vnet.gsoHeaderBytes(bytes, 0, vnet.VNET_HEADER_BYTES, length);
    const count = segmentGso(bytes, 0, vnet.VNET_HEADER_BYTES, length, out, offsets, lengths);
    assert.equal(count, Math.ceil(10_000 / size));
    assert.equal(vnet.wirePackets(length, headers, size), count);
    const frames = Array.from({ length: count }, (_, n) => out.slice(offsets[n], offsets[n]! + lengths[n]!));
    assert.deepEqual(Buffer.concat(frames.map((frame) => frame.subarray(headers))), Buffer.from(payload));
    const names = [
      "ip.checksum.status",
      "tcp.checksum.status",
      "udp.checksum.status",
      "tcp.seq_raw",
      "tcp.flags",
      "ip.id",
    ];
    const rows = tshark(frames, ...names, "_ws.malformed", "udp.length", "ip.len", "ipv6.plen");
    for (const [n, row] of rows.entries()) {
      for (const status of row.slice(0, 3)) assert.ok(status === "" || status === "1", row.join());
      assert.equal(row[6], "");
      const first = n === 0 ? TCP_CWR : 0;
      const last = n === count - 1 ? TCP_PSH | TCP_FIN : 0;
      if (options.tcp) {
        assert.equal(Number(row[3]), ((options.tcp.seq ?? 0) + n * size) % 2 ** 32);
        assert.equal(Number(row[4]), TCP_ACK | first | last);
      } else assert.equal(Number(row[7]), lengths[n]! - headers + 8);
      if (options.ip!.id) assert.equal(Number(row[5]), (65535 + n) & 0xffff);
    }
  }
});

test("GSO frames that cannot be cut are refused, whatever the guest wrote", () => {
  const payload = new Uint8Array(9000);
  const good = gsoFrame({ ip: v4, tcp, payload }, vnet.VNET_GSO_TCPV4, 1448);
  const cut = (bytes: Uint8Array, room = out): number =>
    segmentGso(bytes, 0, 10, bytes.length - 10, room, offsets, lengths);
  assert.equal(cut(good), 7);
  assert.equal(cut(good, new Uint8Array(9000)), 0, "no room");
  const changed = (change: (bytes: Uint8Array) => void): Uint8Array => {
    const bytes = good.slice();
    change(bytes);
    return bytes;
  };
  assert.equal(cut(changed((b) => writeLe16(b, vnet.VNET_GSO_SIZE, 1))), 0, "more packets than there are places");
  assert.equal(cut(changed((b) => writeLe16(b, vnet.VNET_GSO_SIZE, 0))), 0);
  assert.equal(cut(changed((b) => writeLe16(b, vnet.VNET_CSUM_START, 65535))), 0);
  assert.equal(cut(changed((b) => writeLe16(b, vnet.VNET_CSUM_START, 0))), 0);
  assert.equal(cut(changed((b) => (b[vnet.VNET_GSO_TYPE] = vnet.VNET_GSO_UDP))), 0);
  assert.equal(cut(changed((b) => (b[vnet.VNET_GSO_TYPE] = vnet.VNET_GSO_TCPV6))), 0);
  assert.equal(cut(changed((b) => (b[10 + 14] = 0x4f))), 0, "another header length");
  assert.equal(cut(changed((b) => (b[10 + 34 + 12] = 0xf0))), 7, "a longer TCP header is inside the frame");
  assert.equal(cut(changed((b) => (b[10 + 34 + 12] = 0x40))), 0);
});

test("a partial checksum is completed; a place outside the frame is refused", (t) => {
  if (!needs(t, "tshark")) return;
  const frames = [
    gsoFrame({ ip: v4, tcp, payload: 101 }, 0, 0),
    gsoFrame({ ip: v6, udp: { src: 1, dst: 2001 }, payload: 33 }, 0, 0),
  ].map((bytes) => {
    assert.equal(vnet.completeChecksum(bytes, 0, 10, bytes.length - 10), true);
    assert.equal(bytes[vnet.VNET_FLAGS], 0);
    return bytes.subarray(10);
  });
  const rows = tshark(frames, "tcp.checksum.status", "udp.checksum.status");
  assert.deepEqual(rows, [
    ["1", ""],
    ["", "1"],
  ]);

  const bytes = gsoFrame({ ip: v4, tcp, payload: 1 }, 0, 0);
  writeLe16(bytes, vnet.VNET_CSUM_START, bytes.length - 10 - 17);
  assert.equal(vnet.completeChecksum(bytes, 0, 10, bytes.length - 10), false);
});

test("a checksum of 0 stays 0 in TCP, and is all ones in UDP", (t) => {
  if (!needs(t, "tshark")) return;
  const frames: Uint8Array[] = [];
  for (const [l4, type, at, wanted] of [
    [{ tcp }, vnet.VNET_GSO_TCPV4, 14 + 20 + 16, 0],
    [{ udp: { src: 5, dst: 4433 } }, vnet.VNET_GSO_UDP_L4, 14 + 20 + 6, 0xffff],
  ] as const) {
    // The checksum as payload is what brings the sum to all ones.
    const check = buildFrame({ ip: v4, ...l4, payload: new Uint8Array(64) });
    const payload = new Uint8Array(64);
    payload.set(check.subarray(at, at + 2));
    const whole = gsoFrame({ ip: v4, ...l4, payload }, 0, 0);
    vnet.completeChecksum(whole, 0, 10, whole.length - 10);
    // One segment that is the same packet.
    const large = gsoFrame({ ip: v4, ...l4, payload }, type, 64);
    assert.equal(segmentGso(large, 0, 10, large.length - 10, out, offsets, lengths), 1);
    for (const frame of [whole.slice(10), out.slice(offsets[0], offsets[0]! + lengths[0]!)]) {
      assert.equal(readU16(frame, at), wanted);
      frames.push(frame);
    }
  }
  const statuses = tshark(frames, "tcp.checksum.status", "udp.checksum.status").map((row) => row.join(""));
  assert.deepEqual(statuses, ["1", "1", "1", "1"]);
});

test("a tag pushed or popped moves the checksum's start", () => {
  const bytes = gsoFrame({ ip: v4, tcp, payload: 3000 }, vnet.VNET_GSO_TCPV4, 1448);
  writeLe16(bytes, vnet.VNET_HEADER_LENGTH, 58);
  vnet.shiftVnet(bytes, 0, 4);
  assert.equal(readU16(bytes, vnet.VNET_CSUM_START), 38 << 8);
  assert.equal(readU16(bytes, vnet.VNET_HEADER_LENGTH), 62 << 8);
  vnet.shiftVnet(bytes, 0, -4);
  assert.equal(readU16(bytes, vnet.VNET_CSUM_START), 34 << 8);
  vnet.clearVnet(bytes, 0);
  assert.equal(readU32(bytes, 0) + readU32(bytes, 4) + readU16(bytes, 8), 0);
});
