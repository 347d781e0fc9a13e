/**
 * Copies of a frame for mirror sessions. Each session is asked once a frame (filter, 1 in N, ceilings); SPAN and RSPAN
 * copies are sent here, all others go into a ring. What does not fit is counted, never waited for, and nothing of it
 * touches the counters of ports and flows.
 */
import { OBSERVED } from "../../flow/disposition.ts";
import { runBpf } from "../../wire/bpf.ts";
import { VNET_FLAGS, VNET_NEEDS_CSUM } from "../../wire/vnet.ts";
import { isTpid } from "../../wire/vlan.ts";
import {
  ACTION_COPY_WORDS,
  type ActionBlock,
  copiesAt,
  copyCount,
  COPY_IN,
  COPY_OUT,
  COPY_SPAN,
  disposition,
} from "../../pipeline/actions.ts";
import { VNET_BYTES } from "../../ports/port.ts";
import * as M from "../../shm/copies.ts";
import type { FlowViews } from "../../shm/memory.ts";
import type { MirrorGate } from "../datapath.ts";
import { Cutter } from "./cut.ts";
import type { Egress } from "./egress.ts";
import { createFrame, type Frame } from "./frame.ts";

/** What a ceiling lets through at once after a pause: 100 ms of it. */
const BURST_NS = 100e6;
const ALL_BYTES = 0x7fffffff;

const TAG_BYTES = 4;
const VID = 0xfff;

/** Nothing is left to do to it: no segments to be cut, no checksum to be completed. */
function isFinished({ gsoSize, vnet, bytes, offset }: Frame): boolean {
  return gsoSize === 0 && (!vnet || (bytes[offset - VNET_BYTES + VNET_FLAGS]! & VNET_NEEDS_CSUM) === 0);
}

interface Gate {
  at: MirrorGate;
  skip: number;
  /** Packets and bits that may go now; below 0 after a frame that took more than there was. */
  packets: number;
  bits: number;
  lastNs: number;
}

const CLOSED: MirrorGate = { bit: 0, epoch: 0, snaplen: 0, sample: 1, pps: 0, bps: 0, packets: 0, outputs: [] };

export class Mirrors {
  private readonly memory: FlowViews;
  private readonly egress: Egress;
  private readonly gates: Gate[];
  private readonly cutter = new Cutter();
  private readonly piece = createFrame();

  constructor(memory: FlowViews, egress: Egress) {
    this.memory = memory;
    this.egress = egress;
    this.gates = Array.from({ length: M.MAX_SESSIONS }, () => ({
      at: CLOSED,
      skip: 0,
      packets: 0.5,
      bits: 0.5,
      lastNs: 0.5,
    }));
  }

  set(at: MirrorGate): void {
    const gate = this.gates[at.bit]!;
    // The numbers of one that is over stand until the next.
    if (at.epoch !== gate.at.epoch && at.epoch !== 0) {
      const base = at.bit * M.SESSION_COUNTERS;
      this.memory.sessions.fill(0, base, base + M.SESSION_COUNTERS);
      gate.skip = 1;
      // A packet to begin with and no burst: a second under full load is a second's worth.
      gate.packets = gate.bits = 1.5;
      gate.lastNs = Infinity;
    }
    gate.at = at;
  }

  /** Copy the frame in hand as its actions say. `reason`: why it was refused, 0 = it was not. */
  execute(actions: ActionBlock, frame: Frame, reason: number): void {
    const copies = copyCount(actions);
    const from = copiesAt(actions);
    // An observed frame came in, as far as we know.
    const other = disposition(actions) === OBSERVED ? COPY_OUT : 0;
    let asked = 0;
    for (let n = 0; n < copies; n++)
      if (actions[from + n * ACTION_COPY_WORDS]! >>> 24 !== other) asked |= actions[from + n * ACTION_COPY_WORDS + 2]!;
    let admitted = 0;
    for (let left = asked; left !== 0;) {
      const bit = 31 - Math.clz32(left & -left);
      left &= left - 1;
      if (this.admits(this.gates[bit]!, frame)) admitted |= 1 << bit;
    }
    if (admitted === 0) return;
    let sent = 0;
    for (let n = 0; n < copies; n++) {
      const at = from + n * ACTION_COPY_WORDS;
      const target = actions[at]!;
      const sessions = actions[at + 2]! & admitted;
      if (sessions === 0) continue;
      const kind = target >>> 24;
      if (kind === other) continue;
      const snaplen = this.snaplen(sessions);
      const isSent =
        kind === COPY_IN || kind === COPY_OUT
          ? this.keep(kind, target, actions[at + 1]!, sessions, frame, reason, snaplen)
          : this.send(kind, target, actions[at + 1]!, sessions, frame, snaplen);
      if (isSent) sent |= sessions;
    }
    this.count(sent, frame);
  }

  /** What the session that wants most of a frame wants. */
  private snaplen(sessions: number): number {
    let most = 0;
    for (let left = sessions; left !== 0; left &= left - 1) {
      const { snaplen } = this.gates[31 - Math.clz32(left & -left)]!.at;
      if (snaplen === 0) return ALL_BYTES;
      if (snaplen > most) most = snaplen;
    }
    return most;
  }

  private admits(gate: Gate, frame: Frame): boolean {
    const { at } = gate;
    if (at.epoch === 0) return false;
    const { sessions } = this.memory;
    const base = at.bit * M.SESSION_COUNTERS;
    if (at.packets !== 0 && sessions[base + M.M_SENT]! >= at.packets) return false;
    if (at.filter !== undefined) {
      const { bytes, offset, captured } = frame;
      const isTagged = captured >= 14 && isTpid((bytes[offset + 12]! << 8) | bytes[offset + 13]!);
      const program = isTagged ? at.filter.tagged : at.filter.plain;
      if (runBpf(program, bytes, offset, captured, frame.length) === 0) return false;
    }
    sessions[base + M.M_MATCHED]! += frame.packets;
    if (at.sample > 1) {
      gate.skip -= frame.packets;
      if (gate.skip > 0) {
        sessions[base + M.M_SAMPLED_OUT]! += frame.packets;
        return false;
      }
      // A super-packet that is taken counts for as many as it is.
      gate.skip += at.sample * frame.packets;
    }
    if ((at.pps === 0 && at.bps === 0) || this.pays(gate, frame)) return true;
    sessions[base + M.M_RATE_DROPPED]! += frame.packets;
    return false;
  }

  /** Two token buckets; a super-packet may take more than there is, and the next frames pay for it. */
  private pays(gate: Gate, frame: Frame): boolean {
    const { pps, bps, snaplen } = gate.at;
    const passed = Math.max(0, Math.min(frame.timeNs - gate.lastNs, 1e9));
    gate.lastNs = frame.timeNs;
    gate.packets = Math.min(gate.packets + (passed * pps) / 1e9, Math.max(1, (pps * BURST_NS) / 1e9));
    gate.bits = Math.min(gate.bits + (passed * bps) / 1e9, Math.max(1, (bps * BURST_NS) / 1e9));
    if ((pps !== 0 && gate.packets < 1) || (bps !== 0 && gate.bits <= 0)) return false;
    const bytes = snaplen === 0 ? frame.wireBytes : Math.min(frame.wireBytes, snaplen * frame.packets);
    gate.packets -= frame.packets;
    gate.bits -= bytes * 8;
    return true;
  }

  /** SPAN and RSPAN. A super-packet goes as it is unless it is to be cut. */
  private send(
    kind: number,
    target: number,
    operand: number,
    sessions: number,
    frame: Frame,
    snaplen: number,
  ): boolean {
    if (this.egress.share.isUsedUp) return this.drop(sessions, frame);
    const { captured, length, gsoSize, gsoHeaders } = frame;
    let bytes = frame.wireBytes;
    let isSent: boolean;
    if (snaplen >= (gsoSize === 0 ? captured : Math.min(captured, gsoHeaders + gsoSize)))
      isSent = this.copy(target, operand, frame);
    else if (isFinished(frame)) {
      frame.captured = frame.length = bytes = snaplen;
      isSent = this.copy(target, operand, frame);
      frame.captured = captured;
      frame.length = length;
    } else {
      bytes = this.sendPieces(target, operand, frame, snaplen);
      isSent = bytes > 0;
    }
    const { sessions: counters } = this.memory;
    // An RSPAN copy's operand says its VLAN whatever becomes of the tag.
    const output = (kind << 24) | (kind === COPY_SPAN ? target & 0xffff : operand & VID);
    for (let left = sessions; left !== 0; left &= left - 1) {
      const bit = 31 - Math.clz32(left & -left);
      const { outputs } = this.gates[bit]!.at;
      const base = bit * M.SESSION_COUNTERS;
      if (!isSent) counters[base + M.M_FAILED]! += frame.packets;
      for (let n = 0; n < outputs.length; n++) {
        if (outputs[n] !== output) continue;
        const counter = base + M.M_OUTPUTS + n * M.OUTPUT_COUNTERS;
        if (isSent) {
          counters[counter]! += frame.packets;
          counters[counter + 1]! += bytes;
        } else counters[counter + 2]! += frame.packets;
      }
    }
    return isSent;
  }

  private copy(target: number, operand: number, frame: Frame): boolean {
    return this.egress.copy(target & 0xffff, (target >>> 16) & 0xff, operand & 0xffff, operand >>> 16, frame);
  }

  /** Returns the bytes that went out. */
  private sendPieces(target: number, operand: number, frame: Frame, snaplen: number): number {
    const { cutter, piece } = this;
    const pieces = cutter.cut(frame, snaplen);
    let bytes = 0;
    piece.bytes = cutter.bytes;
    for (let n = 0; n < pieces; n++) {
      piece.offset = cutter.offsets[n]!;
      piece.captured = piece.length = cutter.lengths[n]!;
      if (this.copy(target, operand, piece)) bytes += piece.length;
    }
    // The next frame that is cut takes the same memory.
    this.egress.flushPort(target & 0xffff);
    return bytes;
  }

  /** Into the ring, for the control thread. */
  private keep(
    kind: number,
    target: number,
    operand: number,
    sessions: number,
    frame: Frame,
    reason: number,
    snaplen: number,
  ): boolean {
    const { copies } = this.memory;
    // A super-packet is cut into segments first, a partial checksum is completed first: both need all of it.
    const captured = isFinished(frame) ? Math.min(frame.captured, snaplen + TAG_BYTES) : frame.captured;
    const at = copies.reserve(M.COPY_HEAD_BYTES + captured);
    if (at < 0) return this.drop(sessions, frame);
    const { u32, u8 } = copies;
    const w = at >>> 2;
    copies.f64[at >>> 3] = frame.timeNs;
    u32[w + M.COPY_SESSIONS] = sessions;
    u32[w + M.COPY_PORT] = target & 0xffff;
    u32[w + M.COPY_DIRECTION] = kind === COPY_IN ? 1 : 2;
    u32[w + M.COPY_REASON] = reason;
    u32[w + M.COPY_LENGTH] = frame.length;
    u32[w + M.COPY_CAPTURED] = captured;
    u32[w + M.COPY_TAG] = (((target >>> 16) & 0xff) | (operand << 16)) >>> 0;
    u32[w + M.COPY_TPID] = operand >>> 16;
    u32[w + M.COPY_HAS_VNET] = frame.vnet ? 1 : 0;
    const before = frame.vnet ? VNET_BYTES : 0;
    const { bytes, offset } = frame;
    const to = at + M.COPY_HEAD_BYTES - offset;
    if (captured > 256) u8.set(bytes.subarray(offset - before, offset + captured), to + offset - before);
    else for (let n = offset - before; n < offset + captured; n++) u8[to + n] = bytes[n]!;
    copies.commit();
    return true;
  }

  /** There is no room for a copy, or no time. */
  private drop(sessions: number, frame: Frame): false {
    const { sessions: counters } = this.memory;
    for (let left = sessions; left !== 0; left &= left - 1)
      counters[(31 - Math.clz32(left & -left)) * M.SESSION_COUNTERS + M.M_QUEUE_DROPPED]! += frame.packets;
    return false;
  }

  private count(sent: number, frame: Frame): void {
    const { sessions } = this.memory;
    for (let left = sent; left !== 0; left &= left - 1) {
      const bit = 31 - Math.clz32(left & -left);
      const { snaplen } = this.gates[bit]!.at;
      const base = bit * M.SESSION_COUNTERS;
      sessions[base + M.M_SENT]! += frame.packets;
      sessions[base + M.M_BYTES_BEFORE]! += frame.wireBytes;
      sessions[base + M.M_BYTES_AFTER]! +=
        snaplen === 0 ? frame.wireBytes : Math.min(frame.wireBytes, snaplen * frame.packets);
    }
  }
}
