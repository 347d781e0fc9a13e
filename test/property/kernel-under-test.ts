/** A bridge over the kernel datapath, its ports on veth pairs, driven by the same operations as switch-under-test.ts. */
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { Bridge } from "../../src/bridge/bridge.ts";
import type { BridgeConfig, FlowsConfig, PortConfig } from "../../src/config/config.ts";
import { KernelDatapath } from "../../src/datapath/kernel/index.ts";
import * as C from "../../src/shm/counters.ts";
import { RecordLog } from "../../src/shm/log.ts";
import type { WireEnds } from "../helpers/wire-ends.ts";
import { stamp, stampOf, type Change, type Operation, type Setup } from "./arbitraries.ts";
import { Books } from "./books.ts";
import { burst, createPlace, describePassage, isAllowed, type Place, type Sent } from "./passage.ts";

const LOG_RECORDS = 1 << 15;
/** What a device of 1500 bytes takes in: a header and a tag more. */
const SHORTEST = 14;
const LONGEST = 1514;
const QUIET_MS = 4;

/** Linux frees a frame with less than a tag and an Ethertype behind its TPID before any program sees it (skb_vlan_untag). */
function isHalfTagged(bytes: Uint8Array): boolean {
  const type = (bytes[12]! << 8) | bytes[13]!;
  return (type === 0x8100 || type === 0x88a8) && bytes.length < SHORTEST + 6;
}

export class KernelUnderTest {
  private readonly wires: WireEnds;
  private readonly datapath: KernelDatapath;
  private readonly bridge: Bridge;
  private readonly books: Books;
  private readonly places: Place[];
  private readonly sent: Sent[] = [];
  private readonly short: Sent[] = [];
  private readonly given: number[];
  private readonly capacity: number;
  private failure: Error | undefined;

  constructor(wires: WireEnds, { capacity }: Setup, first: Change) {
    this.wires = wires;
    this.capacity = capacity;
    this.places = wires.ends.map((_, n) => createPlace(`p${n}`));
    this.given = wires.ends.map(() => 0);
    for (const end of wires.ends) end.received();
    this.datapath = new KernelDatapath({
      capacity,
      onAttention: () => {},
      onFailure: (error) => (this.failure = error),
    });
    this.bridge = new Bridge({
      config: this.config(first),
      flows: this.flows(first),
      datapath: this.datapath,
      log: RecordLog.create(LOG_RECORDS),
      boot: { unixMs: 1_700_000_000_000, ns: this.datapath.nowNs() },
      ifIndexFor: (_bridge, name) => 1000 + Number(name.slice(1)),
    });
    this.books = new Books(this.bridge);
  }

  async start(): Promise<void> {
    await this.bridge.start();
    await this.check();
  }

  async run(operation: Operation): Promise<void> {
    if (operation.kind === "frames") {
      for (const { bytes } of operation.frames) this.send(operation.port, bytes.slice());
    } else if (operation.kind === "burst") {
      for (let n = 0; n < operation.count; n++) this.send(operation.port, burst(operation.vary, n).bytes);
    } else if (operation.kind === "apply") {
      await this.bridge.apply(this.config(operation.change), this.flows(operation.change));
      for (const place of this.places) place.mayBe = place.mayBe.slice(-1);
      for (const place of this.places) if (this.bridge.port(place.name) === undefined) place.mayBe = [];
    } else if (operation.kind === "enable") {
      const place = this.places[operation.port % this.places.length]!;
      const config = place.mayBe.at(-1);
      if (config && this.bridge.setEnabled(place.name, operation.up))
        place.mayBe = [{ ...config, enabled: operation.up }];
    } else {
      return;
    }
    await this.check();
  }

  async stop(): Promise<void> {
    const numbers = this.numbers();
    await this.bridge.stop();
    this.books.checkEnd(numbers);
  }

  async close(): Promise<void> {
    await this.datapath.close();
    if (this.failure) throw this.failure;
  }

  private numbers(): number[] {
    return this.places.map((place) => place.no).filter((no) => no > 0);
  }

  private config(change: Change): BridgeConfig {
    const ports = this.places.flatMap((place, n): PortConfig[] => {
      const choice = change.ports[n];
      if (choice === undefined) return [];
      const config: PortConfig = {
        name: place.name,
        type: "netdev",
        enabled: choice.enabled,
        options: { device: this.wires.ends[n]!.device, takeOver: false, direction: "ingress", slots: 256 },
        origin: "config",
        ...(choice.vlan && { vlan: choice.vlan }),
        ...(choice.sampling !== undefined && { sampling: { rate: choice.sampling } }),
      };
      place.mayBe.push(config);
      return [config];
    });
    return {
      name: "weir0",
      datapath: "kernel",
      mode: "switch",
      failMode: "standalone",
      macAgingMs: change.macAgingMs,
      macTableSize: change.macTableSize,
      dropMalformed: change.dropMalformed,
      sampling: { rate: change.samplingRate, header: change.header },
      ports,
    };
  }

  private flows(change: Change): FlowsConfig {
    return {
      activeTimeoutMs: change.activeMs,
      idleTimeoutMs: change.idleMs,
      tcpEndTimeoutMs: change.tcpEndMs,
      max: this.capacity,
      maxPerPort: change.maxPerPort,
    };
  }

  /** Through a port that is there: the others' frames are the host's. */
  private send(port: number, bytes: Uint8Array): void {
    const n = port % this.places.length;
    const place = this.places[n]!;
    const entry = this.bridge.port(place.name);
    if (entry?.attached !== true || bytes.length < SHORTEST || bytes.length > LONGEST || isHalfTagged(bytes)) return;
    const sent: Sent = { from: place, bytes, packets: 1, gsoHeaders: 0, to: new Set() };
    if (stamp(bytes, this.sent.length)) this.sent.push(sent);
    else this.short.push(sent);
    if (entry.config.enabled) this.given[n]!++;
    this.wires.ends[n]!.send(bytes);
  }

  /** Let everything flow until nothing moves. */
  private async settle(): Promise<void> {
    const { snapshot } = this.books;
    let before = "";
    for (let quiet = 0; quiet < 3;) {
      this.bridge.tick(this.datapath.nowNs());
      const now = this.datapath.counters(snapshot).values.join();
      const isWaiting = this.numbers().some((no) => snapshot.get(no, C.C_PENDING) > 0);
      quiet = now === before && !isWaiting ? quiet + 1 : 0;
      before = now;
      await sleep(QUIET_MS);
    }
  }

  private async check(): Promise<void> {
    for (const place of this.places) place.no ||= this.bridge.port(place.name)?.no ?? 0;
    await this.settle();
    for (const [n, place] of this.places.entries())
      for (const bytes of this.wires.ends[n]!.received()) this.left(place, bytes);
    const snapshot = this.books.check(this.numbers());
    for (const [n, { no, name, txPackets, txBytes }] of this.places.entries()) {
      if (no === 0) continue;
      assert.equal(snapshot.get(no, C.C_RX_PACKETS), this.given[n], `${name}: rx = what it was given`);
      assert.equal(snapshot.get(no, C.C_TX_PACKETS), txPackets, `${name}: tx = what left`);
      assert.equal(snapshot.get(no, C.C_TX_BYTES), txBytes, `${name}: tx bytes`);
    }
  }

  /** A frame came out: was it allowed to, by the configuration in force? */
  private left(place: Place, bytes: Uint8Array): void {
    const id = stampOf(bytes);
    const known = id === undefined ? undefined : this.sent[id];
    const sent = (known ? [known] : this.short).find((one) => isAllowed(one, place, bytes));
    assert.ok(sent, `${place.name} sent what it may not: ${describePassage(known, place, bytes)}`);
    if (known) assert.ok(!sent.to.has(place), `a second copy of one frame on ${place.name}`);
    sent.to.add(place);
    place.txPackets++;
    place.txBytes += bytes.length;
  }
}
