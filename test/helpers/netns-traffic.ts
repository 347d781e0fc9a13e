/** Traffic between guests, judged by what arrives. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { type Guest, start, tryInside, until } from "./netns.ts";

/** Three pings; true when all were answered. */
export function pings(from: Guest, to: string, ...more: string[]): boolean {
  return tryInside(from, "ping", "-q", "-c", "3", "-i", "0.1", "-W", "2", ...more, to).status === 0;
}

/**
 * Send a file of random bytes over TCP from `from` to an `address` of `to` (undefined: this host); both ends' digests
 * must agree. Returns what was sent.
 */
export async function sendFile(
  t: TestContext,
  from: Guest | undefined,
  to: Guest | undefined,
  address: string,
  bytes: number,
): Promise<Buffer> {
  const folder = mkdtempSync(join(tmpdir(), "weir-ports-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const [sent, got] = [join(folder, "sent"), join(folder, "got")];
  writeFileSync(sent, randomBytes(bytes));
  const listen = `require("net").createServer((s) => s.pipe(require("fs").createWriteStream(${JSON.stringify(got)})).on("finish", () => process.exit())).listen(5000, "::", () => console.log("ready"))`;
  const server = start(t, to, process.execPath, "-e", listen);
  await until(() => server.output().includes("ready"), "the receiver listens");
  const send = `require("fs").createReadStream(${JSON.stringify(sent)}).pipe(require("net").connect(5000, ${JSON.stringify(address)}))`;
  const client = start(t, from, process.execPath, "-e", send);
  const timer = setTimeout(() => void server.stop(), 60_000);
  assert.equal(await server.ended, 0, `received: ${server.output()}${client.output()}`);
  clearTimeout(timer);
  const digest = (path: string): string => createHash("sha256").update(readFileSync(path)).digest("hex");
  assert.equal(digest(got), digest(sent));
  return readFileSync(sent);
}

/** iperf3 for `seconds` from `from` to `to`: the `end` of its JSON. */
export async function iperf(
  t: TestContext,
  from: Guest,
  to: Guest,
  { seconds = 2, flags = [] as readonly string[] } = {},
): Promise<any> {
  const server = start(t, to, "iperf3", "-s", "-1", "--forceflush");
  await until(() => server.output().includes("listening"), "iperf3 listens");
  const client = start(t, from, "iperf3", "-c", to.ip, "-t", `${seconds}`, "-J", ...flags);
  assert.equal(await client.ended, 0, client.output());
  await server.stop();
  return JSON.parse(client.output()).end;
}
