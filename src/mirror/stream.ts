/** A session's frames for one reader: pcapng as it comes, a bounded backlog, what does not fit is counted. */
import { PcapngWriter } from "./pcapng.ts";
import type { CopyFrame } from "./frames.ts";
import type { CopyEnv, CopyOutput, SessionTotals } from "./output.ts";

const BACKLOG_BYTES = 8 << 20;

export class StreamOutput implements CopyOutput {
  readonly kind = "stream";
  readonly target: string;
  state: CopyOutput["state"] = "running";
  sent = 0;
  bytes = 0;
  failed = 0;
  queueDropped = 0;
  private readonly writer: PcapngWriter;
  private readonly waiting: Uint8Array[] = [];
  private backlog = 0;
  private wake: () => void = () => {};
  private isOver = false;

  constructor(session: string, target: string, snaplen: number, env: CopyEnv) {
    this.target = target;
    this.writer = new PcapngWriter(session, snaplen, env, (bytes) => {
      this.waiting.push(bytes);
      this.backlog += bytes.length;
      this.wake();
    });
  }

  write(frame: CopyFrame, captured: number): void {
    if (this.isOver) return;
    if (this.backlog > BACKLOG_BYTES) {
      this.queueDropped++;
      return;
    }
    this.writer.frame(frame, captured);
    this.sent++;
    this.bytes += captured;
  }

  flush(): void {
    this.writer.flush();
  }

  async close(totals: SessionTotals): Promise<void> {
    if (this.isOver) return;
    this.writer.end({ ...totals, lost: totals.lost + this.queueDropped });
    this.isOver = true;
    this.state = "ended";
    this.wake();
  }

  /** What was collected, until the session or the reader ends. */
  async *read(signal: AbortSignal): AsyncIterable<Uint8Array> {
    const leave = (): void => {
      this.isOver = true;
      this.wake();
    };
    signal.addEventListener("abort", leave);
    try {
      while (!signal.aborted) {
        const bytes = this.waiting.shift();
        if (bytes !== undefined) {
          this.backlog -= bytes.length;
          yield bytes;
        } else if (this.isOver) return;
        else await new Promise<void>((resolve) => (this.wake = resolve));
      }
    } finally {
      signal.removeEventListener("abort", leave);
    }
  }
}
