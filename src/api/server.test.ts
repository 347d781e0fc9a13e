import assert from "node:assert/strict";
import { chmodSync, existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { type TestContext } from "node:test";
import { fakeSwitch, NOW } from "../../test/helpers/fake-switch.ts";
import { ApiClient, NoSwitch } from "./client.ts";
import { Problem } from "./problem.ts";
import { type ApiOptions, startApi } from "./server.ts";
import type { SwitchView } from "./switch.ts";

const uid = process.getuid!();

async function start(t: TestContext, more: Partial<SwitchView> = {}, options: Partial<ApiOptions> = {}) {
  const folder = mkdtempSync(join(tmpdir(), "weir-api-"));
  const socket = join(folder, "weir.sock");
  const view = fakeSwitch(more);
  const log: string[] = [];
  const server = await startApi({
    view,
    socket,
    uid,
    now: () => NOW,
    log: (_level, message) => log.push(message),
    ...options,
  });
  t.after(async () => {
    await server.close();
    rmSync(folder, { recursive: true, force: true });
  });
  const client = new ApiClient({ api: `unix:${socket}`, env: {}, uid });
  return { socket, view, client, log, server };
}

interface Reply {
  readonly status: number;
  readonly type: string;
  readonly body: string;
  readonly headers: NodeJS.Dict<string | string[]>;
}

function raw(socketPath: string, method: string, path: string, body?: string | Buffer, headers = {}): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath, method, path, headers, agent: false }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () =>
        resolve({
          status: response.statusCode!,
          type: response.headers["content-type"] ?? "",
          headers: response.headers,
          body: Buffer.concat(chunks).toString(),
        }),
      );
    });
    asked.on("error", reject);
    asked.end(body);
  });
}

function isProblem(reply: Reply, status: number): { detail: string; errors: { path: string; message: string }[] } {
  assert.equal(reply.status, status, reply.body);
  assert.equal(reply.type, "application/problem+json");
  const body = JSON.parse(reply.body);
  assert.equal(body.status, status);
  assert.ok(Array.isArray(body.errors));
  return body;
}

const JSON_TYPE = { "Content-Type": "application/json" };

test("the socket is 0660 and goes away with the server", async (t) => {
  const { socket, server } = await start(t);
  assert.equal(statSync(socket).mode & 0o777, 0o660);
  await server.close();
  assert.ok(!existsSync(socket));
});

test("a stale socket is taken, a live one and a file are not", async (t) => {
  const { socket } = await start(t);
  const options = { view: fakeSwitch(), uid, now: () => NOW, log: () => {} };
  await assert.rejects(startApi({ ...options, socket }), /another switch answers/);
  const file = `${socket}.file`;
  writeFileSync(file, "");
  await assert.rejects(startApi({ ...options, socket: file }), /not a socket/);
  const stale = `${socket}.stale`;
  // A process that died leaves its socket behind: rename keeps the file from being unlinked on close.
  const dead = createServer().listen(`${stale}.0`);
  await new Promise((resolve) => dead.once("listening", resolve));
  const { renameSync } = await import("node:fs");
  renameSync(`${stale}.0`, stale);
  await new Promise((resolve) => dead.close(resolve));
  assert.ok(existsSync(stale));
  const server = await startApi({ ...options, socket: stale });
  await server.close();
});

test("a directory below /tmp that others may write is not trusted", async () => {
  const folder = mkdtempSync("/tmp/weir-api-");
  try {
    chmodSync(folder, 0o777);
    const socket = join(folder, "weir.sock");
    await assert.rejects(
      startApi({ view: fakeSwitch(), socket, uid, now: () => NOW, log: () => {} }),
      /written by others/,
    );
    await assert.rejects(new ApiClient({ api: `unix:${socket}`, env: {}, uid }).get("system"), NoSwitch);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("lists: at, total, items; sort, limit, names; integers with all their digits", async (t) => {
  const { client, socket } = await start(t, {
    exporters: () => [{ octets: 9_007_199_254_740_991, name: "x" } as never],
  });
  const all = await client.get<{ at: string; total: number; items: { name: string }[] }>("ports");
  assert.equal(all.at, "2026-11-23T02:14:07.000Z");
  assert.equal(all.total, 3);
  assert.deepEqual(
    all.items.map((item) => item.name),
    ["uplink", "web1", "lab1"],
  );
  const sorted = await client.get<typeof all>("ports", { sort: "-rxBps", limit: "1" });
  assert.deepEqual([sorted.total, sorted.items.map((item) => item.name)], [3, ["uplink"]]);
  const named = await client.get<typeof all>("ports", { name: "web1,lab1", sort: "name" });
  assert.deepEqual(
    named.items.map((item) => item.name),
    ["lab1", "web1"],
  );
  assert.match((await raw(socket, "GET", "/api/v1/exporters")).body, /"octets":9007199254740991[,}]/);
});

test("limit 0 streams one object a line", async (t) => {
  const { client } = await start(t);
  let flows = 0;
  for await (const flow of client.lines<{ id: string }>("flows", { limit: "0" })) {
    assert.ok(flow.id);
    flows++;
  }
  assert.equal(flows, 400);
});

test("what is wrong with a request is said as problem+json", async (t) => {
  const { socket, log } = await start(t, {
    audit: () => {
      throw new Error("secret path /etc/shadow");
    },
  });
  const get = (path: string) => raw(socket, "GET", `/api/v1/${path}`);
  isProblem(await get("nothing"), 404);
  isProblem(await get("ports?limit=-1"), 400);
  isProblem(await get("ports?limit=99999999"), 400);
  isProblem(await get("ports?sort=;drop"), 400);
  isProblem(await get("ports?sort=nosuchkey"), 400);
  assert.equal(isProblem(await get("ports?wher=x"), 400).errors[0]!.path, "wher");
  isProblem(await get("ports?name=nosuch"), 404);
  isProblem(await get("drops?since=yesterday"), 400);
  isProblem(await get("ports/%E0%A4%A"), 400);
  isProblem(await get(`flows?where=${"x".repeat(5000)}`), 400);
  isProblem(await raw(socket, "GET", "/api/v1/system", undefined, { Origin: "http://evil.example" }), 403);
  isProblem(await raw(socket, "GET", "//evil.example/../system"), 404);
  // Our own failure says nothing of the inside; the log does.
  assert.doesNotMatch(isProblem(await get("audit"), 500).detail, /shadow/);
  assert.match(log.join(), /shadow/);
});

test("methods: 405 with Allow; HEAD as GET", async (t) => {
  const { socket } = await start(t);
  const reply = await raw(socket, "DELETE", "/api/v1/system");
  isProblem(reply, 405);
  assert.equal(reply.headers.allow, "GET");
  assert.equal((await raw(socket, "PATCH", "/api/v1/ports/web1", "{}")).status, 415);
  const head = await raw(socket, "HEAD", "/api/v1/system");
  assert.deepEqual([head.status, head.body], [200, ""]);
  assert.equal((await raw(socket, "GET", "/healthz")).body, "ok\n");
  assert.equal((await raw(socket, "GET", "/readyz")).status, 200);
});

test("writes: content type, size, JSON, unknown keys", async (t) => {
  const { socket, view } = await start(t);
  const patch = (body: string | Buffer, headers: object = JSON_TYPE) =>
    raw(socket, "PATCH", "/api/v1/ports/web1", body, headers);
  isProblem(await patch("{}", {}), 415);
  isProblem(await patch("{}", { "Content-Type": "text/plain" }), 415);
  isProblem(await patch("{"), 400);
  isProblem(await patch("[]"), 400);
  isProblem(await patch('{"enabled":"no"}'), 400);
  assert.equal(isProblem(await patch('{"enable":true}'), 400).errors[0]!.path, "enable");
  isProblem(await patch('{"enabled":false,"for":"soon"}'), 400);
  assert.deepEqual(view.calls, []);
  assert.equal((await patch('{"enabled":false,"for":"10m"}')).status, 200);
  assert.deepEqual(view.calls, [{ name: "web1", patch: { enabled: false, forMs: 600_000 } }]);
  const deleted = await raw(socket, "DELETE", "/api/v1/ports/web1");
  assert.equal(deleted.status, 204);
  isProblem(await raw(socket, "POST", "/api/v1/trace", '{"port":"web1"}', JSON_TYPE), 400);
  isProblem(await raw(socket, "POST", "/api/v1/reload", '{"keep":true,"try":"60s"}', JSON_TYPE), 400);
});

test("a huge body is refused without being read", async (t) => {
  const { socket, client } = await start(t);
  const announced = await raw(socket, "PUT", "/api/v1/ports/x", "{}", { ...JSON_TYPE, "Content-Length": "2" });
  assert.equal(announced.status, 200);
  const reply = await new Promise<string>((resolve, reject) => {
    const stranger = connect(socket);
    let said = "";
    stranger.on("data", (chunk) => (said += chunk));
    stranger.on("close", () => resolve(said));
    stranger.on("error", reject);
    stranger.write(
      "PUT /api/v1/ports/x HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 99999999999\r\n\r\n",
    );
  });
  assert.match(reply, /^HTTP\/1\.1 413 /);
  // Chunked: no length is announced.
  const chunked = await new Promise<string>((resolve) => {
    const stranger = connect(socket);
    let said = "";
    stranger.on("data", (chunk) => (said += chunk));
    stranger.on("close", () => resolve(said));
    stranger.on("error", () => resolve(said));
    stranger.write(
      "PUT /api/v1/ports/x HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
    );
    for (let n = 0; n < 40; n++) stranger.write(`1000\r\n${" ".repeat(4096)}\r\n`);
  });
  assert.match(chunked, /^HTTP\/1\.1 413 /);
  assert.ok(await client.get("system"));
});

test("a client that never finishes its request is cut off, others are served", async (t) => {
  const { socket, client } = await start(t, {}, { requestTimeoutMs: 300 });
  const slow = connect(socket);
  const cut = new Promise<string>((resolve) => {
    let said = "";
    slow.on("data", (chunk) => (said += chunk));
    slow.on("close", () => resolve(said));
    slow.on("error", () => resolve(said));
  });
  slow.write("GET /api/v1/system HTTP/1.1\r\nHost: a\r\nX-Slow: ");
  assert.ok(await client.get("system"));
  assert.match(await cut, /^HTTP\/1\.1 408 /);
});

test("1000 connections: bounded, and the switch answers afterwards", async (t) => {
  const { socket, client } = await start(t);
  const sockets: Socket[] = [];
  for (let n = 0; n < 1000; n++) {
    const one = connect(socket);
    one.on("error", () => {});
    sockets.push(one);
  }
  const open = (): number => sockets.filter((one) => !one.destroyed && one.readyState === "open").length;
  // Those that wait to be accepted are open to their own side.
  for (let tries = 0; open() > 384 && tries < 100; tries++) await new Promise((resolve) => setTimeout(resolve, 30));
  assert.ok(open() <= 384, `${open()} stayed open`);
  for (const one of sockets) one.destroy();
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.ok(await client.get("system"));
});

test("a reader that stops reading holds up nothing and costs bounded memory", async (t) => {
  let made = 0;
  const { socket, client } = await start(t, {
    async *flowStream() {
      for (; made < 1_000_000; made++) yield [{ id: "x".repeat(1000) } as never];
    },
  });
  const reader = connect(socket);
  reader.pause();
  reader.write("GET /api/v1/flows?limit=0 HTTP/1.1\r\nHost: a\r\n\r\n");
  await new Promise((resolve) => setTimeout(resolve, 300));
  const before = made;
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.equal(made, before);
  assert.ok(made < 5000, `${made} lines were made for a reader that takes none`);
  assert.ok(await client.get("system"));
  reader.destroy();
});

test("events: the last ones, and a stream of new ones that ends with its reader", async (t) => {
  const { client, view } = await start(t);
  view.events.publish({ kind: "port", port: "web1", message: "up" }, NOW);
  view.events.publish({ kind: "mac", message: "moved" }, NOW);
  const list = await client.get<{ total: number; items: { kind: string }[] }>("events", { kind: "port" });
  assert.deepEqual([list.total, list.items[0]!.kind], [1, "port"]);
  await assert.rejects(client.get("events", { kind: "weather" }), Problem);
  const seen: string[] = [];
  const stream = client.lines<{ message: string }>("events", { follow: "1", kind: "drop" });
  const reading = (async () => {
    for await (const event of stream) {
      seen.push(event.message);
      if (seen.length === 2) break;
    }
  })();
  while (view.events.subscribers === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  view.events.publish({ kind: "drop", message: "one" }, NOW);
  view.events.publish({ kind: "port", message: "not this" }, NOW);
  view.events.publish({ kind: "drop", message: "two" }, NOW);
  await reading;
  assert.deepEqual(seen, ["one", "two"]);
  while (view.events.subscribers > 0) await new Promise((resolve) => setTimeout(resolve, 5));
});

test("closing ends streams at once", async (t) => {
  const { client, server, view } = await start(t);
  const stream = client.lines("events", { follow: "1" })[Symbol.asyncIterator]();
  const next = stream.next();
  while (view.events.subscribers === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  const from = performance.now();
  await server.close();
  assert.ok(performance.now() - from < 1000);
  assert.equal(view.events.subscribers, 0);
  await next.catch(() => {});
});

test("the client names every place it tried", async () => {
  const env = { XDG_RUNTIME_DIR: "/nonexistent/xdg" };
  const client = new ApiClient({ env, uid: 4711 });
  await assert.rejects(client.get("system"), (error: Error) => {
    assert.ok(error instanceof NoSwitch);
    assert.match(
      error.message,
      /unix:\/run\/weir\/weir\.sock.*unix:\/nonexistent\/xdg\/weir\/weir\.sock.*unix:\/tmp\/weir-4711\/weir\.sock/,
    );
    return true;
  });
  await assert.rejects(
    new ApiClient({ api: "unix:/nonexistent", env, uid }).get("system"),
    /unix:\/nonexistent \(no such file\)/,
  );
  await assert.rejects(
    new ApiClient({ env: { WEIR_API: "http://127.0.0.1:1" }, uid }).get("system"),
    /http:\/\/127\.0\.0\.1:1 \(nobody listens\)/,
  );
  assert.throws(() => new ApiClient({ api: "ftp://x", env, uid }), /unix:/);
});
