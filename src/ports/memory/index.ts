/**
 * Ports for tests, and for engines that run in the caller's thread: frames are pushed in and read out as values.
 * `const web1 = memory(); datapath.addPort({ …, options: web1.options }); web1.inject(frame); … web1.take()`.
 */
import * as z from "zod";
import { VNET_BYTES, type PacketBatch, type Port, type PortState, type PortType } from "../port.ts";

export interface MemoryOptions {
  readonly channel: number;
}

/** A frame and what may come with it; lengths in bytes, `length` = on the wire (absent: nothing was cut). */
export interface MemoryFrame {
  readonly bytes: Uint8Array;
  readonly length?: number;
  readonly timeNs?: number;
  readonly gsoSize?: number;
  readonly gsoHeaders?: number;
  /** VNET_BYTES of virtio-net header. */
  readonly vnet?: Uint8Array;
}

/** The test's end of a port. */
export interface MemoryChannel {
  readonly options: MemoryOptions;
  state: PortState;
  mtu: number;
  /** False: `transmit` refuses, as a full device queue does. */
  accepts: boolean;
  /** Frames that the bridge has not received yet; copied only then. */
  readonly pending: MemoryFrame[];
  inject(bytes: Uint8Array, facts?: Omit<MemoryFrame, "bytes">): void;
  /** Frames that the bridge sent since the last call. */
  take(): MemoryFrame[];
  /** Called with each frame sent; the default keeps it for `take`. */
  onSent: (frame: MemoryFrame) => void;
}

const channels = new Map<number, MemoryChannel>();
let lastChannel = 0;

export function memory(): MemoryChannel {
  const sent: MemoryFrame[] = [];
  const channel: MemoryChannel = {
    options: { channel: ++lastChannel },
    state: "up",
    mtu: 0,
    accepts: true,
    pending: [],
    inject: (bytes, facts) => void channel.pending.push({ ...facts, bytes }),
    take: () => sent.splice(0),
    onSent: (frame) => void sent.push(frame),
  };
  channels.set(lastChannel, channel);
  return channel;
}

/** A cable: what the bridge sends out of one port it receives on the other (two bridges, or one and a loop). */
export function pair(): [MemoryChannel, MemoryChannel] {
  const [a, b] = [memory(), memory()];
  a.onSent = (frame) => void b.pending.push(frame);
  b.onSent = (frame) => void a.pending.push(frame);
  return [a, b];
}

function receive(pending: MemoryFrame[], batch: PacketBatch): number {
  batch.vnet = pending[0]?.vnet !== undefined;
  let count = 0;
  let end = 0;
  for (const frame of pending) {
    // A batch is with virtio-net headers or without: take the run of frames that agree with the first.
    if (count === batch.capacity || (frame.vnet !== undefined) !== batch.vnet) break;
    batch.offset[count] = end + VNET_BYTES;
    batch.captured[count] = frame.bytes.length;
    batch.length[count] = frame.length ?? frame.bytes.length;
    batch.timeNs[count] = frame.timeNs ?? 0;
    batch.gsoSize[count] = frame.gsoSize ?? 0;
    batch.gsoHeaders[count] = frame.gsoHeaders ?? 0;
    end += VNET_BYTES + frame.bytes.length;
    count++;
  }
  batch.bytes = new Uint8Array(end);
  for (const [n, frame] of pending.splice(0, count).entries()) {
    if (frame.vnet) batch.bytes.set(frame.vnet, batch.offset[n]! - VNET_BYTES);
    batch.bytes.set(frame.bytes, batch.offset[n]);
  }
  return count;
}

function open(options: MemoryOptions): Port {
  const channel = channels.get(options.channel);
  if (!channel) throw new Error(`no memory channel ${options.channel} in this thread: call memory() for one`);
  return {
    receive: (batch) => (channel.state === "up" && channel.pending.length > 0 ? receive(channel.pending, batch) : 0),
    transmit(bytes, offset, captured, length, vnet) {
      if (!channel.accepts) return false;
      const frame = { bytes: bytes.slice(offset, offset + captured), length };
      channel.onSent(vnet ? { ...frame, vnet: bytes.slice(offset - VNET_BYTES, offset) } : frame);
      return true;
    },
    flush() {},
    status() {
      const { state, mtu } = channel;
      return { state, mtu, speed: 0, ifIndex: 0, lost: { ring: 0, nic: 0, tap: 0, qdisc: 0 } };
    },
    close: () => void channels.delete(options.channel),
    nextReceiveNs: (nowNs) => (channel.pending.length > 0 ? nowNs : Infinity),
    get ended() {
      return channel.state === "ended";
    },
  };
}

const type: PortType<MemoryOptions> = { schema: z.strictObject({ channel: z.int() }), open };
export default type;
