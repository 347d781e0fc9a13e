import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { capturesFolder } from "../helpers/captures.ts";
import { needs } from "../helpers/needs.ts";
import { writeBigCapture } from "./big-capture.ts";
import { plot } from "./plot.ts";
import { markdown, median, middle, put, ratio, value, type Result } from "./table.ts";

const empty = (): Result => ({ part: "p", title: "Frames", unit: "kpps", cells: [], ratios: [], notes: ["a note"] });

test("the median is the middle one, or between the two in the middle", () => {
  assert.equal(median([9, 1, 5]), 5);
  assert.equal(median([4, 1, 3, 2]), 2.5);
});

test("a ratio is taken within a round, so that a slow round changes nothing", () => {
  const result = empty();
  for (const speed of [100, 10, 90]) {
    put(result, "weir", "1", 2 * speed);
    put(result, "ovs", "1", speed);
  }
  assert.equal(ratio(result, "weir", "ovs", "1"), 2);
  assert.equal(value(result, "weir", "1"), 180);
  assert.ok(Number.isNaN(ratio(result, "weir", "bridge", "1")));
  assert.ok(Number.isNaN(value(result, "weir", "2")));
});

test("a table names what was not measured, and what of its targets was reached", () => {
  const result = empty();
  put(result, "weir", "1 flow", 1234.5);
  put(result, "ovs", "50 flows", 0.5);
  const target = { target: "P1", what: "it", unit: "×", floor: 1, goal: 2 };
  result.ratios.push({ ...target, value: 1.5 }, { ...target, value: 2, atMost: true }, { ...target, value: NaN });

  const lines = markdown(result).split("\n");
  assert.ok(lines.includes("| weir | 1,235 | not measured |"), lines.join("\n"));
  assert.ok(lines.includes("| ovs | not measured | 0.5 |"));
  assert.ok(lines.includes("| P1 | it | 1.5 × | ≥ 1 | ≥ 2 | floor |"));
  assert.ok(lines.includes("| P1 | it | 2 × | ≤ 1 | ≤ 2 | goal |"));
  assert.ok(lines.includes("| P1 | it | not measured | ≥ 1 | ≥ 2 |  |"));
  assert.ok(lines.includes("- a note"));
});

test("the big capture holds as many packets as it says, in order of time", (t) => {
  const captures = capturesFolder();
  if (captures === undefined) return t.skip("the captures are not beside the project");
  if (!needs(t, "capinfos")) return;
  const folder = mkdtempSync(join(tmpdir(), "weir-bench-test-"));
  try {
    const big = writeBigCapture(join(captures, "apps"), join(folder, "big.pcap"), 40_000);
    assert.ok(big.packets >= 40_000 && big.repeats >= 2);
    const said = spawnSync("capinfos", ["-rTcoM", big.path], { encoding: "utf8" }).stdout.trim().split("\t");
    assert.deepEqual(said.slice(1), [String(big.packets), "True"]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("a figure has a line for each row, and nothing that is no number", () => {
  const result: Result = { ...empty(), plot: { x: "bytes", y: "Mbit/s", at: [1, 1024] } };
  for (const [row, first, second] of [
    ["Linux bridge", 0.1, 900],
    ["weir <kernel>", 0.2, 1000],
    ["cannot", 0, 0],
  ] as const) {
    put(result, row, "1 B", first);
    put(result, row, "1 KiB", second);
  }
  const svg = plot(result);
  assert.equal(svg.match(/class="line"/g)?.length, 5, "three lines above, two below");
  assert.ok(svg.includes("weir &lt;kernel>") && !/NaN|Infinity|undefined/.test(svg), svg);
});

test("the middle of differences: one that is far off moves it little, and few have no interval", () => {
  const steady = Array.from({ length: 40 }, (_, n) => (n % 8) - 3.5);
  const { mid, low, high } = middle([...steady.map((value) => value + 10), 4000]);
  assert.ok(mid > 9.5 && mid < 10.5 && low > 9 && high < 11.5, `${mid} (${low} to ${high})`);
  assert.ok(low < mid && mid < high);
  // Wilcoxon's table, two-sided 5 %: nothing for 5 pairs, the outermost means for 6.
  assert.deepEqual(middle([1, 2, 4, 8, 16]), { mid: 5, low: NaN, high: NaN });
  assert.deepEqual(middle([1, 2, 4, 8, 16, 32]), { mid: 8.5, low: 1, high: 32 });
});
