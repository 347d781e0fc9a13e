/** A message as it is on the wire: one websocket frame, made once for all who get it. */

const FIN_TEXT = 0x81;
/** Payload lengths that have two, and eight, bytes of their own (RFC 6455 section 5.2). */
const LENGTH_16 = 126;
const LENGTH_64 = 127;

/** RFC 6455 section 5.2: the last frame of a text, without a mask (a server's has none). */
export function textFrame(text: string): Buffer {
  const length = Buffer.byteLength(text);
  const start = length < LENGTH_16 ? 2 : length < 1 << 16 ? 4 : 10;
  const frame = Buffer.allocUnsafe(start + length);
  frame[0] = FIN_TEXT;
  if (start === 2) frame[1] = length;
  else if (start === 4) {
    frame[1] = LENGTH_16;
    frame.writeUInt16BE(length, 2);
  } else {
    frame[1] = LENGTH_64;
    frame.writeBigUInt64BE(BigInt(length), 2);
  }
  frame.write(text, start);
  return frame;
}
