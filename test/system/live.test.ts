/** The live view of a running switch: the real feed, the real page in Chromium, roles, strangers, a switch that restarts. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { request } from "node:http";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import test, { type TestContext } from "node:test";
import { WebSocket } from "ws";
import { CHROMIUM, openBrowser } from "../helpers/browser.ts";
import { freePort } from "../helpers/collectors.ts";
import { needs } from "../helpers/needs.ts";
import { pause, startWeir, weirHome, type WeirHome, type WeirProcess } from "../helpers/weir-process.ts";

const TOKEN = "kq3.Wm~7-Z_t9pLx/f+2=";

interface Listening extends WeirProcess {
  readonly port: number;
  readonly home: WeirHome;
}

async function startSwitch(t: TestContext): Promise<Listening> {
  const home = weirHome(t);
  const port = await freePort();
  const file = join(home.folder, "noc.token");
  writeFileSync(file, `${TOKEN}\n`);
  home.write({
    host: { stateDir: home.stateDir },
    api: { socket: home.socket, listen: [`127.0.0.1:${port}`], tokens: [{ name: "noc", role: "operator", file }] },
    tenants: { acme: { vlans: ["100-109"] }, globex: { vlans: ["110-119"] } },
    bridges: [{ name: "weir0", ports: [{ name: "gen", type: "traffic", profile: "tenants", seed: 1, rate: "5kpps" }] }],
  });
  return { ...(await startWeir(t, home)), port, home };
}

function ask(
  port: number,
  path: string,
  headers: Record<string, string> = {},
  method = "GET",
  body = "",
): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const asked = request({ host: "127.0.0.1", port, path, method, headers }, (answer) => {
      let text = "";
      answer.on("data", (chunk: Buffer) => (text += chunk.toString()));
      answer.on("end", () => resolve({ status: answer.statusCode!, text }));
    });
    asked.on("error", reject);
    asked.end(body);
  });
}

/** Messages of a client of the feed. */
function feed(port: number, options: { origin?: string; host?: string } = {}) {
  const headers = options.host === undefined ? {} : { Host: options.host };
  const socket = new WebSocket(`ws://127.0.0.1:${port}/live`, {
    headers,
    ...(options.origin && { origin: options.origin }),
  });
  const messages: Record<string, any>[] = [];
  socket.on("message", (data) => messages.push(JSON.parse(String(data)) as Record<string, any>));
  const state = { closed: 0, error: "" };
  socket.on("close", (code) => (state.closed = code));
  socket.on("error", (error) => (state.error = error.message));
  const until = async (is: () => boolean, what: string): Promise<void> => {
    for (let tries = 0; !is(); tries++) {
      assert.ok(tries < 500, `${what}: ${JSON.stringify(state)} ${messages.length} messages`);
      await pause(20);
    }
  };
  return { socket, messages, state, until, say: (message: unknown) => socket.send(JSON.stringify(message)) };
}

test("requests over TCP: a viewer without a token; strangers, other sites' pages and false tokens are refused", async (t) => {
  const { port } = await startSwitch(t);
  const status = async (...args: Parameters<typeof ask> extends [number, ...infer Rest] ? Rest : never) =>
    (await ask(port, ...args)).status;
  const json = { "content-type": "application/json" };
  const bearer = { authorization: `Bearer ${TOKEN}x` };
  assert.equal(await status("/api/v1/flows"), 200);
  assert.equal(await status("/metrics"), 200);
  assert.equal(await status("/"), 200);
  assert.equal(await status("/app.js/../../weir.js"), 404);
  assert.equal(await status("/api/v1/flows", { host: "evil.example" }), 403);
  assert.equal(await status("/api/v1/flows", { host: `localhost:${port}` }), 200);
  assert.equal(await status("/api/v1/flows", { origin: "http://evil.example" }), 403);
  assert.equal(await status("/api/v1/flows", { origin: "null" }), 403);
  assert.equal(await status("/api/v1/flows", { host: `127.0.0.1:${port}`, origin: `http://127.0.0.1:${port}` }), 200);
  assert.equal(await status("/api/v1/flows", bearer), 401, "a token that is none");
  assert.equal(await status("/api/v1/reload", json, "POST", "{}"), 403);
  const entry = JSON.stringify({ select: { all: true }, outputs: [{ type: "stream" }] });
  const refused = await ask(port, "/api/v1/mirrors/x", json, "PUT", entry);
  assert.equal(refused.status, 403);
  assert.match(refused.text, /operator/);
});

test("the feed: a snapshot, then what changed, in sequence; filters; roles; what is no message", async (t) => {
  const { port } = await startSwitch(t);
  const one = feed(port);
  await one.until(() => one.socket.readyState === WebSocket.OPEN, "it is open");
  one.say({ type: "subscribe", where: "tenant=acme", top: 5, intervalMs: 200 });
  await one.until(() => one.messages.length > 6, "messages come");
  const [first, ...rest] = one.messages;
  assert.deepEqual([first!["type"], first!["seq"], first!["role"]], ["snapshot", 1, "viewer"]);
  for (const part of [
    "system",
    "ports",
    "tenants",
    "flows",
    "flowsTotal",
    "drops",
    "lost",
    "audit",
    "exporters",
    "mirrors",
  ])
    assert.ok(part in first!, part);
  assert.ok(first!["flows"].length <= 5);
  rest.forEach((message, n) => assert.deepEqual([message["type"], message["seq"]], ["delta", n + 2]));
  for (const { flows = [] } of one.messages)
    for (const flow of flows as { tenant?: string; outputOwner?: { tenant?: string } }[])
      assert.ok(JSON.stringify(flow).includes("acme"));
  assert.ok(
    rest.some((message) => !("mirrors" in message)),
    "what did not change is not told again",
  );

  one.say({ type: "hello", token: TOKEN });
  one.say({ type: "subscribe", intervalMs: 200 });
  const before = one.messages.length;
  await one.until(
    () => one.messages.slice(before).some(({ type, role }) => type === "snapshot" && role === "operator"),
    "an operator",
  );
  one.say({ type: "subscribe", where: "tenant=" });
  one.say({ type: "subscribe", intervalMs: 1 });
  await one.until(() => one.messages.filter(({ type }) => type === "error").length >= 1, "errors are told");

  for (const [wrong, code] of [
    ["no json", 1007],
    [JSON.stringify({ type: "hello", token: "x" }), 4401],
    ["x".repeat(20_000), 1009],
  ] as const) {
    const other = feed(port);
    await other.until(() => other.socket.readyState === WebSocket.OPEN, "it is open");
    other.socket.send(wrong);
    await other.until(() => other.state.closed === code, `${wrong.slice(0, 10)} ends with ${code}`);
  }
  const stranger = feed(port, { origin: "http://evil.example" });
  await stranger.until(() => stranger.state.error.includes("403"), "another site's page is refused");
  const rebound = feed(port, { host: "evil.example" });
  await rebound.until(() => rebound.state.error.includes("403"), "another host's name is refused");
  one.socket.close();
});

test(
  "the page of a running switch: flows, a filter, a capture that capinfos reads, a restart",
  { timeout: 90_000 },
  async (t) => {
    if (!needs(t, CHROMIUM, "capinfos")) return;
    const weir = await startSwitch(t);
    const browser = await openBrowser();
    t.after(() => browser.close());
    const page = await browser.context.newPage();
    const wrong: string[] = [];
    page.on("pageerror", (error) => wrong.push(error.message));
    page.on("request", (asked) => {
      if (!/^(http|ws):\/\/127\.0\.0\.1|^(blob|data):/.test(asked.url())) wrong.push(`asked ${asked.url()}`);
    });
    await page.goto(`http://127.0.0.1:${weir.port}/#k=${encodeURIComponent(TOKEN)}`);
    await page.getByText("Counts conserved").waitFor();
    await page.locator(".flows tbody tr").nth(10).waitFor();
    await page.getByText("operator", { exact: true }).waitFor();
    await page.keyboard.press("/");
    await page.keyboard.type("tenant:globex");
    await page.getByText("that match").waitFor();
    const owners = await page.locator(".flows tbody td.tenant").allInnerTexts();
    assert.ok(owners.length > 0 && owners.every((text) => text.includes("globex")), owners.join());

    await page.locator(".card").first().click();
    await page.getByRole("button", { name: "Start capture" }).click();
    await page.getByText(/● REC gen\./).waitFor();
    await pause(1500);
    const download = page.waitForEvent("download");
    await page.getByRole("button", { name: "Download pcapng" }).click();
    const path = await (await download).path();
    const count = /Number of packets:\s+(\d+)/.exec(execFileSync("capinfos", ["-c", "-M", path], { encoding: "utf8" }));
    assert.ok(Number(count?.[1]) > 10, `${count?.[0]}`);
    await page.getByRole("button", { name: "Stop" }).click();
    await page.keyboard.press("Escape");

    assert.equal(await weir.stop(), 0);
    await page.getByText("No news from the switch").waitFor();
    await startWeir(t, weir.home);
    await page.getByText("No news from the switch").waitFor({ state: "detached", timeout: 20_000 });
    assert.deepEqual(wrong, []);
  },
);
