/**
 * NetFlow version 9 (RFC 3954) and IPFIX (RFC 7011) for `weir decode`: messages to plain values, by templates that are kept
 * for each exporter and domain. Anything may come in: every length is checked before it is believed, what is kept is bounded.
 *
 * ```
 * VERSION 9   9 | count 2 | uptime ms 4 | Unix s 4 | sequence 4 | source id 4       sets …
 * IPFIX      10 | length 2 | Unix s 4 | sequence 4 | domain 4                       sets …
 * SET        id 2 | length 2, of the whole set | records, padding
 * ```
 */
import { readU16, readU32 } from "../../wire/bytes.ts";
import { elementName, readValue, type Value } from "./elements.ts";

const V9_HEADER = 20;
const IPFIX_HEADER = 16;
const FIRST_DATA_SET = 256;
/** Length of a field whose length stands in the record (RFC 7011 section 7). */
const VARIABLE = 65535;
const LONG_PREFIX = 255;
const ENTERPRISE = 0x8000;
/** Kept at most; the exporter or template used longest ago goes. */
const MAX_EXPORTERS = 256;
const MAX_TEMPLATES = 1024;
const MAX_FIELDS = 512;
/** Of one message: fields may have no bytes, and cost memory all the same. */
const MAX_VALUES = 65_536;

export interface TemplateField {
  readonly name: string;
  /** 65535 = in the record. */
  readonly bytes: number;
}

export interface TemplateInfo {
  readonly id: number;
  /** First so many fields are scopes: options (RFC 7011 section 3.4.2). 0 = flows. */
  readonly scopes: number;
  readonly fields: readonly TemplateField[];
}

export interface TemplateRecord {
  readonly template: number;
  /** Present: about the exporter, not a flow. */
  readonly options?: true;
  readonly values: Readonly<Record<string, Value>>;
}

export interface TemplateMessage {
  readonly version: 9 | 10;
  readonly sequence: number;
  readonly domain: number;
  readonly unixMs: number;
  /** Of version 9. */
  readonly uptimeMs?: number;
  readonly templates: readonly TemplateInfo[];
  readonly records: readonly TemplateRecord[];
  /** Sets whose template was not seen: ids. */
  readonly unknown: readonly number[];
}

export interface DecodedTemplates {
  readonly datagram?: TemplateMessage;
  readonly error?: { readonly offset: number; readonly message: string };
}

class Fault extends Error {
  readonly offset: number;
  constructor(offset: number, message: string) {
    super(message);
    this.offset = offset;
  }
}

type Known = Map<number, TemplateInfo>;

export class TemplateReader {
  private readonly exporters = new Map<string, Known>();

  /** Never throws. What is wrong comes back with its offset, beside what stood before it. */
  decode(bytes: Uint8Array, from: string): DecodedTemplates {
    const version = bytes.length < 2 ? 0 : readU16(bytes, 0);
    if (version !== 9 && version !== 10) return { error: { offset: 0, message: `version ${version} is not 9 or 10` } };
    const header = version === 9 ? V9_HEADER : IPFIX_HEADER;
    if (bytes.length < header) return { error: { offset: bytes.length, message: `the header has ${header} bytes` } };
    const said = version === 9 ? bytes.length : readU16(bytes, 2);
    const domain = readU32(bytes, header - 4);
    const templates: TemplateInfo[] = [];
    const records: TemplateRecord[] = [];
    const unknown: number[] = [];
    const datagram: TemplateMessage = {
      version,
      sequence: readU32(bytes, header - 8),
      domain,
      unixMs: readU32(bytes, version === 9 ? 8 : 4) * 1000,
      ...(version === 9 && { uptimeMs: readU32(bytes, 4) }),
      templates,
      records,
      unknown,
    };
    try {
      if (said < header || said > bytes.length)
        throw new Fault(2, `a message of ${said} bytes, ${bytes.length} are there`);
      const known = this.known(`${version} ${from} ${domain}`);
      for (let at = header; at < said;) {
        if (at + 4 > said) throw new Fault(at, "a set needs 4 bytes");
        const [id, length] = [readU16(bytes, at), readU16(bytes, at + 2)];
        if (length < 4 || at + length > said)
          throw new Fault(at + 2, `set ${id} has ${length} bytes, ${said - at} are left`);
        const end = at + length;
        if (id >= FIRST_DATA_SET) {
          const template = known.get(id);
          if (template) readRecords(bytes, at + 4, end, template, records);
          else unknown.push(id);
        } else if (id === (version === 9 ? 0 : 2) || id === (version === 9 ? 1 : 3))
          readTemplates(bytes, at + 4, end, version, id % 2 === 1, known, templates);
        else throw new Fault(at, `set id ${id} is none of version ${version}`);
        at = end;
      }
      return { datagram };
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      return { datagram, error: { offset: error.offset, message: error.message } };
    }
  }

  private known(key: string): Known {
    let known = this.exporters.get(key);
    this.exporters.delete(key);
    if (known === undefined) {
      known = new Map();
      if (this.exporters.size === MAX_EXPORTERS) this.exporters.delete(this.exporters.keys().next().value!);
    }
    this.exporters.set(key, known);
    return known;
  }
}

function readTemplates(
  bytes: Uint8Array,
  start: number,
  end: number,
  version: 9 | 10,
  isOptions: boolean,
  known: Known,
  out: TemplateInfo[],
): void {
  const isV9 = version === 9;
  for (let at = start; end - at >= 4;) {
    const id = readU16(bytes, at);
    if (id === 0) return; // padding
    if (id < FIRST_DATA_SET) throw new Fault(at, `template id ${id} is below ${FIRST_DATA_SET}`);
    const second = readU16(bytes, at + 2);
    // A template without fields is withdrawn (RFC 7011 section 8.1).
    if (second === 0) {
      known.delete(id);
      at += 4;
      continue;
    }
    if (isOptions && end - at < 6) throw new Fault(at, "an options template needs 6 bytes");
    const third = isOptions ? readU16(bytes, at + 4) : 0;
    const count = isOptions && isV9 ? (second >> 2) + (third >> 2) : second;
    const scopes = isOptions ? (isV9 ? second >> 2 : third) : 0;
    if (count > MAX_FIELDS) throw new Fault(at + 2, `${count} fields: ${MAX_FIELDS} are read at most`);
    if (scopes > count) throw new Fault(at + 4, `${scopes} scopes of ${count} fields`);
    at += isOptions ? 6 : 4;
    const fields: TemplateField[] = [];
    const seen = new Map<string, number>();
    for (let n = 0; n < count; n++) {
      if (end - at < 4) throw new Fault(at, `template ${id} has ${count} fields, ${n} are there`);
      const number = readU16(bytes, at);
      const length = readU16(bytes, at + 2);
      at += 4;
      let pen = 0;
      if (!isV9 && number >= ENTERPRISE) {
        if (end - at < 4) throw new Fault(at, "an enterprise number needs 4 bytes");
        pen = readU32(bytes, at);
        at += 4;
      }
      const name = elementName(pen === 0 ? number : number - ENTERPRISE, pen, isV9 && n < scopes);
      // The first of several alike has the name; the others say which they are.
      const alike = (seen.get(name) ?? 0) + 1;
      seen.set(name, alike);
      fields.push({ name: alike === 1 ? name : `${name}#${alike}`, bytes: length });
    }
    const template = { id, scopes, fields };
    out.push(template);
    known.delete(id);
    if (known.size === MAX_TEMPLATES) known.delete(known.keys().next().value!);
    known.set(id, template);
  }
}

function readRecords(
  bytes: Uint8Array,
  start: number,
  end: number,
  template: TemplateInfo,
  out: TemplateRecord[],
): void {
  const { id, scopes, fields } = template;
  const least = fields.reduce((sum, field) => sum + (field.bytes === VARIABLE ? 1 : field.bytes), 0);
  // Records without bytes would never end.
  if (least === 0) throw new Fault(start, `template ${id} describes records without bytes`);
  let room = MAX_VALUES - out.reduce((sum, { values }) => sum + Object.keys(values).length, 0);
  for (let at = start; end - at >= least;) {
    if ((room -= fields.length) < 0) throw new Fault(at, `more than ${MAX_VALUES} values in one message`);
    const values: Record<string, Value> = {};
    for (const field of fields) {
      let length = field.bytes;
      if (length === VARIABLE) {
        if (at >= end) throw new Fault(at, `${field.name} has no length`);
        length = bytes[at++]!;
        if (length === LONG_PREFIX) {
          if (end - at < 2) throw new Fault(at, `${field.name} has no length`);
          length = readU16(bytes, at);
          at += 2;
        }
      }
      if (length > end - at) throw new Fault(at, `${field.name} needs ${length} bytes, ${end - at} are left`);
      values[field.name] = readValue(field.name, bytes, at, length);
      at += length;
    }
    out.push({ template: id, ...(scopes > 0 && { options: true as const }), values });
  }
}
