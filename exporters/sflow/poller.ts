/**
 * When counters are told: each data source once an interval, all of them spread over it, so that collectors get a steady
 * trickle and no burst. The place of a source in the interval is the fraction of n × golden ratio: whatever their number,
 * no two are close.
 */
import { createHash } from "node:crypto";
import type { BridgeInfo, ExporterEnv, HostInfo, Moment, PortInfo } from "../../src/telemetry/exporter.ts";
import type { CounterSnapshot } from "../../src/shm/counters.ts";
import * as records from "./counters.ts";
import { closeCounters, openCounters, SOURCE_INTERFACE, SOURCE_LOGICAL, SOURCE_PHYSICAL } from "./encode.ts";
import type { Datagrams } from "./datagrams.ts";
import type { Xdr } from "./xdr.ts";

const GOLDEN = 0.6180339887498949;
/** Bridges are physical entities from here on; below are the host's own. */
const FIRST_BRIDGE_INDEX = 1000;

interface Source {
  sequence: number;
  nextMs: number;
}

/** A guest: its ports, by the lowest ifIndex of which it is known. */
interface Guest {
  readonly key: string;
  readonly name: string;
  readonly id: string;
  readonly ports: PortInfo[];
}

export class Poller {
  private readonly env: ExporterEnv;
  private readonly datagrams: Datagrams;
  private readonly intervalMs: number;
  private readonly isFull: boolean;
  private readonly sources = new Map<string, Source>();
  private readonly snapshots = new Map<string, CounterSnapshot>();
  samples = 0;

  constructor(env: ExporterEnv, datagrams: Datagrams, intervalMs: number, isFull: boolean) {
    this.env = env;
    this.datagrams = datagrams;
    this.intervalMs = intervalMs;
    this.isFull = isFull;
  }

  /** New counters of one bridge: tell those of its sources whose time has come. */
  counters(snapshot: CounterSnapshot, bridge: string, now: Moment): void {
    this.snapshots.set(bridge, snapshot);
    const all = this.env.ports().filter((port) => port.ifIndex > 0 && !port.gone);
    const info = this.isFull ? this.env.bridge?.(bridge) : undefined;
    for (const port of all)
      if (port.bridge === bridge && port.no < snapshot.ports)
        this.poll(SOURCE_INTERFACE, port.ifIndex, now, (x) => this.writePort(x, port, snapshot, info));
    if (!this.isFull) return;
    if (info !== undefined)
      this.poll(SOURCE_PHYSICAL, bridgeIndex(info), now, (x) => {
        records.writeDatapath(x, info, snapshot);
        return 1;
      });
    const { host } = this.env;
    const guests = guestsOf(all, host?.id ?? "");
    if (host !== undefined)
      this.poll(SOURCE_PHYSICAL, records.HOST_INDEX, now, (x) => writeHost(x, host, all, guests.length));
    for (const guest of guests) {
      const first = guest.ports[0]!;
      if (first.bridge === bridge) this.poll(SOURCE_LOGICAL, first.ifIndex, now, (x) => this.writeGuest(x, guest));
    }
  }

  /** Write the source's counters, if it is their time. `write` returns how many records it wrote. */
  private poll(sourceClass: number, index: number, now: Moment, write: (x: Xdr) => number): void {
    const key = `${sourceClass}:${index}`;
    let source = this.sources.get(key);
    if (source === undefined) {
      const offset = (this.sources.size * GOLDEN) % 1;
      source = { sequence: 0, nextMs: now.uptimeMs + offset * this.intervalMs };
      this.sources.set(key, source);
    }
    // A clock that was set back must not silence a source.
    if (source.nextMs > now.uptimeMs + this.intervalMs) source.nextMs = now.uptimeMs;
    if (now.uptimeMs < source.nextMs) return;
    source.nextMs += (Math.floor((now.uptimeMs - source.nextMs) / this.intervalMs) + 1) * this.intervalMs;
    source.sequence++;
    const { sequence } = source;
    this.datagrams.add("counters", now, (x) => {
      const mark = openCounters(x, sequence, sourceClass, index);
      closeCounters(x, mark, write(x));
    });
    this.samples++;
  }

  private writePort(x: Xdr, port: PortInfo, snapshot: CounterSnapshot, bridge: BridgeInfo | undefined): number {
    records.writeInterface(x, port, snapshot);
    records.writeEthernet(x, port, snapshot);
    if (!this.isFull) return 2;
    records.writePortName(x, port);
    if (bridge === undefined) return 3;
    records.writeOpenFlowPort(x, port, bridge);
    return 4;
  }

  private writeGuest(x: Xdr, { name, id, ports }: Guest): number {
    const counted = ports.flatMap((port) => {
      const snapshot = this.snapshots.get(port.bridge);
      return snapshot === undefined || port.no >= snapshot.ports ? [] : [{ port, snapshot }];
    });
    records.writeGuest(x, name, id);
    records.writeParent(x);
    records.writeVirtualNet(x, counted);
    return 3 + (records.writeAdapters(x, ports) ? 1 : 0);
  }
}

function writeHost(x: Xdr, host: HostInfo, ports: readonly PortInfo[], guests: number): number {
  records.writeHost(x, host);
  records.writeVirtualNode(x, host, guests);
  const own = ports.filter((port) => guestKey(port) === undefined);
  return 2 + (records.writeAdapters(x, own) ? 1 : 0);
}

function guestKey({ owner }: PortInfo): string | undefined {
  return owner?.vmId ?? owner?.vm;
}

function guestsOf(ports: readonly PortInfo[], hostId: string): Guest[] {
  const guests = new Map<string, Guest>();
  for (const port of ports.toSorted((a, b) => a.ifIndex - b.ifIndex)) {
    const key = guestKey(port);
    if (key === undefined) continue;
    const guest = guests.get(key);
    if (guest) guest.ports.push(port);
    else
      guests.set(key, { key, name: port.owner?.vm ?? key, id: guestId(port.owner?.vmId, key, hostId), ports: [port] });
  }
  return [...guests.values()];
}

const UUID = /^[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}$/i;

/** Collectors join by it: a guest without a UUID gets one that is its own and the same for ever (RFC 9562, version 8). */
function guestId(vmId: string | undefined, key: string, hostId: string): string {
  if (vmId !== undefined && UUID.test(vmId)) return vmId;
  const hash = createHash("sha256").update(`${hostId}/${key}`).digest("hex");
  return `${hash.slice(0, 12)}8${hash.slice(13, 16)}8${hash.slice(17, 32)}`;
}

/** The same for ever: from the bridge's id. */
function bridgeIndex({ datapathId }: BridgeInfo): number {
  return FIRST_BRIDGE_INDEX + (parseInt(datapathId.slice(-6), 16) % (0xffffff - FIRST_BRIDGE_INDEX));
}
