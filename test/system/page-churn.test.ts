/**
 * The page on the recorded feed of a switch whose flow table is full and new every second. Short: that it goes on drawing and
 * forgets what is over. WEIR_PAGE_LONG=1, on a machine of its own: a million flows, 50,000 new ones a second, five
 * minutes with full charts, 50 frames/s or more in each, and a heap that does not grow.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import test, { type TestContext } from "node:test";
import type { CDPSession } from "playwright-core";
import { CHROMIUM, openBrowser } from "../helpers/browser.ts";
import { freePort } from "../helpers/collectors.ts";
import {
  loadRecording,
  playFeed,
  recordFeed,
  saveRecording,
  writeChurn,
  type Recorded,
} from "../helpers/feed-recording.ts";
import { needs } from "../helpers/needs.ts";
import { pause, startWeir, weirHome } from "../helpers/weir-process.ts";

const LONG = process.env.WEIR_PAGE_LONG === "1";
const NEW_PER_S = 50_000;
const SHAPE = LONG
  ? {
      frames: 1_800_000,
      idle: "32s",
      max: 1_900_000,
      recordS: 30,
      pastS: 620,
      runInS: 20,
      watchS: 300,
      framesPerS: 50,
      growth: 1e6,
      flows: 1_000_000,
    }
  : {
      frames: 200_000,
      idle: "3s",
      max: 262_144,
      recordS: 3,
      pastS: 0,
      runInS: 1,
      watchS: 4,
      framesPerS: 1,
      growth: 3e6,
      flows: 50_000,
    };
/** Of the generator's acme-web1. */
const TO = Buffer.from("525400010005", "hex");

/** A switch that is really so busy, as its feed tells it. */
async function recorded(t: TestContext): Promise<Recorded[]> {
  const home = weirHome(t);
  const port = await freePort();
  const capture = join(home.folder, "churn.pcap");
  writeChurn(capture, SHAPE.frames, NEW_PER_S, TO);
  home.write({
    host: { stateDir: home.stateDir },
    api: { socket: home.socket, listen: [`127.0.0.1:${port}`] },
    tenants: { acme: { vlans: ["100-109"] }, globex: { vlans: ["110-119"] } },
    flows: { max: SHAPE.max, maxPerPort: "100%", idleTimeout: SHAPE.idle },
    bridges: [
      {
        name: "weir0",
        ports: [
          { name: "gen", type: "traffic", profile: "tenants", seed: 1, rate: "2kpps" },
          { name: "churn", type: "replay", file: capture, loop: true, vlan: { mode: "access", tag: 100 } },
        ],
      },
    ],
  });
  const weir = await startWeir(t, home);
  for (const from = Date.now(); ; await pause(500)) {
    const [bridge] = home.json<{ bridges: { flows: number; rates: { newFlowsPps: number } }[] }>(
      "show",
      "system",
    ).bridges;
    if (bridge!.flows >= SHAPE.flows) {
      t.diagnostic(`${bridge!.flows} flows, ${Math.round(bridge!.rates.newFlowsPps)} new/s`);
      break;
    }
    assert.ok(Date.now() - from < 120_000, `${bridge!.flows} flows`);
  }
  const messages = await recordFeed(port, SHAPE.recordS);
  await weir.stop();
  const file = join(home.folder, "feed.ndjson.gz");
  saveRecording(file, messages);
  return loadRecording(file);
}

async function heapOf(session: CDPSession): Promise<number> {
  await session.send("HeapProfiler.collectGarbage");
  return (await session.send("Runtime.getHeapUsage")).usedSize;
}

test("the page draws on while flows churn, and its heap does not grow", { timeout: 900_000 }, async (t) => {
  if (!needs(t, CHROMIUM)) return;
  const feed = await playFeed(await recorded(t), SHAPE.pastS * 1000);
  t.after(() => feed.close());
  const browser = await openBrowser();
  t.after(() => browser.close());
  const page = await browser.context.newPage();
  const wrong: string[] = [];
  page.on("pageerror", (error) => wrong.push(error.message));
  await page.goto(feed.url);
  await page.locator(".flows tbody tr").nth(30).waitFor();
  const session = await browser.context.newCDPSession(page);
  await page.evaluate(
    "window.drawnFrames = 0; (function count() { window.drawnFrames++; requestAnimationFrame(count); })(); undefined",
  );
  // In the long form the charts' ten minutes are full by then: what still grows is what remains of flows that are over.
  await pause(SHAPE.runInS * 1000);
  const parts = LONG ? 5 : 1;
  const began = await heapOf(session);
  const heaps = [began];
  const rates: number[] = [];
  for (let part = 0; part < parts; part++) {
    const [frames, ms] = [Number(await page.evaluate("window.drawnFrames")), performance.now()];
    await pause((SHAPE.watchS * 1000) / parts);
    const drawn = Number(await page.evaluate("window.drawnFrames")) - frames;
    rates.push((drawn / (performance.now() - ms)) * 1000);
    heaps.push(await heapOf(session));
  }
  const { messages, flows } = feed.sent();
  const mega = heaps.map((bytes) => (bytes / 1e6).toFixed(2)).join(", ");
  t.diagnostic(
    `frames/s ${rates.map((rate) => rate.toFixed(1)).join(", ")}; heap ${mega} MB; ${messages} messages told of ${flows} flows`,
  );
  assert.ok(flows > 40, "flows come and go");
  assert.ok(Math.min(...rates) >= SHAPE.framesPerS, `${rates.join()} frames/s`);
  assert.ok(heaps.at(-1)! - began < SHAPE.growth, `heap ${mega} MB`);
  assert.deepEqual(wrong, []);
});
