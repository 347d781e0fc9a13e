/** The API of a running switch: a reload that takes tokens and addresses back, a port that is taken, clients in number. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createServer } from "node:net";
import test, { type TestContext } from "node:test";
import { WebSocket } from "ws";
import { hashOf } from "../../src/api/access.ts";
import { projectRoot } from "../helpers/captures.ts";
import { freePort } from "../helpers/collectors.ts";
import { eventually, startWeir, weirHome } from "../helpers/weir-process.ts";

const TOKEN = "an-operator's-token";
const sha256 = hashOf(TOKEN).toString("hex");
const bridges = [
  { name: "weir0", ports: [{ name: "gen", type: "traffic", profile: "tenants", seed: 1, rate: "1kpps" }] },
];

async function start(t: TestContext, api: object) {
  const home = weirHome(t);
  const whole = (more: object) => ({ api: { socket: home.socket, ...more }, bridges });
  home.write(whole(api));
  const weir = await startWeir(t, home);
  const reload = (more: object) => {
    home.write(whole(more));
    return home.run("reload", "--json");
  };
  return { ...weir, reloadApi: reload };
}

const ask = async (port: number, path: string, headers = {}, more: RequestInit = {}): Promise<number> =>
  (await fetch(`http://127.0.0.1:${port}${path}`, { headers, ...more })).status;

/** A client of the feed that has its first message. */
async function client(port: number, token?: string) {
  const headers = token === undefined ? {} : { Authorization: `Bearer ${token}` };
  const socket = new WebSocket(`ws://127.0.0.1:${port}/live`, { headers });
  const state = { socket, closed: 0, role: "" };
  socket.on("close", (code) => (state.closed = code));
  await new Promise<void>((resolve, reject) => {
    socket.on("open", () => socket.send(JSON.stringify({ type: "subscribe" })));
    socket.on("message", (data) => {
      state.role = (JSON.parse(String(data)) as { role?: string }).role ?? state.role;
      resolve();
    });
    socket.on("error", reject);
  });
  return state;
}

test("reload: a token taken back ends what goes on by it; addresses come and go", { timeout: 60_000 }, async (t) => {
  const [one, two] = [await freePort(), await freePort()];
  const tokens = [{ name: "noc", role: "operator", sha256 }];
  const weir = await start(t, { listen: [`127.0.0.1:${one}`], tokens });
  const operator = { authorization: `Bearer ${TOKEN}` };
  assert.equal(await ask(one, "/api/v1/config", operator), 200);
  const mine = await client(one, TOKEN);
  const anybody = await client(one);
  assert.deepEqual([mine.role, anybody.role], ["operator", "viewer"]);
  assert.equal(weir.reloadApi({ listen: [`127.0.0.1:${one}`, `127.0.0.1:${two}`], tokens: [] }).status, 0);
  assert.equal(await ask(one, "/api/v1/config", operator), 401);
  const json = { ...operator, "content-type": "application/json" };
  assert.equal(await ask(two, "/api/v1/reload", json, { method: "POST", body: "{}" }), 401);
  await eventually(
    () => mine.closed,
    (code) => code === 4401,
    "its client is told to go",
  );
  assert.equal(anybody.closed, 0);
  assert.equal(weir.reloadApi({ listen: [`127.0.0.1:${two}`] }).status, 0);
  await assert.rejects(ask(one, "/healthz"));
  assert.equal(await ask(two, "/healthz"), 200);
  await eventually(
    () => anybody.closed,
    (code) => code > 0,
    "an address that is given up takes its clients along",
  );
});

test("a port that is taken: degraded and no more than that, until it can be had", { timeout: 60_000 }, async (t) => {
  const thief = createServer().listen(0, "127.0.0.1");
  t.after(() => void thief.close());
  await new Promise((resolve) => thief.once("listening", resolve));
  const { port } = thief.address() as { port: number };
  const other = await freePort();
  const weir = await start(t, { listen: [`127.0.0.1:${port}`, `127.0.0.1:${other}`] });
  const { status, stdout } = weir.run("status");
  assert.equal(status, 1);
  assert.match(stdout, new RegExp(`api\\.listen 127\\.0\\.0\\.1:${port}: another program has it`));
  assert.match(weir.said(), /another program has it/);
  assert.equal(await ask(other, "/healthz"), 200);
  const { bridges: running } = weir.json("show", "system");
  assert.equal(running[0].state, "forwarding");
  const answer = weir.reloadApi({ listen: [`127.0.0.1:${port}`, `127.0.0.1:${other}`, `127.0.0.2:${port}`] });
  const { failed, applied } = JSON.parse(answer.stdout);
  assert.deepEqual(
    [applied, failed],
    [true, [{ path: `api.listen 127.0.0.1:${port}`, message: "another program has it" }]],
  );
  thief.close();
  await eventually(
    () => weir.run("status").status,
    (code) => code === 0,
    "it is had in the end",
    10_000,
  );
  assert.equal(await ask(port, "/healthz"), 200);
});

test("a package has its page", () => {
  const said = execFileSync("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"], {
    cwd: projectRoot,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
  });
  const [{ files }] = JSON.parse(said) as [{ files: { path: string }[] }];
  const paths = files.map(({ path }) => path);
  for (const name of ["page/index.html", "page/app.js", "page/app.css", "weir.js", "worker.js"])
    assert.ok(paths.includes(`dist/${name}`), name);
  assert.ok(!paths.some((path) => path.endsWith(".map") || path.startsWith("src/")));
});

test("256 clients of the feed and no more, and requests are answered beside them", { timeout: 60_000 }, async (t) => {
  const port = await freePort();
  await start(t, { listen: [`127.0.0.1:${port}`] });
  const clients = await Promise.all(Array.from({ length: 256 }, () => client(port)));
  assert.equal(await ask(port, "/healthz"), 200);
  await assert.rejects(client(port), /503/);
  assert.equal(await ask(port, "/api/v1/ports"), 200);
  for (const { socket } of clients) socket.close();
  await eventually(
    () => clients.filter(({ closed }) => closed > 0).length,
    (count) => count === 256,
    "they leave",
  );
  assert.equal((await client(port)).role, "viewer");
});
