/**
 * Points → requests, in order: batches by lines and bytes, gzip, retried with back-off, kept on disk while the server does
 * not take them. Points carry their own time, so that one told twice is the same point.
 */
import { gunzipSync, gzipSync } from "node:zlib";
import type { ExporterEnv, HttpAnswer, HttpTarget, Moment, Piece, Spool } from "../../src/telemetry/exporter.ts";

const MAX_LINES = 5000;
const MAX_BATCH_BYTES = 1 << 20;
const BACKOFF_MS = 500;
const MAX_BACKOFF_MS = 30_000;
const MAX_RETRY_AFTER_MS = 300_000;

export interface Dialect {
  readonly path: string;
  readonly headers: () => Readonly<Record<string, string>>;
  /** Make what the server says is not there. */
  readonly create?: () => Promise<void>;
}

export class Writer {
  readonly spool: Spool;
  points = 0;
  rejected = 0;
  private readonly env: ExporterEnv;
  private readonly target: HttpTarget;
  private readonly dialect: Dialect;
  private lines: string[] = [];
  private bytes = 0;
  private oldestMs = 0;
  private now: Moment = { uptimeMs: 0, unixMs: 0 };
  private sending: Promise<void> | undefined;
  private failures = 0;
  private failingSinceMs: number | undefined;
  private why = "";
  private retryAtMs = -Infinity;
  private idle: (() => void)[] = [];

  constructor(env: ExporterEnv, target: HttpTarget, spool: Spool, dialect: Dialect) {
    this.env = env;
    this.target = target;
    this.spool = spool;
    this.dialect = dialect;
  }

  add(line: string | undefined, unixMs: number): void {
    if (line === undefined) return;
    if (this.lines.length === 0) this.oldestMs = unixMs;
    this.lines.push(line);
    this.bytes += line.length + 1;
    if (this.lines.length >= MAX_LINES || this.bytes >= MAX_BATCH_BYTES) this.close();
  }

  tick(now: Moment): void {
    this.now = now;
    this.close();
    this.send();
  }

  /** Resolves when all was taken, or when the server does not take anything now. */
  drained(): Promise<void> {
    if (this.spool.head === undefined || (this.failures > 0 && !this.sending)) return Promise.resolve();
    return new Promise((resolve) => this.idle.push(resolve));
  }

  /** What was not taken stays for the next start. */
  keep(): void {
    this.close();
    if (this.spool.head !== undefined) this.spool.keep();
  }

  get detail(): string[] {
    const { bytes, oldestMs, lostItems } = this.spool.stats;
    const lines: string[] = [];
    const { unixMs } = this.now;
    if (this.failingSinceMs !== undefined)
      lines.push(`${this.why} since ${clock(this.failingSinceMs)} (${age(unixMs - this.failingSinceMs)})`);
    const lost = lostItems > 0 ? `${lostItems} points lost` : "nothing lost yet";
    if (oldestMs !== undefined || lostItems > 0)
      lines.push(
        `spool ${mib(bytes)} of ${mib(this.spool.maxBytes)}, oldest ${age(unixMs - (oldestMs ?? unixMs))}, ${lost}`,
      );
    lines.push(`${this.points} points`);
    if (this.rejected > 0) lines.push(`${this.rejected} points refused by the server for good`);
    return lines;
  }

  private close(): void {
    if (this.lines.length === 0) return;
    const data = gzipSync(Buffer.from(this.lines.join("\n") + "\n"), { level: 1 });
    this.spool.push(data, this.lines.length, this.oldestMs);
    this.lines = [];
    this.bytes = 0;
    // While the server takes nothing the disk holds what waits, not memory.
    if (this.failures > 0) this.spool.keep();
  }

  private send(): void {
    if (this.sending !== undefined || this.now.uptimeMs < this.retryAtMs) return;
    const piece = this.spool.head;
    if (piece === undefined) return;
    this.sending = this.attempt(piece)
      .catch((error: NodeJS.ErrnoException) => this.failed(error.code ?? error.message))
      .finally(() => {
        this.sending = undefined;
        if (this.failures === 0 && this.spool.head !== undefined) return this.send();
        for (const resolve of this.idle.splice(0)) resolve();
      });
  }

  private async attempt(piece: Piece): Promise<void> {
    let body: Uint8Array;
    try {
      body = this.spool.read(piece);
      gunzipSync(body); // a file cut short by a crash of the host
    } catch (error) {
      this.env.log("warn", `exporter ${this.env.name}: spool: ${(error as Error).message}`);
      this.rejected += piece.items;
      return this.spool.done(piece);
    }
    const headers = {
      "content-encoding": "gzip",
      "content-type": "text/plain; charset=utf-8",
      ...this.dialect.headers(),
    };
    const answer = await this.target.post({ path: this.dialect.path, headers, body });
    const { status } = answer;
    if (status >= 200 && status < 300) return this.taken(piece, 0);
    const lost = refusedPoints(answer, piece.items);
    if (lost !== undefined) {
      this.env.log("warn", `exporter ${this.env.name}: ${lost} points refused: ${answer.body.slice(0, 200).trim()}`);
      return this.taken(piece, lost);
    }
    if (this.dialect.create !== undefined && /not found/.test(answer.body)) await this.dialect.create();
    this.failed(`${status} ${answer.reason}`, answer.retryAfter);
  }

  private taken(piece: Piece, refused: number): void {
    this.points += piece.items - refused;
    this.rejected += refused;
    this.failures = 0;
    this.failingSinceMs = undefined;
    this.spool.done(piece);
  }

  /** Full jitter: any time up to the back-off, so that many hosts do not come back at once. */
  private failed(why: string, retryAfter?: string): void {
    this.why = why;
    this.failures++;
    this.failingSinceMs ??= this.now.unixMs;
    const most = Math.min(MAX_BACKOFF_MS, BACKOFF_MS * 2 ** Math.min(16, this.failures));
    const asked = Math.min(MAX_RETRY_AFTER_MS, Number(retryAfter) * 1000 || 0);
    this.retryAtMs = this.now.uptimeMs + Math.max(asked, Math.random() * most);
    this.spool.keep();
  }
}

/** Points that the server will never take, of an answer that says the others are in; undefined: try again. */
export function refusedPoints({ status, body }: HttpAnswer, items: number): number | undefined {
  if (status !== 400 && status !== 413 && status !== 422) return undefined;
  const dropped = /dropped=(\d+)/.exec(body);
  if (dropped) return Math.min(items, Number(dropped[1]));
  const listed = body.match(/"line_number"|unable to parse/g);
  return status === 413 || !listed ? items : Math.min(items, listed.length);
}

const mib = (bytes: number): string => `${(bytes / 1048576).toFixed(1)} MiB`;
const clock = (ms: number): string => new Date(ms).toISOString().slice(11, 19) + "Z";
const age = (ms: number): string => (ms < 90_000 ? `${Math.round(ms / 1000)} s` : `${Math.round(ms / 60_000)} m`);
