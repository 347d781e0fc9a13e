/** P7: one big capture to NetFlow v5, whole processes, against softflowd and nfpcapd. */
import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, rmSync } from "node:fs";
import { createSocket } from "node:dgram";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { capturesFolder, projectRoot } from "../helpers/captures.ts";
import { Bed, run } from "./bed.ts";
import { writeBigCapture } from "./big-capture.ts";
import { put, ratio, type Result } from "./table.ts";

const PACKETS = 1_800_000;
const COLUMN = "whole process";
const WEIR = "weir replay --netflow";
const SOFTFLOWD = "softflowd -v 5";
const NFPCAPD = "nfpcapd";

/** Outer IPv4 packets and their octets, by tshark: what every exporter should report. */
const TRUTH = 'ip.len && frame.protocols matches "^eth:(ethertype:|vlan:|ieee8021ad:)*ip(:|$)"';

interface Totals {
  readonly packets: number;
  readonly octets: number;
}

function truth(path: string): Totals {
  const fields = ["-T", "fields", "-E", "occurrence=f", "-e", "ip.len"];
  const lengths = run("tshark", ["-n", "-r", path, "-Y", TRUTH, ...fields])
    .split("\n")
    .filter((line) => line !== "")
    .map(Number);
  return { packets: lengths.length, octets: lengths.reduce((sum, one) => sum + one, 0) };
}

async function freePort(): Promise<number> {
  const socket = createSocket("udp4");
  await new Promise<void>((resolve) => socket.bind(0, "127.0.0.1", resolve));
  const { port } = socket.address();
  await new Promise<void>((resolve) => socket.close(resolve));
  return port;
}

/** What nfcapd counts while `feed` sends to its port. */
async function collected(bed: Bed, name: string, feed: (port: number) => void): Promise<Totals> {
  const folder = join(bed.folder, `nfcapd-${name}`);
  mkdirSync(folder);
  const port = await freePort();
  const args = ["-w", folder, "-b", "127.0.0.1", "-p", String(port), "-B", String(16 << 20), "-t", "3600"];
  const child = spawn("nfcapd", args, { stdio: "ignore" });
  await sleep(1000);
  feed(port);
  await sleep(1500);
  const gone = new Promise((resolve) => child.on("exit", resolve));
  child.kill("SIGTERM");
  await gone;
  const lines = run("nfdump", ["-R", folder, "-q", "-N", "-o", "fmt:%pkt %byt"]).trim().split("\n");
  let [packets, octets] = [0, 0];
  for (const line of lines) {
    const [p, b] = line.trim().split(/\s+/).map(Number);
    packets += p ?? 0;
    octets += b ?? 0;
  }
  rmSync(folder, { recursive: true });
  return { packets, octets };
}

/** Run to the end: seconds by the wall, and of all processors together, start-up included. */
function timed(name: string, command: string, args: readonly string[]): { wall: number; processor: number } {
  const script = 'TIMEFORMAT="%R %U %S"; time "$@" > /dev/null 2> /dev/null';
  const done = spawnSync("bash", ["-c", script, "bash", command, ...args], { encoding: "utf8" });
  if (done.status !== 0) throw new Error(`${name}: exit ${done.status}`);
  const [wall, user, system] = done.stderr.trim().split(" ").map(Number);
  return { wall: wall!, processor: user! + system! };
}

export async function captureFiles(rounds: number): Promise<Result> {
  const result: Result = {
    part: "captures",
    title: "One capture to NetFlow v5, whole processes",
    unit: "seconds",
    cells: [],
    ratios: [],
    notes: [],
  };
  const base = capturesFolder();
  if (base === undefined) throw new Error("the captures are not beside the project (WEIR_CAPTURES names their folder)");
  const bed = new Bed();
  try {
    const big = writeBigCapture(join(base, "apps"), join(bed.folder, "big.pcap"), PACKETS);
    const small = writeBigCapture(join(base, "apps"), join(bed.folder, "once.pcap"), 1);
    const single = truth(small.path);
    const expected = { packets: single.packets * big.repeats, octets: single.octets * big.repeats };
    const command = join(projectRoot, "dist/weir.js");
    const weir = (port: number, ...more: string[]): string[] => {
      return [process.execPath, command, "replay", big.path, "--netflow", `127.0.0.1:${port}`, "--json", ...more];
    };
    const softflowd = (port: number): string[] => {
      return ["softflowd", "-r", big.path, "-n", `127.0.0.1:${port}`, "-v", "5", "-d"];
    };
    const out = join(bed.folder, "nfpcapd");
    mkdirSync(out);
    const sink = await freePort();
    bed.sink(undefined, sink);
    const commands: [string, string[]][] = [
      [WEIR, weir(sink, "--pace", "0")],
      [SOFTFLOWD, softflowd(sink)],
      [NFPCAPD, ["nfpcapd", "-r", big.path, "-w", out]],
    ];
    // The file into the page cache.
    run("sh", ["-c", 'cat "$1" > /dev/null', "sh", big.path]);
    for (let round = 0; round < rounds; round++) {
      for (const [name, [command, ...args]] of commands) {
        const { wall, processor } = timed(name, command!, args);
        put(result, name, COLUMN, wall);
        put(result, name, "of the processors", processor);
      }
    }
    result.notes!.push(
      `${big.packets.toLocaleString("en")} packets, ${Math.round(big.bytes / 1e6)} MB; tshark counts ` +
        `${expected.packets.toLocaleString("en")} IPv4 packets and ${expected.octets.toLocaleString("en")} octets in it.`,
    );
    for (const [name, command] of [
      [WEIR, weir],
      [SOFTFLOWD, softflowd],
    ] as const) {
      const got = await collected(bed, name.slice(0, 4), (port) => void run(command(port)[0]!, command(port).slice(1)));
      const same = got.packets === expected.packets && got.octets === expected.octets;
      const said = `${got.packets.toLocaleString("en")} packets and ${got.octets.toLocaleString("en")} octets`;
      result.notes!.push(`nfcapd counts from ${name}: ${same ? "exactly these" : said}.`);
    }
  } finally {
    await bed.close();
  }
  const times = (over: string): number => ratio(result, over, WEIR, COLUMN);
  result.ratios.push({
    target: "P7",
    what: "softflowd's time to Weir's",
    value: times(SOFTFLOWD),
    unit: "×",
    floor: 2,
    goal: 3,
  });
  return result;
}
