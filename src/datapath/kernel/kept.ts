/**
 * What this process keeps beside the flow slots so that the next one goes on where it stood: one map that no program
 * looks at, cut into sections that begin on pages.
 *
 * ```
 * ports      1024 × 128 B     whose a port number is: u32 flags, ifIndex; byte 16 name, byte 96 device
 * cursors    256 × 64 B       where exporters stand (src/shm/cursors.ts)
 * names      256 × 64 B       whose each cursor is: SHA-256 of the exporter's name, hex
 * move                        flows of other maps that become records (moves.ts)
 * recorded, retired           sums by port (src/flow/totals.ts)
 * counters   by port, f64     what this process counted itself, by C_…
 * ended      by port, 2 f64   wire packets and bytes of missed frames that ended in this process
 * withoutFlow                 src/shm/unattributed.ts
 * log                         flow records (src/shm/log.ts)
 * ledger     slot, 3 f64      what records have said of it (src/flow/ledger.ts)
 * ```
 */
import { createHash } from "node:crypto";
import { Ledger } from "../../flow/ledger.ts";
import { COUNTS } from "../../flow/totals.ts";
import { COUNTERS_PER_PORT } from "../../shm/counters.ts";
import { type Cursor, ExporterCursors } from "../../shm/cursors.ts";
import { RecordLog } from "../../shm/log.ts";
import { UnattributedTable } from "../../shm/unattributed.ts";
import { mapMemory, type MappedMemory } from "../../sys/bpf-maps.ts";
import { cString } from "../../sys/libc.ts";
import { type CursorStore, MAX_PORTS, type PortNo } from "../datapath.ts";
import { Moves } from "./moves.ts";

/** Bytes of the map's elements. */
export const KEPT_LINE = 64;
const PAGE = 4096;
const PORT_BYTES = 128;
const PORT_NAME = 16;
const PORT_DEVICE = 96;
const NAME_BYTES = 80;
const DEVICE_BYTES = 32;
const PORT_USED = 1;
const EXPORTERS = 256;
const CURSOR_NAME = 64;
const ROWS = 4096;

/** Bytes of each section, in order. */
function sections(slots: number, records: number) {
  const sums = MAX_PORTS * COUNTS * 8;
  return {
    ports: PORTS_BYTES,
    cursors: ExporterCursors.bytes(EXPORTERS),
    names: EXPORTERS * CURSOR_NAME,
    move: Moves.bytes,
    recorded: sums,
    retired: sums,
    counters: MAX_PORTS * COUNTERS_PER_PORT * 8,
    ended: MAX_PORTS * 16,
    withoutFlow: UnattributedTable.bytes(MAX_PORTS, ROWS),
    log: RecordLog.bytes(records),
    ledger: Ledger.bytes(slots),
  };
}

type SectionName = keyof ReturnType<typeof sections>;

const pages = (bytes: number): number => Math.ceil(bytes / PAGE) * PAGE;

/** Offset and bytes of each section. */
export function keptSections(slots: number, records: number): Record<SectionName, [number, number]> {
  let offset = 0;
  const places = Object.entries(sections(slots, records)).map(([name, bytes]) => {
    const place = [name, [offset, bytes]] as const;
    offset += pages(bytes);
    return place;
  });
  return Object.fromEntries(places) as Record<SectionName, [number, number]>;
}

export function keptLines(slots: number, records: number): number {
  return Object.values(sections(slots, records)).reduce((sum, bytes) => sum + pages(bytes), 0) / KEPT_LINE;
}

/** A port number that is somebody's. */
export interface KeptPort {
  readonly no: PortNo;
  readonly name: string;
  /** The device it was attached to; 0: none. */
  readonly ifIndex: number;
  readonly device: string;
}

/** The section begins the map in every version. */
export const PORTS_BYTES = MAX_PORTS * PORT_BYTES;

export function readPorts(bytes: Uint8Array): KeptPort[] {
  const found: KeptPort[] = [];
  for (let no = 1; no < MAX_PORTS; no++) {
    const row = bytes.subarray(no * PORT_BYTES, (no + 1) * PORT_BYTES);
    const [flags = 0, ifIndex = 0] = new Uint32Array(row.buffer, row.byteOffset, 2);
    if ((flags & PORT_USED) === 0) continue;
    const name = cString(row.subarray(PORT_NAME, PORT_NAME + NAME_BYTES));
    const device = cString(row.subarray(PORT_DEVICE, PORT_DEVICE + DEVICE_BYTES));
    found.push({ no, name, ifIndex, device });
  }
  return found;
}

export class Kept implements CursorStore {
  readonly log: RecordLog;
  readonly ledger: Float64Array;
  readonly recorded: Float64Array;
  readonly retired: Float64Array;
  readonly counters: Float64Array;
  readonly ended: Float64Array;
  readonly withoutFlow: UnattributedTable;
  private readonly portBytes: Uint8Array;
  private readonly cursors: ExporterCursors;
  private readonly names: Uint8Array;
  readonly moves: Moves;
  private readonly mapped = new Map<SectionName, MappedMemory>();

  constructor(map: number, slots: number, records: number) {
    for (const [name, [offset, bytes]] of Object.entries(keptSections(slots, records)))
      this.mapped.set(name as SectionName, mapMemory(map, bytes, offset));
    const section = (name: SectionName): ArrayBuffer => this.section(name);
    this.portBytes = new Uint8Array(section("ports"));
    this.cursors = new ExporterCursors(section("cursors"));
    this.names = new Uint8Array(section("names"));
    this.recorded = new Float64Array(section("recorded"));
    this.retired = new Float64Array(section("retired"));
    this.counters = new Float64Array(section("counters"));
    this.ended = new Float64Array(section("ended"));
    this.withoutFlow = UnattributedTable.over(section("withoutFlow"), MAX_PORTS, ROWS);
    this.log = new RecordLog(section("log"));
    this.moves = new Moves(section("move"), this.log, this.recorded);
    this.ledger = new Float64Array(section("ledger"));
  }

  section(name: SectionName): ArrayBuffer {
    return this.mapped.get(name)!.buffer;
  }

  release(): void {
    for (const one of this.mapped.values()) one.release();
  }

  // ---- ports ----------------------------------------------------------------------------------------------------------

  ports(): KeptPort[] {
    return readPorts(this.portBytes);
  }

  /** The number is this name's from now on; the mark is written last. */
  setPort(no: PortNo, name: string): void {
    const row = this.row(no);
    const flags = new Uint32Array(row.buffer, row.byteOffset, 1);
    const bytes = new TextEncoder().encode(name).subarray(0, NAME_BYTES);
    const isSame = cString(row.subarray(PORT_NAME, PORT_NAME + NAME_BYTES)) === name;
    if (flags[0] === PORT_USED && isSame) return;
    flags[0] = 0;
    row.fill(0, PORT_NAME).set(bytes, PORT_NAME);
    flags[0] = PORT_USED;
  }

  setDevice(no: PortNo, ifIndex: number, device: string): void {
    const row = this.row(no);
    row.fill(0, PORT_DEVICE).set(new TextEncoder().encode(device).subarray(0, DEVICE_BYTES), PORT_DEVICE);
    new Uint32Array(row.buffer, row.byteOffset, 2)[1] = ifIndex;
  }

  private row(no: PortNo): Uint8Array {
    return this.portBytes.subarray(no * PORT_BYTES, (no + 1) * PORT_BYTES);
  }

  // ---- exporters ------------------------------------------------------------------------------------------------------

  read(exporter: string): Cursor | undefined {
    const at = this.find(exporter, false);
    return at < 0 ? undefined : this.cursors.read(at);
  }

  write(exporter: string, cursor: Cursor): void {
    const at = this.find(exporter, true);
    if (at >= 0) this.cursors.write(at, cursor.cursor, cursor.sequence, cursor.until);
  }

  /** −1: not there, or no room: 256 names of exporters in the life of a bridge. */
  private find(exporter: string, isMade: boolean): number {
    const name = createHash("sha256").update(exporter).digest("hex");
    for (let at = 0; at < EXPORTERS; at++) {
      const bytes = this.names.subarray(at * CURSOR_NAME, (at + 1) * CURSOR_NAME);
      if (bytes[0] === 0) {
        if (!isMade) return -1;
        bytes.set(new TextEncoder().encode(name));
        return at;
      }
      if (new TextDecoder().decode(bytes) === name) return at;
    }
    return -1;
  }
}
