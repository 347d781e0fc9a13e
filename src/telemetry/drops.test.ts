import assert from "node:assert/strict";
import test from "node:test";
import { DROP_INGRESS_VLAN_FILTER, DROP_PKT_TOO_SMALL } from "../flow/disposition.ts";
import { C_DROP_REASON, C_LOST_TAP, COUNTERS_PER_PORT, CounterSnapshot } from "../shm/counters.ts";
import type { Sample } from "../shm/samples.ts";
import { DropTable, MAX_ROWS } from "./drops.ts";
import type { Moment } from "./exporter.ts";
import { frameText } from "./frame-text.ts";

const at = (seconds: number): Moment => ({ uptimeMs: seconds * 1000, unixMs: 1e12 + seconds * 1000 });

function snapshot(counts: readonly (readonly [port: number, counter: number, value: number])[]): CounterSnapshot {
  const made = new CounterSnapshot(8);
  for (const [port, counter, value] of counts) made.values[port * COUNTERS_PER_PORT + counter] = value;
  return made;
}

const VLAN = C_DROP_REASON + DROP_INGRESS_VLAN_FILTER;

const notice = (port: number, reason: number, seconds: number, data: Uint8Array): Sample => ({
  kind: "drop",
  timeNs: seconds * 1e9,
  port,
  reason,
  rate: 1,
  pool: 0,
  drops: 0,
  segments: 1,
  wireLength: data.length,
  disposition: 1,
  outputs: 0,
  outputPort: 0,
  inTci: 0,
  outTci: 0,
  slot: 5,
  gen: 6,
  data,
});

test("windows: the last 60 s, the last hour, since the start, and the rate of 10 s", () => {
  const table = new DropTable();
  table.counters(snapshot([]), "b", at(100));
  for (let second = 101; second <= 4000; second++)
    table.counters(snapshot([[3, VLAN, 10 * (second - 100)]]), "b", at(second));
  const packets = (since: number | "start"): number => table.drops("b", since)[0]!.packets;
  assert.equal(packets(60_000), 600);
  assert.equal(packets(10_000), 100);
  assert.equal(packets(1_800_000), 10 * (4000 - 2219), "by whole minutes: since the end of minute 36");
  assert.equal(packets("start"), 39_000);
  const [row] = table.drops("b", 60_000);
  assert.equal(row!.pps, 10);
  assert.equal(row!.port, 3);
  assert.equal(row!.reason, DROP_INGRESS_VLAN_FILTER);
  assert.equal(row!.totalPackets, 39_000);
  assert.equal(row!.lastMs, at(4000).unixMs);
});

test("what the counters held before we looked is in the total, in no window, and has no time", () => {
  const table = new DropTable();
  table.counters(snapshot([[3, VLAN, 1000]]), "b", at(5));
  assert.deepEqual(table.drops("b", 60_000), []);
  const [row] = table.drops("b", "start");
  assert.equal(row!.totalPackets, 1000);
  assert.equal(row!.lastMs, undefined);
  table.counters(snapshot([[3, VLAN, 1007]]), "b", at(6));
  assert.equal(table.drops("b", 60_000)[0]!.packets, 7);
});

test("a drop of the first second is still in the window a minute long", () => {
  const table = new DropTable();
  table.counters(snapshot([]), "b", at(0));
  table.counters(snapshot([[1, VLAN, 5]]), "b", at(0.5));
  for (let second = 1; second <= 50; second++) table.counters(snapshot([[1, VLAN, 5]]), "b", at(second));
  assert.equal(table.drops("b", 60_000)[0]!.packets, 5);
  for (let second = 51; second <= 61; second++) table.counters(snapshot([[1, VLAN, 5]]), "b", at(second));
  assert.deepEqual(table.drops("b", 60_000), [], "and not after it");
  assert.equal(table.drops("b", 3_600_000)[0]!.packets, 5);
});

test("seconds that were missed count as the last one before", () => {
  const table = new DropTable();
  table.counters(snapshot([]), "b", at(1000));
  table.counters(snapshot([[1, VLAN, 5]]), "b", at(1001));
  table.counters(snapshot([[1, VLAN, 9]]), "b", at(1031));
  assert.equal(table.drops("b", 20_000)[0]!.packets, 4);
  table.counters(snapshot([[1, VLAN, 9]]), "b", at(9000));
  assert.deepEqual(table.drops("b", 60_000), []);
});

test("lost around the switch has rows of its own; a device attached anew starts at 0", () => {
  const table = new DropTable();
  table.counters(snapshot([]), "b", at(1));
  table.counters(snapshot([[2, C_LOST_TAP, 88]]), "b", at(2));
  assert.deepEqual(table.drops("b", "start"), []);
  const [row] = table.lost("b", 60_000);
  assert.deepEqual([row!.where, row!.packets, row!.totalPackets], ["tap", 88, 88]);
  table.counters(snapshot([[2, C_LOST_TAP, 3]]), "b", at(3));
  assert.equal(table.lost("b", "start")[0]!.totalPackets, 3);
  assert.equal(table.lost("b", 10_000)[0]!.packets, 3);
});

test("notices bring the last frame, never counts", () => {
  const table = new DropTable();
  const frame = Uint8Array.from({ length: 60 }, (_, n) => n);
  table.counters(snapshot([]), "b", at(1));
  table.notice(notice(3, DROP_PKT_TOO_SMALL, 1.5, frame), "b", at(2));
  assert.deepEqual(table.drops("b", "start"), []);
  table.counters(snapshot([[3, C_DROP_REASON + DROP_PKT_TOO_SMALL, 1]]), "b", at(2));
  const [row] = table.drops("b", 60_000);
  assert.deepEqual(row!.frame, { data: frame, wireLength: 60, atMs: at(1.5).unixMs, slot: 5, gen: 6 });
  table.notice(notice(3, 200, 2, frame), "b", at(2));
  assert.equal(table.drops("b", "start").length, 1, "a reason that is not in the table is left out");
});

test("rows are bounded, and go with their port and bridge", () => {
  const table = new DropTable();
  for (let port = 0; port < MAX_ROWS + 10; port++)
    table.notice(notice(port, DROP_PKT_TOO_SMALL, 1, new Uint8Array(4)), "b", at(1));
  assert.equal(table.untracked, 10);
  table.forgetPort("b", 0);
  table.notice(notice(9999, DROP_PKT_TOO_SMALL, 1, new Uint8Array(4)), "b", at(1));
  assert.equal(table.untracked, 10);
  table.forgetBridge("b");
  assert.deepEqual(table.drops("b", "start"), []);
});

const bytes = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex.replaceAll(" ", ""), "hex"));

test("a frame in one line", () => {
  const arp =
    "ffffffffffff 525400aa1002 8100 00c8 0806 0001 0800 06 04 0001 525400aa1002 0a020009 000000000000 0a020001";
  assert.equal(
    frameText(bytes(arp), 64),
    "52:54:00:aa:10:02 > ff:ff:ff:ff:ff:ff, vlan 200, ARP who-has 10.2.0.1 tell 10.2.0.9",
  );
  const udp = "020000000001 020000000002 0800 4500001c 00010000 4011 0000 0a000001 0a000002 0035 1000 0008 0000";
  assert.equal(frameText(bytes(udp), 60), "02:00:00:00:00:02 > 02:00:00:00:00:01, udp 10.0.0.1:53 > 10.0.0.2:4096");
  assert.equal(frameText(bytes("0102030405"), 5), "5 bytes: no whole Ethernet header");
  assert.match(frameText(bytes("0180c200000e 020000000002 88cc 0207"), 60), /, ethertype 0x88cc$/);
  assert.match(frameText(bytes("020000000001 020000000002 0800 45"), 15), /bad ipv4 header/);
});
