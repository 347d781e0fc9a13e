/** Selection by owner: every key, and what becomes of it when a VM restarts or moves. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Owner } from "../flow/attachment.ts";
import type { MirrorPlan } from "../pipeline/mirror-plan.ts";
import { RecordRing } from "../shm/ring.ts";
import { hostTunnels } from "./erspan.ts";
import { MirrorKeeper, type MirrorPort } from "./keeper.ts";
import { Remotes } from "./remotes.ts";
import { selectPorts } from "./select.ts";

function port(no: number, name: string, owner: Owner | undefined, mac?: string): MirrorPort {
  return {
    no,
    name,
    ifIndex: 20_000 + no,
    attached: true,
    config: owner === undefined ? {} : { owner },
    status: { mac },
  };
}

const none = { all: false, ports: [], owners: [], direction: "both", dropped: "include" } as const;
const ports = [
  port(1, "web1", { tenant: "acme", vm: "web1", vmId: "4c4c-1", ifaceId: "if-1" }, "02:00:00:00:00:01"),
  port(2, "web1b", { tenant: "acme", vm: "web1", vmId: "4c4c-1", ifaceId: "if-2" }),
  port(3, "db1", { tenant: "globex", vm: "db1", labels: { mac: "02:00:00:00:00:03" } }),
  port(4, "uplink", undefined),
];

test("each key selects, several of one owner narrow, several owners add", () => {
  const names = (...owners: object[]): string =>
    selectPorts({ ...none, owners }, ports)
      .map(({ name }) => name)
      .join(" ");
  assert.equal(names({ tenant: "acme" }), "web1 web1b");
  assert.equal(names({ vm: "db1" }), "db1");
  assert.equal(names({ vmId: "4c4c-1" }), "web1 web1b");
  assert.equal(names({ ifaceId: "if-2" }), "web1b");
  assert.equal(names({ mac: "02:00:00:00:00:01" }), "web1");
  assert.equal(names({ mac: "02:00:00:00:00:03" }), "db1");
  assert.equal(names({ vm: "web1", ifaceId: "if-1" }), "web1");
  assert.equal(names({ ifaceId: "if-1" }, { vm: "db1" }), "web1 db1");
  assert.equal(selectPorts({ ...none, all: true }, ports).length, 4);
});

test("an owner's session survives a restart and a move of the VM; one by a template's port ends with it", () => {
  let now: MirrorPort[] = [...ports];
  let plan: MirrorPlan | undefined;
  const keeper = new MirrorKeeper({
    bridge: "weir0",
    mode: () => "switch",
    datapath: {
      kind: "userspace",
      copies: RecordRing.create(4096),
      sessions: new Float64Array(32 * 64),
      program: () => 0,
      applied: () => 0,
      nowNs: () => 0,
    },
    capturesDir: "/nonexistent",
    tunnels: hostTunnels,
    remotes: new Remotes(),
    ports: () => now,
    port: () => undefined,
    setPlan: (next) => (plan = next),
    isTemplated: (name) => name === "vnet7",
    nowNs: () => 0,
    unix: () => ({ seconds: 0, nanoseconds: 0 }),
    tell: () => {},
  });
  const limit = { pps: 0, bps: 0, durationMs: 0, packets: 0 };
  const outputs = [{ type: "span", port: "uplink" }] as const;
  const session = (name: string, select: object): void =>
    void keeper.start(
      { name, outputs, snaplen: 0, sample: 1, limit, select: { ...none, ...select } },
      { origin: "api", startedBy: "test" },
      0,
    );
  const means = (name: string): number[] => [...(plan?.sessions.find((one) => one.name === name)?.ports ?? [])];
  session("db", { owners: [{ vm: "db1" }] });
  assert.deepEqual(means("db"), [3]);
  now = ports.filter(({ name }) => name !== "db1");
  keeper.follow();
  assert.deepEqual(means("db"), []);
  assert.equal(keeper.find("db")!.message, "matches no port: no port has owner vm db1");
  // Restarted, on another port.
  now = [...now, port(9, "tap9", { vm: "db1" })];
  keeper.follow();
  assert.deepEqual(means("db"), [9]);
  assert.equal(keeper.find("db")!.message, undefined);
  now = [...now, port(10, "vnet7", undefined)];
  session("by-name", { ports: ["vnet7"] });
  assert.deepEqual(means("by-name"), [10]);
  now = now.filter(({ name }) => name !== "vnet7");
  keeper.follow();
  assert.equal(keeper.list().find(({ name }) => name === "by-name")!.message, "port gone: vnet7");
});
