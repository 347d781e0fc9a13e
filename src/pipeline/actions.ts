/**
 * An action block: what to do with every frame of a rule, as plain words that each datapath executes. Immutable: a
 * changed decision is a new block.
 *
 * ```
 * word 0   disposition 8 | outputs 16 << 8 | copies 8 << 24
 * word 1   dropped: drop reason number    consumed: protocol number    else 0
 * then two words an output, in order:
 *   2n+2   port number 16 | tag operation 8 << 16
 *   2n+3   TCI 16 | TPID 16 << 16                                       operand of the tag operation
 * and behind the outputs three words a copy that mirrors make, whatever the disposition is:
 *   +0     port number 16 | tag operation 8 << 16 | kind 8 << 24       COPY_…
 *   +1     TCI 16 | TPID 16 << 16
 *   +2     sessions that want it, one bit each
 * ```
 *
 * Copies are no outputs: what is counted, sampled and recorded of a frame does not know them.
 *
 * A tag operation is relative to the frame *as received*, so outputs do not depend on their order.
 */
import { CONSUMED, DROPPED, FORWARDED, OBSERVED } from "../flow/disposition.ts";

export type ActionBlock = Uint32Array;

/** Send the tag as received. */
export const TAG_KEEP = 0;
/** Put a tag (TPID, TCI) before what is there. */
export const TAG_PUSH = 1;
/** Take the outer tag away. */
export const TAG_POP = 2;
/** Replace the VLAN id of the outer tag; PCP, DEI and TPID stay. */
export const TAG_SET_VID = 3;

export const ACTION_HEADER_WORDS = 2;
export const ACTION_OUTPUT_WORDS = 2;

/** Into a SPAN port; the block's port is where it goes. */
export const COPY_SPAN = 1;
/** Into the VLAN of an RSPAN; the block's port carries it. */
export const COPY_RSPAN = 2;
/** To the control thread (files, streams, tunnels), as it came in by the block's port, or as it left by it. */
export const COPY_IN = 3;
export const COPY_OUT = 4;

export const ACTION_COPY_WORDS = 3;
/** Copies that a block can hold. */
export const MAX_COPIES = 255;

export interface Copy extends Output {
  readonly kind: typeof COPY_SPAN | typeof COPY_RSPAN | typeof COPY_IN | typeof COPY_OUT;
  /** One bit a session. */
  readonly sessions: number;
}

export interface Output {
  readonly port: number;
  readonly tag?: typeof TAG_KEEP | typeof TAG_PUSH | typeof TAG_POP | typeof TAG_SET_VID;
  /** Operand of TAG_PUSH (whole TCI) and TAG_SET_VID (VLAN id). */
  readonly tci?: number;
  /** Operand of TAG_PUSH; 0x8100 unless given. */
  readonly tpid?: number;
}

export function forward(outputs: readonly Output[]): ActionBlock {
  const block = new Uint32Array(ACTION_HEADER_WORDS + outputs.length * ACTION_OUTPUT_WORDS);
  block[0] = FORWARDED | (outputs.length << 8);
  outputs.forEach((output, n) => {
    const at = ACTION_HEADER_WORDS + n * ACTION_OUTPUT_WORDS;
    block[at] = output.port | ((output.tag ?? TAG_KEEP) << 16);
    block[at + 1] = ((output.tci ?? 0) | ((output.tpid ?? 0x8100) << 16)) >>> 0;
  });
  return block;
}

export function drop(reason: number): ActionBlock {
  return Uint32Array.of(DROPPED, reason);
}

/** Count the frame and let it be: something else forwards it (observe mode). */
export function observe(): ActionBlock {
  return Uint32Array.of(OBSERVED, 0);
}

export function consume(protocol: number): ActionBlock {
  return Uint32Array.of(CONSUMED, protocol);
}

/** The same block with copies behind its outputs; of more than MAX_COPIES the first. */
export function withCopies(block: ActionBlock, copies: readonly Copy[]): ActionBlock {
  const count = Math.min(copies.length, MAX_COPIES);
  if (count === 0) return block;
  const own = copiesAt(block);
  const all = new Uint32Array(own + count * ACTION_COPY_WORDS);
  all.set(block.subarray(0, own));
  all[0] = ((block[0]! & 0x00ffffff) | (count << 24)) >>> 0;
  for (let n = 0; n < count; n++) {
    const { port, tag = TAG_KEEP, tci = 0, tpid = 0x8100, kind, sessions } = copies[n]!;
    const at = own + n * ACTION_COPY_WORDS;
    all[at] = (port | (tag << 16) | (kind << 24)) >>> 0;
    all[at + 1] = (tci | (tpid << 16)) >>> 0;
    all[at + 2] = sessions >>> 0;
  }
  return all;
}

export function copyCount(block: ActionBlock): number {
  return block[0]! >>> 24;
}

/** Word at which the copies begin. */
export function copiesAt(block: ActionBlock): number {
  return ACTION_HEADER_WORDS + outputCount(block) * ACTION_OUTPUT_WORDS;
}

/** All sessions that some copy is for, one bit each. */
export function copySessions(block: ActionBlock): number {
  let sessions = 0;
  for (let at = copiesAt(block); at < block.length; at += ACTION_COPY_WORDS) sessions |= block[at + 2]!;
  return sessions;
}

export function disposition(block: ActionBlock): number {
  return block[0]! & 0xff;
}

export function outputCount(block: ActionBlock): number {
  return (block[0]! >>> 8) & 0xffff;
}

/** Port number of output n. */
export function outputPort(block: ActionBlock, n: number): number {
  return block[ACTION_HEADER_WORDS + n * ACTION_OUTPUT_WORDS]! & 0xffff;
}

/** Drop reason or consumed protocol. */
export function detail(block: ActionBlock): number {
  return block[1]!;
}

/** Tag operation (TAG_…) of output n. */
export function outputTag(block: ActionBlock, n: number): number {
  return (block[ACTION_HEADER_WORDS + n * ACTION_OUTPUT_WORDS]! >>> 16) & 0xff;
}

/** TCI operand of output n's tag operation. */
export function outputTci(block: ActionBlock, n: number): number {
  return block[ACTION_HEADER_WORDS + n * ACTION_OUTPUT_WORDS + 1]! & 0xffff;
}

export function equalActions(a: ActionBlock, b: ActionBlock): boolean {
  if (a === b) return true;
  return a.length === b.length && a.every((word, index) => word === b[index]);
}
