/** Who may import whom: the table of src/README.md, checked from the import lines. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize, relative } from "node:path";
import test from "node:test";
import { projectRoot } from "./helpers/captures.ts";

/** What each folder may import, as path prefixes below the project's root. `type:` allows types only. */
const ALLOWED: Record<string, readonly string[]> = {
  "src/text": [],
  "src/wire": [],
  "src/shm": [],
  "src/sys": [],
  "src/flow": ["src/shm", "src/wire", "src/text"],
  "src/pipeline": ["src/flow", "src/wire", "type:src/datapath/datapath.ts"],
  "src/ports": ["src/wire", "src/sys", "src/text", "type:src/flow", "src/ports/port.ts", "src/ports/device/"],
  "src/datapath": [
    "src/pipeline/actions.ts",
    "src/pipeline/classify.ts",
    "src/ports/port.ts",
    // The kernel datapath is on the devices itself.
    "src/ports/device",
    "src/ports/netdev",
    "src/ports/tap",
    "src/flow",
    "src/shm",
    "src/wire",
    "src/sys",
    "src/registry.gen.ts",
  ],
  "src/telemetry": [
    "src/flow",
    "src/shm",
    "src/wire",
    "src/text",
    "type:src/datapath/datapath.ts",
    "type:src/ports/port.ts",
  ],
  "src/bridge": [
    "src/pipeline",
    "src/flow",
    "src/shm",
    "src/wire",
    "src/telemetry",
    "src/text",
    "type:src/config/config.ts",
    "src/datapath/datapath.ts",
    "type:src/ports/port.ts",
  ],
  "src/mirror": [
    "src/pipeline",
    "src/flow",
    "src/shm",
    "src/wire",
    "src/sys",
    "src/text",
    "type:src/bridge/views/json.ts",
    "type:src/config/config.ts",
    "type:src/datapath/datapath.ts",
  ],
  "src/config": ["src/flow", "src/wire", "src/text", "type:src/ports/port.ts", "type:src/telemetry/exporter.ts"],
  "src/api": [
    "type:src/live/messages.ts",
    "src/telemetry",
    "src/config",
    "src/bridge",
    "src/flow",
    "src/wire",
    "src/shm",
    "src/pipeline/trace.ts",
    "type:src/datapath/datapath.ts",
  ],
  "src/cli": [
    "type:src/live/messages.ts",
    "src/api",
    "src/telemetry",
    "src/config",
    "src/bridge",
    "src/flow",
    "src/wire",
    "src/shm",
    "type:src/datapath/datapath.ts",
  ],
  // A browser's: of the switch it knows the shapes of answers and of the feed's messages.
  "src/live/page": ["type:src/bridge/views/json.ts", "type:src/live/messages.ts"],
  "src/live": ["type:src/api/switch.ts", "type:src/bridge/views/json.ts"],
  "src/run": ["src/"],
  // What dashboards are generated from.
  dashboards: ["dashboards/", "exporters/influx/schema.ts", "src/api/metrics/families.ts"],
  exporters: ["src/telemetry/exporter.ts", "src/telemetry/progress.ts", "src/flow", "src/shm", "src/wire", "src/text"],
};

/** What people type, units and addresses: imports nothing of ours, everybody may use it. */
const EVERYBODY = "src/text/";

interface Import {
  readonly from: string;
  readonly to: string;
  readonly typeOnly: boolean;
}

function sources(folder: string): string[] {
  return readdirSync(join(projectRoot, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return entry.name === "node_modules" ? [] : sources(path);
    return entry.name.endsWith(".ts") && !entry.name.endsWith(".d.ts") ? [path] : [];
  });
}

function imports(file: string): Import[] {
  const text = readFileSync(join(projectRoot, file), "utf8");
  const found: Import[] = [];
  for (const match of text.matchAll(/^\s*(?:import|export)\s+(type\s+)?(?:[^"';]*?\sfrom\s+)?"(\.[^"]+)"/gm))
    found.push({ from: file, to: resolve(file, match[2]!), typeOnly: match[1] !== undefined });
  for (const match of text.matchAll(/\bimport\("(\.[^"]+)"\)(\.[A-Z])?/g))
    found.push({ from: file, to: resolve(file, match[1]!), typeOnly: match[2] !== undefined });
  return found;
}

function resolve(file: string, target: string): string {
  return relative(".", normalize(join(dirname(file), target)));
}

/** The folder a file belongs to: exporters and port types are islands of their own. */
function room(file: string): string {
  const parts = file.split("/");
  return parts[0] === "exporters" || (parts[1] === "ports" && parts.length > 3)
    ? parts.slice(0, parts[0] === "exporters" ? 2 : 3).join("/")
    : parts.slice(0, 2).join("/");
}

const all = ["src", "exporters", "dashboards"].flatMap((folder) => {
  try {
    return sources(folder);
  } catch {
    return [];
  }
});
const product = all.filter((file) => !file.endsWith(".test.ts"));

test("every folder imports only what the table allows", () => {
  const wrong: string[] = [];
  for (const { from, to, typeOnly } of product.flatMap(imports)) {
    const table = Object.keys(ALLOWED).find((folder) => from.startsWith(`${folder}/`));
    if (table === undefined || room(from) === room(to) || to.startsWith(EVERYBODY)) continue;
    const ok = ALLOWED[table]!.some((allowed) =>
      allowed.startsWith("type:") ? typeOnly && to.startsWith(allowed.slice(5)) : to.startsWith(allowed),
    );
    if (!ok) wrong.push(`${from} imports ${to}${typeOnly ? " (types)" : ""}`);
  }
  assert.deepEqual(wrong, []);
});

test("only src/sys calls koffi, only src/ports/capture the pcap package", () => {
  const wrong = product.filter((file) => {
    const text = readFileSync(join(projectRoot, file), "utf8");
    return (
      (/["']koffi["']/.test(text) && !file.startsWith("src/sys/")) ||
      (/(from|import\()\s*["']pcap["']/.test(text) && !file.startsWith("src/ports/capture/"))
    );
  });
  assert.deepEqual(wrong, []);
});

test("no cycles between files, types aside", () => {
  const edges = new Map<string, string[]>();
  for (const file of product)
    edges.set(
      file,
      imports(file)
        .filter((edge) => !edge.typeOnly)
        .map((edge) => edge.to),
    );
  const state = new Map<string, "open" | "done">();
  const cycles: string[] = [];
  const visit = (file: string, path: readonly string[]): void => {
    if (state.get(file) === "done") return;
    if (state.get(file) === "open") return void cycles.push([...path.slice(path.indexOf(file)), file].join(" > "));
    state.set(file, "open");
    for (const next of edges.get(file) ?? []) if (edges.has(next)) visit(next, [...path, file]);
    state.set(file, "done");
  };
  for (const file of product) visit(file, []);
  assert.deepEqual(cycles, []);
});

test("nothing below main and the worker loop asks a clock", () => {
  const MAY = ["src/main.ts", "src/datapath/userspace/worker.ts", "src/datapath/userspace/clock.ts", "src/run/"];
  const wrong = product.filter(
    (file) =>
      !MAY.some((allowed) => file.startsWith(allowed)) &&
      /\bDate\.now\(|\bperformance\.now\(|\bhrtime\b|new Date\(\)/.test(readFileSync(join(projectRoot, file), "utf8")),
  );
  assert.deepEqual(wrong, []);
});
