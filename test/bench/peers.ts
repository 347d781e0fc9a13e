/** The switches that are measured side by side: each joins the two devices of its lane. */
import { existsSync } from "node:fs";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { projectRoot } from "../helpers/captures.ts";
import { ip, run, type Bed, type Lane } from "./bed.ts";

export interface Peer {
  readonly name: string;
  readonly lane: Lane;
}

/** Of rows whose receiver is a device beside the switch. */
export const BESIDE = ", plain redirect";

/** For `--import`. */
export const LOOP_DELAY = join(projectRoot, "dist/js/test/bench/loop-delay.js");

/** Ports of the collectors that read nothing. */
const NETFLOW_PORT = 2055;
const SFLOW_PORT = 6343;

/** The limit: one veth pair, no switch. */
export async function bare(bed: Bed): Promise<Peer> {
  const lane = bed.lane("veth", { direct: true });
  await bed.ready(lane);
  return { name: "bare veth", lane };
}

/** `beside`: see `Bed.lane`. */
export async function linuxBridge(bed: Bed, beside = false): Promise<Peer> {
  const lane = bed.lane(beside ? "bridgeb" : "bridge", { beside });
  ip(`-n ${lane.middle} link add br0 type bridge`);
  for (const device of lane.devices) ip(`-n ${lane.middle} link set ${device} master br0`);
  ip(`-n ${lane.middle} link set br0 up`);
  await bed.ready(lane);
  return { name: beside ? `Linux bridge${BESIDE}` : "Linux bridge", lane };
}

export interface OvsOptions {
  readonly netflow?: boolean;
  readonly sflow?: boolean;
  readonly tso?: boolean;
}

/** Open vSwitch from Debian with its userspace datapath and a database of its own. */
export async function openVswitch(bed: Bed, name: string, options: OvsOptions = {}): Promise<Peer> {
  const short = `ovs${options.netflow ? "n" : ""}${options.sflow ? "s" : ""}${options.tso ? "t" : ""}`;
  const lane = bed.lane(short);
  const home = join(bed.folder, short);
  mkdirSync(home);
  const env = { OVS_RUNDIR: home, OVS_LOGDIR: home, OVS_DBDIR: home, OVS_SYSCONFDIR: home };
  const database = join(home, "conf.db");
  const socket = `unix:${join(home, "db.sock")}`;
  const quiet = ["--verbose=off", "--no-chdir"];
  run("ovsdb-tool", ["create", database, "/usr/share/openvswitch/vswitch.ovsschema"], env);
  bed.start("ovsdb-server", undefined, "ovsdb-server", [database, `--remote=p${socket}`, ...quiet], env);
  for (let tries = 0; tries < 50 && !existsSync(join(home, "db.sock")); tries++) await sleep(100);
  const vsctl = (...args: string[]): string => run("ovs-vsctl", [`--db=${socket}`, ...args], env);
  vsctl("--no-wait", "init");
  if (options.tso) vsctl("--no-wait", "set", "Open_vSwitch", ".", "other_config:userspace-tso-enable=true");
  bed.start("ovs-vswitchd", lane.middle, "ovs-vswitchd", [socket, "--disable-system", ...quiet], env);
  vsctl("--timeout=20", "add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev");
  for (const device of lane.devices) vsctl("--timeout=20", "add-port", "br0", device);
  if (options.netflow) {
    bed.sink(lane.middle, NETFLOW_PORT);
    const target = `targets="127.0.0.1:${NETFLOW_PORT}"`;
    vsctl("--", "--id=@n", "create", "NetFlow", target, "--", "set", "Bridge", "br0", "netflow=@n");
  }
  if (options.sflow) {
    bed.sink(lane.middle, SFLOW_PORT);
    const columns = ["agent=lo", `target="127.0.0.1:${SFLOW_PORT}"`, "sampling=400", "header=128", "polling=30"];
    vsctl("--", "--id=@s", "create", "sFlow", ...columns, "--", "set", "Bridge", "br0", "sflow=@s");
  }
  await bed.ready(lane);
  return { name, lane };
}

const SPAN = "      - { name: all, select: { all: true, direction: ingress }, outputs: [{ type: span, port: mon0 }] }";

export interface WeirOptions {
  /** Userspace unless given. */
  readonly datapath?: "kernel" | "userspace";
  readonly netflow?: boolean;
  readonly sflow?: boolean;
  readonly beside?: boolean;
  /** InfluxDB's URL, as the switch's namespace sees it; written to every second. */
  readonly influx?: string;
  /** Everything is mirrored to a SPAN port, a veth whose other end drops. */
  readonly span?: boolean;
  /** The configuration's `flows`. */
  readonly flows?: string;
  /** 1 frame in so many. */
  readonly sampling?: number;
  /** File that its control thread's delays go to (loop-delay.ts). */
  readonly loopDelay?: string;
}

export interface WeirServer {
  readonly lane: Lane;
  /** Of the API. */
  readonly socket: string;
  /** Process id of the switch itself. */
  readonly child: number;
}

/** Weir as users run it: the built command, a state folder of its own. */
export async function weirServer(bed: Bed, short: string, options: WeirOptions = {}): Promise<WeirServer> {
  const lane = bed.lane(short, { beside: options.beside ?? false });
  const home = join(bed.folder, short);
  mkdirSync(home);
  const socket = join(home, "weir.sock");
  const exporters = [
    ...(options.netflow ? [`  - { type: netflow-v5, collectors: ["127.0.0.1:${NETFLOW_PORT}"] }`] : []),
    ...(options.sflow ? [`  - { type: sflow, collectors: ["127.0.0.1:${SFLOW_PORT}"] }`] : []),
    ...(options.influx ? [`  - { type: influx, url: "${options.influx}", interval: 1s, timeout: 2s }`] : []),
  ];
  const port = (device: string): string => `      - { name: ${device}, type: netdev, device: ${device} }`;
  const lines = [
    `host: { name: bench, stateDir: ${home} }`,
    `api: { listen: [], socket: ${socket} }`,
    ...(options.flows ? [`flows: ${options.flows}`] : []),
    "bridges:",
    "  - name: weir0",
    `    datapath: ${options.datapath ?? "userspace"}`,
    ...(options.sampling === undefined ? [] : [`    sampling: { rate: ${options.sampling} }`]),
    "    ports:",
    ...lane.devices.map(port),
    ...(options.span ? [port("mon0"), "    mirrors:", SPAN] : []),
    ...(exporters.length > 0 ? ["exporters:", ...exporters] : []),
  ];
  if (options.span) bed.spanPort(lane, "mon0");
  const config = bed.write(`${short}.yaml`, `${lines.join("\n")}\n`);
  if (options.netflow) bed.sink(lane.middle, NETFLOW_PORT);
  if (options.sflow) bed.sink(lane.middle, SFLOW_PORT);
  const args = [join(projectRoot, "dist/weir.js"), "run", "--config", config];
  if (options.loopDelay !== undefined) {
    process.env["WEIR_LOOP_DELAY"] = options.loopDelay;
    args.unshift("--import", LOOP_DELAY);
  }
  // `ip netns exec` becomes the program: its process id is the switch's.
  const child = bed.start(short, lane.middle, process.execPath, args);
  await bed.ready(lane, 20);
  return { lane, socket, child: child.pid! };
}

export async function weir(bed: Bed, name: string, options: WeirOptions = {}): Promise<Peer> {
  const letters = [
    options.datapath === "kernel" ? "k" : "",
    options.netflow ? "n" : "",
    options.sflow ? "s" : "",
    options.span ? "m" : "",
    options.beside ? "b" : "",
    options.sampling ?? "",
  ];
  const { lane } = await weirServer(bed, `weir${letters.join("")}`, options);
  return { name, lane };
}
