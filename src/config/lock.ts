/**
 * One process per state directory: a file `lock` that says who holds it. A process is known by its pid and its start time
 * (a pid alone comes back after a reboot or a wrap), so a lock left by kill −9 or a crash is recognised and taken over.
 */
import { linkSync, readFileSync, renameSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export interface Lock {
  /** Safe to call twice. */
  release(): void;
}

interface Holder {
  readonly pid: number;
  /** Ticks since boot, field 22 of /proc/PID/stat (proc(5)); with the boot's id the process's identity. */
  readonly start: string;
  readonly boot: string;
}

/** The process with this pid as it is now; undefined: there is none. */
function processOf(pid: number): Holder | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    // The command, in parentheses, may itself hold spaces and parentheses.
    const start = stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]!;
    const boot = readFileSync("/proc/sys/kernel/random/boot_id", "latin1").trim();
    return { pid, start, boot };
  } catch {
    return undefined;
  }
}

function holderOf(text: string): Holder | undefined {
  try {
    const { pid, start, boot } = JSON.parse(text) as Partial<Holder>;
    return typeof pid === "number" && typeof start === "string" && typeof boot === "string"
      ? { pid, start, boot }
      : undefined;
  } catch {
    return undefined;
  }
}

function isAlive(holder: Holder | undefined): boolean {
  const now = holder && processOf(holder.pid);
  return now !== undefined && now.start === holder!.start && now.boot === holder!.boot;
}

/** Throws an Error that names the holder. */
export function lockDirectory(directory: string, pid: number = process.pid): Lock {
  const path = join(directory, "lock");
  const self = processOf(pid) ?? { pid, start: "", boot: "" };
  const mine = `${JSON.stringify(self)}\n`;
  const own = join(directory, `lock.${pid}`);
  writeFileSync(own, mine, { mode: 0o644 });
  try {
    for (let attempt = 0; attempt < 5; attempt++) {
      try {
        // link(2) makes the name with its content in one step, or fails.
        linkSync(own, path);
        return { release: () => readText(path) === mine && unlinkSync(path) };
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
      }
      const text = readText(path);
      if (text === undefined) continue;
      const holder = holderOf(text);
      if (isAlive(holder))
        throw new Error(
          `${directory} is in use by process ${holder!.pid}: stop that weir first, or set another host.stateDir`,
        );
      // Moved aside rather than removed: if somebody else took over in between, it was theirs and goes back.
      const aside = join(directory, `lock.stale.${pid}`);
      renameSync(path, aside);
      if (readText(aside) !== text) linkSync(aside, path);
      unlinkSync(aside);
    }
    throw new Error(`${path} changes hands too fast to be taken`);
  } finally {
    unlinkSync(own);
  }
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}
