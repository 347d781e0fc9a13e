/** The way to the server, against a strict fake: what 1.x, 2.x and 3.x are sent, and servers that refuse, hang or are slow. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer, type IncomingHttpHeaders, type ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { gunzipSync } from "node:zlib";
import { C_RX_PACKETS, CounterSnapshot } from "../../src/shm/counters.ts";
import { RecordLog } from "../../src/shm/log.ts";
import type { PortInfo } from "../../src/telemetry/exporter.ts";
import { Hub } from "../../src/telemetry/hub.ts";
import influx from "./index.ts";

interface Got {
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly lines: readonly string[];
}

const LINE =
  /^[a-z_]+(,[a-z]+=(\\.|[^\\, =\n])+)* [a-z_]+=(-?\d+i|"(\\.|[^"\\])*")(,[a-z_]+=(-?\d+i|"(\\.|[^"\\])*"))* \d+$/u;

/** A server, a hub in virtual time, and what the server got. `answer` is asked for each request. */
async function bed(
  options: object,
  answer: (n: number, response: ServerResponse) => void,
  ports: readonly PortInfo[] = [],
) {
  const folder = mkdtempSync(join(tmpdir(), "weir-influx-"));
  const got: Got[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const lines = gunzipSync(Buffer.concat(chunks)).toString("utf8").trimEnd().split("\n");
      for (const line of lines) assert.match(line, LINE);
      got.push({ url: request.url!, headers: request.headers, lines });
      answer(got.length, response);
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = `http://127.0.0.1:${(server.address() as { port: number }).port}`;
  writeFileSync(join(folder, "token"), "s3cret\n");
  const hub = new Hub({
    state: { get: () => undefined, set: () => {} },
    port: () => undefined,
    ports: () => ports,
    agentAddress: "192.0.2.1",
    stateDir: folder,
    log: () => {},
    now: () => Date.now(),
  });
  const parsed = influx.schema.parse({ url, interval: "1s", ...options, ...fileOptions(options, folder) });
  hub.addExporter({ name: "ts", type: "influx", collectors: [], bridges: [], options: parsed }, influx);
  const counters = new CounterSnapshot(2);
  hub.addBridge({ name: "b", log: RecordLog.create(64), counters: () => counters });
  let uptimeMs = 0;
  return {
    hub,
    counters,
    got,
    folder,
    view: () => hub.exporters()[0]!,
    /** So many seconds, a tick each, with real time in between for answers. */
    async seconds(count: number, pauseMs = 15) {
      for (let n = 0; n < count; n++) {
        uptimeMs += 1000;
        hub.tick({ uptimeMs, unixMs: 1.8e12 + uptimeMs });
        await sleep(pauseMs);
      }
    },
    async close() {
      await hub.close();
      server.closeAllConnections();
      server.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function fileOptions(options: object, folder: string): object {
  return "tokenFile" in options ? { tokenFile: join(folder, "token") } : {};
}

const end =
  (status: number, body = "", headers: Record<string, string> = {}) =>
  (_n: number, response: ServerResponse) =>
    void response.writeHead(status, headers).end(body);

for (const [version, path, word] of [
  [2, "/api/v2/write?bucket=weir&org=me&precision=ms", "Token"],
  [3, "/api/v3/write_lp?db=weir&precision=millisecond", "Bearer"],
] as const)
  test(`${version}.x: path and token`, async () => {
    const { got, seconds, view, close } = await bed(
      { version, tokenFile: "", ...(version === 2 && { org: "me" }) },
      end(204),
    );
    for (let n = 0; n < 50 && view().state !== "sending"; n++) await seconds(1);
    assert.equal(got[0]!.url, path);
    assert.equal(got[0]!.headers.authorization, `${word} s3cret`);
    assert.equal(view().state, "sending");
    await close();
  });

test("times are multiples of the interval", async () => {
  const { got, seconds, close } = await bed({ interval: "2s" }, end(204));
  await seconds(8);
  for (const line of got.flatMap(({ lines }) => lines)) assert.equal(Number(line.split(" ").at(-1)) % 2000, 0, line);
  await close();
});

test("a port that changes its owner has no row of zeros among its counters: they would draw a spike", async () => {
  const port = { no: 1, name: "p", bridge: "b", ifIndex: 1, speed: 0, up: true, owner: { tenant: "acme" } };
  const { got, counters, seconds, close } = await bed({}, end(204), [port]);
  counters.values[counters.values.length / 2 + C_RX_PACKETS] = 1000;
  await seconds(3);
  port.owner = { tenant: "globex" };
  await seconds(3);
  for (let n = 0; n < 50 && !got.some(({ lines }) => lines.join().includes("globex")); n++) await seconds(1);
  const packets = (series: string): number[] =>
    got
      .flatMap(({ lines }) => lines.filter((line) => line.startsWith(series)))
      .map((line) => Number(/rx_packets=(\d+)i/.exec(line)![1]));
  assert.deepEqual(packets("weir_port,host=192.0.2.1,bridge=b,port=p,tenant=acme").slice(0, 2), [0, 1000]);
  assert.deepEqual([...new Set(packets("weir_port,host=192.0.2.1,bridge=b,port=p,tenant=globex"))], [1000]);
  assert.deepEqual([...new Set(packets("weir_tenant,host=192.0.2.1,bridge=b,tenant=globex"))], [0]);
  await close();
});

test("401: REFUSED, nothing lost, told in order with its times when the token is right; the token is never shown", async () => {
  let isRight = false;
  const { got, view, seconds, close } = await bed({ version: 3, tokenFile: "" }, (n, response) =>
    end(isRight ? 204 : 401, "unauthorized")(n, response),
  );
  await seconds(5);
  assert.equal(view().state, "REFUSED");
  const text = JSON.stringify(view());
  assert.match(text, /401 Unauthorized since/);
  assert.match(text, /spool 0\.0 MiB of 64\.0 MiB, oldest \d+ s, nothing lost yet/);
  assert.ok(!text.includes("s3cret"));
  isRight = true;
  const refused = got.length;
  await seconds(60);
  const times = got
    .slice(refused)
    .flatMap(({ lines }) => lines.filter((line) => line.startsWith("weir_datapath") && !line.includes("since=0")))
    .map((line) => Number(line.split(" ").at(-1)));
  assert.deepEqual(
    times,
    times.toSorted((a, b) => a - b),
  );
  assert.equal(new Set(times).size, times.length);
  assert.ok(times.length >= 64, String(times.length));
  await close();
});

test("400 partial: counted, not told again", async () => {
  const { got, view, seconds, close } = await bed(
    {},
    end(400, '{"error":"partial write: points beyond retention policy dropped=1"}'),
  );
  await seconds(3);
  assert.ok(
    view().detail.some((line) => line.startsWith("3 points refused")),
    view().detail.join(),
  );
  assert.equal(got.length, 3);
  await close();
});

test("503 with Retry-After is obeyed", async () => {
  const { got, seconds, close } = await bed({}, end(503, "", { "retry-after": "20" }));
  await seconds(19);
  assert.equal(got.length, 1);
  await seconds(3);
  assert.equal(got.length, 2);
  await close();
});

test("a server that hangs: one request at a time, given up after the timeout, and forwarding's clockwork goes on", async () => {
  const { got, view, seconds, close } = await bed({ timeout: "100ms" }, () => {});
  await seconds(3, 60);
  // The second comes after the first was given up, 100 ms on.
  assert.ok(got.length <= 2);
  assert.match(view().lastError!, /no answer within 0.1 s/);
  await close();
});

test("a full spool drops the oldest, counted and shown; disk and memory stay bounded", async () => {
  const { view, folder, seconds, close } = await bed({ spool: "64KiB" }, end(500));
  await seconds(120, 1);
  const lost = view().detail.find((line) => /[1-9]\d* points lost/.test(line));
  assert.ok(lost, view().detail.join());
  const files = readdirSync(join(folder, "spool", "ts"));
  const bytes = files.reduce((sum, name) => sum + statSync(join(folder, "spool", "ts", name)).size, 0);
  assert.ok(files.length <= 16 && bytes <= 65_536, `${files.length} files of ${bytes} bytes`);
  await close();
});
