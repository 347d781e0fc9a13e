/**
 * `npm run bench [-- words]`: the parts whose name holds a word (all without words), peers and Weir in turns, then
 * tables here and a file in results/. `--rounds N` (5 at least for a result to keep), `--readme` writes README.md's
 * section from the newest result of each part, and measures nothing.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { projectRoot } from "../helpers/captures.ts";
import { which } from "../helpers/needs.ts";
import { closeBeds } from "./bed.ts";
import { frames } from "./p5-frames.ts";
import { tcp } from "./p6-tcp.ts";
import { captureFiles } from "./p7-captures.ts";
import { transfers } from "./p4-transfers.ts";
import { telemetry } from "./p8-telemetry.ts";
import { newFlows } from "./p9-storm.ts";
import { plot } from "./plot.ts";
import { held, heldByKernel } from "./p10-held.ts";
import { mirror } from "./p11-mirror.ts";
import { engine } from "./p12-engine.ts";
import { sampling } from "./p-sampling.ts";
import { outage } from "./p-outage.ts";
import { watched } from "./p-watched.ts";
import { machine, markdown, type Machine, type Result } from "./table.ts";

interface Part {
  readonly name: string;
  readonly run: (rounds: number) => Promise<Result>;
  readonly needs: readonly string[];
}

const BED = ["gcc", "ip", "tc", "ping", "ovs-vswitchd", "ovsdb-server", "ovs-vsctl"];
const PARTS: readonly Part[] = [
  { name: "frames", run: frames, needs: BED },
  { name: "tcp", run: tcp, needs: [...BED, "iperf3"] },
  { name: "transfers", run: transfers, needs: BED },
  { name: "telemetry", run: telemetry, needs: ["gcc", "ip", "tc", "ping"] },
  { name: "storm", run: newFlows, needs: ["gcc", "ip", "tc", "ping"] },
  { name: "held", run: held, needs: ["gcc", "ip", "tc", "ping"] },
  { name: "held-kernel", run: heldByKernel, needs: ["gcc", "ip", "tc", "ping"] },
  { name: "mirror", run: mirror, needs: ["gcc", "ip", "tc", "ping"] },
  { name: "engine", run: engine, needs: [] },
  { name: "sampling", run: sampling, needs: [] },
  { name: "watched", run: watched, needs: ["gcc", "ip", "tc", "ping", "taskset"] },
  { name: "outage", run: outage, needs: ["gcc", "ip", "tc", "ping"] },
  { name: "captures", run: captureFiles, needs: ["gcc", "softflowd", "nfpcapd", "nfcapd", "nfdump", "tshark"] },
];

interface Results {
  readonly at: string;
  readonly machine: Machine;
  readonly rounds: number;
  readonly results: Result[];
}

const FOLDER = join(projectRoot, "test/bench/results");
const README = join(projectRoot, "README.md");
const MARK = "<!-- bench -->";
const MARK_END = "<!-- /bench -->";

/** Of each part the newest result that is there, in the order of the parts. */
function newestOfEach(): Results[] {
  const newest = new Map<string, Results>();
  const names = readdirSync(FOLDER).filter((name) => name.endsWith(".json"));
  for (const name of names.toSorted()) {
    // JSON says null where nothing was measured.
    const text = readFileSync(join(FOLDER, name), "utf8");
    const found = JSON.parse(text, (_key, value: unknown) => value ?? NaN) as Results;
    for (const result of found.results) newest.set(result.part, { ...found, results: [result] });
  }
  return PARTS.map(({ name }) => newest.get(name)).filter((found) => found !== undefined);
}

function render(found: readonly Results[]): string {
  const [{ machine: on }] = found as [Results];
  const days = [...new Set(found.map(({ at }) => at.slice(0, 10)))].toSorted();
  const rounds = [...new Set(found.map((one) => one.rounds))].toSorted((a, b) => a - b);
  const where = `${on.cores} cores (${on.cpu}), Linux ${on.kernel}, Node ${on.node}`;
  return [
    `Measured ${days.join(" and ")} on ${where}; peers side by side in turns, medians of ${rounds.join(" or ")} rounds, ratios round by round (\`npm run bench\`).`,
    ...found.map(({ results: [one] }) => {
      const result = one!;
      if (result.plot === undefined) return markdown(result);
      const path = `test/bench/plots/${result.part}.svg`;
      mkdirSync(join(projectRoot, "test/bench/plots"), { recursive: true });
      writeFileSync(join(projectRoot, path), plot(result));
      const [title, ...rest] = markdown(result).split("\n\n");
      return [title, `![${result.title}](${path})`, ...rest].join("\n\n");
    }),
  ].join("\n\n");
}

/** Put them between the marks of README.md. */
function updateReadme(): void {
  const found = newestOfEach();
  if (found.length === 0) throw new Error(`no result in ${FOLDER}`);
  const text = readFileSync(README, "utf8");
  const [from, to] = [text.indexOf(MARK), text.indexOf(MARK_END)];
  if (from < 0 || to < from) throw new Error(`README.md has no ${MARK} … ${MARK_END}`);
  writeFileSync(README, `${text.slice(0, from + MARK.length)}\n\n${render(found)}\n\n${text.slice(to)}`);
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: "string", default: "5" },
    readme: { type: "boolean", default: false },
    discard: { type: "boolean", default: false },
  },
});

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.on(signal, () => void closeBeds().then(() => process.exit(130)));
}

if (values.readme) {
  updateReadme();
  process.exit(0);
}

const rounds = Number(values.rounds);
if (!Number.isInteger(rounds) || rounds < 1) throw new Error(`--rounds ${values.rounds} is not a number of rounds`);
const chosen = PARTS.filter((part) => positionals.length === 0 || positionals.some((word) => part.name.includes(word)));
const results: Result[] = [];
let failed = chosen.length === 0;
for (const part of chosen) {
  const missing = part.needs.filter((tool) => which(tool) === undefined);
  if (process.getuid?.() !== 0) missing.push("root");
  if (missing.length > 0) {
    console.error(`${part.name}: not measured, needs ${missing.join(", ")}`);
    failed = true;
    continue;
  }
  console.error(`${part.name} ...`);
  try {
    const result = await part.run(rounds);
    results.push(result);
    console.log(`${markdown(result)}\n`);
  } catch (error) {
    console.error(`${part.name}: ${(error as Error).stack}`);
    failed = true;
  }
}
if (results.length > 0 && !values.discard) {
  const at = new Date().toISOString();
  mkdirSync(FOLDER, { recursive: true });
  const path = join(FOLDER, `${at.slice(0, 19).replaceAll(":", "")}.json`);
  writeFileSync(
    path,
    `${JSON.stringify({ at, machine: machine(), rounds, results } satisfies Results, undefined, 1)}\n`,
  );
  console.error(path);
}
process.exit(failed ? 1 : 0);
