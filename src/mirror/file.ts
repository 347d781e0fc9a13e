/**
 * A session's frames in files below captures.dir: one, or a ring of which the oldest is written over. Mode 0600. Written
 * by the thread pool with a bounded backlog; a full disk or a path that cannot be written ends this output with the error.
 */
import { constants } from "node:fs";
import { type FileHandle, mkdir, open, realpath } from "node:fs/promises";
import { dirname, join, resolve, sep } from "node:path";
import { PcapngWriter } from "./pcapng.ts";
import type { CopyFrame } from "./frames.ts";
import type { CopyEnv, CopyOutput, SessionTotals } from "./output.ts";

const BACKLOG_BYTES = 16 << 20;

export interface FileOptions {
  readonly path: string;
  readonly ring?: { readonly files: number; readonly size: number } | undefined;
}

/** The whole path; throws an Error where it would leave the folder. */
export function captureFile(folder: string, path: string): string {
  const whole = resolve(folder, path);
  if (!whole.startsWith(resolve(folder) + sep)) throw new Error(`${path} is not below ${folder}`);
  return whole;
}

export class FileOutput implements CopyOutput {
  readonly kind = "file";
  readonly target: string;
  state: CopyOutput["state"] = "running";
  lastError?: string;
  sent = 0;
  bytes = 0;
  failed = 0;
  queueDropped = 0;
  private readonly folder: string;
  private readonly options: FileOptions;
  private readonly writer: PcapngWriter;
  private file: FileHandle | undefined;
  private backlog = 0;
  private index = 0;
  private work: Promise<void>;

  /** `after`: nothing is written before. */
  constructor(
    session: string,
    folder: string,
    options: FileOptions,
    snaplen: number,
    env: CopyEnv,
    after: Promise<unknown> = Promise.resolve(),
  ) {
    this.work = after.then(() => {});
    this.target = options.path;
    this.folder = folder;
    this.options = options;
    this.next(0);
    this.writer = new PcapngWriter(session, snaplen, env, (bytes) => this.put(bytes));
  }

  write(frame: CopyFrame, captured: number): void {
    if (this.state !== "running") {
      this.failed++;
      return;
    }
    if (this.backlog > BACKLOG_BYTES) {
      this.queueDropped++;
      return;
    }
    const { ring } = this.options;
    if (ring !== undefined && this.writer.written + captured + 64 > ring.size && this.writer.written > 1024) {
      this.writer.end({ matched: 0, lost: 0 });
      this.next((this.index + 1) % ring.files);
      this.writer.begin();
    }
    this.writer.frame(frame, captured);
    this.sent++;
    this.bytes += captured;
  }

  flush(): void {
    this.writer.flush();
  }

  async close(totals: SessionTotals): Promise<void> {
    if (this.state === "running") this.writer.end({ ...totals, lost: totals.lost + this.queueDropped });
    this.enqueue(async () => {
      await this.file?.close();
      this.file = undefined;
    });
    await this.work;
    if (this.state === "running") this.state = "ended";
  }

  private put(bytes: Uint8Array): void {
    this.backlog += bytes.length;
    this.enqueue(async () => {
      this.backlog -= bytes.length;
      if (this.state !== "failed") await this.file!.writeFile(bytes);
    });
  }

  /** Go on in file `index` of the ring. */
  private next(index: number): void {
    this.index = index;
    const { path, ring } = this.options;
    const name = ring === undefined ? path : path.replace(/(\.pcapng)?$/, `.${index}$1`);
    this.enqueue(async () => {
      const whole = captureFile(this.folder, name);
      await this.file?.close();
      this.file = undefined;
      await mkdir(dirname(whole), { recursive: true, mode: 0o700 });
      const folder = await realpath(dirname(whole));
      if (!`${folder}${sep}`.startsWith((await realpath(this.folder)) + sep))
        throw new Error(`${name} leads out of ${this.folder}`);
      const { O_WRONLY, O_CREAT, O_TRUNC, O_NOFOLLOW } = constants;
      this.file = await open(
        join(folder, whole.slice(dirname(whole).length + 1)),
        O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW,
        0o600,
      );
      await this.file.chmod(0o600);
    });
  }

  /** One thing after the other; the first error ends this output and nothing else. */
  private enqueue(step: () => Promise<void>): void {
    this.work = this.work.then(step).catch((error: Error) => {
      if (this.state === "failed") return;
      this.state = "failed";
      this.lastError = error.message;
    });
  }
}
