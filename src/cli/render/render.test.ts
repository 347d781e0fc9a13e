import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import {
  drops,
  exporters,
  HOSTILE,
  NOW,
  ports,
  replayed,
  system,
  tenants,
  flows,
} from "../../../test/helpers/fake-switch.ts";
import { renderDrops } from "./drops.ts";
import { renderExporters } from "./lists.ts";
import { renderReplay, replayFailed } from "./replay.ts";
import { renderSummary } from "./summary.ts";
import { left, right, table } from "./table.ts";
import { ansi, choosePaint, cut, plain, visible, width } from "./text.ts";
import { portRows, press, renderTop, sortRows, sparkline, tenantRows, type TopState } from "./top.ts";
import { age, bitRate, bytes, count, duration, si, stopwatch } from "./units.ts";

const screen = { paint: plain, nowMs: NOW };

test("numbers", () => {
  const rates = [0, 0.04, 0.4, 3.14, 9.96, 212, 999.4, 999.6, 1000, 12_704, 148_000, 999_600, 1.21e9, 1e21];
  assert.equal(rates.map(si).join(" "), "0 0 0.4 3.1 10 212 999 1k 1k 12.7k 148k 1M 1.21G 1000E");
  assert.equal(bitRate(31.4e6), "31.4 Mbit/s");
  assert.equal(bitRate(0), "0 bit/s");
  assert.equal(count(9_007_199_254_740_991), "9,007,199,254,740,991");
  assert.deepEqual([0, 1023, 1024, 4.3e6, 64 << 20].map(bytes), ["0 B", "1,023 B", "1 KiB", "4.1 MiB", "64 MiB"]);
  assert.deepEqual([-5, 0, 999, 41_000, 119_000, 540_000, 3 * 86_400_000].map(age), [
    "0s",
    "0s",
    "0s",
    "41s",
    "119s",
    "9m",
    "3d",
  ]);
  assert.deepEqual([0, 400, 9_999, 12_000, 60_000, 962_000, 273_600_000].map(duration), [
    "0.0 s",
    "0.4 s",
    "10.0 s",
    "12 s",
    "1 m",
    "16 m 2 s",
    "3 d 4 h",
  ]);
  assert.deepEqual([12_000, 3_723_000].map(stopwatch), ["00:12", "1:02:03"]);
});

test("si keeps three digits and the value within half a unit of them", () => {
  fc.assert(
    fc.property(fc.double({ min: 10, max: 1e20, noNaN: true }), (value) => {
      const [, digits, unit] = /^([\d.]+)([kMGTPE]?)$/.exec(si(value))!;
      const back = Number(digits) * 1000 ** ["", "k", "M", "G", "T", "P", "E"].indexOf(unit!);
      assert.ok(Math.abs(back - value) <= value * 0.05, `${value} as ${si(value)}`);
      assert.ok(digits!.length <= 4);
    }),
  );
});

test("hostile text is visible, and nothing else is touched", () => {
  assert.equal(visible(HOSTILE), "\\x1b]0;owned\\x07\\u{202e}evil\\n\\x1b[2J");
  assert.equal(visible("\ud800 \u200b \u2028 \u{e0041} \u009b"), "\\u{d800} \\u{200b} \\u{2028} \\u{e0041} \\x9b");
  assert.equal(visible("Grüße 日本 ok-1_2.3"), "Grüße 日本 ok-1_2.3");
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      // eslint-disable-next-line no-control-regex
      assert.doesNotMatch(visible(text), /[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/);
    }),
  );
});

test("width and cut count cells, not characters, and leave no colour open", () => {
  assert.deepEqual(["abc", "日本", "e\u0301", ansi("red", "abc")].map(width), [3, 4, 1, 3]);
  assert.equal(cut("日本語", 5), "日本");
  assert.equal(cut(ansi("red", "abcdef"), 3), "\u001b[31mabc\u001b[0m");
  assert.equal(cut("abc", 3), "abc");
});

test("colour only where it is wanted", () => {
  assert.equal(choosePaint(true, {})("red", "x"), "\u001b[31mx\u001b[0m");
  for (const [tty, env] of [
    [false, {}],
    [true, { NO_COLOR: "1" }],
    [true, { TERM: "dumb" }],
  ] as const)
    assert.equal(choosePaint(tty, env)("red", "x"), "x");
});

test("tables: columns are straight whatever is in them; names are never cut", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.string({ maxLength: 40 }), fc.nat())), (rows) => {
      const columns = [
        left("NAME", ([name]: [string, number]) => visible(name)),
        right("N", ([, n]: [string, number]) => count(n)),
        left("END", () => "."),
      ];
      const lines = table(columns, rows);
      const ends = new Set(lines.slice(1).map((line) => width(line)));
      assert.ok(ends.size <= 1);
      rows.forEach(([name], n) => assert.ok(lines[n + 1]!.startsWith(visible(name).trimEnd())));
    }),
  );
});

test("drops: the frame, why, and what is not shown", () => {
  const text = renderDrops({ at: "", total: 1, ...drops }, "60s", screen).join("\n");
  assert.match(text, /^refused, last 1 m/);
  assert.match(text, /db1 +acme\/db1 +ingress_vlan_filter +12,704 +212 +21,190 +0\.0 s +frames tagged 200/);
  assert.match(text, /\n {6}why: {2}weir trace --flow weir0\/2\/81f\n/);
  assert.match(text, /\nlost around the switch\n(.*\n)db1 +- +tap +88 +88 +4\.1 s/);
  assert.match(text, /\nexpected, not shown: 311 packets, 2 reasons \(--all\)$/);
  const nothing = renderDrops(
    { at: "", total: 0, ...drops, items: [], lost: [], expected: { packets: 0, reasons: 0 } },
    "start",
    screen,
  );
  assert.deepEqual(nothing, ["refused, since the start  (--since 1h|start, --all)", "nothing was refused"]);
});

test("exporters: what samples tells its pool and its losses", () => {
  const sampling = { samples: 441_000, pool: 176_400_000, lost: 12 };
  const detail = ["agent 192.0.2.1/0", "1:400", "profile standard"];
  const lines = renderExporters(
    { at: "", items: [{ ...exporters[0]!, name: "sflow", sampling, detail }], total: 1 },
    screen,
  );
  assert.match(lines[1]!, /in 176M pool +12 lost/);
  assert.match(lines[2]!, /agent 192\.0\.2\.1\/0 {2}1:400 {2}profile standard/);
});

test("exporters: trouble is said with its time", () => {
  const broken = {
    ...exporters[0]!,
    state: "REFUSED" as const,
    collectors: [{ ...exporters[0]!.collectors[0]!, sendErrors: 3, lastError: "ECONNREFUSED" }],
  };
  const lines = renderExporters({ at: "", total: 1, items: [broken] }, screen);
  assert.match(
    lines[1]!,
    /^netflow-v5 +127\.0\.0\.1:2055 +REFUSED +102,114 +3,063,402 +181,402,118 +141,882,310,406 +l3 +0 +ipv6 402,331, nonIp 5,202$/,
  );
  assert.match(lines[2]!, /engine 0\/1 {2}next sequence 3,063,402/);
  assert.match(lines[3]!, /3 send errors, last: ECONNREFUSED/);
});

test("replay: a damaged file names its offset, sums stand in one line", () => {
  const text = renderReplay(replayed, screen).join("\n");
  assert.match(text, /cut\.pcap {2}10 packets.*\n {2}ends at byte 1,234: a packet of 96 bytes ends after 12/);
  assert.match(text, /in 1,010 = forwarded 1,000 \+ refused 10 \+ consumed 0 {3}every frame accounted for/);
  assert.match(
    text,
    /60 records in 2 datagrams: 900 packets, 600,000 octets; not exportable \(packets\): ipv6 100, nonIp 10/,
  );
  assert.ok(replayFailed(replayed));
  assert.ok(!replayFailed({ ...replayed, files: replayed.files.slice(0, 1) }));
  assert.ok(replayFailed({ ...replayed, files: [], exporters: [{ ...replayed.exporters[0]!, sendErrors: 1 }] }));
});

test("the summary: shares sum to 100, every line fits", () => {
  const lines = renderSummary({ system, tenants, top: flows[0], drops: drops.items }, screen);
  const shares = [...lines.join("\n").matchAll(/(\d+) %/g)].map((match) => Number(match[1]));
  assert.equal(
    shares.reduce((sum, share) => sum + share, 0),
    100,
  );
  assert.match(lines[1]!, /in +5,012 pps {3}31\.4 Mbit\/s +acme +############ +61 %$/);
  assert.match(lines[5]!, /flows +842 +\(\+57\/s\) +every frame accounted for: yes/);
  const quiet = renderSummary({ system, tenants: [], top: undefined, drops: [] }, screen);
  assert.ok(quiet.length >= 6);
});

test("top: rows, order, keys", () => {
  const state: TopState = { by: "tenant", sort: "rxBps", filter: "", editing: false, frozen: false };
  const rows = tenantRows(tenants);
  assert.deepEqual(
    sortRows(rows, "rxBps").map((row) => row.name),
    ["acme", "globex", "initech", "hooli"],
  );
  assert.deepEqual(
    sortRows(rows, "name").map((row) => row.name),
    ["acme", "globex", "hooli", "initech"],
  );
  assert.deepEqual(
    portRows(ports, "vm")
      .map((row) => row.name)
      .slice(0, 2),
    ["(uplink)", "acme/web1"],
  );
  const data = { system, rows, flows: [], history: new Map([["acme", [0, 50, 100]]]) };
  const lines = renderTop(data, state, { rows: 12, columns: 100 }, screen);
  assert.equal(lines.length, 12);
  assert.ok(lines.every((line) => width(line) <= 100));
  assert.match(lines[2]!, /^acme .*_-\^$/);
  assert.equal(sparkline([0, 0, 0]), "___");
  const pressed = (keys: string[], from = state): TopState | undefined =>
    keys.reduce<TopState | undefined>((now, key) => (now === undefined ? now : press(now, key)), from);
  assert.equal(pressed(["q"]), undefined);
  assert.equal(pressed(["\u0003"]), undefined);
  assert.equal(pressed(["f"])!.by, "flow");
  assert.equal(pressed([" "])!.frozen, true);
  const typed = pressed(["/", "q", "x", "\u007f", "p", "\u001b["])!;
  assert.deepEqual([typed.filter, typed.editing, typed.by], ["qp", true, "tenant"]);
  assert.deepEqual([pressed(["\r"], typed)!.editing, pressed(["\r"], typed)!.filter], [false, "qp"]);
  assert.equal(pressed(["\u001b"], typed)!.filter, "");
  assert.equal(renderTop(undefined, state, { rows: 3, columns: 20 }, screen).length, 3);
});
