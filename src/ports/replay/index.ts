/**
 * A port that receives what a capture file holds. The file is read in place, in the datapath's thread; what the bridge
 * sends to the port is taken and forgotten.
 */
import { isAbsolute, join } from "node:path";
import * as z from "zod";
import { createCaptureBatch, openCaptureFile, type CaptureReader } from "../../wire/capture-file.ts";
import type { OpenEnv, PacketBatch, Port, PortState, PortType } from "../port.ts";

const SPEED = "write max, realtime, or a factor above 0, such as 2 (twice as fast)";

const schema = z.strictObject({
  file: z.string().min(1),
  speed: z.union([z.literal("max"), z.literal("realtime"), z.number().positive().max(1e6)], SPEED).default("realtime"),
  loop: z.boolean().default(false),
});

export type ReplayOptions = z.infer<typeof schema>;

const READ_AHEAD = 256;
/** A port that was not asked for so long goes on from where it was, instead of making up for it. */
const MAX_LATE_NS = 1e9;
/** A step of the capture's clock that is more than this is no pause but another clock; it is not waited for. */
const MAX_PAUSE_NS = 86_400e9;

function openFile(path: string): CaptureReader {
  try {
    return openCaptureFile(path);
  } catch (error) {
    const why = (error as NodeJS.ErrnoException).code === "ENOENT" ? "no such file" : (error as Error).message;
    throw new Error(`${path}: ${why}; "file" is a pcap or pcapng file, relative to the configuration's folder`, {
      cause: error,
    });
  }
}

class Replay implements Port {
  private readonly path: string;
  private readonly loop: boolean;
  /** Bridge seconds in a second of the capture; 0 = as fast as they are taken. */
  private readonly stretch: number;
  private readonly chunk = createCaptureBatch(READ_AHEAD);
  /** When each frame of the chunk is received, ns of the bridge's clock. */
  private readonly dueNs = new Float64Array(READ_AHEAD);
  private reader: CaptureReader;
  /** Frames chunk[at ..< count] are still to be received. */
  private at = 0;
  private count = 0;
  private state: PortState = "up";
  private message = "";
  private frames = 0;
  /** The capture's time and the bridge's of the frame before; the gap between the last two. */
  private lastSeconds = NaN;
  private lastNanoseconds = 0;
  private lastNs: number;
  private lastGapNs = 0;

  constructor(options: ReplayOptions, env: OpenEnv) {
    this.path = isAbsolute(options.file) ? options.file : join(env.baseDir, options.file);
    this.loop = options.loop;
    this.stretch = options.speed === "max" ? 0 : options.speed === "realtime" ? 1 : 1 / options.speed;
    this.lastNs = env.nowNs;
    this.reader = openFile(this.path);
    this.read();
    if (this.state === "failed") {
      this.reader.close();
      throw new Error(this.message);
    }
  }

  receive(batch: PacketBatch, nowNs: number): number {
    if (this.at === this.count && this.state === "up") this.read();
    const { chunk, dueNs } = this;
    if (this.stretch > 0 && this.at < this.count && dueNs[this.at]! < nowNs - MAX_LATE_NS) this.postpone(nowNs);
    let n = 0;
    while (n < batch.capacity && this.at < this.count && dueNs[this.at]! <= nowNs) {
      const from = this.at++;
      batch.offset[n] = chunk.offset[from]!;
      batch.captured[n] = chunk.captured[from]!;
      batch.length[n] = chunk.length[from]!;
      // When it was due, so that pauses come out as they were, however late the bridge asks.
      batch.timeNs[n] = dueNs[from]!;
      batch.gsoSize[n] = 0;
      batch.gsoHeaders[n] = 0;
      n++;
    }
    batch.bytes = chunk.bytes;
    batch.vnet = false;
    return n;
  }

  /** Move what is still to be received, so that the next frame is due now. */
  private postpone(nowNs: number): void {
    const by = nowNs - this.dueNs[this.at]!;
    for (let n = this.at; n < this.count; n++) this.dueNs[n]! += by;
    this.lastNs += by;
  }

  /** The next frames of the file into the chunk; at its end begin again, or end. */
  private read(): void {
    const { chunk } = this;
    this.at = 0;
    this.count = this.reader.read(chunk);
    if (this.count === 0 && this.reader.error === undefined && this.loop && this.frames > 0) this.rewind();
    if (this.count === 0) {
      const { error } = this.reader;
      if (error) this.fail(`${this.path}, byte ${error.offset}: ${error.message}`);
      else if (this.state === "up") {
        this.state = "ended";
        this.message = `all ${this.frames} frames of ${this.path} were received`;
      }
    }
    this.frames += this.count;
    if (this.stretch > 0) this.schedule();
  }

  /** From the start of the file, one gap after its last frame. */
  private rewind(): void {
    let again: CaptureReader;
    try {
      again = openFile(this.path);
    } catch (error) {
      return this.fail((error as Error).message);
    }
    this.reader.close();
    this.reader = again;
    this.lastSeconds = NaN;
    this.lastNs += this.lastGapNs;
    this.count = this.reader.read(this.chunk);
  }

  private fail(message: string): void {
    this.state = "failed";
    this.message = message;
  }

  /**
   * Map the chunk's times to the bridge's clock, from frame to frame: a step back, or one of more than a day, counts as
   * no time at all, and what follows goes on from there.
   */
  private schedule(): void {
    const { chunk, dueNs } = this;
    for (let n = 0; n < this.count; n++) {
      const seconds = chunk.seconds[n]!;
      const nanoseconds = chunk.nanoseconds[n]!;
      const gap = (seconds - this.lastSeconds) * 1e9 + (nanoseconds - this.lastNanoseconds);
      this.lastSeconds = seconds;
      this.lastNanoseconds = nanoseconds;
      // The first frame's gap is NaN.
      if (gap > 0 && gap <= MAX_PAUSE_NS) {
        this.lastGapNs = gap * this.stretch;
        this.lastNs += this.lastGapNs;
      }
      dueNs[n] = this.lastNs;
    }
  }

  nextReceiveNs(nowNs: number): number {
    if (this.state !== "up") return Infinity;
    return this.at < this.count ? this.dueNs[this.at]! : nowNs;
  }

  get ended(): boolean {
    return this.state !== "up";
  }

  transmit(): boolean {
    return true;
  }

  flush(): void {}

  status() {
    const lost = { ring: 0, nic: 0, tap: 0, qdisc: 0 };
    const why = this.message === "" ? {} : { message: this.message };
    return { state: this.state, ...why, device: this.path, mtu: 0, speed: 0, ifIndex: 0, lost };
  }

  close(): void {
    this.reader.close();
  }
}

const type: PortType<ReplayOptions> = { schema, open: (options, env) => new Replay(options, env) };
export default type;
