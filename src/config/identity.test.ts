import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { IF_INDEX_REST_MS, hostId, openIdentity } from "./identity.ts";
import { lockDirectory } from "./lock.ts";

const DAY = 86_400_000;

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), "weir-state-"));
  t.after(() => rmSync(path, { recursive: true }));
  return path;
}

function opener(stateDir: string, warnings: string[] = []) {
  return (nowMs: number, machineId = "machine-a") =>
    openIdentity({ stateDir, machineId, nowMs, warn: (message) => warnings.push(message) });
}

test("ifIndex: given once per bridge and port, kept over restarts", async (t) => {
  const open = opener(join(folder(t), "deep/state"));
  let identity = open(0);
  assert.equal(identity.ifIndex("weir0", "web1", {}, 0), 20_001);
  assert.equal(identity.ifIndex("weir0", "db1", {}, 0), 20_002);
  assert.equal(identity.ifIndex("weir1", "web1", {}, 0), 20_003);
  assert.equal(identity.ifIndex("weir0", "uplink", { physical: 3 }, 0), 3);
  assert.equal(identity.ifIndex("weir0", "big", { physical: 70_000 }, 0), 20_004);
  assert.equal(identity.ifIndex("weir0", "set", { override: 20_005 }, 0), 20_005);
  assert.equal(identity.ifIndex("weir0", "next", {}, 0), 20_006);
  await identity.close(0);
  identity = open(DAY);
  assert.equal(identity.ifIndex("weir0", "next", {}, DAY), 20_006);
  assert.equal(identity.ifIndex("weir0", "new", {}, DAY), 20_007);
  assert.equal(identity.ifIndex("weir0", "web1", {}, DAY), 20_001);
  await identity.close(DAY);
});

test("ifIndex: not given to another port for 30 days after its last use, then it is", async (t) => {
  const identity = opener(folder(t))(0);
  identity.ifIndex("b", "old", {}, 0);
  identity.ifIndex("b", "kept", {}, 0);
  identity.releaseIfIndex("b", "old", DAY);
  assert.equal(identity.ifIndex("b", "a", {}, DAY + IF_INDEX_REST_MS - 1), 20_003);
  assert.equal(identity.ifIndex("b", "b", {}, DAY + IF_INDEX_REST_MS), 20_001);
  // In use all the time, however long ago it was asked for.
  assert.equal(identity.ifIndex("b", "c", {}, 1000 * DAY), 20_004);
  await identity.close(0);
});

test("a physical NIC whose number another port carries gets one of ours", async (t) => {
  const identity = opener(folder(t))(0);
  identity.ifIndex("b", "x", { override: 3 }, 0);
  assert.equal(identity.ifIndex("b", "eth1", { physical: 3 }, 0), 20_001);
  await identity.close(0);
});

test("sequences and added ports survive; the file is readable JSON", async (t) => {
  const dir = folder(t);
  const open = opener(dir);
  let identity = open(0);
  assert.equal(identity.sequence("nf"), 0);
  identity.setSequence("nf", 4_000_000_000);
  identity.addPort({ bridge: "weir0", entry: { name: "x", type: "netdev", device: "a" } });
  identity.addPort({ bridge: "weir0", entry: { name: "x", type: "netdev", device: "b" } });
  identity.addPort({ bridge: "weir0", entry: { name: "y", type: "netdev", device: "c" } });
  assert.equal(identity.removePort("weir0", "y"), true);
  assert.equal(identity.removePort("weir0", "y"), false);
  await identity.close(0);
  identity = open(1);
  assert.equal(identity.sequence("nf"), 4_000_000_000);
  assert.deepEqual(identity.addedPorts, [{ bridge: "weir0", entry: { name: "x", type: "netdev", device: "b" } }]);
  assert.equal(identity.sequence("constructor"), 0);
  await identity.close(1);
  assert.equal(JSON.parse(readFileSync(join(dir, "identity.json"), "utf8")).exporters.nf.sequence, 4_000_000_000);
  assert.deepEqual(readdirSync(dir), ["identity.json"]);
});

test("writes are coalesced: at most one a second, and none without a change", async (t) => {
  const dir = folder(t);
  const identity = opener(dir)(0);
  const stored = () => JSON.parse(readFileSync(join(dir, "identity.json"), "utf8")).exporters.nf?.sequence;
  identity.setSequence("nf", 1);
  await identity.save(0);
  identity.setSequence("nf", 2);
  identity.tick(999);
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(stored(), 1);
  identity.tick(1000);
  await identity.save(1000);
  assert.equal(stored(), 2);
  rmSync(join(dir, "identity.json"));
  identity.tick(9000);
  await identity.save(9000);
  assert.ok(!readdirSync(dir).includes("identity.json"));
  await identity.close(10_000);
});

test("the id is a hash of the machine's; another machine gets a new identity, the old file is kept", async (t) => {
  const dir = folder(t);
  const warnings: string[] = [];
  const open = opener(dir, warnings);
  let identity = open(0);
  assert.equal(identity.id, hostId("machine-a\n"));
  assert.match(identity.id, /^[0-9a-f]{32}$/);
  identity.ifIndex("b", "p", { override: 7 }, 0);
  await identity.close(0);
  identity = open(5, "machine-b");
  assert.equal(identity.id, hostId("machine-b"));
  assert.equal(identity.ifIndex("b", "p", {}, 5), 20_001);
  await identity.close(5);
  assert.match(warnings.join(), /belongs to another machine: kept as .*identity\.json\.5/);
});

test("without a machine id the first id stays", async (t) => {
  const stateDir = folder(t);
  const open = () => openIdentity({ stateDir, nowMs: 0, warn: assert.fail });
  const first = open();
  await first.close(0);
  const second = open();
  assert.equal(second.id, first.id);
  await second.close(0);
});

test("a file that cannot be used is kept aside and told", async (t) => {
  for (const text of [
    "{",
    "",
    "[]",
    "null",
    '{"version":2}',
    '{"version":1,"id":"x","ifIndex":{"a/b":{"ifIndex":-1}}}',
  ]) {
    const dir = folder(t);
    writeFileSync(join(dir, "identity.json"), text);
    const warnings: string[] = [];
    const identity = opener(dir, warnings)(9);
    assert.equal(identity.ifIndex("b", "p", {}, 9), 20_001);
    assert.match(warnings[0]!, /is not JSON|cannot be used/);
    assert.equal(readFileSync(join(dir, "identity.json.9"), "utf8"), text);
    await identity.close(9);
  }
});

test("one process per state directory; a lock that was left behind is taken over", async (t) => {
  const dir = folder(t);
  const child = spawn(process.execPath, ["-e", "setInterval(()=>{},1000); console.log(1)"], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  t.after(() => child.kill("SIGKILL"));
  await new Promise((resolve) => child.stdout.once("data", resolve));
  lockDirectory(dir, child.pid!);
  assert.throws(() => opener(dir)(0), new RegExp(`is in use by process ${child.pid}: stop that weir first`));
  const gone = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGKILL");
  await gone;
  const identity = opener(dir)(0);
  assert.throws(() => opener(dir)(0), /is in use by process/);
  await identity.close(0);
  // The same pid, another process: a lock from before a reboot.
  writeFileSync(join(dir, "lock"), `{"pid":${process.pid},"start":"1","boot":"x"}`);
  const second = opener(dir)(0);
  await second.close(0);
  writeFileSync(join(dir, "lock"), `garbage`);
  const third = opener(dir)(0);
  await third.close(0);
  assert.deepEqual(readdirSync(dir), ["identity.json"]);
});

test("a directory that cannot be written names the fix", () => {
  assert.throws(() => opener("/proc/weir/state")(0), /cannot write \/proc\/weir\/state: .* set host\.stateDir/);
  assert.throws(() => opener("/etc/passwd")(0), /cannot write \/etc\/passwd/);
});
