/**
 * The bed: for each peer three namespaces, a sender's, a switch's and a receiver's, joined by veth pairs, so that all
 * peers stand ready side by side and are measured in turns. Everything that is made here is taken away by `close`, which
 * runs on every way out: namespaces by name, processes by the handle that started them.
 */
import { spawn, spawnSync, type ChildProcess, type ChildProcessWithoutNullStreams } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { projectRoot } from "../helpers/captures.ts";

const PATH = `${process.env.PATH}:/usr/sbin:/sbin`;

/** Run a program to its end; throws with what it printed. */
export function run(command: string, args: readonly string[], env: Record<string, string> = {}): string {
  const done = spawnSync(command, args, {
    encoding: "utf8",
    env: { ...process.env, PATH, ...env },
    maxBuffer: 1 << 28,
  });
  if (done.error) throw done.error;
  if (done.status !== 0) throw new Error(`${command} ${args.join(" ")}: exit ${done.status}: ${done.stderr}`);
  return done.stdout;
}

export const ip = (text: string): string => run("ip", text.split(" "));

/** One peer's place: frames go from namespace `sender` through `middle` to namespace `receiver`. */
export interface Lane {
  readonly sender: string;
  readonly middle: string;
  readonly receiver: string;
  /** Devices in `middle` that the switch joins; equal names in every lane. */
  readonly devices: readonly [string, string];
}

export const SENDER_IP = "10.0.0.1";
export const RECEIVER_IP = "10.0.0.2";
const TRANSFER_PORTS = 8;
const FOREVER_S = 1e6;
const SENDER_DEVICE = "ea";
const RECEIVER_DEVICE = "eb";

/** Classic BPF: Ethertype 0x0800 and protocol 17 → TC_ACT_SHOT, else TC_ACT_UNSPEC (go on). */
const DROP_UDP = "6,40 0 0 12,21 0 3 2048,48 0 0 23,21 0 1 17,6 0 0 2,6 0 0 4294967295";

/** Frames that a device in a namespace has received. */
export function receivedBy(space: string, device: string): number {
  const [link] = JSON.parse(ip(`-n ${space} -s -j link show dev ${device}`)) as [
    { stats64: { rx: { packets: number } } },
  ];
  return link.stats64.rx.packets;
}

const beds = new Set<Bed>();

/** Take everything away: for the signal that ends a run. */
export async function closeBeds(): Promise<void> {
  for (const bed of beds) await bed.close();
}

export class Bed {
  /** For sockets, databases, configurations; removed at the end. */
  readonly folder = mkdtempSync(join(tmpdir(), "weir-bench-"));
  private readonly namespaces: string[] = [];
  private readonly children: ChildProcess[] = [];
  private readonly watchers = new Map<string, ChildProcess>();
  private readonly load = join(this.folder, "load");

  constructor() {
    beds.add(this);
    run("gcc", ["-O2", "-o", this.load, join(projectRoot, "test/bench/load.c")]);
  }

  /**
   * A lane without a switch: its two devices stand in `middle`, up. `direct`: one veth pair from end to end. `beside`: the
   * receiver's device stands in `middle` as well, so that nothing can be handed straight into a guest.
   */
  lane(name: string, { direct = false, beside = false } = {}): Lane {
    const base = `weir-bench-${process.pid}-${name}`;
    const middle = `${base}-m`;
    const receiver = beside ? middle : `${base}-b`;
    const lane: Lane = { sender: `${base}-a`, middle, receiver, devices: ["sa", "sb"] };
    for (const space of new Set([lane.sender, lane.middle, lane.receiver])) {
      ip(`netns add ${space}`);
      this.namespaces.push(space);
      run("ip", ["netns", "exec", space, "sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1"]);
      ip(`-n ${space} link set lo up`);
    }
    if (direct) {
      ip(`-n ${lane.sender} link add ${SENDER_DEVICE} type veth peer name ${RECEIVER_DEVICE} netns ${lane.receiver}`);
    } else {
      ip(`-n ${lane.sender} link add ${SENDER_DEVICE} type veth peer name ${lane.devices[0]} netns ${lane.middle}`);
      ip(`-n ${lane.receiver} link add ${RECEIVER_DEVICE} type veth peer name ${lane.devices[1]} netns ${lane.middle}`);
      for (const device of lane.devices) ip(`-n ${lane.middle} link set ${device} up`);
    }
    ip(`-n ${lane.sender} addr add ${SENDER_IP}/24 dev ${SENDER_DEVICE}`);
    ip(`-n ${lane.receiver} addr add ${RECEIVER_IP}/24 dev ${RECEIVER_DEVICE}`);
    ip(`-n ${lane.sender} link set ${SENDER_DEVICE} up`);
    ip(`-n ${lane.receiver} link set ${RECEIVER_DEVICE} up`);
    // The receiver's stack shall cost nothing: UDP ends in a tc program.
    const tc = (...args: string[]): string => run("tc", ["-n", lane.receiver, ...args]);
    tc("qdisc", "add", "dev", RECEIVER_DEVICE, "clsact");
    tc("filter", "add", "dev", RECEIVER_DEVICE, "ingress", "bpf", "bytecode", DROP_UDP, "da");
    return lane;
  }

  /** A veth pair in `middle`; what `device` sends ends at the other end, in a tc program. */
  spanPort(lane: Lane, device: string): void {
    ip(`-n ${lane.middle} link add ${device} type veth peer name ${device}-end`);
    for (const end of [device, `${device}-end`]) ip(`-n ${lane.middle} link set ${end} up`);
    run("tc", ["-n", lane.middle, "qdisc", "add", "dev", `${device}-end`, "clsact"]);
    const drop = ["ingress", "bpf", "bytecode", DROP_UDP, "da"];
    run("tc", ["-n", lane.middle, "filter", "add", "dev", `${device}-end`, ...drop]);
  }

  /** Start a program, in a namespace where one is given; ended by `close`. Its output goes to a file of the bed. */
  start(name: string, space: string | undefined, command: string, args: readonly string[], env = {}): ChildProcess {
    const all = space === undefined ? [command, ...args] : ["ip", "netns", "exec", space, command, ...args];
    const child = spawn(all[0]!, all.slice(1), {
      env: { ...process.env, PATH, ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let said = "";
    const keep = (chunk: Buffer): void => void (said = (said + String(chunk)).slice(-4000));
    child.stdout.on("data", keep);
    child.stderr.on("data", keep);
    child.on("exit", (code) => {
      if (code !== null && code !== 0) console.error(`${name}: exit ${code}\n${said}`);
    });
    this.children.push(child);
    return child;
  }

  /** A NetFlow or sFlow collector (in a namespace, where one is given) that takes everything and reads nothing. */
  sink(space: string | undefined, port: number): ChildProcess {
    return this.start(`sink ${port}`, space, this.load, ["sink", String(port)]);
  }

  write(name: string, text: string): string {
    const path = join(this.folder, name);
    writeFileSync(path, text);
    return path;
  }

  /** Wait until the receiver answers the sender through the switch, which also teaches the switch where they are. */
  async ready(lane: Lane, seconds = 15): Promise<void> {
    for (let tries = 0; tries < seconds * 2; tries++) {
      const args = ["netns", "exec", lane.sender, "ping", "-c1", "-W1", RECEIVER_IP];
      if (spawnSync("ip", args, { env: { ...process.env, PATH } }).status === 0) return this.keepNeighbours(lane);
      await sleep(500);
    }
    throw new Error(`no frame came through ${lane.middle} in ${seconds} s`);
  }

  /** The ends know each other for good: nothing is on the lane but what a part sends. */
  private keepNeighbours(lane: Lane): void {
    for (const [space, device, address] of [
      [lane.sender, SENDER_DEVICE, RECEIVER_IP],
      [lane.receiver, RECEIVER_DEVICE, SENDER_IP],
    ] as const) {
      const known = /lladdr (\S+)/.exec(ip(`-n ${space} neigh show ${address} dev ${device}`))?.[1];
      if (known) ip(`-n ${space} neigh replace ${address} lladdr ${known} dev ${device} nud permanent`);
    }
  }

  /** Frames that the receiver's device has received. */
  received(lane: Lane): number {
    return receivedBy(lane.receiver, RECEIVER_DEVICE);
  }

  /** Frames a second that reach the receiver while the sender sends as fast as it can, after a short run-in. */
  async frameRate(lane: Lane, flows: number, seconds = 1): Promise<number> {
    const runIn = 0.3;
    const sent = this.flood(lane, flows, seconds + 2 * runIn);
    await sleep(runIn * 1000);
    const [before, from] = [this.received(lane), process.hrtime.bigint()];
    await sleep(seconds * 1000);
    const [after, to] = [this.received(lane), process.hrtime.bigint()];
    await sent;
    return (after - before) / (Number(to - from) / 1e9);
  }

  /**
   * Frames as fast as the sender can, or `pps` a second; `back`: from the receiver to the sender. Resolves with the number
   * of frames sent. Once it has begun this process only waits: it may measure something else.
   */
  async flood(lane: Lane, flows: number, seconds: number, { pps = 0, back = false } = {}): Promise<number> {
    const child = this.sender(lane, flows, seconds, pps, back);
    let said = "";
    child.stdout.on("data", (chunk) => (said += String(chunk)));
    const code = await new Promise<number | null>((resolve) => child.on("close", resolve));
    // A bed that is being taken away ends its senders: an error nobody waits for would leave the rest standing.
    if (code !== 0 && beds.has(this)) throw new Error(`a sender of ${lane.middle} failed`);
    return Number(said);
  }

  /** The process behind `flood`; without an end in time, ended with the bed. */
  sender(lane: Lane, flows: number, seconds = FOREVER_S, pps = 0, back = false): ChildProcessWithoutNullStreams {
    const [a, b] = [
      { space: lane.sender, device: SENDER_DEVICE },
      { space: lane.receiver, device: RECEIVER_DEVICE },
    ];
    const [from, to] = back ? [b, a] : [a, b];
    const mac = ip(`-n ${to.space} -j link show dev ${to.device}`);
    const { address } = (JSON.parse(mac) as [{ address: string }])[0];
    const args = ["send", from.device, address, String(flows), String(seconds), String(pps)];
    const child = spawn("ip", ["netns", "exec", from.space, this.load, ...args], { env: { ...process.env, PATH } });
    this.children.push(child);
    return child;
  }

  /** The receiver's device, and a process in its namespace that does nothing: by it /proc shows the namespace's counters. */
  watcher({ receiver }: Lane): { pid: number; device: string } {
    const there = this.watchers.get(receiver) ?? this.start("watcher", receiver, "sleep", ["infinity"]);
    this.watchers.set(receiver, there);
    return { pid: there.pid!, device: RECEIVER_DEVICE };
  }

  /** The receiver answers transfers from now on. */
  serveTransfers(lane: Lane): void {
    this.start("serve", lane.receiver, this.load, ["serve", String(TRANSFER_PORTS)]);
  }

  /** TCP connections a second that carry so many bytes there and as many back, one after the other. */
  transferRate(lane: Lane, bytes: number, seconds = 0.7): number {
    const args = ["transfer", RECEIVER_IP, String(TRANSFER_PORTS), String(bytes), String(seconds)];
    return Number(run("ip", ["netns", "exec", lane.sender, this.load, ...args]));
  }

  /** bit/s of one iperf3 stream from sender to receiver, as the receiver counted; 0: no connection. */
  async tcpRate(lane: Lane, seconds = 2): Promise<number> {
    const server = spawn("ip", ["netns", "exec", lane.receiver, "iperf3", "-s", "-1"], {
      env: { ...process.env, PATH },
      stdio: "ignore",
    });
    await sleep(300);
    const args = ["-c", RECEIVER_IP, "-t", String(seconds), "-O", "0.5", "-J", "--connect-timeout", "2000"];
    const client = spawn("ip", ["netns", "exec", lane.sender, "iperf3", ...args], { env: { ...process.env, PATH } });
    this.children.push(server, client);
    let text = "";
    client.stdout.on("data", (chunk) => (text += String(chunk)));
    const deadline = setTimeout(() => client.kill("SIGKILL"), (seconds + 8) * 1000);
    await new Promise((resolve) => client.on("exit", resolve));
    clearTimeout(deadline);
    server.kill("SIGKILL");
    try {
      const report = JSON.parse(text) as { end?: { sum_received?: { bits_per_second: number } } };
      return report.end?.sum_received?.bits_per_second ?? 0;
    } catch {
      return 0;
    }
  }

  async close(): Promise<void> {
    beds.delete(this);
    for (const child of this.children.toReversed()) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const gone = new Promise((resolve) => child.on("exit", resolve));
      child.removeAllListeners("exit");
      child.on("exit", () => {});
      child.kill("SIGTERM");
      // One that is stopped takes no other.
      child.kill("SIGCONT");
      await Promise.race([gone, sleep(3000)]);
      if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
    }
    for (const space of this.namespaces) spawnSync("ip", ["netns", "del", space], { env: { ...process.env, PATH } });
    rmSync(this.folder, { recursive: true, force: true });
  }
}
