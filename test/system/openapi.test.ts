/** Every answer of a running switch, every body that it takes and every message of its feed is what its document says. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { request } from "node:http";
import test from "node:test";
import { WebSocket } from "ws";
import { routes } from "../../src/api/routes.ts";
import { freePort } from "../helpers/collectors.ts";
import { checksOf, type Checks } from "../helpers/openapi.ts";
import { pause, startWeir, weirHome } from "../helpers/weir-process.ts";

interface Reply {
  readonly status: number;
  readonly json: any;
}

function asker(socketPath: string) {
  return (method: string, path: string, body?: unknown): Promise<Reply> =>
    new Promise((resolve, reject) => {
      const headers = body === undefined ? {} : { "Content-Type": "application/json" };
      const asked = request(
        { socketPath, method, path: path.startsWith("/") ? path : `/api/v1/${path}`, headers },
        (answer) => {
          let text = "";
          answer.on("data", (chunk: Buffer) => (text += chunk.toString()));
          answer.on("end", () => {
            const isJson = (answer.headers["content-type"] ?? "").endsWith("json");
            resolve({ status: answer.statusCode!, json: isJson ? JSON.parse(text) : text });
          });
        },
      );
      asked.on("error", reject);
      asked.end(body === undefined ? undefined : JSON.stringify(body));
    });
}

test("the document tells the truth", { timeout: 60_000 }, async (t) => {
  const home = weirHome(t);
  const collector = await freePort();
  home.write({
    tenants: { acme: { vlans: ["100-109"] }, globex: { vlans: ["110-119"] } },
    bridges: [
      {
        name: "weir0",
        sampling: { rate: 10 },
        ports: [
          { name: "gen", type: "traffic", profile: "tenants", seed: 1, rate: "5kpps" },
          { name: "mon", type: "memory", channel: 91 },
        ],
        mirrors: [{ name: "all", select: { all: true }, outputs: [{ type: "span", port: "mon" }] }],
      },
    ],
    exporters: [
      { type: "netflow-v5", collectors: [`127.0.0.1:${collector}`] },
      { type: "sflow", collectors: [`127.0.0.1:${collector}`] },
    ],
  });
  const weir = await startWeir(t, home);
  await pause(2500);
  const ask = asker(home.socket);
  const document = (await ask("GET", "openapi.json")).json as Checks["document"];
  const checks = checksOf(document);
  const told = new Set<string>();
  const check = async (method: string, path: string, ofPath = `/api/v1/${path.split("?")[0]}`, body?: unknown) => {
    if (body !== undefined) checks.body(method, ofPath, body);
    const { status, json } = await ask(method, path, body);
    assert.equal(status, 200, `${method} ${path}: ${JSON.stringify(json)}`);
    checks.answer(method, ofPath, json);
    told.add(`${method} ${ofPath}`);
    return json;
  };

  for (const { method, path, answer } of routes)
    if (method === "GET" && !path.includes("{") && (typeof answer === "string" || "list" in answer))
      await check("GET", path.slice("/api/v1/".length));
  const flows = await check("GET", "flows?limit=500");
  assert.ok(flows.items.length > 20);
  const drops = await check("GET", "drops?since=start&all=1");
  assert.ok(drops.items.length > 0);
  const [{ port }] = flows.items;
  await check("GET", `ports/${port}`, "/api/v1/ports/{name}");
  await check("GET", "mirrors/all", "/api/v1/mirrors/{name}");
  await check("POST", "trace", undefined, { flow: flows.items[0].id });
  await check("POST", "trace", undefined, { port, match: "ipSrc=10.1.0.5 proto=tcp" });
  await check("POST", "reload", undefined, { dryRun: true });
  await check("PUT", "ports/more", "/api/v1/ports/{name}", { type: "memory", channel: 92 });
  await check("PATCH", "ports/more", "/api/v1/ports/{name}", { enabled: false, for: "10m" });
  assert.equal((await ask("DELETE", "ports/more")).status, 204);
  const entry = { select: { ports: [port] }, outputs: [{ type: "stream" }], startedBy: "test" };
  await check("PUT", "mirrors/mine", "/api/v1/mirrors/{name}", entry);
  await check("DELETE", "mirrors/mine", "/api/v1/mirrors/{name}");
  checks.body("POST", "/api/v1/session", { key: "x" });
  for (const [method, path, body] of [
    ["GET", "nothing"],
    ["GET", "flows?where=x%3D"],
    ["POST", "session", { key: "x" }],
    ["PATCH", "ports/more", { enabled: 1 }],
  ] as const) {
    const { status, json } = await ask(method, path, body);
    assert.ok(status >= 400, `${method} ${path}`);
    checks.is("ProblemBody", json);
  }
  const untold = routes.filter(({ method, path, answer }) => {
    return !told.has(`${method} ${path}`) && (typeof answer === "string" || "list" in answer);
  });
  assert.deepEqual(
    untold.map(({ method, path }) => `${method} ${path}`),
    ["POST /api/v1/session"],
    "what was not asked here: a one-time link is the demo's",
  );

  const socket = new WebSocket(`ws+unix:${home.socket}:/live`);
  t.after(() => socket.terminate());
  await once(socket, "open");
  const heard: Record<string, any>[] = [];
  socket.on("message", (data) => heard.push(JSON.parse(String(data)) as Record<string, any>));
  const say = (message: object): void => {
    checks.is("ClientMessage", message);
    socket.send(JSON.stringify(message));
  };
  const until = async (type: string): Promise<Record<string, any>> => {
    for (let tries = 0; tries < 300; tries++, await pause(20)) {
      const found = heard.find((message) => message.type === type);
      if (found !== undefined) return found;
    }
    throw new Error(`no ${type}`);
  };
  say({ type: "subscribe", intervalMs: 200, top: 5 });
  const { epoch } = await until("snapshot");
  const { seq } = await until("delta");
  say({ type: "subscribe", intervalMs: 200, top: 5, resume: { epoch, seq } });
  await until("resumed");
  say({ type: "subscribe", where: "no such=", parts: ["flows"] });
  await until("error");
  for (const message of heard) checks.is("ServerMessage", message);
  assert.ok(heard[0]!.sampling.length > 0 && heard[0]!.role === "operator");
  socket.terminate();
  assert.equal(await weir.stop(), 0);
});
