import assert from "node:assert/strict";
import { test } from "node:test";
import { makeKey, type KeyFields } from "../../test/helpers/keys.ts";
import { ScriptedDatapath, status } from "../../test/helpers/scripted-datapath.ts";
import type { BridgeConfig, FlowsConfig, PortConfig } from "../config/config.ts";
import { DISPOSITIONS, DROP_REASONS } from "../flow/disposition.ts";
import * as act from "../pipeline/actions.ts";
import { RecordLog } from "../shm/log.ts";
import { Bridge, type BridgeEvent } from "./bridge.ts";
import { Tenants } from "./owners.ts";
import { settled } from "./settle.ts";

const SECOND = 1e9;

const flows: FlowsConfig = {
  activeTimeoutMs: 60_000,
  idleTimeoutMs: 15_000,
  tcpEndTimeoutMs: 2000,
  max: 1000,
  maxPerPort: 0.5,
};

const port = (name: string, more: Partial<PortConfig> = {}): PortConfig => ({
  name,
  type: "memory",
  enabled: true,
  options: {},
  origin: "config",
  ...more,
});

const config = (ports: readonly PortConfig[], more: Partial<BridgeConfig> = {}): BridgeConfig => ({
  name: "weir0",
  datapath: "auto",
  mode: "switch",
  failMode: "standalone",
  macAgingMs: 300_000,
  macTableSize: 64,
  dropMalformed: false,
  sampling: { rate: 400, header: 128 },
  ports,
  ...more,
});

class Bed {
  readonly datapath = new ScriptedDatapath(65536);
  readonly events: BridgeEvent[] = [];
  readonly given: string[] = [];
  readonly bridge: Bridge;

  constructor(first: BridgeConfig) {
    this.bridge = new Bridge({
      config: first,
      flows,
      datapath: this.datapath,
      log: RecordLog.create(64),
      boot: { unixMs: 0, ns: 0 },
      ifIndexFor: (bridge, name, physical) => {
        this.given.push(`${bridge}/${name}/${physical}`);
        return physical || 20000 + this.given.length;
      },
      onEvent: (event) => this.events.push(event),
    });
  }

  no(name: string): number {
    return this.bridge.port(name)!.no;
  }

  /** Send a frame; where it went. */
  send(name: string, fields: Omit<KeyFields, "port"> = {}): string {
    const key = makeKey({ port: this.no(name), ...fields });
    if (this.datapath.receive(key) === undefined) this.bridge.answerMisses(this.datapath.timeNs);
    const { actions } = this.datapath.fates.at(-1)!;
    const kind = DISPOSITIONS[act.disposition(actions)]!;
    if (kind === "dropped") return DROP_REASONS[act.detail(actions)]!.name;
    const outs = Array.from(
      { length: act.outputCount(actions) },
      (_, n) => this.bridge.portAt(act.outputPort(actions, n))!.name,
    );
    return outs.join() || kind;
  }

  settle(): void {
    for (let n = 0; n < 500; n++) if (!this.bridge.tick(this.datapath.timeNs)) return;
    assert.fail("ticks do not end");
  }
}

test("nothing happens before start; then ports, limits and sampling are programmed", async () => {
  const bed = new Bed(config([port("a"), port("b", { sampling: { rate: 10 }, enabled: false })]));
  assert.equal(bed.datapath.changes.length + bed.datapath.specs.size, 0);
  assert.deepEqual(await bed.bridge.start(), []);
  assert.deepEqual(
    [...bed.datapath.specs.values()].map((spec) => spec.name),
    ["a", "b"],
  );
  const said = bed.datapath.changes;
  assert.deepEqual(said[0]!.limits, { maxFlowsPerPort: 500 });
  assert.deepEqual(
    said.flatMap((change) => change.enabled ?? []),
    [
      { port: 1, up: true },
      { port: 2, up: false },
    ],
  );
  assert.deepEqual(said.find((change) => change.sampling)?.sampling, [
    { port: 1, rate: 400, header: 128 },
    { port: 2, rate: 10, header: 128 },
  ]);
  assert.ok(said.at(-1)!.enabled, "no port is enabled before all is known");
});

test("a change is settled when every rule follows it and the datapath has it", async () => {
  const bed = new Bed(config([port("a"), port("b")]));
  await bed.bridge.start();
  bed.settle();
  bed.send("a", { src: 1, dst: 2 });
  await bed.bridge.apply(config([port("a"), port("b", { vlan: { mode: "access", tag: 10 } })]));
  let isSettled = false;
  const waiting = settled(bed.bridge).then((answer) => (isSettled = answer));
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(isSettled, false, "a rule still says what was");
  bed.settle();
  assert.equal(await waiting, true);
  assert.equal(bed.send("a", { src: 1, dst: 2 }), "port_list_is_empty");
  bed.datapath.applied = () => 0;
  setTimeout(() => (bed.datapath.timeNs += 6 * SECOND), 10);
  assert.equal(await settled(bed.bridge), false, "a datapath that is stuck");
});

test("ports that leave together are still before the first is gone", async () => {
  const bed = new Bed(config([port("a"), port("b"), port("c")]));
  await bed.bridge.start();
  const from = bed.datapath.changes.length;
  const attached = (): number => bed.datapath.specs.size;
  const seen: number[] = [];
  const { program } = bed.datapath;
  bed.datapath.program = (change) => {
    if (change.enabled) seen.push(attached());
    return program.call(bed.datapath, change);
  };
  await bed.bridge.apply(config([port("a")]));
  assert.deepEqual(bed.datapath.changes[from]!.enabled, [
    { port: 2, up: false },
    { port: 3, up: false },
  ]);
  assert.equal(seen[0], 3);
  assert.equal(attached(), 1);
});

test("frames are switched, and an audit adds up", async () => {
  const bed = new Bed(config([port("a"), port("b"), port("c")]));
  await bed.bridge.start();
  assert.equal(bed.send("a", { src: 1, dst: 2 }), "b,c");
  assert.equal(bed.send("b", { src: 2, dst: 1 }), "a");
  assert.equal(bed.send("a", { src: 1, dst: 2 }), "b");
  assert.equal(bed.send("a", { src: 1, dst: 1 }), "src_mac_is_dmac");
  const proof = bed.bridge.audit();
  assert.equal(proof.ok && proof.exact, true);
  assert.deepEqual(
    [proof.rx, proof.forwarded, proof.dropped, proof.unattributed, proof.drops],
    [4, 3, 1, 4, { src_mac_is_dmac: 1 }],
  );
  bed.datapath.receive(makeKey({ port: 1, src: 9, dst: 8 }));
  const waiting = bed.bridge.audit();
  assert.deepEqual([waiting.ok, waiting.rx, waiting.pending], [true, 5, 1]);
});

test("an audit names the port and the term that does not hold", async () => {
  const bed = new Bed(config([port("a"), port("b")]));
  await bed.bridge.start();
  bed.send("a");
  const counters = bed.datapath.counters.bind(bed.datapath);
  bed.datapath.counters = (out) => {
    counters(out);
    out.values[1 * (out.values.length / out.ports) + 0]! += 1;
    return out;
  };
  const proof = bed.bridge.audit();
  assert.equal(proof.ok, false);
  assert.deepEqual(proof.failing, [
    { port: 1, term: "dispositions", off: 1 },
    { port: 1, term: "flows", off: 1 },
  ]);
});

test("a port that cannot be attached is failed, with the cause; the others run; it is tried again", async () => {
  const bed = new Bed(config([port("a"), port("bad"), port("c")]));
  bed.datapath.refusals.set("bad", "eth9: no such device");
  assert.deepEqual(await bed.bridge.start(), [{ port: "bad", message: "eth9: no such device" }]);
  assert.equal(bed.bridge.port("bad")!.status.state, "failed");
  assert.equal(bed.send("a"), "c");
  bed.datapath.refusals.clear();
  assert.deepEqual(await bed.bridge.apply(bed.bridge.config), []);
  bed.settle();
  assert.equal(bed.send("a"), "bad,c");
});

test("apply is the difference: what stays is not touched, numbers belong to names", async () => {
  const bed = new Bed(config([port("a"), port("b"), port("c")]));
  await bed.bridge.start();
  const before = bed.no("c");
  await bed.bridge.apply(config([port("a"), port("c"), port("d")]));
  assert.deepEqual([...bed.datapath.specs.keys()], [1, 3, 4]);
  assert.equal(bed.no("c"), before);
  assert.equal(bed.bridge.port("b"), undefined);
  assert.equal(bed.bridge.portInfo(2)!.name, "b", "records may still name it");
  await bed.bridge.apply(config([port("a", { options: { device: "x" } }), port("b"), port("c"), port("d")]));
  assert.equal(bed.no("b"), 2, "it gets its own number again");
  assert.deepEqual(bed.datapath.specs.get(1)!.options, { device: "x" }, "another attachment is attached anew");
  bed.settle();
  assert.equal(bed.send("d"), "a,b,c");
  assert.deepEqual(
    bed.events.map((event) => event.message),
    ["b left the bridge"],
  );
});

test("a VLAN that changes moves nothing else: its rules are decided again, its stations forgotten", async () => {
  const access = (tag: number): Partial<PortConfig> => ({ vlan: { mode: "access", tag } });
  const bed = new Bed(config([port("a", access(100)), port("b", access(100)), port("c", access(100))]));
  await bed.bridge.start();
  bed.send("a", { src: 1, dst: 2 });
  bed.send("b", { src: 2, dst: 1 });
  assert.equal(bed.send("a", { src: 1, dst: 2 }), "b");
  const specs = bed.datapath.specs.get(2);
  await bed.bridge.apply(config([port("a", access(100)), port("b", access(200)), port("c", access(100))]));
  bed.settle();
  assert.equal(bed.datapath.specs.get(2), specs, "not attached anew");
  assert.equal(bed.send("a", { src: 1, dst: 2 }), "c", "never into another VLAN");
  assert.equal(bed.send("b", { src: 2, dst: 1 }), "port_list_is_empty");
});

test("calls of apply queue up", async () => {
  const bed = new Bed(config([port("a")]));
  await Promise.all([
    bed.bridge.start(),
    bed.bridge.apply(config([port("a"), port("b")])),
    bed.bridge.apply(config([port("b"), port("c")])),
  ]);
  assert.deepEqual(
    bed.bridge.ports().map((entry) => entry.name),
    ["b", "c"],
  );
});

test("states are polled once a second: events, floods, ifIndex", async () => {
  const bed = new Bed(config([port("a"), port("b", { ifIndex: 7 }), port("c")]));
  await bed.bridge.start();
  bed.datapath.statuses.set(1, status({ ifIndex: 3, device: "eth1" }));
  bed.datapath.statuses.set(2, status({ state: "absent", message: "no device eth2" }));
  bed.datapath.statuses.set(3, status());
  bed.settle();
  assert.deepEqual(bed.given, ["weir0/a/3", "weir0/c/0"]);
  assert.deepEqual(
    [1, 2, 3].map((no) => bed.bridge.portInfo(no)!.ifIndex),
    [3, 7, 20002],
  );
  assert.deepEqual(
    [1, 2, 3].map((no) => bed.bridge.outcomes.ifIndexOf[no]),
    [3, 7, 20002],
  );
  assert.deepEqual(
    bed.events.map((event) => event.message),
    ["b is absent: no device eth2"],
  );
  assert.equal(bed.send("a"), "c");
  bed.datapath.statuses.set(2, status({ device: "eth2" }));
  bed.datapath.timeNs += SECOND;
  bed.settle();
  assert.equal(bed.events.at(-1)!.message, "b is up (eth2)");
  assert.equal(bed.send("a"), "b,c");
});

test("a disabled port takes and gives nothing, and its rules know", async () => {
  const bed = new Bed(config([port("a"), port("b"), port("c")]));
  await bed.bridge.start();
  assert.equal(bed.bridge.setEnabled("b", false), true);
  assert.equal(bed.bridge.setEnabled("nobody", false), false);
  assert.deepEqual(bed.datapath.changes.at(-1)!.enabled, [{ port: 2, up: false }]);
  bed.settle();
  assert.equal(bed.send("a"), "c");
  assert.equal(bed.bridge.config.ports[1]!.enabled, false);
});

test("moves of a station are told once a second, with their number", async () => {
  const bed = new Bed(config([port("a"), port("b"), port("c")]));
  await bed.bridge.start();
  for (let n = 0; n < 5; n++) {
    bed.send("a", { src: 1, dst: 9 });
    bed.send("b", { src: 1, dst: 9 });
  }
  bed.settle();
  assert.deepEqual(
    bed.events.map((event) => event.message),
    ["02:00:00:00:00:01 moved from a to b, 9 times"],
  );
});

test("a smaller MAC table keeps the newest stations; observe mode and dropMalformed follow at once", async () => {
  const bed = new Bed(config([port("a"), port("b"), port("c")]));
  await bed.bridge.start();
  for (let n = 0; n < 20; n++) {
    bed.datapath.timeNs = n * 1000;
    bed.send("a", { src: 10 + n, dst: 1 });
  }
  await bed.bridge.apply(config([port("a"), port("b"), port("c")], { macTableSize: 10 }));
  bed.settle();
  assert.equal(bed.bridge.macStats().entries, 10);
  assert.equal(bed.send("b", { src: 2, dst: 29 }), "a");
  assert.equal(bed.send("b", { src: 2, dst: 11 }), "a,c");
  await bed.bridge.apply(config([port("a"), port("b"), port("c")], { mode: "observe" }));
  bed.settle();
  assert.equal(bed.send("b", { src: 2, dst: 29 }), "observed");
});

test("whose a flow is: its ingress port's, else its VLAN's, else its output's", () => {
  const tenants = new Tenants({ acme: { vlans: [100, 101] }, globex: { vlans: [110] } });
  assert.equal(tenants.ofFlow({ tenant: "initech" }, 100, undefined), "initech");
  assert.equal(tenants.ofFlow({ vm: "x" }, 101, { tenant: "initech" }), "acme");
  assert.equal(tenants.ofFlow(undefined, 7, { tenant: "initech" }), "initech");
  assert.equal(tenants.ofFlow(undefined, 7, undefined), undefined);
  assert.deepEqual(tenants.allOfFlow({ tenant: "acme" }, 110, { tenant: "acme" }), ["acme", "globex"]);
});
