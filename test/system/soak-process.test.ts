/**
 * `weir run` under traffic whose configuration is read anew all the time (SIGHUP): what nfcapd got is what the switch
 * recorded, to the packet. Short here; WEIR_SOAK=10m runs so long.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import type { AuditJson } from "../../src/bridge/views/json.ts";
import { median } from "../bench/table.ts";
import { startNfcapd } from "../helpers/collectors.ts";
import { needs } from "../helpers/needs.ts";
import { eventually, pause, startWeir, weirHome } from "../helpers/weir-process.ts";

const LONG = process.env.WEIR_SOAK;
const RELOADS = LONG === undefined ? 15 : Number.parseFloat(LONG) * 60;
const WARM_UP_SHARE = 0.3;
const MAX_GROWTH_KIB = 64 << 10;

/** Resident memory of a process, KiB. */
function rss(pid: number): number {
  return Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
}

const timeout = RELOADS * 1100 + 60_000;
test("weir run, its configuration read again every second, loses no record", { timeout }, async (t) => {
  if (!needs(t, "nfcapd", "nfdump")) return;
  const collector = await startNfcapd(t);
  const home = weirHome(t);
  const write = (n: number, hasPorts = true): void =>
    home.write({
      // Slots are used in turn and touched for the first time one after the other: of a small table all soon are, and what
      // grows then is a leak.
      flows: { max: 16_384, idleTimeout: n % 2 === 0 ? "1s" : "2s", activeTimeout: n % 3 === 0 ? "1s" : "5s" },
      bridges: [
        {
          name: "weir0",
          ...(n % 4 === 3 && { dropMalformed: true }),
          ports: hasPorts
            ? [
                { name: "gen", type: "traffic", rate: "20kpps" },
                ...(n % 3 === 0 ? [{ name: "two", type: "traffic", rate: "5kpps", seed: 2 + (n % 5) }] : []),
              ]
            : [],
        },
      ],
      exporters: [{ type: "netflow-v5", collectors: [`127.0.0.1:${collector.port}`] }],
    });
  write(0);
  const weir = await startWeir(t, home);
  const sizes: number[] = [];
  for (let n = 1; n <= RELOADS; n++) {
    await pause(1000);
    write(n);
    weir.signal("SIGHUP");
    sizes.push(rss(weir.child.pid!));
  }
  await pause(1000);
  write(RELOADS, false);
  weir.ok("reload");
  const audit = await eventually(
    () => weir.json<AuditJson | { items: AuditJson[] }>("show", "audit"),
    (answer) => {
      const one = "items" in answer ? answer.items[0]! : answer;
      return one.exact && one.inTable === 0 && one.pending === 0 && one.exporters.every(({ pending }) => pending === 0);
    },
    "all is in records, and sent",
    20_000,
  );
  const books = "items" in audit ? audit.items[0]! : audit;
  const [exporter] = books.exporters;
  assert.ok(books.ok && exporter, JSON.stringify(books));
  assert.equal(exporter.lost, 0);
  const notExportable = Object.values(exporter.notExportable).reduce((sum, packets) => sum + packets, 0);
  assert.equal(exporter.packets + notExportable, books.inRecords);
  assert.equal(await weir.stop(), 0, weir.said());

  const { packets, sequenceErrors, badPackets, records } = await collector.finish();
  assert.deepEqual(
    { packets, sequenceErrors, badPackets },
    { packets: exporter.packets, sequenceErrors: 0, badPackets: 0 },
  );
  // Medians over a tenth of the time: one look may meet the collector of garbage at its worst or its best.
  const tenth = Math.ceil(sizes.length / 10);
  const from = Math.floor(sizes.length * WARM_UP_SHARE);
  const warm = median(sizes.slice(from, from + tenth));
  const last = median(sizes.slice(-tenth));
  t.diagnostic(`${RELOADS} reloads, ${books.rx} frames, ${packets} packets in ${records.length} records at nfcapd`);
  t.diagnostic(`RSS ${(warm / 1024).toFixed(0)} → ${(last / 1024).toFixed(0)} MiB`);
  assert.ok(last - warm < MAX_GROWTH_KIB, `resident memory grew by ${((last - warm) / 1024).toFixed(0)} MiB`);
});
