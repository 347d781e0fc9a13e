/**
 * A bridge over the in-thread datapath and memory ports, driven by operations, and beside it what can be said of it
 * without its help: frames put in and frames that came out, VLANs they may use, counts.
 */
import assert from "node:assert/strict";
import { setImmediate as turn } from "node:timers/promises";
import { Bridge } from "../../src/bridge/bridge.ts";
import type { BridgeConfig, FlowsConfig, PortConfig } from "../../src/config/config.ts";
import { LocalDatapath } from "../../src/datapath/userspace/local.ts";
import memoryPort, { memory, type MemoryFrame } from "../../src/ports/memory/index.ts";
import { VNET_BYTES } from "../../src/ports/port.ts";
import * as C from "../../src/shm/counters.ts";
import { RecordLog } from "../../src/shm/log.ts";
import { samplesOf } from "../helpers/datapath-tools.ts";
import { PORTS, stamp, stampOf, type Change, type Made, type Operation, type Setup } from "./arbitraries.ts";
import { Books } from "./books.ts";
import {
  burst,
  createPlace,
  describePassage,
  isAllowed,
  packetsOf,
  vlansOf,
  waiting,
  type Place,
  type Sent,
} from "./passage.ts";
import { egressBytes, ingressVlan, isGroup, isReserved, tagsOf } from "./vlan-model.ts";

const LOG_RECORDS = 1 << 15;
const names = Array.from({ length: PORTS }, (_, n) => `p${n}`);

export class SwitchUnderTest {
  readonly datapath: LocalDatapath;
  readonly bridge: Bridge;
  readonly books: Books;
  private readonly setup: Setup;
  private readonly places: Place[];
  private readonly sent: Sent[] = [];
  /** Too short to carry a stamp: any of them may be what left. */
  private readonly short: Sent[] = [];
  /** Well-formed frames since the last step; and: some link was not as the bridge thinks, so frames may be refused. */
  private wholes: Sent[] = [];
  private isLinkTouched = false;
  /** The one frame that is on its way, where they come one at a time. */
  private current: Sent | undefined;
  private change: Change;
  private applying = 0;
  /** Samples are checked as long as each change was waited for. */
  private isSamplingKnown = true;
  private isObserving: boolean;
  private nowNs: number;

  constructor(setup: Setup, first: Change) {
    this.setup = setup;
    this.nowNs = setup.startNs;
    this.change = first;
    this.isObserving = first.mode === "observe";
    const { capacity, sampleWords, noticeWords, missWords, unattributedRows } = setup;
    this.datapath = new LocalDatapath({
      capacity,
      ports: PORTS + 2,
      sampleWords,
      noticeWords,
      missWords,
      unattributedRows,
      seed: 7,
      open: (spec) => {
        const options = memoryPort.schema.parse(spec.options);
        return memoryPort.open(options, { name: spec.name, bridge: "weir0", baseDir: ".", nowNs: this.nowNs });
      },
    });
    this.places = names.map(createPlace);
    const isExact = setup.mode === "exact";
    this.bridge = new Bridge({
      config: this.config(first),
      flows: this.flows(first),
      datapath: this.datapath,
      log: RecordLog.create(LOG_RECORDS),
      boot: { unixMs: 1_700_000_000_000, ns: setup.startNs },
      ifIndexFor: (_bridge, name) => 1000 + names.indexOf(name),
      exact: isExact,
    });
    this.books = new Books(this.bridge);
    if (setup.mode !== "ring") this.datapath.resolve = (miss) => this.bridge.resolve(miss);
    if (isExact) this.datapath.due = this.bridge.sweeper;
  }

  async start(): Promise<void> {
    this.datapath.step(this.nowNs);
    await this.bridge.start();
    this.changed();
    this.check();
  }

  async run(operation: Operation, isChecked = true): Promise<void> {
    switch (operation.kind) {
      case "frames":
        for (const made of operation.frames) this.send(this.places[operation.port]!, made);
        break;
      case "burst":
        for (let n = 0; n < operation.count; n++) this.send(this.places[operation.port]!, burst(operation.vary, n));
        break;
      case "step":
        this.step();
        break;
      case "tick":
        this.tick();
        break;
      case "time":
        this.nowNs += operation.ns;
        this.step();
        break;
      case "drain":
        this.drain();
        break;
      case "refresh":
        this.datapath.engine.refreshPorts();
        break;
      case "apply":
        await this.apply(operation.change, operation.wait);
        break;
      case "enable":
        this.enable(this.places[operation.port]!, operation.up);
        break;
      case "link": {
        const channel = this.places[operation.port]!.channels.at(-1)?.channel;
        this.isLinkTouched = true;
        if (channel) Object.assign(channel, { state: operation.state, accepts: operation.accepts, mtu: operation.mtu });
      }
    }
    if (isChecked) this.check();
    else this.books.readLog();
  }

  /** Take everything down; all must be in the log then. */
  async stop(): Promise<void> {
    this.step();
    while (this.applying > 0) await turn();
    this.step();
    this.check();
    await this.bridge.stop();
    this.books.checkEnd(this.numbers());
    this.drain();
    await this.datapath.close();
  }

  private numbers(): number[] {
    return this.places.map((place) => place.no).filter((no) => no > 0);
  }

  private step(): void {
    const { sweeper } = this.bridge;
    if (this.setup.mode === "exact" && this.nowNs >= sweeper.dueAt(this.nowNs)) sweeper.sweep(this.nowNs);
    this.datapath.step(this.nowNs);
    const queued = ({ from, bytes }: Sent): boolean =>
      from.channels.some(({ channel }) => channel.pending.some((frame) => frame.bytes === bytes));
    if (this.isPlain()) for (const sent of this.wholes) if (!queued(sent)) this.checkFlood(sent);
    this.wholes = this.wholes.filter(queued);
  }

  /** Nothing is in the way: each frame was decided when it came, by the one configuration that is in force. */
  private isPlain(): boolean {
    if (this.setup.mode === "ring" || this.applying > 0 || this.isLinkTouched || this.change.mode !== "switch")
      return false;
    return this.places.every((place) => place.mayBe.length <= 1);
  }

  /** A frame for a group leaves by every port that may send it, and no other. */
  private checkFlood({ from, bytes, to }: Sent): void {
    const isHere = ({ name }: Place): boolean => {
      const entry = this.bridge.port(name);
      return entry !== undefined && entry.attached && entry.config.enabled;
    };
    const tags = tagsOf(bytes);
    const isFlood = isGroup(bytes) && !isReserved(bytes) && (bytes[6]! & 1) === 0;
    if (!isFlood || tags === undefined || !isHere(from)) return;
    const vid = ingressVlan(vlansOf(from)[0], tags);
    const may = (place: Place): boolean =>
      place !== from &&
      isHere(place) &&
      vid !== undefined &&
      egressBytes(bytes, tags, vid, vlansOf(place)[0]) !== undefined;
    const expected = this.places.filter(may).map((place) => place.name);
    assert.deepEqual(
      [...to].map((place) => place.name).toSorted(),
      expected,
      "a flood leaves by every port of its VLAN",
    );
  }

  private tick(): void {
    this.bridge.tick(this.nowNs);
    if (this.applying > 0 || this.bridge.rules.busy) return;
    this.isObserving = this.change.mode === "observe";
    for (const place of this.places) place.mayBe = place.mayBe.slice(-1);
    for (const place of this.places) if (this.bridge.port(place.name) === undefined) place.mayBe = [];
  }

  // ---- configuration ----------------------------------------------------------------------------------------------------

  private config(change: Change): BridgeConfig {
    const ports = change.ports.flatMap((choice, n): PortConfig[] => {
      if (choice === undefined) return [];
      const place = this.places[n]!;
      const isNew = choice.isOther || this.change.ports[n] === undefined || place.channels.length === 0;
      const last = place.channels.at(-1)?.channel;
      const isGone = last === undefined || place.mayBe.length === 0;
      if (isNew || isGone) this.open(place);
      const config: PortConfig = {
        name: place.name,
        type: "memory",
        enabled: choice.enabled,
        options: choice.isBroken ? { channel: "none" } : place.channels.at(-1)!.channel.options,
        origin: "config",
        ...(choice.vlan && { vlan: choice.vlan }),
        ...(choice.sampling !== undefined && { sampling: { rate: choice.sampling } }),
        ...(n % 2 === 0 && { owner: { tenant: "acme" } }),
      };
      place.mayBe.push(config);
      return [config];
    });
    return {
      name: "weir0",
      datapath: "userspace",
      mode: change.mode,
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
      max: this.setup.capacity,
      maxPerPort: change.maxPerPort,
    };
  }

  private async apply(change: Change, wait: boolean): Promise<void> {
    const config = this.config(change);
    this.change = change;
    if (change.mode === "switch") this.isObserving = false;
    this.applying++;
    const done = this.bridge.apply(config, this.flows(change)).then(() => {
      this.applying--;
    });
    if (wait && this.applying === 1) {
      await done;
      this.changed();
    } else {
      this.isSamplingKnown = false;
      this.step();
    }
  }

  /** A change is done: what is sampled from now on. */
  private changed(): void {
    for (const place of this.places) {
      const entry = this.bridge.port(place.name);
      if (entry?.attached) place.rate = entry.config.sampling?.rate ?? this.change.samplingRate;
    }
  }

  private enable(place: Place, up: boolean): void {
    const last = place.mayBe.at(-1);
    if (this.applying === 0 && last && this.bridge.setEnabled(place.name, up))
      place.mayBe.push({ ...last, enabled: up });
  }

  // ---- frames -------------------------------------------------------------------------------------------------------------

  private open(place: Place): void {
    const channel = memory();
    channel.onSent = (frame) => this.left(place, frame);
    place.channels.push({ channel, injected: 0 });
  }

  private send(place: Place, made: Made): void {
    const end = place.channels.at(-1);
    if (end === undefined) return;
    const bytes = made.bytes.slice();
    const packets = packetsOf(made.length, made.gsoSize, made.gsoHeaders);
    const id = this.sent.length;
    const isKnown = stamp(bytes, id);
    const gso = isKnown ? made : { gsoSize: 0, gsoHeaders: 0, vnet: false };
    const count = isKnown ? packets : 1;
    const sent: Sent = { from: place, bytes, packets: count, gsoHeaders: gso.gsoHeaders, to: new Set() };
    if (isKnown) this.sent.push(sent);
    else this.short.push(sent);
    if (isKnown && made.isSound) this.wholes.push(sent);
    end.injected += count;
    end.channel.inject(bytes, {
      length: made.length,
      gsoSize: gso.gsoSize,
      gsoHeaders: gso.gsoHeaders,
      ...(gso.vnet && { vnet: new Uint8Array(VNET_BYTES) }),
    });
  }

  /** One frame, as it is, through a bridge that answers at once; `pause` passes before it. Checks what leaves, no books. */
  feed(port: number, made: Made, pauseNs: number): void {
    const from = this.places[port]!;
    const end = from.channels.at(-1)!;
    this.nowNs += pauseNs;
    this.current = { from, bytes: made.bytes, packets: 1, gsoHeaders: 0, to: new Set() };
    end.injected++;
    end.channel.inject(made.bytes, { length: made.length });
    this.step();
    this.current = undefined;
  }

  /** A frame came out: was it allowed to, by some configuration that may be in force? */
  private left(place: Place, frame: MemoryFrame): void {
    const id = this.current ? undefined : stampOf(frame.bytes);
    const of = this.current ? [this.current] : id === undefined ? this.short : [this.sent[id]!];
    const sent = of.find((one) => isAllowed(one, place, frame.bytes));
    assert.ok(sent, `${place.name} sent what it may not: ${describePassage(of[0], place, frame.bytes)}`);
    assert.ok(!this.isObserving, "observe mode forwards nothing");
    if (id !== undefined || this.current) assert.ok(!sent.to.has(place), `a second copy of one frame on ${place.name}`);
    sent.to.add(place);
    const length = frame.length ?? frame.bytes.length;
    const shift = frame.bytes.length - sent.bytes.length;
    place.txPackets += sent.packets;
    place.txBytes += length + (sent.packets - 1) * (sent.gsoHeaders + shift);
  }

  // ---- what must hold ----------------------------------------------------------------------------------------------------

  private drain(): void {
    for (const sample of samplesOf(this.datapath.samples)) this.byNo(sample.port).samples++;
    for (const notice of samplesOf(this.datapath.notices)) this.byNo(notice.port).notices++;
    const { snapshot } = this.books;
    this.datapath.counters(snapshot);
    for (const { no, name, samples, notices } of this.places) {
      if (no === 0) continue;
      assert.equal(snapshot.get(no, C.C_SAMPLES), samples, `${name}: samples counted = in the ring`);
      assert.equal(snapshot.get(no, C.C_NOTICES), notices, `${name}: notices counted = in the ring`);
    }
  }

  private byNo(no: number): Place {
    return this.places.find((place) => place.no === no)!;
  }

  private check(): void {
    for (const place of this.places) place.no ||= this.bridge.port(place.name)?.no ?? 0;
    const snapshot = this.books.check(this.numbers());
    let live = 0;
    for (const place of this.places) {
      if (place.no === 0) continue;
      const get = (counter: number): number => snapshot.get(place.no, counter);
      let received = 0;
      for (const { channel, injected } of place.channels) received += injected - waiting(channel.pending);
      assert.equal(get(C.C_RX_PACKETS), received, `${place.name}: rx = what it was given`);
      assert.equal(get(C.C_TX_PACKETS), place.txPackets, `${place.name}: tx = what left`);
      assert.equal(get(C.C_TX_BYTES), place.txBytes, `${place.name}: tx bytes`);
      live += get(C.C_FLOWS);
      const settled = get(C.C_RX_PACKETS) - get(C.C_PENDING);
      if (place.rate > 0) place.pool += settled - place.settled;
      place.settled = settled;
      if (this.isSamplingKnown) assert.equal(get(C.C_SAMPLE_POOL), place.pool, `${place.name}: frames examined`);
    }
    assert.equal(this.datapath.engine.table.size, live, "flows in the table = Σ flows of the ports");
    assert.ok(live <= this.setup.capacity, "the table's capacity");
  }
}
