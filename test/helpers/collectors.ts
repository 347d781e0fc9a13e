/**
 * The collectors that users run, as oracles: nfcapd and sfcapd (nfdump), nfacctd and sfacctd (pmacct) on a free loopback port, with a
 * temporary folder, stopped by process id. `t.after` stops them where a test fails before `finish`.
 *
 * ```ts
 * const collector = await startNfcapd(t);
 * … send to 127.0.0.1:collector.port …
 * const { packets, bytes, sequenceErrors } = await collector.finish();
 * ```
 */
import { spawn, spawnSync } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { createSocket } from "node:dgram";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { TestContext } from "node:test";
import { which } from "./needs.ts";

export interface CollectedFlow {
  readonly src: string;
  readonly dst: string;
  readonly srcPort: number;
  readonly dstPort: number;
  readonly proto: number;
  /** As nfdump prints them: "...AP.S.". */
  readonly flags: string;
  readonly tos: number;
  readonly packets: number;
  readonly bytes: number;
  readonly input: number;
  readonly output: number;
  readonly engine: string;
  /** Unix time, ms. */
  readonly firstMs: number;
  readonly lastMs: number;
}

export interface NfcapdResult {
  readonly flows: number;
  readonly packets: number;
  readonly bytes: number;
  /** What nfcapd itself counted. */
  readonly sequenceErrors: number;
  readonly badPackets: number;
  /** Earliest first and latest last packet; undefined without flows. */
  readonly firstMs: number | undefined;
  readonly lastMs: number | undefined;
  readonly records: readonly CollectedFlow[];
  readonly log: string;
}

export interface NfacctdResult {
  readonly packets: number;
  readonly bytes: number;
  /** Lines about malformed datagrams or missing sequence numbers. */
  readonly complaints: readonly string[];
  /** The print plugin's table, one object a line, keys as in its first line. */
  readonly rows: readonly Readonly<Record<string, string>>[];
  readonly log: string;
}

export interface RunningCollector<Result> {
  readonly port: number;
  /** Wait until everything that arrived is read, stop, and say what was collected. */
  finish(): Promise<Result>;
}

const READY_MS = 10_000;
const RECEIVE_BUFFER = 16 << 20;

/** nfcapd. Dates in the result come from `nfdump` in UTC. */
export function startNfcapd(
  t: TestContext,
  options: { ipv6?: boolean; port?: number } = {},
): Promise<RunningCollector<NfcapdResult>> {
  return startCapd(t, "nfcapd", options);
}

/** sfcapd: flow samples as flows, packets and bytes multiplied by their rate. */
export function startSfcapd(t: TestContext): Promise<RunningCollector<NfcapdResult>> {
  return startCapd(t, "sfcapd", {});
}

async function startCapd(
  t: TestContext,
  tool: "nfcapd" | "sfcapd",
  options: { ipv6?: boolean; port?: number },
): Promise<RunningCollector<NfcapdResult>> {
  const host = options.ipv6 ? "::1" : "127.0.0.1";
  const folder = temporary(t);
  const port = options.port ?? (await freePort(host));
  const started = start(t, tool, [
    "-w",
    folder,
    `-p${port}`,
    `-b${host}`,
    "-t86400",
    `-B${RECEIVE_BUFFER}`,
    ...(options.ipv6 ? ["-6"] : []),
  ]);
  await bound(port, started);
  return {
    port,
    async finish() {
      await empty(port);
      started.child.kill("SIGTERM");
      await started.ended;
      return nfcapdResult(folder, started.log());
    },
  };
}

function nfcapdResult(folder: string, log: string): NfcapdResult {
  const dump = spawnSync(
    which("nfdump")!,
    ["-R", folder, "-q", "-N", "-o", "fmt:%ts,%te,%sa,%da,%sp,%dp,%pr,%flg,%tos,%pkt,%byt,%in,%out,%eng"],
    { encoding: "utf8", env: { ...process.env, TZ: "UTC" }, maxBuffer: 1 << 30 },
  );
  if (dump.status !== 0) throw new Error(`nfdump: ${dump.stderr}`);
  const records = dump.stdout
    .split("\n")
    .map((line) => line.split(",").map((field) => field.trim()))
    .filter((fields) => fields.length === 14)
    .map(flowOf);
  const totals = { flows: 0, packets: 0, bytes: 0, sequenceErrors: 0, badPackets: 0 };
  const line = /Flows: (\d+), Packets: (\d+), Bytes: (\d+), Sequence Errors: (\d+), Bad Packets: (\d+)/g;
  for (const [, flows, packets, bytes, sequenceErrors, badPackets] of log.matchAll(line)) {
    totals.flows += Number(flows);
    totals.packets += Number(packets);
    totals.bytes += Number(bytes);
    totals.sequenceErrors += Number(sequenceErrors);
    totals.badPackets += Number(badPackets);
  }
  return {
    ...totals,
    firstMs: records.length ? records.reduce((least, flow) => Math.min(least, flow.firstMs), Infinity) : undefined,
    lastMs: records.length ? records.reduce((most, flow) => Math.max(most, flow.lastMs), -Infinity) : undefined,
    records,
    log,
  };
}

function flowOf(fields: readonly string[]): CollectedFlow {
  const [ts, te, src, dst, srcPort, dstPort, proto, flags, tos, packets, bytes, input, output, engine] =
    fields as string[] & { length: 14 };
  return {
    src: src!,
    dst: dst!,
    srcPort: Number(srcPort),
    // ICMP is printed as type.code
    dstPort: dstPort!.includes(".") ? icmp(dstPort!) : Number(dstPort),
    proto: Number(proto),
    flags: flags!,
    tos: Number(tos),
    packets: Number(packets),
    bytes: Number(bytes),
    input: Number(input),
    output: Number(output),
    engine: engine!,
    firstMs: Date.parse(`${ts!.replace(" ", "T")}Z`),
    lastMs: Date.parse(`${te!.replace(" ", "T")}Z`),
  };
}

function icmp(typeAndCode: string): number {
  const [type, code] = typeAndCode.split(".").map(Number);
  return (type! << 8) | code!;
}

/**
 * nfacctd with the print plugin: flows summed by addresses, ports, protocol, TOS and interfaces; `renormalize`: packets and
 * bytes multiplied by the sampling rate that it learnt.
 */
export function startNfacctd(
  t: TestContext,
  { renormalize = false, port }: { renormalize?: boolean; port?: number } = {},
): Promise<RunningCollector<NfacctdResult>> {
  return startAcctd(t, "nfacctd", renormalize ? { nfacctd_renormalize: "true" } : {}, port);
}

/** sfacctd the same way, packets and bytes multiplied by their rate. */
export function startSfacctd(t: TestContext): Promise<RunningCollector<NfacctdResult>> {
  return startAcctd(t, "sfacctd", { sfacctd_renormalize: "true" });
}

async function startAcctd(
  t: TestContext,
  tool: "nfacctd" | "sfacctd",
  more: Readonly<Record<string, string>>,
  wanted?: number,
): Promise<RunningCollector<NfacctdResult>> {
  const folder = temporary(t);
  const port = wanted ?? (await freePort("127.0.0.1"));
  const output = join(folder, "flows.csv");
  const config = join(folder, `${tool}.conf`);
  const settings = {
    daemonize: "false",
    [`${tool}_ip`]: "127.0.0.1",
    [`${tool}_port`]: port,
    [`${tool}_pipe_size`]: RECEIVE_BUFFER,
    ...more,
    plugins: "print",
    plugin_pipe_size: 64 << 20,
    aggregate: "src_host, dst_host, src_port, dst_port, proto, tos, tcpflags, in_iface, out_iface",
    print_refresh_time: 1,
    print_output: "csv",
    print_output_file: output,
    print_output_file_append: "true",
    print_cache_entries: 16381,
  };
  writeFileSync(
    config,
    Object.entries(settings)
      .map(([key, value]) => `${key}: ${value}\n`)
      .join(""),
  );
  const started = start(t, tool, ["-f", config]);
  await bound(port, started);
  return {
    port,
    async finish() {
      await empty(port);
      // SIGINT makes the core hand its buffer to the plugin, which writes what it has and ends; the core stays.
      const plugins = childrenOf(started.child.pid!);
      started.child.kill("SIGINT");
      for (let waited = 0; plugins.some(runs) && waited < READY_MS; waited += 20) await sleep(20);
      started.child.kill("SIGKILL");
      await started.ended;
      return nfacctdResult(output, started.log());
    },
  };
}

function nfacctdResult(output: string, log: string): NfacctdResult {
  let text = "";
  try {
    text = readFileSync(output, "utf8");
  } catch {
    // nothing was collected: no file
  }
  const [head = "", ...lines] = text.split("\n").filter(Boolean);
  const keys = head.split(",");
  const rows = lines
    .filter((line) => line !== head)
    .map((line) => Object.fromEntries(line.split(",").map((field, n) => [keys[n]!, field])));
  return {
    packets: rows.reduce((total, row) => total + Number(row.PACKETS), 0),
    bytes: rows.reduce((total, row) => total + Number(row.BYTES), 0),
    complaints: log.split("\n").filter((line) => /malformed|expecting flow|discard|missing data/i.test(line)),
    rows,
    log,
  };
}

interface Started {
  readonly child: ChildProcess;
  readonly ended: Promise<void>;
  log(): string;
}

function start(t: TestContext, tool: string, args: readonly string[]): Started {
  const child = spawn(which(tool)!, args, { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, TZ: "UTC" } });
  let log = "";
  child.stdout!.on("data", (chunk) => (log += chunk));
  child.stderr!.on("data", (chunk) => (log += chunk));
  const ended = new Promise<void>((resolve) => child.on("close", () => resolve()));
  t.after(() => {
    child.kill("SIGKILL");
  });
  return { child, ended, log: () => log };
}

function temporary(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "weir-collector-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A UDP port that nobody had a moment ago. */
export async function freePort(host = "127.0.0.1"): Promise<number> {
  const socket = createSocket(host.includes(":") ? "udp6" : "udp4");
  await new Promise<void>((resolve) => socket.bind(0, host, resolve));
  const { port } = socket.address();
  await new Promise<void>((resolve) => socket.close(resolve));
  return port;
}

/** Bytes that wait in the receive queues of UDP sockets bound to a port; -1 without any such socket. */
function waiting(port: number): number {
  const local = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  const queues = ["/proc/net/udp", "/proc/net/udp6"]
    .flatMap((file) => readFileSync(file, "utf8").split("\n"))
    .map((line) => line.trim().split(/\s+/))
    .filter((fields) => fields[1]?.endsWith(local))
    .map((fields) => parseInt(fields[4]!.split(":")[1]!, 16));
  return queues.length ? Math.max(...queues) : -1;
}

function childrenOf(pid: number): number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean).map(Number);
}

/** A zombie does not run. */
function runs(pid: number): boolean {
  try {
    return !/^State:\s*[ZX]/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}

async function bound(port: number, started: Started): Promise<void> {
  for (let waited = 0; waited < READY_MS; waited += 20) {
    if (waiting(port) >= 0) return;
    if (started.child.exitCode !== null) break;
    await sleep(20);
  }
  throw new Error(`the collector did not start:\n${started.log()}`);
}

/** Wait until what arrived has been read. */
async function empty(port: number): Promise<void> {
  for (let waited = 0; waited < READY_MS && waiting(port) > 0; waited += 20) await sleep(20);
  await sleep(100);
}
