import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { request as httpRequest, type IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import { createServer, Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { type TestContext } from "node:test";
import type { TLSSocket } from "node:tls";
import { fakeSwitch, NOW } from "../../test/helpers/fake-switch.ts";
import { needs } from "../../test/helpers/needs.ts";
import { Access, hashOf, type Token } from "./access.ts";
import { namesOf, TcpSide, unusableTls, type TcpConfig } from "./tcp.ts";

const token = (text: string, role: Token["role"]): Token => ({ name: text, role, hash: hashOf(text) });
const ANY = { host: "127.0.0.1", port: 0 };

function start(t: TestContext, options: { key?: string; retryMs?: number } = {}) {
  const view = fakeSwitch();
  const access = new Access(options.key);
  const log: string[] = [];
  const site = { view, now: () => NOW, log: (_level: string, message: string) => void log.push(message) };
  const tcp = new TcpSide(site, access, { ...(options.retryMs && { retryMs: options.retryMs }) });
  t.after(() => tcp.close());
  const apply = (more: Partial<TcpConfig> = {}) => tcp.apply({ listen: [ANY], hosts: [], ...more });
  return { view, access, tcp, apply, log };
}

interface Reply {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
}

function ask(
  at: string,
  path: string,
  more: { token?: string; headers?: object; method?: string; body?: string } = {},
) {
  const [host, port] = at.split(":");
  const headers = { ...(more.token && { authorization: `Bearer ${more.token}` }), ...more.headers };
  return new Promise<Reply>((resolve, reject) => {
    const asked = httpRequest(
      { host, port, path, agent: false, method: more.method ?? "GET", headers: headers as Record<string, string> },
      (answer) => {
        let body = "";
        answer.on("data", (chunk: Buffer) => (body += chunk.toString()));
        answer.on("error", reject);
        answer.on("end", () => resolve({ status: answer.statusCode!, headers: answer.headers, body }));
      },
    );
    asked.on("error", reject);
    asked.end(more.body);
  });
}

async function until(is: () => boolean, what: string): Promise<void> {
  for (let tries = 0; !is(); tries++) {
    assert.ok(tries < 500, what);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

test("a token that is taken back is none at once, and what goes on by it ends", async (t) => {
  const { access, tcp, apply, view } = start(t);
  access.use([token("operators", "operator"), token("others", "operator")]);
  await apply();
  const [at] = tcp.listening;
  const follow = (by: string) =>
    ask(at!, "/api/v1/events?follow=1", { token: by }).then(
      () => "ended",
      () => "cut",
    );
  const mine = follow("operators");
  const theirs = follow("others");
  await until(() => view.events.subscribers === 2, "both follow");
  access.use([token("others", "viewer")]);
  assert.equal(await mine, "cut");
  assert.equal((await ask(at!, "/api/v1/system", { token: "operators" })).status, 401);
  const reload = { method: "POST", body: "{}", headers: { "content-type": "application/json" } };
  assert.equal((await ask(at!, "/api/v1/reload", { token: "others", ...reload })).status, 403);
  assert.equal(view.events.subscribers, 1, "what a viewer may follow goes on");
  tcp.close();
  await theirs;
});

test("the key of a one-time link is good once; its token lasts, and a token is its own", async (t) => {
  const { access, tcp, apply } = start(t, { key: "once-and-only-once" });
  access.use([token("a-token-of-the-file", "viewer")]);
  await apply();
  const [at] = tcp.listening;
  const redeem = (key: unknown) =>
    ask(at!, "/api/v1/session", {
      method: "POST",
      body: JSON.stringify({ key }),
      headers: { "content-type": "application/json" },
    });
  assert.equal((await ask(at!, "/api/v1/system", { token: "once-and-only-once" })).status, 401, "the key is no token");
  assert.equal((await redeem("another")).status, 401);
  assert.equal((await redeem(7)).status, 400);
  const first = await redeem("once-and-only-once");
  assert.equal(first.status, 200);
  const session = JSON.parse(first.body) as { token: string; role: string };
  assert.equal(session.role, "operator");
  assert.equal((await redeem("once-and-only-once")).status, 401);
  access.use([token("a-token-of-the-file", "viewer")]);
  assert.equal((await ask(at!, "/api/v1/system", { token: session.token })).status, 200, "a reload keeps it");
  assert.deepEqual(JSON.parse((await redeem(session.token)).body), session);
  const own = JSON.parse((await redeem("a-token-of-the-file")).body) as object;
  assert.deepEqual(own, { token: "a-token-of-the-file", role: "viewer" });
});

test("addresses come and go; one that is taken is said, tried again, and disturbs no other", async (t) => {
  const { tcp, apply } = start(t, { retryMs: 30 });
  const thief = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => thief.once("listening", resolve));
  const taken = { host: "127.0.0.1", port: (thief.address() as { port: number }).port };
  const failed = await apply({ listen: [taken, ANY] });
  assert.deepEqual(failed, [{ address: `127.0.0.1:${taken.port}`, message: "another program has it" }]);
  const [first, ...rest] = tcp.listening;
  assert.deepEqual(rest, []);
  assert.equal((await ask(first!, "/healthz")).status, 200);
  thief.close();
  await until(() => tcp.missing.length === 0, "it is had in the end");
  assert.deepEqual(tcp.listening, [`127.0.0.1:${taken.port}`, first]);
  assert.equal((await ask(`127.0.0.1:${taken.port}`, "/healthz")).status, 200);
  assert.deepEqual(await apply({ listen: [ANY] }), []);
  assert.deepEqual(tcp.listening, [first], "what stays is not opened anew");
  await assert.rejects(ask(`127.0.0.1:${taken.port}`, "/healthz"), /ECONNREFUSED/);
  assert.deepEqual(await apply({ listen: [{ host: "0.0.0.0", port: taken.port }, ANY] }), []);
  assert.equal((await ask(`127.0.0.1:${taken.port}`, "/healthz")).status, 200);
});

test("names of hosts follow the configuration; a scheme's own port is left out of Host", async (t) => {
  const { tcp, apply } = start(t);
  await apply();
  const [at] = tcp.listening;
  const named = () => ask(at!, "/healthz", { headers: { host: "HV1.example.net" } });
  assert.equal((await named()).status, 403);
  await apply({ hosts: ["hv1.example.net"] });
  assert.equal((await named()).status, 200);
  assert.ok(namesOf("192.0.2.1", 80, false).includes("192.0.2.1"));
  assert.ok(namesOf("::1", 443, true).includes("[::1]"));
  assert.ok(!namesOf("192.0.2.1", 443, false).includes("192.0.2.1"));
  assert.ok(!namesOf("192.0.2.1", 8380, false).includes("192.0.2.1"));
});

test("an accept that fails, and fails again, ends nothing", async (t) => {
  const { tcp, apply, log } = start(t);
  await apply();
  const [at] = tcp.listening;
  const port = Number(at!.split(":")[1]);
  const handles = (process as unknown as { _getActiveHandles(): unknown[] })._getActiveHandles();
  const server = handles.find(
    (handle): handle is Server => handle instanceof Server && (handle.address() as { port?: number })?.port === port,
  )!;
  for (let n = 0; n < 3; n++)
    server.emit("error", Object.assign(new Error("accept ECONNABORTED"), { syscall: "accept" }));
  assert.equal((await ask(at!, "/healthz")).status, 200);
  assert.equal(log.length, 3);
});

test("too many requests: 429 with Retry-After, and the next second is another", async (t) => {
  let nowMs = NOW;
  const access = new Access();
  const tcp = new TcpSide({ view: fakeSwitch(), now: () => nowMs, log: () => {} }, access);
  t.after(() => tcp.close());
  await tcp.apply({ listen: [ANY], hosts: [] });
  const [at] = tcp.listening;
  const statuses = new Set<number>();
  let last: Reply | undefined;
  for (let n = 0; n < 510; n++) statuses.add((last = await ask(at!, "/healthz")).status);
  assert.deepEqual([...statuses], [200, 429]);
  assert.deepEqual([last!.headers["retry-after"], last!.headers["content-type"]], ["1", "application/problem+json"]);
  nowMs += 1000;
  assert.equal((await ask(at!, "/healthz")).status, 200);
});

/** A certificate of its own for 127.0.0.1. */
function certificate(folder: string, name: string): { cert: Buffer; key: Buffer } {
  const [key, cert] = [join(folder, `${name}.key`), join(folder, `${name}.crt`)];
  const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
  execFileSync("openssl", ["req", "-x509", ...curve, "-subj", `/CN=${name}`, "-keyout", key, "-out", cert], {
    stdio: "ignore",
  });
  return { cert: readFileSync(cert), key: readFileSync(key) };
}

test("a certificate is renewed without a new address; one that cannot be used changes nothing", async (t) => {
  if (!needs(t, "openssl")) return;
  const folder = mkdtempSync(join(tmpdir(), "weir-tls-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const [one, two] = [certificate(folder, "one"), certificate(folder, "two")];
  const { tcp, apply } = start(t);
  const shown = (): Promise<string> =>
    new Promise((resolve, reject) => {
      const [host, port] = tcp.listening[0]!.split(":");
      const asked = httpsRequest(
        { host, port, path: "/healthz", agent: false, rejectUnauthorized: false },
        (answer) => {
          answer.resume();
          resolve(`${answer.statusCode} ${String((answer.socket as TLSSocket).getPeerCertificate().subject.CN)}`);
        },
      );
      asked.on("error", reject);
      asked.end();
    });
  await apply({ tls: one });
  const before = tcp.listening;
  assert.equal(await shown(), "200 one");
  assert.deepEqual(await apply({ tls: two }), []);
  assert.equal(await shown(), "200 two");
  assert.match(unusableTls({ cert: one.cert, key: two.key })!, /key/i);
  assert.match(unusableTls({ cert: Buffer.from("none"), key: two.key })!, /PEM|start line/i);
  const unusable = { unusable: "no such file" };
  assert.deepEqual(await apply({ tls: unusable }), []);
  assert.equal(await shown(), "200 two");
  const more = await apply({ tls: unusable, listen: [ANY, { host: "127.0.0.2", port: 0 }] });
  assert.deepEqual(more, [{ address: "127.0.0.2:0", message: "no such file" }]);
  assert.deepEqual(tcp.listening, before);
  await apply();
  assert.equal((await ask(tcp.listening[0]!, "/healthz")).status, 200, "without TLS: plain, on a new server");
});
