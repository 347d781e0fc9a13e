/**
 * A session's frames as pcapng: an interface block for each port when its first frame comes, the direction as a flag, why
 * a frame was refused as its comment, statistics of every interface at the end.
 */
import { DROP_REASONS } from "../flow/disposition.ts";
import {
  enhancedPacketBytes,
  EPB_INBOUND,
  EPB_OUTBOUND,
  interfaceDescription,
  interfaceStatistics,
  sectionHeader,
  writeEnhancedPacket,
} from "../wire/pcapng-write.ts";
import type { CopyFrame } from "./frames.ts";
import type { CopyEnv, SessionTotals } from "./output.ts";

const CHUNK = 64 * 1024;

const comments = new Map<number, Uint8Array>();

function comment(reason: number): Uint8Array | undefined {
  if (reason === 0) return undefined;
  let text = comments.get(reason);
  if (text === undefined) {
    text = new TextEncoder().encode(`dropped: ${DROP_REASONS[reason]?.name ?? "unknown"}`);
    comments.set(reason, text);
  }
  return text;
}

export class PcapngWriter {
  private readonly env: CopyEnv;
  private readonly snaplen: number;
  private readonly put: (bytes: Uint8Array) => void;
  private readonly session: string;
  private interfaces = new Map<number, { readonly id: number; received: number }>();
  private chunk = new Uint8Array(CHUNK);
  private used = 0;
  private startNs = 0;
  /** Bytes of this section so far. */
  written = 0;

  /** `put` takes whole blocks, many at a time, and owns the bytes. */
  constructor(session: string, snaplen: number, env: CopyEnv, put: (bytes: Uint8Array) => void) {
    this.session = session;
    this.snaplen = snaplen;
    this.env = env;
    this.put = put;
    this.begin();
  }

  /** A new section: the start, or the next file of a ring. */
  begin(): void {
    this.flush();
    this.interfaces = new Map();
    this.written = 0;
    this.startNs = this.env.nowNs();
    this.block(sectionHeader({ application: "weir", comment: `mirror ${this.session}` }));
    this.flush();
  }

  frame(frame: CopyFrame, captured: number): void {
    const { env } = this;
    let known = this.interfaces.get(frame.port);
    if (known === undefined) {
      const port = env.port(frame.port);
      const { name = `#${frame.port}`, speed = 0 } = port ?? {};
      this.block(interfaceDescription({ name, snaplen: this.snaplen, ...(speed > 0 && { speed }) }));
      known = { id: this.interfaces.size, received: 0 };
      this.interfaces.set(frame.port, known);
    }
    known.received++;
    const flags = frame.direction === "in" ? EPB_INBOUND : EPB_OUTBOUND;
    const text = comment(frame.reason);
    const bytes = enhancedPacketBytes(captured, flags, text);
    this.room(bytes);
    const { seconds, nanoseconds } = env.unix(frame.timeNs);
    const { bytes: from, off, length } = frame;
    writeEnhancedPacket(
      this.chunk,
      this.used,
      known.id,
      seconds,
      nanoseconds,
      from,
      off,
      captured,
      length,
      flags,
      text,
    );
    this.used += bytes;
    this.written += bytes;
  }

  /** Statistics blocks: the section is complete. `totals` are the session's, told at its first interface. */
  end(totals: SessionTotals): void {
    const { env } = this;
    const start = env.unix(this.startNs);
    const now = env.unix(env.nowNs());
    for (const { id, received } of this.interfaces.values())
      this.block(
        interfaceStatistics({
          interface: id,
          ...now,
          start,
          received: id === 0 ? received + totals.lost : received,
          dropped: id === 0 ? totals.lost : 0,
        }),
      );
    this.flush();
  }

  flush(): void {
    if (this.used === 0) return;
    this.put(this.chunk.slice(0, this.used));
    this.used = 0;
  }

  private block(bytes: Uint8Array): void {
    this.room(bytes.length);
    this.chunk.set(bytes, this.used);
    this.used += bytes.length;
    this.written += bytes.length;
  }

  private room(bytes: number): void {
    if (this.used + bytes <= this.chunk.length) return;
    this.flush();
    if (bytes > this.chunk.length) this.chunk = new Uint8Array(bytes + CHUNK);
  }
}
