/** A collector of NetFlow v5, v9 and IPFIX that counts each datagram once: an exporter that was killed may send one again. */
import assert from "node:assert/strict";
import { decodeV5 } from "./netflow-v5-decoder.ts";
import { TemplateDecoder } from "./template-decoder.ts";

/** Element numbers of packetDeltaCount and destinationTransportPort. */
const PACKETS = "2";
const DST_PORT = "11";

interface FlowCount {
  readonly dstPort: number;
  readonly packets: number;
}

export class RecordCollector {
  private readonly seen = new Map<string, { readonly flows: readonly FlowCount[]; readonly text: string }>();
  private readonly decoder = new TemplateDecoder();
  /** Datagrams with flow records that came again. */
  again = 0;

  /** One datagram. Two of one name (engine or source, sequence) must be one and the same. */
  take(bytes: Uint8Array): void {
    const { name, flows, records } = bytes[1] === 5 ? v5(bytes) : this.templated(bytes);
    if (flows.length === 0) return;
    const text = JSON.stringify(records, (_key, value) => (typeof value === "bigint" ? `${value}` : value));
    const before = this.seen.get(name);
    if (before === undefined) this.seen.set(name, { flows, text });
    else {
      this.again++;
      assert.equal(text, before.text, `two datagrams called ${name}`);
    }
  }

  private templated(bytes: Uint8Array) {
    const { version, domain, sequence, records } = this.decoder.decode(bytes);
    // Options have counters of the exporter's; they are no flows.
    const told = records.filter(({ values, template }) => template.scopes === 0 && values[PACKETS] !== undefined);
    const flows = told.map(({ values }) => ({
      dstPort: Number(values[DST_PORT] ?? 0),
      packets: Number(values[PACKETS]),
    }));
    return { name: `${version} ${domain} ${sequence}`, flows, records: told.map(({ values }) => values) };
  }

  /** Of all flows, or of those to a port. */
  packets(port?: number): number {
    let sum = 0;
    for (const { flows } of this.seen.values())
      for (const { dstPort, packets } of flows) if (port === undefined || port === dstPort) sum += packets;
    return sum;
  }
}

function v5(bytes: Uint8Array) {
  const { engineType, engineId, sequence, records } = decodeV5(bytes);
  // Dates are reckoned from the header, to a ms.
  return { name: `5 ${engineType}/${engineId} ${sequence}`, flows: records, records };
}
