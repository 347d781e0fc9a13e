/** Samples as the datapath would have written them, and an exporter to give them to. */
import { CounterSnapshot } from "../../src/shm/counters.ts";
import type { Sample } from "../../src/shm/samples.ts";
import type { Exporter, ExporterEnv, ExporterType, Moment, PortInfo } from "../../src/telemetry/exporter.ts";
import { buildFrame } from "../../src/wire/builder.ts";
import { FakeSender } from "./fake-sender.ts";
import { TEST_BOOT_MS } from "./records.ts";

export const moment = (uptimeMs: number): Moment => ({ uptimeMs, unixMs: TEST_BOOT_MS + uptimeMs });

export const FRAME = buildFrame({
  ethSrc: "52:54:00:00:00:01",
  ethDst: "52:54:00:00:00:02",
  ip: { src: "10.1.0.5", dst: "10.1.0.9" },
  udp: { src: 5000, dst: 53 },
  payload: new Uint8Array(100),
});

export function sampleOf(facts: Partial<Sample> = {}): Sample {
  const data = facts.data ?? FRAME;
  return {
    kind: "flow",
    timeNs: 0,
    port: 1,
    rate: 400,
    pool: 400,
    drops: 0,
    segments: 1,
    wireLength: data.length,
    disposition: 0,
    reason: 0,
    outputs: 1,
    outputPort: 2,
    inTci: 0,
    outTci: 0,
    slot: 0,
    gen: 0,
    data,
    ...facts,
  };
}

/** Ports 1 to 3 of bridge "b": web1 and web2 of one VM, and an uplink. */
export const PORTS: readonly PortInfo[] = [
  {
    no: 1,
    name: "web1",
    bridge: "b",
    ifIndex: 20001,
    speed: 0,
    up: true,
    mac: "52:54:00:00:00:01",
    owner: { vm: "web", vmId: "00112233-4455-6677-8899-aabbccddeeff" },
  },
  {
    no: 2,
    name: "web2",
    bridge: "b",
    ifIndex: 20002,
    speed: 10e9,
    up: true,
    mac: "52:54:00:00:00:02",
    owner: { vm: "web", vmId: "00112233-4455-6677-8899-aabbccddeeff" },
  },
  { no: 3, name: "uplink", bridge: "b", ifIndex: 3, speed: 400e9, up: false, enabled: false, mac: "02:00:00:00:00:03" },
];

export interface SampleBench {
  readonly exporter: Exporter;
  readonly sender: FakeSender;
  readonly sequences: number[];
  readonly snapshot: CounterSnapshot;
}

export function sampleBench(
  type: ExporterType,
  options: object = {},
  more: Partial<ExporterEnv> & { ports?: () => readonly PortInfo[] } = {},
): SampleBench {
  const sender = new FakeSender("192.0.2.9:6343");
  const sequences: number[] = [];
  const ports = more.ports ?? (() => PORTS);
  const env: ExporterEnv = {
    name: "sflow",
    collectors: [sender],
    port: (bridge, no) => ports().find((port) => port.bridge === bridge && port.no === no),
    resume: { sequence: 0 },
    sent: (_bridge, _next, sequence) => void sequences.push(sequence),
    agentAddress: "192.0.2.1",
    log: () => {},
    host: {
      name: "hv1",
      id: "0123456789abcdef0123456789abcdef",
      arch: "x64",
      release: "6.1.0",
      cpus: 8,
      mhz: 2400,
      memory: () => ({ total: 2 ** 36, free: 2 ** 35 }),
    },
    bridge: () => ({ datapathId: "0000525400000001", masks: 5 }),
    ...more,
    ports,
  };
  return {
    exporter: type.open(type.schema.parse(options), env),
    sender,
    sequences,
    snapshot: new CounterSnapshot(8),
  };
}
