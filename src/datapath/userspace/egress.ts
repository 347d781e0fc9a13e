/**
 * Executing an action block: each output gets the frame with its own tag. A frame that no output took is refused, with
 * the reason of the last output; one that some took is forwarded, and the others count it as their loss.
 */
import { DROP_DEV_READY, DROP_PKT_TOO_BIG, DROP_TX_FAILED, DROPPED, FORWARDED } from "../../flow/disposition.ts";
import { TCI_PRESENT } from "../../flow/key.ts";
import {
  ACTION_HEADER_WORDS,
  ACTION_OUTPUT_WORDS,
  type ActionBlock,
  detail,
  disposition,
  outputCount,
  TAG_KEEP,
  TAG_POP,
  TAG_PUSH,
  TAG_SET_VID,
} from "../../pipeline/actions.ts";
import * as C from "../../shm/counters.ts";
import { type Attached, BATCH } from "./attached.ts";
import { CopyShare } from "./copy-share.ts";
import type { Frame } from "./frame.ts";
import { applyTag, TAG_HEADROOM, undoTag } from "./tags.ts";

/** Where frames are retagged whose buffer leaves no room before them. */
const SCRATCH_BYTES = 72 * 1024;
const TAG_BYTES = 4;

export class Egress {
  private readonly ports: readonly (Attached | undefined)[];
  private readonly own: Float64Array;
  private readonly transmits: boolean;
  private readonly clock: (() => number) | undefined;
  /** What copies may take of the thread's time. */
  readonly share = new CopyShare();
  private readonly scratch = new Uint8Array(SCRATCH_BYTES);
  /** TCI (with the present bit) of the first output of the last frame; 0 = untagged. */
  outTci = 0;

  /** `clock`: of the thread, ns; absent: what copies cost does not matter. */
  constructor(ports: readonly (Attached | undefined)[], own: Float64Array, transmits: boolean, clock?: () => number) {
    this.clock = clock;
    this.ports = ports;
    this.own = own;
    this.transmits = transmits;
  }

  /** Returns 0, or why the frame was refused (a drop reason). `inTci` is the outer tag as received. */
  execute(actions: ActionBlock, frame: Frame, inTci: number): number {
    this.outTci = 0;
    const what = disposition(actions);
    if (what === DROPPED) return detail(actions);
    if (what !== FORWARDED) return 0;
    const outputs = outputCount(actions);
    if (!this.transmits) {
      if (outputs > 0) this.outTci = tciOfFirst(actions, inTci);
      return outputs > 0 ? 0 : DROP_DEV_READY;
    }
    let sent = 0;
    let refused = DROP_DEV_READY;
    for (let n = 0; n < outputs; n++) {
      const at = ACTION_HEADER_WORDS + n * ACTION_OUTPUT_WORDS;
      const target = actions[at]!;
      const operand = actions[at + 1]!;
      const operation = (target >>> 16) & 0xff;
      const no = target & 0xffff;
      const reason = this.output(no, operation, operand & 0xffff, operand >>> 16, frame, inTci);
      if (reason === 0) {
        if (sent === 0) this.outTci = outgoingTci(operation, operand & 0xffff, inTci);
        sent++;
      } else {
        refused = reason;
        this.own[no * C.COUNTERS_PER_PORT + C.C_TX_FAILED]! += frame.packets;
      }
    }
    return sent > 0 ? 0 : refused;
  }

  /** A mirror's copy: sent, and counted by who asks. False: the port does not take it. */
  copy(no: number, operation: number, tci: number, tpid: number, frame: Frame): boolean {
    const entry = this.ports[no];
    if (!this.transmits || entry === undefined || !entry.up) return false;
    // What is pushed may come on top of the largest frame of the source: devices take one tag more than their MTU says.
    if (entry.maxFrame !== 0 && isTooBig(entry.maxFrame, frame, TCI_PRESENT)) return false;
    if (!this.send(entry, operation, tci, tpid, frame)) return false;
    entry.queued++;
    entry.copies++;
    return true;
  }

  /** Nothing that was given to port `no` is read any more. */
  flushPort(no: number): void {
    this.ports[no]?.port.flush();
  }

  /** Send what is queued. A port's queue may have been full before: its last batch tells what a copy costs. */
  flush(entry: Attached): void {
    const { port, queued, copies } = entry;
    if (queued === 0) return;
    entry.queued = entry.copies = 0;
    if (copies === 0 || this.clock === undefined) return port.flush();
    const beforeNs = this.clock();
    port.flush();
    this.share.spend(((this.clock() - beforeNs) * copies) / (((queued - 1) % BATCH) + 1));
  }

  /** One output. Returns 0 or a drop reason. */
  private output(no: number, operation: number, tci: number, tpid: number, frame: Frame, inTci: number): number {
    const entry = this.ports[no];
    if (entry === undefined || !entry.up) return DROP_DEV_READY;
    if (entry.maxFrame !== 0 && isTooBig(entry.maxFrame, frame, inTci)) return DROP_PKT_TOO_BIG;
    const shift = operation === TAG_PUSH ? TAG_BYTES : operation === TAG_POP ? -TAG_BYTES : 0;
    if (!this.send(entry, operation, tci, tpid, frame)) return DROP_TX_FAILED;
    entry.queued++;
    const { own } = this;
    own[entry.base + C.C_TX_PACKETS]! += frame.packets;
    own[entry.base + C.C_TX_BYTES]! += frame.wireBytes + shift * frame.packets;
    const { bytes, offset } = frame;
    if ((bytes[offset]! & 1) !== 0)
      own[entry.base + (isBroadcast(bytes, offset) ? C.C_TX_BROADCAST : C.C_TX_MULTICAST)]! += frame.packets;
    return 0;
  }

  private send(entry: Attached, operation: number, tci: number, tpid: number, frame: Frame): boolean {
    const { captured, length, vnet } = frame;
    if (operation === TAG_KEEP) return entry.port.transmit(frame.bytes, frame.offset, captured, length, vnet);
    let { bytes, offset } = frame;
    if (offset < TAG_HEADROOM) {
      if (captured > SCRATCH_BYTES - TAG_HEADROOM) return false;
      this.scratch.set(
        bytes.subarray(Math.max(0, offset - TAG_HEADROOM), offset + captured),
        TAG_HEADROOM - Math.min(offset, TAG_HEADROOM),
      );
      bytes = this.scratch;
      offset = TAG_HEADROOM;
    }
    const shift = applyTag(bytes, offset, operation, tci, tpid, vnet);
    const isSent = entry.port.transmit(bytes, offset + shift, captured - shift, length - shift, vnet);
    undoTag(bytes, offset);
    // What is behind a frame's head may be read until the flush, and the next frame may want the scratch.
    if (bytes === this.scratch) entry.port.flush();
    return isSent;
  }
}

/** A frame is too big by its payload: tags do not count (IEEE 802.3 clause 3.2.7), nor does what a GSO frame is cut into. */
function isTooBig(maxFrame: number, frame: Frame, inTci: number): boolean {
  const length = frame.gsoSize === 0 ? frame.length : frame.gsoHeaders + frame.gsoSize;
  if (length <= maxFrame) return false;
  return length - (inTci === 0 ? 0 : TAG_BYTES) > maxFrame;
}

function isBroadcast(bytes: Uint8Array, at: number): boolean {
  for (let n = 0; n < 6; n++) if (bytes[at + n] !== 0xff) return false;
  return true;
}

/** TCI that the first output's frame leaves with. */
function tciOfFirst(actions: ActionBlock, inTci: number): number {
  const target = actions[ACTION_HEADER_WORDS]!;
  return outgoingTci((target >>> 16) & 0xff, actions[ACTION_HEADER_WORDS + 1]! & 0xffff, inTci);
}

function outgoingTci(operation: number, tci: number, inTci: number): number {
  switch (operation) {
    case TAG_PUSH:
      return tci | TCI_PRESENT;
    case TAG_POP:
      return 0;
    case TAG_SET_VID:
      return (inTci & 0xf000) | tci;
    default:
      return inTci;
  }
}
