/** Payloads that are written once and copied into frames: DNS questions and answers (RFC 1035), HTTP (RFC 9112), options. */
import { writeU16, writeU32 } from "../../wire/bytes.ts";
import { sumBytes } from "../../wire/checksum.ts";

/** Blob numbers; answer n belongs to question n. */
export const BLOB_MSS = 0;
export const BLOB_HTTP_REQUEST = 1;
export const BLOB_HTTP_RESPONSE = 2;
export const BLOB_QUESTIONS = 3;
export const QUESTIONS = ["www", "api", "mail", "cdn", "login", "static", "ntp", "updates"] as const;
export const BLOB_ANSWERS = BLOB_QUESTIONS + QUESTIONS.length;
const COUNT = BLOB_ANSWERS + QUESTIONS.length;

/** Where each blob stands, its length, and the sum of its 16-bit words. */
export interface Blobs {
  readonly at: Int32Array;
  readonly length: Int32Array;
  readonly sum: Uint32Array;
}

const DNS_HEADER_BYTES = 12;
/** RFC 1035 section 4.1.1: recursion desired; response, recursion desired and available. */
const DNS_QUERY = 0x0100;
const DNS_RESPONSE = 0x8180;

const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);

/** A question for the A record of `name`.example.com, and with `answer` its answer; id 0. */
function dns(name: string, answer: boolean): Uint8Array {
  const labels = [name, "example", "com"].map((label) => [label.length, ...ascii(label)]).flat();
  const question = [...labels, 0, 0, 1, 0, 1];
  const message = new Uint8Array(DNS_HEADER_BYTES + question.length + (answer ? 16 : 0));
  writeU16(message, 2, answer ? DNS_RESPONSE : DNS_QUERY);
  writeU16(message, 4, 1);
  message.set(question, DNS_HEADER_BYTES);
  if (answer) {
    writeU16(message, 6, 1);
    const at = DNS_HEADER_BYTES + question.length;
    // Name by pointer to the question, type A, class IN, TTL 300 s, 4 bytes: 203.0.113.x (RFC 5737).
    writeU32(message, at, 0xc00c0001);
    writeU32(message, at + 4, 0x00010000);
    writeU32(message, at + 8, (300 << 16) | 4);
    writeU32(message, at + 12, 0xcb007100 | name.length);
  }
  return message;
}

/** Write the blobs to `bytes[from]` on, `room` bytes. */
export function createBlobs(bytes: Uint8Array, from: number, room: number): Blobs {
  const contents = [
    // TCP option: maximum segment size 1460 (RFC 9293 section 3.7.1).
    Uint8Array.of(2, 4, 0x05, 0xb4),
    ascii("GET /index.html HTTP/1.1\r\nHost: www.example.com\r\nUser-Agent: weir-traffic\r\nAccept: */*\r\n\r\n"),
    ascii("HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nTransfer-Encoding: identity\r\n\r\n"),
    ...QUESTIONS.map((name) => dns(name, false)),
    ...QUESTIONS.map((name) => dns(name, true)),
  ];
  const blobs = { at: new Int32Array(COUNT), length: new Int32Array(COUNT), sum: new Uint32Array(COUNT) };
  let at = from;
  for (const [n, content] of contents.entries()) {
    if (at + content.length > from + room) throw new RangeError(`payload ${n} does not fit`);
    bytes.set(content, at);
    blobs.at[n] = at;
    blobs.length[n] = content.length;
    blobs.sum[n] = sumBytes(bytes, at, content.length);
    at += content.length;
  }
  return blobs;
}
