/** The sender over real sockets: order, a collector that is away, that dies, that reads nothing, and TLS. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import type { Server, Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import type { TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { createServer as createTlsServer } from "node:tls";
import { needs } from "../../test/helpers/needs.ts";
import type { Transport } from "./exporter.ts";
import type { UdpSender } from "./sender.ts";
import { streamSender } from "./stream-sender.ts";

const FAST = { now: Date.now, connectMs: 500, reconnectMs: 50, stallMs: 300 };

function senderTo(t: TestContext, port: number, options: { transport?: Transport; queue?: number } = {}): UdpSender {
  const sender = streamSender({ host: "127.0.0.1", port }, { transport: { kind: "tcp" }, ...FAST, ...options });
  t.after(() => sender.close());
  return sender;
}

async function listen(t: TestContext, server: Server, port = 0): Promise<number> {
  const open = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    open.add(socket);
    socket.on("error", () => {});
  });
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  t.after(() => {
    server.close();
    for (const socket of open) socket.destroy();
  });
  return (server.address() as { port: number }).port;
}

/** A collector that keeps what each connection brought. */
function collecting(): { server: Server; connections: Buffer[][]; sockets: Socket[] } {
  const connections: Buffer[][] = [];
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    const bytes: Buffer[] = [];
    connections.push(bytes);
    sockets.push(socket);
    socket.on("data", (chunk) => bytes.push(chunk));
  });
  return { server, connections, sockets };
}

async function until(what: string, done: () => boolean): Promise<void> {
  for (let waited = 0; !done(); waited += 10) {
    assert.ok(waited < 5000, `waited for ${what}`);
    await sleep(10);
  }
}

const message = (n: number, bytes = 100): Uint8Array => {
  const of = new Uint8Array(bytes);
  new DataView(of.buffer).setUint32(0, n);
  return of;
};

const numbers = (chunks: readonly Buffer[], bytes = 100): number[] => {
  const all = Buffer.concat(chunks);
  return Array.from({ length: all.length / bytes }, (_, n) => all.readUInt32BE(n * bytes));
};

test("messages sent before the connection stands arrive, all, in order", async (t) => {
  const { server, connections } = collecting();
  const sender = senderTo(t, await listen(t, server));
  for (let n = 0; n < 3000; n++) {
    if (!sender.ready) await sender.writable();
    assert.ok(sender.send(message(n)));
  }
  assert.ok(await sender.drain(5000));
  await sender.close();
  await until("the bytes", () => numbers(connections[0]!).length === 3000);
  assert.deepEqual(
    numbers(connections[0]!),
    Array.from({ length: 3000 }, (_, n) => n),
  );
  const { datagrams, bytes, sendErrors } = sender.stats;
  assert.deepEqual({ datagrams, bytes, sendErrors }, { datagrams: 3000, bytes: 300_000, sendErrors: 0 });
});

test("nobody listens: what was queued is counted, then refused at once; one that comes is found", async (t) => {
  const { server, connections } = collecting();
  const spare = createServer();
  const free = await listen(t, spare);
  await new Promise((resolve) => spare.close(resolve));
  const sender = senderTo(t, free);
  const { session } = sender;
  assert.ok(sender.send(message(1)));
  await until("the refusal", () => sender.session !== session);
  assert.equal(sender.stats.sendErrors, 1);
  assert.match(sender.stats.lastError!, /ECONNREFUSED/);
  assert.ok(sender.ready, "waiting would not help");
  await listen(t, server, free);
  await until("the connection", () => connections.length > 0 && sender.send(message(2)));
  await until("the message", () => numbers(connections[0]!).includes(2));
});

test("a collector that dies: session goes up, the rest of the queue is counted, the next connection has none of it", async (t) => {
  const { server, connections, sockets } = collecting();
  const sender = senderTo(t, await listen(t, server));
  sender.send(message(1));
  await until("the first", () => connections.length === 1 && numbers(connections[0]!).length === 1);
  const session = sender.session!;
  sockets[0]!.resetAndDestroy();
  await until("the loss", () => sender.session === session + 1);
  assert.ok(!sender.send(message(2)), "refused until there is a connection");
  await until("the second connection", () => connections.length === 2);
  await until("the message", () => sender.send(message(3)) && numbers(connections[1]!).length > 0);
  assert.equal(numbers(connections[1]!)[0], 3);
});

test("a collector that reads nothing costs a full queue, then a refused message each: no more memory, no waiting", async (t) => {
  const silent = createServer((socket) => socket.pause());
  const sender = senderTo(t, await listen(t, silent), { queue: 64 });
  const { session } = sender;
  let taken = 0;
  for (let n = 0; n < 200_000 && sender.session === session; n++) {
    if (sender.send(message(n, 1400))) taken++;
    else await sleep(5);
    assert.ok(sender.stats.queued <= 64);
    if (n % 16 === 0) await sleep(0);
  }
  assert.equal(sender.session, session! + 1, "given up");
  assert.match(sender.stats.lastError!, /has read nothing/);
  const { datagrams, sendErrors } = sender.stats;
  assert.ok(sendErrors >= taken - datagrams, "every message was written or counted");
  assert.ok(sender.ready);
  await sender.writable();
});

test("TLS: a collector with the right certificate gets it, one with another does not", async (t) => {
  if (!needs(t, "openssl")) return;
  const folder = mkdtempSync(join(tmpdir(), "weir-tls-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const cert = join(folder, "cert.pem");
  const key = join(folder, "key.pem");
  const subject = ["-subj", "/CN=collector.test", "-addext", "subjectAltName=DNS:collector.test"];
  const made = spawnSync("openssl", [
    "req",
    "-x509",
    "-newkey",
    "rsa:2048",
    "-nodes",
    "-days",
    "2",
    ...subject,
    "-keyout",
    key,
    "-out",
    cert,
  ]);
  assert.equal(made.status, 0, String(made.stderr));
  const chunks: Buffer[] = [];
  const server = createTlsServer({ cert: readFileSync(cert), key: readFileSync(key) }, (socket) => {
    socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  });
  server.on("tlsClientError", () => {});
  const port = await listen(t, server);
  const right = senderTo(t, port, { transport: { kind: "tls", ca: cert, serverName: "collector.test" } });
  right.send(message(7));
  await until("the message", () => numbers(chunks).length === 1);

  const wrongName = senderTo(t, port, { transport: { kind: "tls", ca: cert, serverName: "other.test" } });
  const unknown = senderTo(t, port, { transport: { kind: "tls", serverName: "collector.test" } });
  for (const sender of [wrongName, unknown]) {
    sender.send(message(8));
    await until("the refusal", () => sender.stats.sendErrors > 0);
  }
  assert.match(wrongName.stats.lastError!, /other\.test/);
  assert.match(unknown.stats.lastError!, /self-signed/);
  const noFile = senderTo(t, port, { transport: { kind: "tls", ca: join(folder, "missing.pem") } });
  assert.match(noFile.stats.lastError!, /missing\.pem/);
  assert.deepEqual(numbers(chunks), [7]);
});

test("close says goodbye after what the kernel still holds, and refuses from then on", async (t) => {
  const { server, connections, sockets } = collecting();
  const sender = senderTo(t, await listen(t, server));
  for (let n = 0; n < 100; n++) sender.send(message(n));
  assert.ok(await sender.drain(2000));
  let ended = false;
  sockets[0]!.on("end", () => (ended = true));
  await sender.close();
  await until("the end", () => ended);
  assert.equal(numbers(connections[0]!).length, 100);
  assert.ok(!sender.send(message(1)));
  await sender.close();
});
