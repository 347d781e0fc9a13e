/** Where a session's copies go beside ports: the seam for files, streams and tunnels. */
import type { MirrorOutputJson } from "../bridge/views/json.ts";
import type { CopyFrame } from "./frames.ts";

/** What was counted of a session when it ends. */
export interface SessionTotals {
  readonly matched: number;
  /** Selected and not here: over a ceiling, or the queue was full. */
  readonly lost: number;
}

export interface CopyEnv {
  /** Name and speed (bit/s, 0 = unknown) of a port. */
  port(no: number): { readonly name: string; readonly speed: number } | undefined;
  /** ns of the bridge's clock as Unix time. */
  unix(ns: number): { readonly seconds: number; readonly nanoseconds: number };
  nowNs(): number;
}

export interface CopyOutput {
  readonly kind: MirrorOutputJson["kind"];
  readonly target: string;
  state: MirrorOutputJson["state"];
  lastError?: string;
  sent: number;
  bytes: number;
  failed: number;
  queueDropped: number;
  /** Where it may have to cut more than the session's snaplen: frames that it cut. */
  truncated?: number;
  /** One frame; `frame.captured` is what the session's snaplen leaves. Never throws, never blocks. */
  write(frame: CopyFrame, captured: number): void;
  /** The batch is over: hand on what was collected. */
  flush(): void;
  /** Time goes on; asked every turn. */
  tick?(nowMs: number): void;
  /** Resolves when all is out or given up. */
  close(totals: SessionTotals): Promise<void>;
}
