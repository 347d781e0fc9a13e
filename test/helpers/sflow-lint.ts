/**
 * A linter of sFlow datagrams: what the collectors that people run survive, coded from their sources (the table
 * "Profiles" of exporters/sflow/README.md). Walks the bytes itself; an oracle must not lean on our encoder or decoder.
 */
const MAX_DATAGRAM = 1400;

interface Rules {
  readonly samples: readonly number[];
  readonly flowRecords: readonly number[];
  readonly counterRecords: readonly number[];
}

const BASE = [1, 2];
const ALL = [...BASE, 1004, 1005, 2000, 2001, 2002, 2100, 2104, 2207];

const RULES: Readonly<Record<string, Rules>> = {
  standard: { samples: [1, 2], flowRecords: [1, 1001], counterRecords: BASE },
  full: { samples: [1, 2, 3, 4, 5], flowRecords: [1, 1001], counterRecords: ALL },
  "sflow-rt": { samples: [1, 2, 3, 4, 5], flowRecords: [1, 1001], counterRecords: ALL },
  goflow2: { samples: [1, 2], flowRecords: [1, 1001], counterRecords: BASE },
  akvorado: { samples: [1], flowRecords: [1, 1001], counterRecords: [] },
  telegraf: { samples: [1, 2], flowRecords: [1, 1001], counterRecords: BASE },
  nfdump: { samples: [1], flowRecords: [1, 1001], counterRecords: [] },
  pmacct: { samples: [1, 2], flowRecords: [1, 1001], counterRecords: BASE },
  fastnetmon: { samples: [1], flowRecords: [1], counterRecords: [] },
};

/** Exact lengths; strings are checked apart (1005, 2000). */
const LENGTHS: Readonly<Record<string, number>> = {
  "flow 1001": 16,
  "counters 1": 88,
  "counters 2": 52,
  "counters 1004": 12,
  "counters 2002": 8,
  "counters 2100": 28,
  "counters 2104": 40,
  "counters 2207": 24,
};

/** Sentences, one for each rule that a datagram breaks; none when it is sound. */
export function lintSflow(bytes: Uint8Array, profile: string): string[] {
  const rules = RULES[profile];
  if (rules === undefined) throw new Error(`no rules for profile ${profile}`);
  const found: string[] = [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const u32 = (at: number): number => view.getUint32(at);
  const say = (at: number, text: string): void => void found.push(`byte ${at}: ${text}`);

  if (bytes.length > MAX_DATAGRAM) say(0, `${bytes.length} bytes are more than ${MAX_DATAGRAM}`);
  if (bytes.length % 4 !== 0) say(0, "not a multiple of 4 bytes");
  if (u32(0) !== 5) say(0, "not version 5");
  let at = u32(4) === 2 ? 24 : 12;
  if (u32(4) !== 1 && u32(4) !== 2) say(4, "agent address is neither IPv4 nor IPv6");
  at += 12;
  const samples = u32(at);
  if (samples === 0) say(at, "a datagram without samples");
  at += 4;
  for (let n = 0; n < samples; n++) at = sample(at);
  if (at !== bytes.length) say(at, `${bytes.length - at} bytes behind the last sample`);
  return found;

  function sample(from: number): number {
    const tag = u32(from);
    const end = from + 8 + u32(from + 4);
    if (tag >>> 12 !== 0) say(from, `sample of enterprise ${tag >>> 12}`);
    if (!rules!.samples.includes(tag)) say(from, `sample format ${tag}: ${profile} loses the datagram`);
    let cursor = from + 8;
    const isWide = tag >= 3;
    const sourceClass = isWide ? u32(cursor + 4) : u32(cursor + 4) >>> 24;
    const index = isWide ? u32(cursor + 8) : u32(cursor + 4) & 0xffffff;
    if ((tag === 3 || tag === 4) && index <= 0xffffff && !(tag === 3 && u32(cursor + 36) > 0xffffff))
      say(from, "expanded without need");
    cursor += isWide ? 12 : 8;
    const isCounters = tag === 2 || tag === 4;
    if (tag === 1) {
      if (u32(cursor) === 0) say(cursor, "sampling rate 0: Akvorado calls it missing");
      if (u32(cursor + 12) !== index || sourceClass !== 0) say(cursor + 12, "input is not the data source: no ingress");
      if (u32(cursor + 16) >>> 30 === 3) say(cursor + 16, "output of an unknown format");
      cursor += 20;
    } else if (tag === 3) cursor += 28;
    else if (tag === 5) cursor += 16;
    const records = u32(cursor);
    cursor += 4;
    const formats: number[] = [];
    for (let n = 0; n < records; n++) {
      formats.push(u32(cursor));
      cursor = record(cursor, isCounters);
    }
    if (cursor !== end) say(cursor, `the sample ends at ${end}`);
    if (!isCounters && !formats.includes(1)) say(from, "no raw header: FastNetMon has nothing to read");
    if (isCounters && records === 0) say(from, "counters without a record");
    return end;
  }

  function record(from: number, isCounters: boolean): number {
    const tag = u32(from);
    const length = u32(from + 4);
    const end = from + 8 + length;
    const kind = isCounters ? "counters" : "flow";
    if (!(isCounters ? rules!.counterRecords : rules!.flowRecords).includes(tag))
      say(from, `${kind} record ${tag}: not for ${profile}`);
    if (!isCounters && tag === 2) say(from, "flow record 2: goflow2 misreads it");
    if (length % 4 !== 0) say(from, `${kind} record ${tag} of ${length} bytes is not padded`);
    const exact = LENGTHS[`${kind} ${tag}`];
    if (exact !== undefined && length !== exact) say(from, `${kind} record ${tag} has ${length} bytes, not ${exact}`);
    if (!isCounters && tag === 1) rawHeader(from + 8, length);
    if (tag === 1005) string(from + 8, length);
    if (tag === 2000) {
      const text = string(from + 8, length - 28);
      if (text + 28 > length) say(from, "host description is cut");
    }
    return end;
  }

  function rawHeader(from: number, length: number): void {
    const [protocol, frame, stripped, header] = [u32(from), u32(from + 4), u32(from + 8), u32(from + 12)];
    if (protocol !== 1) say(from, `header protocol ${protocol} is not Ethernet`);
    if (stripped !== 4) say(from + 8, `${stripped} stripped, not the FCS`);
    if (header + stripped > frame) say(from + 12, `a header of ${header} bytes of a frame of ${frame}`);
    if (16 + ((header + 3) & ~3) !== length) say(from + 12, "padding of the header");
  }

  /** Bytes of the string with length and padding. */
  function string(from: number, room: number): number {
    const length = u32(from);
    const padded = 4 + ((length + 3) & ~3);
    if (padded > room) say(from, `a string of ${length} bytes in ${room}`);
    for (let n = from + 4 + length; n < from + padded; n++) if (bytes[n] !== 0) say(n, "padding is not zero");
    return padded;
  }
}
