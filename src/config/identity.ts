/**
 * What must survive a restart so that collectors see the same switch: the host's id, the ifIndex of every port, the flow
 * sequence of every exporter; and the ports that commands added. Kept in `stateDir`/identity.json, readable, written as a
 * whole and in one step (temporary file, fsync, rename, fsync of the directory).
 */
import { createHash, randomUUID } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, statSync } from "node:fs";
import { open, rename } from "node:fs/promises";
import { dirname, join } from "node:path";
import * as z from "zod";
import { lockDirectory, type Lock } from "./lock.ts";

/** First number given to a port that has none of its own. */
export const FIRST_IF_INDEX = 20_001;
/** NetFlow v5 has 16 bits and says 65535 for "several"; the last of ours leaves room above. */
export const LAST_IF_INDEX = 65_000;
/** A number is not given to another port for so long after its last use: collectors join by it. */
export const IF_INDEX_REST_MS = 30 * 86_400_000;

const SAVE_EVERY_MS = 1000;
/** How often the time of last use of what is in use is written down. */
const TOUCH_EVERY_MS = 3_600_000;

const count = () => z.number().int().min(0);

const fileSchema = z.object({
  version: z.literal(1),
  /** Hash of /etc/machine-id, hex; random where there is none. */
  id: z.string().min(1),
  /** bridge/port → its number. */
  ifIndex: z.record(z.string(), z.object({ ifIndex: count().max(65_535), lastUsedMs: z.number() })),
  exporters: z.record(z.string(), z.object({ sequence: count() })),
  /** Entries as `bridges[].ports[]` would have them. */
  ports: z.array(z.object({ bridge: z.string(), entry: z.record(z.string(), z.unknown()) })),
});

type File = z.output<typeof fileSchema>;

/** A port added by a command, as an entry of `bridges[].ports[]`. */
export interface AddedPort {
  readonly bridge: string;
  readonly entry: Readonly<Record<string, unknown>>;
}

export interface IfIndexRequest {
  /** `ifIndex:` of the configuration. */
  readonly override?: number;
  /** A physical NIC's own number; 0 or absent: not one. */
  readonly physical?: number;
}

export interface Identity {
  /** 32 hex digits that are this host's and no other's. */
  readonly id: string;
  /** The number of (bridge, port), the same as ever; in use until `releaseIfIndex`. Throws when all are taken. */
  ifIndex(bridge: string, port: string, request: IfIndexRequest, nowMs: number): number;
  releaseIfIndex(bridge: string, port: string, nowMs: number): void;
  /** Flow sequence of an exporter as last committed; 0 for a new one. */
  sequence(exporter: string): number;
  setSequence(exporter: string, sequence: number): void;
  readonly addedPorts: readonly AddedPort[];
  /** Replaces one of the same bridge and name. */
  addPort(port: AddedPort): void;
  /** False: it was not there. */
  removePort(bridge: string, name: string): boolean;
  /** A few times a second: writes what changed, at most once a second. Never throws; a failed write is told and tried again. */
  tick(nowMs: number): void;
  /** Writes what changed now. Rejects when it cannot. */
  save(nowMs: number): Promise<void>;
  /** Saves and unlocks. */
  close(nowMs: number): Promise<void>;
}

export interface IdentityOptions {
  readonly stateDir: string;
  /** Text of /etc/machine-id; absent where there is none. */
  readonly machineId?: string;
  readonly nowMs: number;
  readonly warn: (message: string) => void;
}

/** The host's id: the machine's is confidential (machine-id(5)) and never shown. */
export function hostId(machineId: string): string {
  return createHash("sha256").update(`weir identity 1\n${machineId.trim()}`).digest("hex").slice(0, 32);
}

/** Makes the directory, takes its lock, reads what is there. Throws an Error that names the fix. */
export function openIdentity(options: IdentityOptions): Identity {
  const { stateDir, warn } = options;
  let lock: Lock;
  try {
    makeDirectory(stateDir);
    lock = lockDirectory(stateDir);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (!["EACCES", "EPERM", "EROFS", "ENOENT", "ENOTDIR", "EEXIST"].includes(code ?? "")) throw error;
    throw new Error(`cannot write ${stateDir}: run as root, or set host.stateDir (${message})`, { cause: error });
  }
  const path = join(stateDir, "identity.json");
  const id = options.machineId?.trim() ? hostId(options.machineId) : undefined;
  return new StoredIdentity(path, readFile(path, id, options.nowMs, warn), lock, warn, options.nowMs);
}

/** Not mkdir's own `recursive`, which never returns where a file system refuses with ENOENT (/proc). */
function makeDirectory(path: string): void {
  try {
    mkdirSync(path, { mode: 0o750 });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EEXIST" && statSync(path).isDirectory()) return;
    if (code !== "ENOENT" || dirname(path) === path || existsSync(dirname(path))) throw error;
    makeDirectory(dirname(path));
    mkdirSync(path, { mode: 0o750 });
  }
}

function readFile(path: string, id: string | undefined, nowMs: number, warn: (message: string) => void): File {
  const fresh = (): File => ({
    version: 1,
    id: id ?? randomUUID().replaceAll("-", ""),
    ifIndex: {},
    exporters: {},
    ports: [],
  });
  const aside = (why: string): File => {
    const kept = `${path}.${nowMs}`;
    renameSync(path, kept);
    warn(`${path} ${why}: kept as ${kept}, a new identity begins; collectors will see new ifIndexes and sequences`);
    return fresh();
  };
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return fresh();
    throw error;
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return aside("is not JSON");
  }
  const parsed = fileSchema.safeParse(json);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    return aside(`cannot be used (${issue!.path.join(".")}: ${issue!.message})`);
  }
  if (id !== undefined && parsed.data.id !== id) return aside("belongs to another machine");
  return parsed.data;
}

class StoredIdentity implements Identity {
  readonly id: string;
  private readonly path: string;
  private readonly file: File;
  private readonly lock: Lock;
  private readonly warn: (message: string) => void;
  /** Keys of ports that are there now. */
  private readonly held = new Set<string>();
  private changed = true;
  private savedMs = -Infinity;
  private touchedMs: number;
  private saving: Promise<void> | undefined;

  constructor(path: string, file: File, lock: Lock, warn: (message: string) => void, nowMs: number) {
    this.path = path;
    this.file = file;
    this.lock = lock;
    this.warn = warn;
    this.id = file.id;
    this.touchedMs = nowMs;
  }

  ifIndex(bridge: string, port: string, request: IfIndexRequest, nowMs: number): number {
    const key = `${bridge}/${port}`;
    const number = this.choose(key, request, nowMs);
    this.held.add(key);
    if (this.file.ifIndex[key]?.ifIndex !== number) this.changed = true;
    this.file.ifIndex[key] = { ifIndex: number, lastUsedMs: nowMs };
    return number;
  }

  private choose(key: string, { override, physical = 0 }: IfIndexRequest, nowMs: number): number {
    if (override !== undefined) return override;
    // Numbers of other ports: not free while in use, nor for a time after.
    const taken = new Map<number, string>();
    for (const [other, { ifIndex, lastUsedMs }] of Object.entries(this.file.ifIndex)) {
      if (other === key) continue;
      if (this.held.has(other) || nowMs - lastUsedMs < IF_INDEX_REST_MS) taken.set(ifIndex, other);
      else {
        delete this.file.ifIndex[other];
        this.changed = true;
      }
    }
    if (physical >= 1 && physical <= LAST_IF_INDEX && !taken.has(physical)) return physical;
    const known = this.file.ifIndex[key]?.ifIndex;
    if (known !== undefined && known >= FIRST_IF_INDEX && !taken.has(known)) return known;
    for (let number = FIRST_IF_INDEX; number <= LAST_IF_INDEX; number++) if (!taken.has(number)) return number;
    throw new Error(
      `no ifIndex is free for ${key}: ${FIRST_IF_INDEX} to ${LAST_IF_INDEX} were all used within 30 days`,
    );
  }

  releaseIfIndex(bridge: string, port: string, nowMs: number): void {
    const key = `${bridge}/${port}`;
    if (!this.held.delete(key)) return;
    this.file.ifIndex[key]!.lastUsedMs = nowMs;
    this.changed = true;
  }

  sequence(exporter: string): number {
    return Object.hasOwn(this.file.exporters, exporter) ? this.file.exporters[exporter]!.sequence : 0;
  }

  setSequence(exporter: string, sequence: number): void {
    if (this.sequence(exporter) === sequence) return;
    this.file.exporters[exporter] = { sequence };
    this.changed = true;
  }

  get addedPorts(): readonly AddedPort[] {
    return this.file.ports;
  }

  addPort(port: AddedPort): void {
    this.removePort(port.bridge, String(port.entry.name));
    this.file.ports.push({ bridge: port.bridge, entry: { ...port.entry } });
    this.changed = true;
  }

  removePort(bridge: string, name: string): boolean {
    const index = this.file.ports.findIndex((port) => port.bridge === bridge && port.entry.name === name);
    if (index < 0) return false;
    this.file.ports.splice(index, 1);
    this.changed = true;
    return true;
  }

  tick(nowMs: number): void {
    if (nowMs - this.touchedMs >= TOUCH_EVERY_MS) this.changed = true;
    if (!this.changed || this.saving || nowMs - this.savedMs < SAVE_EVERY_MS) return;
    this.save(nowMs).catch((error: unknown) =>
      this.warn(`${this.path} could not be written: ${(error as Error).message}`),
    );
  }

  async save(nowMs: number): Promise<void> {
    while (this.saving) await this.saving.catch(() => undefined);
    if (!this.changed) return;
    this.changed = false;
    this.savedMs = nowMs;
    this.touchedMs = nowMs;
    for (const key of this.held) this.file.ifIndex[key]!.lastUsedMs = nowMs;
    this.saving = writeInOneStep(this.path, `${JSON.stringify(this.file, null, 2)}\n`);
    try {
      await this.saving;
    } catch (error) {
      this.changed = true;
      throw error;
    } finally {
      this.saving = undefined;
    }
  }

  async close(nowMs: number): Promise<void> {
    this.changed = true;
    try {
      await this.save(nowMs);
    } finally {
      this.lock.release();
    }
  }
}

/** A reader finds the old file or the new one, whole, also after a power cut. */
async function writeInOneStep(path: string, text: string): Promise<void> {
  const temporary = `${path}.tmp`;
  const file = await open(temporary, "w", 0o644);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
  const directory = await open(dirname(path), "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
