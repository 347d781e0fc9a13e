/**
 * Frames that met no rule: up through the private veth, kept in bounded queues until the pipeline has answered, and back
 * down the same way, where the program `resume` decides them. On the veth an S-tag before what a frame has says by which
 * port it came; it is left on while the frame waits.
 *
 * Per port, in wire packets:  sent up = back + refused here + lost on the way + pending
 */
import { CAUSE_MISS_REFUSED, DROP_CPU_BACKLOG, DROP_REASONS } from "../../flow/disposition.ts";
import { KEY_VLAN, KEY_WORDS, TCI_PRESENT, TCI_VID } from "../../flow/key.ts";
import { FACT_L3_BYTES, FACT_L3_OFFSET, FACT_WORDS, parseKey } from "../../flow/parse.ts";
import { TAG_POP } from "../../pipeline/actions.ts";
import { receiveBatch } from "../../ports/device/rings.ts";
import { enqueue, flushSender } from "../../ports/device/send.ts";
import { createBatch } from "../../ports/port.ts";
import * as C from "../../shm/counters.ts";
import { RecordRing } from "../../shm/ring.ts";
import { readCounter } from "../../shm/slots.ts";
import { OTHER_VLAN, type UnattributedTable } from "../../shm/unattributed.ts";
import { type Attachment, attachProgram } from "../../sys/bpf-attach.ts";
import { MAX_PORTS, type Miss } from "../datapath.ts";
import { monotonicNs } from "../userspace/clock.ts";
import { takeMisses } from "../userspace/control-side.ts";
import { createFrame, type Frame, measure } from "../userspace/frame.ts";
import { Pending } from "../userspace/pending.ts";
import { applyTag, undoTag } from "../userspace/tags.ts";
import {
  NOTICE_WINDOW_MS,
  NOTICES_PER_WINDOW,
  SET_MISS_IFINDEX,
  SET_MISS_ROOM,
  SET_MISSES_SENT,
  SET_MISSES_TAKEN,
  UP_BACK,
  UP_BACK_BYTES,
  UP_SENT,
  UP_SENT_BYTES,
  UP_WORDS,
} from "./layout.ts";
import type { KernelMaps } from "./maps.ts";
import { writeNotice } from "./records.ts";
import { openPrivateVeth, type PrivateVeth } from "./private-veth.ts";

const BATCH = 256;
const MISS_WORDS = 1 << 16;
const TAG_BYTES = 4;
const MACS_BYTES = 12;
const STANDS_FOR = 4;

export class Uplink {
  readonly veth: PrivateVeth;
  private readonly maps: KernelMaps;
  private readonly notices: RecordRing;
  private readonly unattributed: UnattributedTable;
  /** Counters of what happens in this process; added to the program's. */
  private readonly own: Float64Array;
  private readonly attachment: Attachment;
  /** Questions to the pipeline. */
  readonly misses = RecordRing.create(MISS_WORDS);
  private readonly pending = new Pending(this.misses);
  private readonly batch = createBatch(BATCH);
  private readonly frame = createFrame();
  private readonly key = new Uint32Array(KEY_WORDS);
  private readonly facts = new Int32Array(FACT_WORDS);
  /** By port: wire packets and bytes that ended here; that wait here; what was on the way at the last look. */
  private readonly ended: Float64Array;
  private readonly waiting = new Float64Array(MAX_PORTS * 2);
  private readonly before = new Float64Array(MAX_PORTS * 2);
  /** Calls of findLost since that changed. */
  private readonly standing = new Uint8Array(MAX_PORTS);
  private readonly noticeWindow = new Float64Array(MAX_PORTS);
  private readonly noticeCount = new Float64Array(MAX_PORTS);

  /** `owned`: what outlives the process is called so. */
  constructor(maps: KernelMaps, notices: RecordRing, owned?: { readonly device: string; readonly link: string }) {
    this.maps = maps;
    this.own = maps.kept.counters;
    this.unattributed = maps.kept.withoutFlow;
    this.ended = maps.kept.ended;
    this.notices = notices;
    this.veth = openPrivateVeth(owned?.device);
    try {
      this.attachment = attachProgram(
        maps.object.program("resume"),
        this.veth.near.index,
        this.veth.near.name,
        "ingress",
        owned?.link,
      );
    } catch (error) {
      this.veth.close();
      throw error;
    }
    // What was on the way to a process that is gone is lost; findLost counts it.
    Atomics.store(maps.settings, SET_MISSES_TAKEN, Atomics.load(maps.settings, SET_MISSES_SENT));
    maps.settings[SET_MISS_IFINDEX] = this.veth.near.index;
    maps.settings[SET_MISS_ROOM] = this.veth.room;
  }

  close(keep = false): void {
    if (keep) this.attachment.letGo();
    else this.attachment.detach();
    this.veth.close(keep);
  }

  /** Descriptors that are readable when `drain` would find frames. */
  get fds(): number[] {
    return [this.veth.rings.small.fd, this.veth.rings.large.fd];
  }

  /** Take in what has come up. Returns true when questions wait. */
  drain(): boolean {
    const { batch, frame, maps } = this;
    for (let count = BATCH; count === BATCH;) {
      count = receiveBatch(this.veth.rings, batch);
      for (let n = 0; n < count; n++) {
        frame.bytes = batch.bytes;
        frame.offset = batch.offset[n]!;
        frame.captured = batch.captured[n]!;
        frame.length = batch.length[n]!;
        frame.gsoSize = batch.gsoSize[n]!;
        frame.gsoHeaders = batch.gsoHeaders[n]!;
        frame.vnet = true;
        this.take();
      }
      if (count > 0) Atomics.add(maps.settings, SET_MISSES_TAKEN, count);
    }
    return this.misses.peek() >= 0;
  }

  questionsUpTo(limit: number): Miss[] {
    return takeMisses(this, limit);
  }

  /** The pipeline has answered: send the waiting frames back down, or refuse them. */
  resume(miss: number, refused: number): void {
    const { pending, frame } = this;
    if (!pending.isOpen(miss)) return;
    const first = pending.close(miss);
    for (let cell = first; cell >= 0;) {
      const next = pending.read(cell, frame);
      this.parse();
      this.wait(-1);
      if (refused !== 0) this.refuse(refused);
      else enqueue(this.veth.sender, frame.bytes, frame.offset, frame.length, frame.vnet);
      cell = next;
    }
    flushSender(this.veth.sender);
    pending.releaseAll(first);
  }

  /** Wire packets (which = 0) or bytes (1) of a port that are on the way or wait. */
  pendingOf(port: number, which: 0 | 1): number {
    const at = port * UP_WORDS * 2;
    // Back is read first: more may come back meanwhile, and never more than was sent.
    const back = readCounter(this.maps.ups, at + 2 * (which === 0 ? UP_BACK : UP_BACK_BYTES));
    const sent = readCounter(this.maps.ups, at + 2 * (which === 0 ? UP_SENT : UP_SENT_BYTES));
    return sent - back - this.ended[port * 2 + which]!;
  }

  /**
   * Frames that a queue of the kernel's lost on their way: still outstanding, not waiting here, and unchanged since so many
   * calls (some hundred milliseconds apart) that no busy host explains it: one that came after all would count twice. They
   * are refused by now.
   */
  findLost(ports: number): void {
    let isQuiet = true;
    this.drain();
    for (let port = 1; port < ports; port++) {
      const packets = this.pendingOf(port, 0) - this.waiting[port * 2]!;
      const bytes = this.pendingOf(port, 1) - this.waiting[port * 2 + 1]!;
      const isSame = packets === this.before[port * 2] && bytes === this.before[port * 2 + 1];
      this.before[port * 2] = packets;
      this.before[port * 2 + 1] = bytes;
      if (packets > 0 && !isSame) isQuiet = false;
      this.standing[port] = packets > 0 && isSame ? this.standing[port]! + 1 : 0;
      if (packets > 0 && isSame && this.standing[port]! < STANDS_FOR) isQuiet = false;
      if (this.standing[port]! < STANDS_FOR) continue;
      this.standing[port] = 0;
      this.countRefused(port, OTHER_VLAN, packets, bytes, 0, DROP_CPU_BACKLOG);
    }
    const { settings } = this.maps;
    if (isQuiet) Atomics.store(settings, SET_MISSES_TAKEN, Atomics.load(settings, SET_MISSES_SENT));
  }

  /** The frame in hand has just come: it waits for a rule, or is refused. */
  private take(): void {
    const { pending, frame } = this;
    this.parse();
    frame.timeNs = monotonicNs();
    if (pending.wait(frame, this.key)) this.wait(1);
    else this.refuse(DROP_CPU_BACKLOG);
  }

  /** The key of the frame in hand, as it was received: without the tag that names its port. */
  private parse(): void {
    const { frame, facts } = this;
    const { bytes, offset } = frame;
    const at = offset + MACS_BYTES + 2;
    frame.port = ((bytes[at]! << 8) | bytes[at + 1]!) & TCI_VID;
    applyTag(bytes, offset, TAG_POP, 0, 0, false);
    const length = frame.length - TAG_BYTES;
    parseKey(bytes, offset + TAG_BYTES, length, length, frame.port, this.key, facts);
    undoTag(bytes, offset);
    measureUntagged(frame, facts);
  }

  /** The frame in hand, parsed, begins (1) or ends (−1) to wait. */
  private wait(sign: number): void {
    this.waiting[this.frame.port * 2]! += sign * this.frame.packets;
    this.waiting[this.frame.port * 2 + 1]! += sign * this.frame.wireBytes;
  }

  /** Refuse the frame in hand: it is parsed. */
  private refuse(reason: number): void {
    const { frame } = this;
    const tci = this.key[KEY_VLAN]! >>> 16;
    const vlan = (tci & TCI_PRESENT) === 0 ? 0 : tci & TCI_VID;
    this.countRefused(frame.port, vlan, frame.packets, frame.wireBytes, frame.l3Bytes, reason);
    this.notice(reason);
  }

  private countRefused(
    port: number,
    vlan: number,
    packets: number,
    bytes: number,
    l3Bytes: number,
    reason: number,
  ): void {
    const { own } = this;
    const base = port * C.COUNTERS_PER_PORT;
    own[base + C.C_DROPPED]! += packets;
    own[base + C.C_DROPPED_BYTES]! += bytes;
    own[base + C.C_DROP_REASON + reason]! += packets;
    own[base + C.C_UNATTRIBUTED + CAUSE_MISS_REFUSED]! += packets;
    own[base + C.C_UNATTRIBUTED_BYTES + CAUSE_MISS_REFUSED]! += bytes;
    this.unattributed.add(port, vlan, packets, bytes, l3Bytes);
    this.ended[port * 2]! += packets;
    this.ended[port * 2 + 1]! += bytes;
  }

  private notice(reason: number): void {
    if (DROP_REASONS[reason]!.class === "expected") return;
    const { frame, own } = this;
    const { port, bytes, offset } = frame;
    const nowNs = monotonicNs();
    if (nowNs - this.noticeWindow[port]! >= NOTICE_WINDOW_MS * 1e6) {
      this.noticeWindow[port] = nowNs;
      this.noticeCount[port] = 0;
    }
    this.noticeCount[port]! += 1;
    const lost = port * C.COUNTERS_PER_PORT + C.C_NOTICES_LOST;
    applyTag(bytes, offset, TAG_POP, 0, 0, false);
    const isKept =
      this.noticeCount[port]! <= NOTICES_PER_WINDOW &&
      writeNotice(this.notices, frame, offset + TAG_BYTES, nowNs, own[lost]!, reason, this.key[KEY_VLAN]! >>> 16);
    undoTag(bytes, offset);
    own[port * C.COUNTERS_PER_PORT + (isKept ? C.C_NOTICES : C.C_NOTICES_LOST)]! += 1;
  }
}

/** What the frame counts without the tag that names its port. */
function measureUntagged(frame: Frame, facts: Int32Array): void {
  frame.length -= TAG_BYTES;
  frame.gsoHeaders -= TAG_BYTES;
  measure(frame, facts[FACT_L3_BYTES]!, facts[FACT_L3_OFFSET]!);
  frame.length += TAG_BYTES;
  frame.gsoHeaders += TAG_BYTES;
}
