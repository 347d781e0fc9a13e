/**
 * Templates, and messages of sets: what NetFlow version 9 (RFC 3954) and IPFIX (RFC 7011) have in common.
 *
 * ```
 * v9 HEADER 20     0 version 9   2 count of records   4 SysUptime ms    8 unix seconds   12 sequence   16 source id
 * IPFIX HEADER 16  0 version 10  2 length             4 unix seconds    8 sequence       12 observation domain
 * SET              0 set id u16  2 length u16 (with this header; v9: padded to 4)        4 records …
 * TEMPLATE         0 id   2 fields                            4 (element u16, length u16 [, PEN u32])…
 * OPTIONS v9       0 id   2 bytes of scopes   4 bytes of the others   6 scopes…, others…
 * OPTIONS IPFIX    0 id   2 fields            4 of these scopes       6 scopes…, others…
 * ```
 *
 * An element with a PEN has the top bit of its number set, and the PEN behind its length (IPFIX only). Pure: no clock,
 * no socket; a message is filled in one preallocated buffer.
 */
import type { Element } from "./ipfix-elements.ts";

export interface Dialect {
  readonly version: 9 | 10;
  readonly headerBytes: number;
  readonly templateSet: number;
  readonly optionsSet: number;
  /** Sets end on a multiple of it. */
  readonly align: number;
}

/** RFC 3954 sections 5.1, 5.2, 6.1. */
export const NETFLOW_V9: Dialect = { version: 9, headerBytes: 20, templateSet: 0, optionsSet: 1, align: 4 };
/** RFC 7011 sections 3.1, 3.3.2. */
export const IPFIX: Dialect = { version: 10, headerBytes: 16, templateSet: 2, optionsSet: 3, align: 1 };

/** Payload that goes through every path in one packet, and leaves room for a tunnel. */
export const MESSAGE_BYTES = 1400;

const SET_HEADER_BYTES = 4;
const FIRST_TEMPLATE_ID = 256;
const ENTERPRISE = 0x8000;
const PEN_BYTES = 4;

export interface Template {
  readonly id: number;
  /** Of options: how many of the first elements are the scope; 0 = a template of flows. */
  readonly scopes: number;
  readonly elements: readonly Element[];
  /** Of one record. */
  readonly bytes: number;
}

/**
 * Number templates. An id is made of the elements, so that a template that changed has another id also after a restart,
 * and no collector reads records by the old one.
 */
export function numberTemplates(layouts: readonly { elements: readonly Element[]; scopes?: number }[]): Template[] {
  const taken = new Set<number>();
  return layouts.map(({ elements, scopes = 0 }) => {
    let id = FIRST_TEMPLATE_ID + (fingerprint(elements, scopes) % (0xffff - FIRST_TEMPLATE_ID));
    while (taken.has(id)) id = id === 0xffff ? FIRST_TEMPLATE_ID : id + 1;
    taken.add(id);
    const bytes = elements.reduce((sum, each) => sum + each.bytes, 0);
    return { id, scopes, elements, bytes };
  });
}

/** FNV-1a over numbers, lengths and PENs. */
function fingerprint(elements: readonly Element[], scopes: number): number {
  let hash = 0x811c9dc5;
  const mix = (value: number): void => {
    for (let shift = 0; shift < 32; shift += 8) hash = Math.imul(hash ^ ((value >>> shift) & 0xff), 0x01000193) >>> 0;
  };
  mix(scopes);
  for (const { id, bytes, pen = 0 } of elements) {
    mix(id);
    mix(bytes);
    mix(pen);
  }
  return hash;
}

/** Bytes of a template's own record. */
export function templateBytes({ scopes, elements }: Template): number {
  const specs = elements.reduce((sum, { pen }) => sum + 4 + (pen === undefined ? 0 : PEN_BYTES), 0);
  return (scopes > 0 ? 6 : 4) + specs;
}

function writeTemplate(view: DataView, start: number, template: Template, dialect: Dialect): void {
  const { id, scopes, elements } = template;
  let at = start;
  view.setUint16(at, id);
  if (scopes === 0) {
    view.setUint16(at + 2, elements.length);
    at += 4;
  } else {
    const v9 = dialect.version === 9;
    view.setUint16(at + 2, v9 ? scopes * 4 : elements.length);
    view.setUint16(at + 4, v9 ? (elements.length - scopes) * 4 : scopes);
    at += 6;
  }
  for (const { id: number, bytes, pen } of elements) {
    view.setUint16(at, pen === undefined ? number : number | ENTERPRISE);
    view.setUint16(at + 2, bytes);
    at += 4;
    if (pen === undefined) continue;
    view.setUint32(at, pen);
    at += PEN_BYTES;
  }
}

/** One message being filled. `place` says where a record goes; `finish` closes it. */
export class Message {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** Records in it that are not templates. */
  dataRecords = 0;
  private readonly dialect: Dialect;
  private at: number;
  private setAt = 0;
  private setId = -1;
  /** All records, templates too: the count of a v9 header. */
  private records = 0;

  constructor(dialect: Dialect, bytes = MESSAGE_BYTES) {
    this.dialect = dialect;
    this.bytes = new Uint8Array(bytes);
    this.view = new DataView(this.bytes.buffer);
    this.at = dialect.headerBytes;
  }

  get empty(): boolean {
    return this.records === 0;
  }

  /** Where a record of `bytes` of set `setId` may be written; -1 where it does not fit any more. */
  place(setId: number, bytes: number): number {
    // pmacct 1.7.7 reads only the first options template of a set.
    const opens = setId !== this.setId || setId === this.dialect.optionsSet;
    const start = opens ? this.padded(this.at) + SET_HEADER_BYTES : this.at;
    if (this.padded(start + bytes) > this.bytes.length) return -1;
    if (opens) {
      this.closeSet();
      this.setId = setId;
      this.setAt = this.at;
    }
    this.at = start + bytes;
    this.records++;
    if (setId >= FIRST_TEMPLATE_ID) this.dataRecords++;
    return start;
  }

  /** Write the template itself. False: there is no room. */
  template(template: Template): boolean {
    const { templateSet, optionsSet } = this.dialect;
    const at = this.place(template.scopes > 0 ? optionsSet : templateSet, templateBytes(template));
    if (at < 0) return false;
    writeTemplate(this.view, at, template, this.dialect);
    return true;
  }

  /**
   * Close the message and write its header. Returns its bytes, which stay until `reset`. `uptimeMs` is in headers of v9
   * only; what is beyond 32 bits goes round.
   */
  finish(unixSeconds: number, uptimeMs: number, sequence: number, domain: number): Uint8Array {
    this.closeSet();
    this.setId = -1;
    const { view, at } = this;
    view.setUint16(0, this.dialect.version);
    if (this.dialect.version === 9) {
      view.setUint16(2, this.records);
      view.setUint32(4, uptimeMs);
      view.setUint32(8, unixSeconds);
      view.setUint32(12, sequence);
      view.setUint32(16, domain);
    } else {
      view.setUint16(2, at);
      view.setUint32(4, unixSeconds);
      view.setUint32(8, sequence);
      view.setUint32(12, domain);
    }
    return this.bytes.subarray(0, at);
  }

  reset(): void {
    this.at = this.dialect.headerBytes;
    this.setId = -1;
    this.records = this.dataRecords = 0;
  }

  private padded(at: number): number {
    const { align } = this.dialect;
    return Math.ceil(at / align) * align;
  }

  private closeSet(): void {
    if (this.setId < 0) return;
    const end = this.padded(this.at);
    this.bytes.fill(0, this.at, end);
    this.at = end;
    this.view.setUint16(this.setAt, this.setId);
    this.view.setUint16(this.setAt + 2, end - this.setAt);
  }
}

/** A count as 8 bytes; exact up to 2^53. */
export function setUint64(view: DataView, at: number, value: number): void {
  const count = value > 0 ? Math.floor(value) : 0;
  view.setUint32(at, Math.floor(count / 4294967296));
  view.setUint32(at + 4, count % 4294967296);
}

const encoder = new TextEncoder();

/** Text in a field of fixed length, cut between characters and filled with zeros. */
export function setText(view: DataView, at: number, bytes: number, text: string): void {
  const target = new Uint8Array(view.buffer, view.byteOffset + at, bytes);
  const { written } = encoder.encodeInto(text, target);
  target.fill(0, written);
}
