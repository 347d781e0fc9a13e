/**
 * Golden messages: what an exporter makes of some flows, as hex files named by what they prove. `WEIR_WRITE_GOLDEN=1`
 * writes them anew; look at the difference before committing it.
 */
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { RecordBatch, RecordLog } from "../../src/shm/log.ts";
import type { ExporterType, PortInfo } from "../../src/telemetry/exporter.ts";
import { projectRoot } from "./captures.ts";
import { FakeSender } from "./fake-sender.ts";
import { appendRecord, TEST_BOOT_MS } from "./records.ts";
import type { TestFlow } from "./records.ts";

export interface Golden {
  readonly options?: object;
  readonly sequence?: number;
  readonly uptimeMs: number;
  readonly ports?: readonly PortInfo[];
  readonly flows: readonly TestFlow[];
}

/** All messages that the exporter sends for these flows. */
export function messagesOf(type: ExporterType, golden: Golden): Uint8Array[] {
  const log = RecordLog.create(64);
  for (const flow of golden.flows) appendRecord(log, flow);
  const sender = new FakeSender();
  const exporter = type.open(type.schema.parse(golden.options ?? {}), {
    name: "golden",
    collectors: [sender],
    port: () => undefined,
    ports: () => golden.ports ?? [],
    resume: { sequence: golden.sequence ?? 0 },
    sent: () => {},
    agentAddress: "192.0.2.1",
    log: () => {},
  });
  const now = { uptimeMs: golden.uptimeMs, unixMs: TEST_BOOT_MS + golden.uptimeMs };
  exporter.records!(new RecordBatch(log, 0, log.head), "b", now);
  exporter.flush(now);
  return sender.sent;
}

/** Compare with `exporters/FOLDER/golden/NAME.hex`: a message a paragraph, 16 bytes a line. */
export function checkGolden(folder: string, name: string, messages: readonly Uint8Array[]): void {
  const path = join(projectRoot, "exporters", folder, "golden", `${name}.hex`);
  const text = messages.map(toHex).join("\n\n") + "\n";
  if (process.env.WEIR_WRITE_GOLDEN === "1") {
    mkdirSync(join(path, ".."), { recursive: true });
    writeFileSync(path, text);
  }
  assert.equal(text, readFileSync(path, "utf8"), name);
}

function toHex(bytes: Uint8Array): string {
  const words = Buffer.from(bytes)
    .toString("hex")
    .match(/.{1,4}/g)!;
  const lines: string[] = [];
  for (let n = 0; n < words.length; n += 8) lines.push(words.slice(n, n + 8).join(" "));
  return lines.join("\n");
}
