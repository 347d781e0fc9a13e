/** Datagrams of others as lines: one a sample, record or fault. */
import type { CounterRecord, Decoded, Interface, Sample, Source } from "sflow-decoder";
import { DROP_REASONS } from "../../flow/disposition.ts";
import { frameText } from "../../telemetry/frame-text.ts";
import type { DecodedNetflow, NetflowRecord } from "../netflow-v5.ts";
import { visible } from "./text.ts";

const PROTOCOLS: Readonly<Record<number, string>> = {
  1: "icmp",
  2: "igmp",
  6: "tcp",
  17: "udp",
  47: "gre",
  132: "sctp",
};
const SEVERAL = 65535;

export function sflowLines({ datagram, error }: Decoded, from: string): string[] {
  const head = datagram
    ? `sflow ${datagram.agent || from}/${datagram.subAgent} #${datagram.sequence}`
    : `sflow ${from}`;
  const lines = (datagram?.samples ?? []).map((sample) => `${head}  ${visible(sampleText(sample))}`);
  if (error) lines.push(`${head}  BAD at byte ${error.offset}: ${error.message}`);
  return lines;
}

function sampleText(sample: Sample): string {
  switch (sample.type) {
    case "flow": {
      const { rate, pool, drops } = sample;
      const where = `${interfaceText(sample.input)} > ${interfaceText(sample.output)}`;
      return `flow ${sourceText(sample.source)} 1:${rate} pool ${pool} drops ${drops}  ${where}  ${frameOf(sample)}`;
    }
    case "discard":
      return `discard ${sourceText(sample.source)} ${reasonText(sample.reason)} drops ${sample.drops}  ${frameOf(sample)}`;
    case "counters":
      return `counters ${sourceText(sample.source)}  ${sample.records.map(counterText).join("; ")}`;
    case "unknown":
      return `unknown sample ${sample.enterprise}:${sample.format}, ${sample.bytes.length} bytes`;
  }
}

function sourceText({ class: kind, index }: Source): string {
  return `${kind}:${index}`;
}

function interfaceText(of: Interface): string {
  switch (of.kind) {
    case "port":
      return String(of.ifIndex);
    case "discarded":
      return reasonText(of.reason);
    case "several":
      return of.count === 0 ? "several" : `${of.count} ports`;
    default:
      return of.kind;
  }
}

function reasonText(code: number): string {
  const known = DROP_REASONS.find(({ sflow }) => sflow === code && code !== 256);
  return `discarded ${known?.name ?? code}`;
}

/** The first bytes of the frame, and what else is said of it by name. */
function frameOf({ records }: { readonly records: Extract<Sample, { type: "flow" }>["records"] }): string {
  const texts = records.map((record) => {
    if (record.type === "rawHeader" && record.protocol === 1)
      return `${frameText(record.header, record.frameLength - record.stripped)}, ${record.frameLength} B`;
    if (record.type === "unknown") return `unknown ${record.enterprise}:${record.format}`;
    if (record.type === "switch")
      return record.sourceVlan === record.destinationVlan
        ? `vlan ${record.sourceVlan}`
        : `vlan ${record.sourceVlan} > ${record.destinationVlan}`;
    return record.type;
  });
  return texts.join("; ");
}

function counterText(record: CounterRecord): string {
  if (record.type === "interface")
    return (
      `ifIndex ${record.ifIndex} in ${record.ifInOctets} B ${packets(record.ifInUcastPkts, record.ifInMulticastPkts, record.ifInBroadcastPkts)}` +
      ` discards ${record.ifInDiscards} out ${record.ifOutOctets} B ${packets(record.ifOutUcastPkts, record.ifOutMulticastPkts, record.ifOutBroadcastPkts)}` +
      ` discards ${record.ifOutDiscards}`
    );
  if (record.type === "portName") return `port ${record.name}`;
  if (record.type === "host") return `host ${record.hostname} ${record.uuid}`;
  if (record.type === "unknown") return `unknown ${record.enterprise}:${record.format}`;
  return record.type;
}

function packets(...counts: readonly number[]): string {
  return `${counts.reduce((sum, count) => sum + count, 0)} packets`;
}

export function netflowLines({ datagram, error }: DecodedNetflow, from: string): string[] {
  const head = datagram
    ? `netflow-v5 ${from} ${datagram.engineType}/${datagram.engineId} #${datagram.sequence}`
    : `netflow ${from}`;
  const lines = (datagram?.records ?? []).map((record) => `${head}  ${recordText(record)}`);
  if (error) lines.push(`${head}  BAD at byte ${error.offset}: ${error.message}`);
  return lines;
}

function recordText(record: NetflowRecord): string {
  const { src, dst, srcPort, dstPort, proto, input, output, octets } = record;
  const what = PROTOCOLS[proto] ?? `proto ${proto}`;
  const seconds = ((record.lastMs - record.firstMs) / 1000).toFixed(1);
  const to = output === SEVERAL ? "several" : output;
  return `${src}:${srcPort} > ${dst}:${dstPort} ${what}  ${record.packets} packets ${octets} octets in ${seconds} s  ${input} > ${to}`;
}
