/** parseKey against tshark, frame by frame, on real captures. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { basename, join } from "node:path";
import { captures } from "../../test/helpers/captures.ts";
import { needs } from "../../test/helpers/needs.ts";
import { tsharkFields, withFolder } from "../../test/helpers/tshark.ts";
import { createCaptureBatch, openCaptureFile } from "../wire/capture-file.ts";
import { describeKey } from "./describe.ts";
import type { KeyFields } from "./describe.ts";
import { KEY_IPV4, KEY_IPV6, KEY_WORDS } from "./key.ts";
import { parseCommon } from "./parse-common.ts";
import { FACT_FAULT, FACT_L3_BYTES, FACT_TCP_FLAGS, FACT_WORDS, parseAny, parseKey } from "./parse.ts";

const FIELDS = [
  ..."frame.time_epoch frame.len frame.cap_len frame.protocols eth.src eth.dst vlan.id ieee8021ad.id".split(" "),
  ..."ip.src ip.dst ip.proto ip.len ip.dsfield ip.flags.mf ip.frag_offset".split(" "),
  ..."ipv6.src ipv6.dst ipv6.plen ipv6.tclass tcp.srcport tcp.dstport tcp.flags".split(" "),
  ..."udp.srcport udp.dstport sctp.srcport sctp.dstport icmp.type icmp.code icmpv6.type icmpv6.code".split(" "),
  ..."igmp.type arp.opcode arp.hw.size arp.src.proto_ipv4 arp.dst.proto_ipv4".split(" "),
];
const OUTER = "^eth:(ethertype:|vlan:|ieee8021ad:)*";
const OUTER_IPV4 = new RegExp(`${OUTER}ip(:|$)`);
const OUTER_IPV6 = new RegExp(`${OUTER}ipv6(:|$)`);
const OUTER_ARP = new RegExp(`${OUTER}arp(:|$)`);

type Row = Record<string, string>;

/** One run of tshark over all files, one after the other: a run for each would take a minute. */
function dissect(files: readonly string[]): Row[] {
  return withFolder((folder) => {
    const all = join(folder, "all.pcapng");
    const merged = spawnSync("mergecap", ["-a", "-w", all, ...files], { encoding: "utf8" });
    assert.equal(merged.status, 0, merged.stderr);
    return tsharkFields(all, FIELDS).map((row) => Object.fromEntries(row.map((value, n) => [FIELDS[n]!, value])));
  });
}

const number = (text: string | undefined): number | undefined => (text ? Number(text) : undefined);

/** What of a parsed frame tshark says otherwise; it shows what it can of a bad header, so that is compared up to there. */
function differences(row: Row, fields: KeyFields, flags: number, facts: Int32Array): string[] {
  const found: string[] = [];
  const same = (name: string, ours: unknown, theirs: unknown): void => {
    if (ours !== theirs) found.push(`${name}: ${String(ours)}, tshark ${String(theirs)}`);
  };
  const protocols = row["frame.protocols"]!;
  const sound = facts[FACT_FAULT] === 0;
  same("ethSrc", fields.ethSrc, row["eth.src"]);
  same("ethDst", fields.ethDst, row["eth.dst"]);
  same("IPv4", (flags & KEY_IPV4) !== 0, OUTER_IPV4.test(protocols) && row["ip.len"] !== "");
  same("IPv6", (flags & KEY_IPV6) !== 0, OUTER_IPV6.test(protocols) && row["ipv6.plen"] !== "");
  if (fields.vlan !== undefined) {
    const ids = [number(row["vlan.id"]), number(row["ieee8021ad.id"])];
    assert.ok(ids.includes(fields.vlan), "outer VLAN id");
    if (fields.innerVlan !== undefined && row["ieee8021ad.id"] !== "") assert.ok(ids.includes(fields.innerVlan));
  } else assert.ok(!/^eth:(ethertype:)?(vlan|ieee8021ad)/.test(protocols), "a tag not seen");

  if (flags & KEY_IPV4) {
    same("ipSrc", fields.ipSrc, row["ip.src"]);
    same("ipDst", fields.ipDst, row["ip.dst"]);
    same("proto", fields.proto, number(row["ip.proto"]));
    same("tos", fields.tos, number(row["ip.dsfield"]));
    const later = number(row["ip.frag_offset"]) !== 0;
    const more = row["ip.flags.mf"] === "1" || row["ip.flags.mf"] === "True";
    same("fragment", fields.fragment, later ? "later" : more ? "first" : undefined);
  }
  if (flags & KEY_IPV6) {
    same("ipSrc", fields.ipSrc, row["ipv6.src"]);
    same("ipDst", fields.ipDst, row["ipv6.dst"]);
    same("tos", fields.tos, number(row["ipv6.tclass"]));
  }
  if (OUTER_ARP.test(protocols) && sound) {
    same("arpOp", fields.arpOp, number(row["arp.opcode"]));
    // Of other hardware we take the operation only.
    if (row["arp.src.proto_ipv4"] && row["arp.hw.size"] === "6") {
      same("ipSrc", fields.ipSrc, row["arp.src.proto_ipv4"]);
      same("ipDst", fields.ipDst, row["arp.dst.proto_ipv4"]);
    }
  }
  // tshark 4.0 stops at the jumbo option of BIG TCP's IPv6 packets.
  const jumbo = row["ipv6.plen"] === "0";
  if (sound && !jumbo && fields.fragment !== "later" && (flags & (KEY_IPV4 | KEY_IPV6)) !== 0) {
    const ports = { 6: "tcp", 17: "udp", 132: "sctp" }[fields.proto!];
    if (ports !== undefined) {
      same(`${ports} source`, fields.srcPort, number(row[`${ports}.srcport`]));
      same(`${ports} destination`, fields.dstPort, number(row[`${ports}.dstport`]));
    }
    if (ports === "tcp") same("flags", facts[FACT_TCP_FLAGS], (number(row["tcp.flags"]) ?? 0) & 0x1ff);
    if (fields.proto === 1 && flags & KEY_IPV4) {
      same("icmpType", fields.icmpType, number(row["icmp.type"]));
      same("icmpCode", fields.icmpCode, number(row["icmp.code"]));
    }
    if (fields.proto === 58 && flags & KEY_IPV6) {
      same("icmpType", fields.icmpType, number(row["icmpv6.type"]));
      same("icmpCode", fields.icmpCode, number(row["icmpv6.code"]));
    }
    if (fields.proto === 2 && flags & KEY_IPV4) same("igmpType", fields.igmpType, number(row["igmp.type"]));
  }
  return found;
}

for (const kind of ["apps", "protocols"] as const) {
  test(`every frame of captures/${kind}: fields and sums as tshark has them`, (t) => {
    const files = captures(t, kind);
    if (files === undefined || !needs(t, "tshark", "mergecap")) return;
    const rows = dissect(files);
    const batch = createCaptureBatch(64);
    const key = new Uint32Array(KEY_WORDS);
    const facts = new Int32Array(FACT_WORDS);
    const wrong: string[] = [];
    let at = 0;
    let foreign = 0;
    for (const file of files) {
      const reader = openCaptureFile(file, { anyLinktype: true });
      const sums = { packets: 0, l3Bytes: 0, packets6: 0, l3Bytes6: 0 };
      const truth = { packets: 0, l3Bytes: 0, packets6: 0, l3Bytes6: 0 };
      for (let frame = 1, count; (count = reader.read(batch)) > 0;) {
        for (let n = 0; n < count; n++, frame++) {
          const row = rows[at++];
          const where = `${basename(file)} frame ${frame}`;
          assert.ok(row, `${where}: tshark has fewer packets`);
          const time = `${batch.seconds[n]}.${String(batch.nanoseconds[n]).padStart(9, "0")}`;
          assert.equal(time, row["frame.time_epoch"], where);
          assert.equal(batch.length[n], Number(row["frame.len"]), where);
          assert.equal(batch.captured[n], Number(row["frame.cap_len"]), where);
          if (reader.interfaces[batch.interface[n]!]!.linktype !== 1) {
            foreign++;
            continue;
          }
          const whole = parseKey(batch.bytes, batch.offset[n]!, batch.captured[n]!, batch.length[n]!, 1, key, facts);
          assert.ok(whole, where);
          const found = differences(row, describeKey(key), key[0]!, facts);
          if (found.length > 0) wrong.push(`${where}: ${found.join("; ")}`);
          if (key[0]! & KEY_IPV4) {
            sums.packets++;
            sums.l3Bytes += facts[FACT_L3_BYTES]!;
          }
          if (key[0]! & KEY_IPV6) {
            sums.packets6++;
            sums.l3Bytes6 += facts[FACT_L3_BYTES]!;
          }
          const frameLength = Number(row["frame.len"]) - 14 - 4 * (row["vlan.id"] !== "" ? 1 : 0);
          if (row["ip.len"] !== "" && OUTER_IPV4.test(row["frame.protocols"]!)) {
            truth.packets++;
            truth.l3Bytes += Number(row["ip.len"]) || frameLength;
          }
          if (row["ipv6.plen"] !== "" && OUTER_IPV6.test(row["frame.protocols"]!)) {
            truth.packets6++;
            truth.l3Bytes6 += Number(row["ipv6.plen"]) === 0 ? frameLength : Number(row["ipv6.plen"]) + 40;
          }
        }
      }
      assert.equal(reader.error, undefined, file);
      reader.close();
      assert.deepEqual(sums, truth, file);
    }
    assert.equal(at, rows.length, "tshark has more packets");
    t.diagnostic(`${at} frames of ${files.length} files, ${foreign} of other link types`);
    assert.deepEqual(wrong, []);
  });
}

test("the short way through the common frame gives what the long way gives, mutated frames included", (t) => {
  const files = (["apps", "protocols", "malformed"] as const).flatMap((kind) => captures(t, kind) ?? []);
  if (files.length === 0) return;
  const batch = createCaptureBatch(256);
  const [shortKey, key] = [new Uint32Array(KEY_WORDS).fill(7), new Uint32Array(KEY_WORDS)];
  const [shortFacts, facts] = [new Int32Array(FACT_WORDS), new Int32Array(FACT_WORDS)];
  let [common, frames] = [0, 0];
  const compare = (bytes: Uint8Array, off: number, captured: number, length: number): void => {
    frames++;
    if (!parseCommon(bytes, off, captured, length, 3, shortKey, shortFacts)) return;
    common++;
    assert.equal(parseAny(bytes, off, captured, length, 3, key, facts), true);
    assert.deepEqual([shortKey, shortFacts], [key, facts]);
  };
  for (const path of files) {
    const reader = openCaptureFile(path);
    for (let count; (count = reader.read(batch)) > 0;) {
      for (let n = 0; n < count; n++) {
        const [at, there, length] = [batch.offset[n]!, batch.captured[n]!, batch.length[n]!];
        compare(batch.bytes, at, there, length);
        // Each header byte of every frame once, and each length that a capture could have cut it to.
        const byte = at + (frames % Math.max(1, Math.min(there, 54)));
        const before = batch.bytes[byte]!;
        batch.bytes[byte] = before ^ (1 << (frames % 8));
        compare(batch.bytes, at, there, length);
        batch.bytes[byte] = before;
        const cut = Math.min(there, frames % 60);
        compare(batch.bytes, at, cut, length);
        compare(batch.bytes, at, cut, cut);
      }
    }
    reader.close();
  }
  assert.ok(common > frames / 8, `${common} of ${frames} frames are common`);
});
