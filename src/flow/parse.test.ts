import { test } from "node:test";
import assert from "node:assert/strict";
import { buildFrame } from "../wire/builder.ts";
import type { FrameOptions, IpOptions } from "../wire/builder.ts";
import { describeKey } from "./describe.ts";
import type { KeyFields } from "./describe.ts";
import { FAULTS, KEY_LLC, KEY_WORDS } from "./key.ts";
import {
  FACT_FAULT,
  FACT_L3_BYTES,
  FACT_L3_OFFSET,
  FACT_L4_OFFSET,
  FACT_PAYLOAD_OFFSET,
  FACT_TAGS,
  FACT_TCP_FLAGS,
  FACT_WORDS,
  parseKey,
} from "./parse.ts";

const key = new Uint32Array(KEY_WORDS);
const facts = new Int32Array(FACT_WORDS);

/** The key's fields without the Ethernet addresses. Leaves `key` and `facts` behind. */
function parse(frame: Uint8Array, captured = frame.length, length = frame.length): Partial<KeyFields> {
  key.fill(0xdeadbeef);
  facts.fill(-1);
  const whole = parseKey(frame, 0, captured, length, 7, key, facts);
  assert.equal(whole, captured >= 14);
  const { ethSrc, ethDst, port, ...fields } = describeKey(key);
  assert.equal(port, 7);
  assert.equal(fields.malformed ?? "none", FAULTS[facts[FACT_FAULT]!]);
  if (whole) assert.equal(`${ethSrc} ${ethDst}`, "52:54:00:00:00:01 52:54:00:00:00:02");
  return fields;
}

const build = (options: FrameOptions): Partial<KeyFields> => parse(buildFrame(options));

/** Parse a built frame after changing bytes at offsets from the network header. */
function changed(options: FrameOptions, ...bytes: [at: number, value: number][]): Partial<KeyFields> {
  const frame = buildFrame(options);
  const l3 = 14 + 4 * (options.vlans?.length ?? 0);
  for (const [at, value] of bytes) frame[l3 + at] = value;
  return parse(frame);
}

const v4 = { src: "10.1.0.5", dst: "10.1.0.9" };
const v6 = { src: "2001:db8::5", dst: "2001:db8::9" };
const tcp = { src: 40000, dst: 443 };
const udp = { src: 1000, dst: 53 };
const ip4 = { etherType: 0x0800, ipSrc: v4.src, ipDst: v4.dst, tos: 0 };
const ip6 = { etherType: 0x86dd, ipSrc: v6.src, ipDst: v6.dst, tos: 0 };
const ports = { srcPort: 40000, dstPort: 443 };

test("a tagged TCP frame fills every word it should, and clears the others", () => {
  const frame = buildFrame({ vlans: [{ vid: 100, pcp: 3, dei: true }], ip: v4, tcp: { ...tcp, flags: 0x112 } });
  parse(frame);
  assert.deepEqual(
    [...key],
    [
      0x0007_0054, 0x52540000, 0x00025254, 0x00000001, 0x7064_0000, 0x0800_0600, 0x0a010005, 0, 0, 0, 0x0a010009, 0, 0,
      0, 0x9c40_01bb, 0, 0, 0, 0, 0,
    ],
  );
  assert.deepEqual([...facts], [40, 0x112, 0, 18, 38, 58, 1, 0]);
});

test("tags: two at most, priority tags, all TPIDs", () => {
  const rest = { ...ip4, proto: 6, ...ports };
  assert.deepEqual(build({ ip: v4, tcp }), rest);
  assert.equal(facts[FACT_TAGS], 0);
  assert.deepEqual(build({ vlans: [{ vid: 0, pcp: 6 }], ip: v4, tcp }), { ...rest, vlan: 0, pcp: 6 });
  for (const [n, tpid] of [0x8100, 0x88a8, 0x9100].entries()) {
    const found = build({
      vlans: [
        { vid: 4095, tpid },
        { vid: 9, tpid, pcp: 7 },
      ],
      ip: v4,
      tcp,
    });
    assert.deepEqual(found, { ...rest, vlan: 4095, pcp: 0, innerVlan: 9 });
    assert.equal((key[0]! >> 6) & 15, (n + 1) * 5, "both TPIDs");
    assert.equal(facts[FACT_TAGS], 2);
    assert.equal(facts[FACT_L3_OFFSET], 22);
  }
  assert.deepEqual(build({ vlans: [{ vid: 1 }, { vid: 2 }, { vid: 3 }], ip: v4, tcp }), {
    etherType: 0x8100,
    vlan: 1,
    pcp: 0,
    innerVlan: 2,
  });
});

test("a cut tag is a fault, also where only the capture was cut: neither makes the frame untagged", () => {
  const frame = buildFrame({ vlans: [{ vid: 5 }, { vid: 6 }], ip: v4, tcp });
  for (let cut = 14; cut < 22; cut++) {
    const outer = cut >= 18 ? { vlan: 5, pcp: 0 } : {};
    assert.deepEqual(parse(frame, cut, cut), { etherType: 0x8100, ...outer, malformed: "vlan" });
    assert.deepEqual(parse(frame, cut), { etherType: 0x8100, ...outer, malformed: "vlan" });
  }
});

test("less than an Ethernet header: the port only", () => {
  for (let length = 0; length < 14; length++) {
    parse(new Uint8Array(60).fill(1), length);
    assert.deepEqual([...key], [7 << 16, ...Array<number>(19).fill(0)]);
    assert.deepEqual([...facts], Array<number>(8).fill(0));
  }
});

test("802.3 with LLC and SNAP", () => {
  const llc = (...bytes: number[]): Partial<KeyFields> => build({ payload: Uint8Array.from(bytes) });
  assert.deepEqual(llc(0x42, 0x42, 3, 0, 0), { etherType: 0x4242, llc: true });
  assert.deepEqual(llc(0xaa, 0xaa, 3, 0, 0, 0, 0x80, 0x9b, 1), { etherType: 0x809b, llc: true });
  assert.deepEqual(llc(0xaa, 0xaa, 3, 0, 0, 12, 0x20, 0, 1), { etherType: 0xaaaa, llc: true });
  assert.deepEqual(
    llc(0xaa, 0xaa, 3, 0, 0, 0, 8, 0, 0x45),
    { etherType: 0x0800, llc: true },
    "IP in SNAP is not parsed",
  );
  assert.ok(key[0]! & KEY_LLC);
  assert.deepEqual(llc(0x42, 0x42), { etherType: 0, llc: true, malformed: "llc" });
  assert.deepEqual(llc(0xaa, 0xaa, 3, 0, 0, 0, 8), { etherType: 0xaaaa, llc: true, malformed: "llc" });
  assert.deepEqual(build({ etherType: 1501, payload: 2 }), { etherType: 1501 }, "neither a length nor a type");
  assert.deepEqual(build({ etherType: 0x88b5 }), { etherType: 0x88b5 });
});

test("ARP: operation, addresses of IPv4 over Ethernet", () => {
  const arp = { op: 2, senderIp: "10.1.0.5", targetIp: "10.1.0.9" };
  const found = { etherType: 0x0806, arpOp: 2, ipSrc: "10.1.0.5", ipDst: "10.1.0.9" };
  assert.deepEqual(build({ arp, pad: true }), found);
  assert.equal(facts[FACT_L3_BYTES], 0);
  assert.deepEqual(changed({ arp, pad: true }, [1, 6]), { etherType: 0x0806, arpOp: 2 }, "other hardware");
  assert.deepEqual(changed({ arp }, [4, 255]), { etherType: 0x0806, malformed: "arp" });
  const frame = buildFrame({ arp });
  assert.deepEqual(parse(frame, 21, 21), { etherType: 0x0806, malformed: "arp" });
  assert.deepEqual(parse(frame, 41, 41), { etherType: 0x0806, malformed: "arp" });
  assert.deepEqual(parse(frame, 21), { etherType: 0x0806 });
  assert.deepEqual(parse(frame, 41), { etherType: 0x0806, arpOp: 2 });
});

test("IPv4: options, TOS, padding, lengths", () => {
  assert.deepEqual(
    build({ ip: { ...v4, tos: 0xff, options: new Uint8Array(40).fill(1) }, udp, payload: 3, pad: true }),
    {
      ...ip4,
      tos: 0xff,
      proto: 17,
      srcPort: 1000,
      dstPort: 53,
    },
  );
  assert.deepEqual([facts[FACT_L3_BYTES], facts[FACT_L4_OFFSET], facts[FACT_PAYLOAD_OFFSET]], [71, 74, 82]);
  const fault = { etherType: 0x0800, malformed: "ipv4" as const };
  assert.deepEqual(changed({ ip: v4, tcp }, [0, 0x55]), fault, "version 5");
  assert.deepEqual(changed({ ip: v4, tcp }, [0, 0x44]), fault, "a header of 16 bytes");
  assert.deepEqual(changed({ ip: v4, tcp }, [0, 0x4f]), fault, "a header longer than the total length");
  assert.deepEqual(changed({ ip: v4, tcp }, [3, 19]), fault, "a total length of 19");
  assert.equal(facts[FACT_L3_BYTES], 0);
  assert.deepEqual(
    changed({ ip: v4, tcp }, [2, 0], [3, 0]),
    { ...ip4, proto: 6, ...ports },
    "0: the sender left it to the NIC",
  );
  assert.equal(facts[FACT_L3_BYTES], 40);
  assert.deepEqual(changed({ ip: v4, tcp }, [2, 1]), { ...ip4, proto: 6, ...ports }, "more than the frame has");
  assert.equal(facts[FACT_L3_BYTES], 296);
  assert.deepEqual(
    changed({ ip: v4, tcp }, [3, 30]),
    { ...ip4, proto: 6, malformed: "tcp" },
    "TCP is not in the packet",
  );
});

test("IPv4 fragments: the first has ports, later ones have none", () => {
  const fragment = (offset: number, more: boolean): Partial<KeyFields> =>
    build({ ip: { ...v4, fragment: { offset, more } }, tcp, payload: 16 });
  assert.deepEqual(fragment(0, true), { ...ip4, proto: 6, ...ports, fragment: "first" });
  assert.deepEqual(fragment(1480, true), { ...ip4, proto: 6, fragment: "later" });
  assert.deepEqual(fragment(1480, false), { ...ip4, proto: 6, fragment: "later" });
  assert.equal(facts[FACT_L4_OFFSET], 0);
  assert.deepEqual(fragment(0, false), { ...ip4, proto: 6, ...ports });
  // The length of a fragmented datagram is the whole one's; a tiny first fragment (RFC 1858) is a fault.
  const first = { ip: { ...v4, fragment: { offset: 0, more: true } }, udp, payload: 16 };
  assert.deepEqual(changed(first, [24, 0x20]), { ...ip4, proto: 17, srcPort: 1000, dstPort: 53, fragment: "first" });
  const tiny = { ip: { ...v4, proto: 6, fragment: { offset: 0, more: true } }, payload: 8 };
  assert.deepEqual(build(tiny), { ...ip4, proto: 6, fragment: "first", malformed: "tcp" });
});

/** An extension header of `units` times 8 bytes. */
const extension = (type: number, units = 1): { type: number; body: Uint8Array } => ({
  type,
  body: new Uint8Array(8 * units - 2),
});

test("IPv6: traffic class, extension headers in any order, up to eight", () => {
  const found = { ...ip6, proto: 6, ...ports };
  assert.deepEqual(build({ ip: { ...v6, tos: 0xb9 }, tcp, pad: true }), { ...found, tos: 0xb9 });
  assert.equal(facts[FACT_L3_BYTES], 60);
  const chains: IpOptions["extensions"][] = [
    [extension(0)],
    [extension(0, 3), extension(60, 2), extension(43), extension(51, 3), extension(60), extension(135)],
    Array.from({ length: 8 }, () => extension(60)),
  ];
  for (const extensions of chains) {
    assert.deepEqual(build({ ip: { ...v6, extensions: extensions! }, tcp }), found);
    const bytes = extensions!.reduce((sum, { body }) => sum + 2 + body.length, 0);
    assert.deepEqual([facts[FACT_L3_BYTES], facts[FACT_L4_OFFSET]], [60 + bytes, 54 + bytes]);
  }
  const nine = Array.from({ length: 9 }, () => extension(60));
  assert.deepEqual(build({ ip: { ...v6, extensions: nine }, tcp }), { ...ip6, proto: 60, malformed: "ipv6Ext" });
  assert.deepEqual(build({ ip: { ...v6, extensions: [extension(0), extension(135)] } }), { ...ip6, proto: 135 });
  assert.deepEqual(build({ ip: { ...v6, proto: 50 }, payload: 8 }), { ...ip6, proto: 50 });
  assert.deepEqual(build({ ip: { ...v6, proto: 59 }, pad: true }), { ...ip6, proto: 59 });
  assert.equal(facts[FACT_L3_BYTES], 40, "nothing behind the header, whatever pads the frame");
});

test("IPv6 fragments, atomic ones too", () => {
  const fragment = (offset: number, more: boolean, extensions = [extension(0)]): Partial<KeyFields> =>
    build({ ip: { ...v6, extensions, fragment: { offset, more } }, tcp, payload: 8 });
  assert.deepEqual(fragment(0, true), { ...ip6, proto: 6, ...ports, fragment: "first" });
  assert.deepEqual(fragment(8, true), { ...ip6, proto: 6, fragment: "later" });
  assert.deepEqual(fragment(8, false, []), { ...ip6, proto: 6, fragment: "later" });
  assert.deepEqual(fragment(0, false), { ...ip6, proto: 6, ...ports }, "atomic, RFC 6946");
});

test("bad IPv6 stops at the last good header", () => {
  assert.deepEqual(changed({ ip: v6, tcp }, [0, 0x40]), { etherType: 0x86dd, malformed: "ipv6" });
  const long = { ip: { ...v6, extensions: [extension(0), extension(60)] }, tcp };
  assert.deepEqual(changed(long, [49, 200]), { ...ip6, proto: 60, malformed: "ipv6Ext" }, "longer than the packet");
  const frame = buildFrame(long);
  assert.deepEqual(parse(frame, 53, 53), { etherType: 0x86dd, malformed: "ipv6" });
  assert.deepEqual(parse(frame, 53), { etherType: 0x86dd });
  assert.deepEqual(parse(frame, 65, 65), { ...ip6, proto: 60, malformed: "ipv6Ext" });
  assert.deepEqual(parse(frame, 65), { ...ip6, proto: 60 });
  assert.deepEqual(changed({ ip: v6, tcp }, [5, 19]), { ...ip6, proto: 6, malformed: "tcp" });
  // Payload length 0: a jumbogram, or left to the NIC.
  assert.deepEqual(changed({ ip: v6, tcp, payload: 100 }, [5, 0]), { ...ip6, proto: 6, ...ports });
  assert.equal(facts[FACT_L3_BYTES], 160);
});

test("transport headers: fields, faults, and what a snap length leaves", () => {
  const sctp = Uint8Array.of(0x9c, 0x40, 1, 0xbb, 0, 0, 0, 1, 0, 0, 0, 0);
  const igmp = Uint8Array.of(0x16, 0, 0, 0, 224, 0, 0, 5);
  const cases: [FrameOptions, Partial<KeyFields>, fault: KeyFields["malformed"], bytes: number][] = [
    [{ ip: v4, tcp }, { ...ip4, proto: 6, ...ports }, "tcp", 20],
    [{ ip: v6, tcp }, { ...ip6, proto: 6, ...ports }, "tcp", 20],
    [{ ip: v4, udp }, { ...ip4, proto: 17, srcPort: 1000, dstPort: 53 }, "udp", 8],
    [{ ip: { ...v4, proto: 132 }, payload: sctp }, { ...ip4, proto: 132, ...ports }, "sctp", 12],
    [{ ip: v4, icmp: { type: 3, code: 4 } }, { ...ip4, proto: 1, icmpType: 3, icmpCode: 4 }, "icmp", 8],
    [{ ip: v6, icmp: { type: 135 } }, { ...ip6, proto: 58, icmpType: 135, icmpCode: 0 }, "icmpv6", 4],
    [{ ip: { ...v4, proto: 2 }, payload: igmp }, { ...ip4, proto: 2, igmpType: 0x16 }, "igmp", 8],
  ];
  for (const [options, fields, malformed, bytes] of cases) {
    const frame = buildFrame(options);
    assert.deepEqual(parse(frame), fields);
    const l4 = options.ip!.src.includes(":") ? 54 : 34;
    const { etherType, ipSrc, ipDst, tos, proto } = fields;
    for (let cut = l4; cut < l4 + bytes; cut++) {
      assert.deepEqual(
        parse(frame, cut, cut),
        { etherType, ipSrc, ipDst, tos, proto, malformed },
        `${malformed} of ${cut} bytes`,
      );
      assert.deepEqual(
        parse(frame, cut),
        { etherType, ipSrc, ipDst, tos, proto },
        `${malformed} captured to ${cut} bytes`,
      );
      assert.equal(facts[FACT_TCP_FLAGS], 0);
    }
  }
  // TCP's data offset, and options that the snap length cut.
  assert.equal(changed({ ip: v4, tcp }, [32, 0x40]).malformed, "tcp");
  assert.equal(changed({ ip: v4, tcp }, [32, 0x60]).malformed, "tcp");
  const optioned = buildFrame({ ip: v4, tcp: { ...tcp, options: new Uint8Array(12) } });
  assert.deepEqual(parse(optioned, 54), { ...ip4, proto: 6, ...ports });
  assert.equal(facts[FACT_PAYLOAD_OFFSET], 66);
  // UDP's length.
  const dns = { ip: v4, udp, payload: 10 };
  assert.equal(changed(dns, [25, 7]).malformed, "udp");
  assert.equal(changed(dns, [25, 19]).malformed, "udp");
  assert.equal(changed(dns, [25, 8]).malformed, undefined, "bytes behind the datagram");
  assert.equal(changed(dns, [25, 0]).malformed, "udp");
  assert.equal(changed(dns, [2, 0], [3, 0], [25, 0]).malformed, undefined, "as long as a packet of unknown length");
  // The other family's ICMP is just a protocol.
  assert.deepEqual(build({ ip: { ...v4, proto: 58 }, payload: 8 }), { ...ip4, proto: 58 });
  assert.deepEqual(build({ ip: { ...v6, proto: 1 }, payload: 8 }), { ...ip6, proto: 1 });
});
