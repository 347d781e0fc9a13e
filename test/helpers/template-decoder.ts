/**
 * NetFlow version 9 and IPFIX read back, written from RFC 3954 and RFC 7011 and sharing nothing with the encoder. A
 * decoder is one collector: it keeps templates by source and id, and is strict, because tests are.
 */
import assert from "node:assert/strict";

export interface DecodedField {
  readonly element: number;
  readonly pen: number;
  readonly length: number;
}

export interface DecodedTemplate {
  readonly id: number;
  readonly scopes: number;
  readonly fields: readonly DecodedField[];
}

/** Values by element number ("pen/number" for enterprise elements): unsigned numbers up to 8 bytes, longer ones as hex. */
export interface DecodedRecord {
  readonly template: DecodedTemplate;
  readonly values: Readonly<Record<string, bigint | string>>;
}

export interface DecodedMessage {
  readonly version: number;
  readonly sequence: number;
  readonly domain: number;
  readonly unixSeconds: number;
  /** Of version 9. */
  readonly uptimeMs: number;
  readonly templates: readonly DecodedTemplate[];
  readonly records: readonly DecodedRecord[];
}

export class TemplateDecoder {
  private readonly templates = new Map<number, DecodedTemplate>();

  decode(bytes: Uint8Array): DecodedMessage {
    const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    const version = buffer.readUInt16BE(0);
    assert.ok(version === 9 || version === 10, `version ${version}`);
    const v9 = version === 9;
    const templates: DecodedTemplate[] = [];
    const records: DecodedRecord[] = [];
    let at = v9 ? 20 : 16;
    if (!v9) assert.equal(buffer.readUInt16BE(2), buffer.length, "the length of the message");
    while (at < buffer.length) {
      const id = buffer.readUInt16BE(at);
      const length = buffer.readUInt16BE(at + 2);
      assert.ok(length > 4 && at + length <= buffer.length, `set ${id} of ${length} bytes at ${at}`);
      if (v9) assert.equal(length % 4, 0, "sets of version 9 are padded");
      const body = buffer.subarray(at + 4, at + length);
      if (id < 256) {
        assert.ok(v9 ? id <= 1 : id === 2 || id === 3, `set id ${id}`);
        for (const template of readTemplates(body, id === (v9 ? 1 : 3), v9)) {
          templates.push(template);
          this.templates.set(template.id, template);
        }
      } else records.push(...this.read(id, body));
      at += length;
    }
    if (v9) assert.equal(buffer.readUInt16BE(2), templates.length + records.length, "count");
    return {
      version,
      sequence: buffer.readUInt32BE(v9 ? 12 : 8),
      domain: buffer.readUInt32BE(v9 ? 16 : 12),
      unixSeconds: buffer.readUInt32BE(v9 ? 8 : 4),
      uptimeMs: v9 ? buffer.readUInt32BE(4) : 0,
      templates,
      records,
    };
  }

  private read(id: number, body: Buffer): DecodedRecord[] {
    const template: DecodedTemplate | undefined = this.templates.get(id);
    assert.ok(template, `unknown template ${id}`);
    const least = template.fields.reduce((sum, { length }) => sum + (length === 65535 ? 1 : length), 0);
    const records: DecodedRecord[] = [];
    let at = 0;
    while (body.length - at >= least) {
      const values: Record<string, bigint | string> = {};
      for (const { element, pen, length } of template.fields) {
        let bytes: number = length;
        if (length === 65535) {
          bytes = body.readUInt8(at++);
          assert.ok(bytes < 255, "short strings only");
        }
        const name = pen === 0 ? String(element) : `${pen}/${element}`;
        const hex = body.subarray(at, at + bytes).toString("hex");
        assert.equal(hex.length, bytes * 2, "the set is longer than its last record");
        values[name] = bytes <= 8 && length !== 65535 ? BigInt(`0x${hex}`) : hex;
        at += bytes;
      }
      records.push({ template, values });
    }
    assert.ok(body.length - at < 4 && body.subarray(at).every((byte) => byte === 0), "padding");
    return records;
  }
}

function readTemplates(body: Buffer, isOptions: boolean, v9: boolean): DecodedTemplate[] {
  const templates: DecodedTemplate[] = [];
  let at = 0;
  while (body.length - at >= 4) {
    const id = body.readUInt16BE(at);
    if (id === 0) break; // padding
    assert.ok(id >= 256, `template ${id}`);
    const second = body.readUInt16BE(at + 2);
    const third = isOptions ? body.readUInt16BE(at + 4) : 0;
    at += isOptions ? 6 : 4;
    const count = isOptions && v9 ? (second + third) / 4 : second;
    const scopes = isOptions ? (v9 ? second / 4 : third) : 0;
    const fields: DecodedField[] = [];
    for (let n = 0; n < count; n++) {
      const element = body.readUInt16BE(at);
      const length = body.readUInt16BE(at + 2);
      at += 4;
      const enterprise = !v9 && element >= 0x8000;
      fields.push({
        element: enterprise ? element - 0x8000 : element,
        length,
        pen: enterprise ? body.readUInt32BE(at) : 0,
      });
      if (enterprise) at += 4;
    }
    templates.push({ id, scopes, fields });
  }
  return templates;
}
