// Port types and exporters are folders, found by name and registered nowhere: this writes src/registry.gen.ts from what
// stands in src/ports/ and exporters/. The file is not committed, so that adding a folder touches nothing else.
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./setup.mjs";

function plugins(folder) {
  if (!existsSync(join(root, folder))) return [];
  return readdirSync(join(root, folder), { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && existsSync(join(root, folder, entry.name, "index.ts")))
    .map((entry) => entry.name)
    .sort();
}

export function writeRegistry() {
  const list = (constant, type, folder, prefix) => [
    `export const ${constant} = {`,
    ...plugins(folder).map(
      (name) =>
        `  ${JSON.stringify(name)}: () => import("${prefix}/${name}/index.ts").then((m): ${type} => m.default),`,
    ),
    `} as const;`,
    ``,
  ];
  const text = [
    "// Written by src/build/registry.mjs from the folders that exist; do not edit.",
    `import type { PortType } from "./ports/port.ts";`,
    `import type { ExporterType } from "./telemetry/exporter.ts";`,
    ``,
    "export type { ExporterType, PortType };",
    ``,
    ...list("portTypes", "PortType", "src/ports", "./ports"),
    ...list("exporterTypes", "ExporterType", "exporters", "../exporters"),
  ].join("\n");
  writeFileSync(join(root, "src", "registry.gen.ts"), text);
}
