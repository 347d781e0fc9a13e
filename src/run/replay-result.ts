/** What a replay did, as `weir replay --json` prints it. */
import type { Bridge } from "../bridge/bridge.ts";
import type { ReplayResult } from "../cli/render/replay.ts";
import { COUNT_L3_BYTES } from "../flow/totals.ts";
import { MAX_PORTS } from "../datapath/datapath.ts";
import * as C from "../shm/counters.ts";
import type { ExporterView } from "../telemetry/hub.ts";

export interface FileReport {
  readonly path: string;
  packets: number;
  /** Of the frames, as they were on the wire. */
  bytes: number;
  complete: boolean;
  error?: { readonly offset: number; readonly message: string };
}

export interface ReplayParts {
  readonly bridge: Bridge;
  readonly files: readonly FileReport[];
  readonly records: number;
  readonly exporters: readonly ExporterView[];
  readonly ms: number;
}

export function replayResult({ bridge, files, records, exporters, ms }: ReplayParts): ReplayResult {
  const audit = bridge.audit();
  const counters = bridge.counters();
  const totals = { packets: 0, bytes: 0, l3Bytes: 0, malformed: 0, flows: 0, ports: 0 };
  for (let port = 1; port < MAX_PORTS; port++) {
    const packets = counters.get(port, C.C_RX_PACKETS);
    if (packets > 0) totals.ports++;
    totals.packets += packets;
    totals.bytes += counters.get(port, C.C_RX_BYTES);
    totals.malformed += counters.sum(port, C.C_FAULT, C.MAX_FAULTS);
    totals.flows += counters.get(port, C.C_FLOWS_CREATED);
    totals.l3Bytes += bridge.sweeper.recorded.get(port, COUNT_L3_BYTES);
  }
  for (const { l3Bytes } of bridge.datapath.unattributed()) totals.l3Bytes += l3Bytes;
  const inFiles = files.reduce((sum, file) => sum + file.packets, 0);
  const { rx, forwarded, dropped, consumed, unattributed } = audit;
  return {
    files: files.map((file) => ({ ...file })),
    packets: totals.packets,
    bytes: totals.bytes,
    l3Bytes: totals.l3Bytes,
    malformed: totals.malformed,
    flows: totals.flows,
    records,
    ports: totals.ports,
    durationMs: ms,
    exporters: exporters.flatMap(collectorRows),
    drops: { ...audit.drops },
    // The engine's books add up, and they are about the packets that the files hold.
    audit: { ok: audit.ok && audit.exact && rx === inFiles, rx, forwarded, dropped, consumed, unattributed },
  };
}

/** A row for each collector: every one gets every datagram. */
function collectorRows(view: ExporterView): ReplayResult["exporters"] {
  const { name, type, records, packets, octets, notExportable } = view;
  return view.collectors.map(({ collector, datagrams, sendErrors, queued }) => ({
    name,
    type,
    collector,
    records,
    datagrams,
    packets,
    octets,
    // What still waits will not leave any more.
    sendErrors: sendErrors + queued,
    notExportable: { ...notExportable },
  }));
}
