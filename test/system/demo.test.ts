/** The demo as a user runs it: a process, its summary, every command asked of it, and its end. */
import assert from "node:assert/strict";
import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { chownSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test, { type TestContext } from "node:test";
import { which } from "../helpers/needs.ts";
import { COMMAND } from "../helpers/weir-process.ts";

interface Demo {
  readonly child: ChildProcess;
  said(): string;
  run(...args: string[]): { readonly status: number | null; readonly stdout: string; readonly stderr: string };
}

async function until(condition: () => boolean, what: string, ms = 20_000): Promise<void> {
  for (const from = Date.now(); !condition();) {
    if (Date.now() - from > ms) assert.fail(`${what}: not within ${ms / 1000} s`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Started with a runtime directory of its own, so that it meets no other switch; `prefix` runs it as somebody else. */
async function start(t: TestContext, prefix: readonly string[] = [], uid?: number): Promise<Demo> {
  const folder = mkdtempSync(join(tmpdir(), "weir-demo-"));
  if (uid !== undefined) chownSync(folder, uid, uid);
  const env = { ...process.env, XDG_RUNTIME_DIR: folder, HOME: folder, WEIR_API: "" };
  const [program, ...before] = [...prefix, process.execPath];
  const child = spawn(program!, [...before, COMMAND, "demo"], { env, stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  for (const stream of [child.stdout!, child.stderr!]) stream.on("data", (chunk) => (said += chunk));
  t.after(() => {
    child.kill("SIGKILL");
    rmSync(folder, { recursive: true, force: true });
  });
  await until(() => said.includes("every frame accounted for"), `the summary (said: ${said})`);
  const run = (...args: string[]) =>
    spawnSync(program!, [...before, COMMAND, ...args], { env, encoding: "utf8", timeout: 20_000 });
  return { child, said: () => said, run };
}

function ended(child: ChildProcess): Promise<number | null> {
  return new Promise((resolve) => (child.exitCode === null ? child.once("exit", resolve) : resolve(child.exitCode)));
}

test("the demo forwards, is asked everything, adds up, and ends at Ctrl-C", { timeout: 90_000 }, async (t) => {
  const { child, said, run } = await start(t);
  assert.match(said(), /5 tenants, 14 ports/);
  assert.match(said(), /every frame accounted for: yes/);
  const [, origin, key] = /live view\s+(http:\/\/127\.0\.0\.1:\d+)\/#k=([\w-]{16,})\s/.exec(said())!;
  const open = () =>
    fetch(`${origin}/api/v1/session`, {
      method: "POST",
      body: JSON.stringify({ key }),
      headers: { "content-type": "application/json" },
    });
  assert.equal(((await (await open()).json()) as { role: string }).role, "operator");
  assert.equal((await open()).status, 401, "the link is good once");
  const page = await fetch(`${origin}/`);
  assert.match(await page.text(), /<script [^>]*src="\/?app\.js"/);
  assert.match(page.headers.get("content-security-policy")!, /default-src 'none'|default-src 'self'/);

  const ok = (...args: string[]): string => {
    const { status, stdout, stderr } = run(...args);
    assert.equal(status, 0, `weir ${args.join(" ")}: ${stdout}${stderr}`);
    return stdout;
  };
  const json = <T>(...args: string[]): T => JSON.parse(ok(...args, "--json")) as T;
  assert.match(ok("status"), /14 ports: 14 up/);
  for (const what of ["ports", "flows", "macs", "rules", "drops", "exporters", "tenants", "audit", "system", "config"])
    ok("show", what);

  const flows = json<{ total: number; items: Record<string, unknown>[] }>(
    "show",
    "flows",
    "--where",
    "proto=tcp",
    "--limit",
    "5",
  );
  assert.equal(flows.items.length, 5);
  for (const flow of flows.items) {
    assert.deepEqual([flow.proto, flow.bridge, flow.disposition], [6, "weir0", "forwarded"]);
    assert.ok(Number(flow.packets) > 0 && Number(flow.bytes) >= Number(flow.l3Bytes) && Array.isArray(flow.output));
    assert.ok(Math.abs(Date.now() - Number(flow.lastMs)) < 60_000, "times are now");
  }
  assert.ok(
    flows.items.some((flow) => Number(flow.bps) > 0),
    "rates",
  );
  const lines = ok("show", "flows", "--json", "--limit", "0").trimEnd().split("\n");
  assert.ok(lines.length >= flows.total);
  for (const line of lines) JSON.parse(line);

  const { items: ports } = json<{
    items: {
      name: string;
      tenant?: string;
      rxPackets: number;
      forwarded: number;
      dropped: number;
      pending: number;
      consumed: number;
    }[];
  }>("show", "ports");
  for (const port of ports)
    assert.equal(port.rxPackets, port.forwarded + port.dropped + port.pending + port.consumed, port.name);
  const drops = json<{ items: { reason: string; trace?: string }[] }>("show", "drops", "--since", "start");
  assert.ok(drops.items.some((drop) => drop.reason === "ingress_vlan_filter"));
  // What it says to trace explains the very refusal.
  const traced = drops.items.find((drop) => drop.trace !== undefined && drop.reason === "ingress_vlan_filter")!;
  const trace = run("trace", ...traced.trace!.split(" "));
  assert.ok(trace.status === 0 ? trace.stdout.includes("ingress_vlan_filter") : trace.stderr.includes("any more"));
  const [audit] = json<{ items: { ok: boolean; rx: number }[] }>("show", "audit").items;
  assert.ok(audit!.ok && audit!.rx > 1000);

  assert.match(ok("reload", "--dry-run"), /= 14 ports untouched/);
  const [web] = ports.filter((port) => port.tenant === "acme");
  assert.match(ok("port", "disable", web!.name), /disabled/);
  assert.match(ok("port", "enable", web!.name), / up /);
  assert.equal(run("port", "del", web!.name).status, 1);
  assert.match(ok("version"), /switch +weir/);

  child.kill("SIGINT");
  assert.equal(await ended(child), 0);
  assert.equal(run("status").status, 3);
});

test("the demo as a user without rights", { timeout: 60_000 }, async (t) => {
  if (process.getuid!() !== 0) return t.skip("the other test ran without rights already");
  const setpriv = which("setpriv");
  if (setpriv === undefined) return t.skip("needs setpriv");
  const nobody = [setpriv, "--reuid", "65534", "--regid", "65534", "--clear-groups"];
  const reads = spawnSync(setpriv, [...nobody.slice(1), process.execPath, "--check", COMMAND]);
  if (reads.status !== 0) return t.skip("the project's folder is closed to other users here");
  const { child, run } = await start(t, nobody, 65_534);
  assert.equal(run("show", "audit").status, 0);
  child.kill("SIGTERM");
  assert.equal(await ended(child), 0);
});
