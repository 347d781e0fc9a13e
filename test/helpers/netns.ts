/**
 * Network namespaces for tests: guests on veth pairs whose other ends are devices of the host. Names carry the process
 * id; everything is taken away after the test, when the test fails, and when the process ends.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import type { TestContext } from "node:test";

/** One guest: a namespace with one interface, `eth0`, whose other end is `device` on the host. */
export interface Guest {
  readonly namespace: string;
  /** The host's end, to be a port. */
  readonly device: string;
  readonly mac: string;
  readonly ip: string;
}

const left = new Set<() => void>();
process.once("exit", () => {
  for (const undo of left) undo();
});
// A signal's default ends the process without its exit hooks.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, () => process.exit(1));

function undoAfter(t: TestContext, undo: () => void): void {
  const once = (): void => {
    if (left.delete(once)) undo();
  };
  left.add(once);
  t.after(once);
}

/** Run a command on the host; throws with its error output. */
export function sh(...command: string[]): string {
  const done = spawnSync(command[0]!, command.slice(1), { encoding: "utf8" });
  if (done.status === 0) return done.stdout;
  throw new Error(`${command.join(" ")}: ${done.error?.message ?? done.stderr.trim()}`);
}

/** Run a command in a guest. `fails` is for commands that are meant to: returns the output of both. */
export function inside(guest: Guest, ...command: string[]): string {
  return sh("ip", "netns", "exec", guest.namespace, ...command);
}

export function tryInside(guest: Guest, ...command: string[]): { status: number | null; output: string } {
  const done = spawnSync("ip", ["netns", "exec", guest.namespace, ...command], { encoding: "utf8" });
  return { status: done.status, output: done.stdout + done.stderr };
}

export interface Running {
  readonly child: ChildProcess;
  /** What it wrote so far, both streams. */
  output(): string;
  /** Its end; resolves with the exit code, null where a signal ended it. */
  readonly ended: Promise<number | null>;
  stop(): Promise<number | null>;
}

/** Start a command, in a guest or (without) on the host; it is stopped after the test. */
export function start(t: TestContext, guest: Guest | undefined, ...command: string[]): Running {
  const whole = guest ? ["ip", "netns", "exec", guest.namespace, ...command] : command;
  const child = spawn(whole[0]!, whole.slice(1), { stdio: ["ignore", "pipe", "pipe"] });
  let text = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => (text += chunk.toString()));
  const ended = new Promise<number | null>((resolve) => child.once("close", resolve));
  const kill = (signal: NodeJS.Signals): void => {
    if (child.exitCode === null && child.signalCode === null) child.kill(signal);
  };
  undoAfter(t, () => kill("SIGKILL"));
  return {
    child,
    output: () => text,
    ended,
    stop() {
      kill("SIGTERM");
      return ended;
    },
  };
}

/** Wait until `ready` says so; throws after `timeoutMs` with `what`. */
export async function until(ready: () => boolean, what: string, timeoutMs = 10_000): Promise<void> {
  for (let waited = 0; !ready(); waited += 20) {
    if (waited >= timeoutMs) throw new Error(`${what}: not within ${timeoutMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

let serial = 0;

/**
 * `count` guests in one network: 10.`net`.0.1 … on eth0 (2001:db8::1 … too), MAC 02:00:00:00:00:01 …, host ends up and
 * without IPv6 of their own. `mtu` for both ends.
 */
export function guests(t: TestContext, count: number, { mtu = 1500, net = 77 } = {}): Guest[] {
  const group = `${process.pid.toString(36)}${(serial++).toString(36)}`;
  return Array.from({ length: count }, (_, n) => {
    const guest: Guest = {
      namespace: `weir-${group}-${n + 1}`,
      device: `wv${group}${n + 1}`,
      mac: `02:00:00:00:00:${(n + 1).toString(16).padStart(2, "0")}`,
      ip: `10.${net}.0.${n + 1}`,
    };
    undoAfter(t, () => {
      spawnSync("ip", ["link", "del", guest.device]);
      spawnSync("ip", ["netns", "del", guest.namespace]);
    });
    sh("ip", "netns", "add", guest.namespace);
    connect(guest, mtu, n + 1);
    return guest;
  });
}

function connect(guest: Guest, mtu: number, n: number): void {
  const peer = ["type", "veth", "peer", "name", "eth0", "mtu", `${mtu}`, "netns", guest.namespace];
  sh("ip", "link", "add", guest.device, "mtu", `${mtu}`, ...peer);
  inside(guest, "ip", "link", "set", "lo", "up");
  inside(guest, "ip", "link", "set", "eth0", "address", guest.mac, "up");
  inside(guest, "ip", "addr", "add", `${guest.ip}/24`, "dev", "eth0");
  // "nodad": usable at once.
  inside(guest, "ip", "addr", "add", `2001:db8::${n.toString(16)}/64`, "dev", "eth0", "nodad");
  sh("ip", "link", "set", guest.device, "up");
}

/** Take a guest's cable away and put a new one in, as a VM's restart does. */
export function disconnect(guest: Guest): void {
  sh("ip", "link", "del", guest.device);
}

export function reconnect(guest: Guest, { mtu = 1500 } = {}): void {
  connect(guest, mtu, Number(guest.ip.split(".")[3]));
}

/** Interfaces of this host by name, to see that a test left nothing. */
export function hostDevices(): string[] {
  return readdirSync("/sys/class/net");
}
