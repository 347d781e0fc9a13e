/** Datagrams of others as lines: one a sample, record or fault. */
import type { CounterRecord, Decoded, Interface, Sample, Source } from "sflow-decoder";
import { DROP_REASONS } from "../../flow/disposition.ts";
import { frameText } from "../../telemetry/frame-text.ts";
import type { DecodedNetflow, NetflowRecord } from "../decode/netflow-v5.ts";
import type { Value } from "../decode/elements.ts";
import type { DecodedTemplates, TemplateInfo, TemplateMessage, TemplateRecord } from "../decode/templates.ts";
import { hostPort } from "../../text/host-port.ts";
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
const TWO_32 = 4294967296;

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

export function templateLines({ datagram, error }: DecodedTemplates, from: string): string[] {
  if (datagram === undefined) return [`netflow ${from}  BAD at byte ${error!.offset}: ${error!.message}`];
  const name = datagram.version === 9 ? "netflow-v9" : "ipfix";
  const head = `${name} ${from} domain ${datagram.domain} #${datagram.sequence}`;
  const lines = [
    ...datagram.templates.map(templateText),
    ...datagram.records.map((record) => (record.options ? optionsText(record) : flowText(record, datagram))),
    ...datagram.unknown.map((id) => `records of template ${id}, which was not seen yet`),
  ].map((text) => `${head}  ${visible(text)}`);
  if (error) lines.push(`${head}  BAD at byte ${error.offset}: ${error.message}`);
  return lines;
}

function templateText({ id, scopes, fields }: TemplateInfo): string {
  return `${scopes > 0 ? "options " : ""}template ${id}: ${fields.map((field) => field.name).join(" ")}`;
}

function valueText(value: Value): string {
  return value instanceof Uint8Array ? Buffer.from(value).toString("hex") : String(value);
}

function optionsText({ values }: TemplateRecord): string {
  return `options ${Object.entries(values)
    .map(([name, value]) => `${name} ${valueText(value)}`)
    .join(", ")}`;
}

const ENDS = ["", "idle", "active", "end of flow", "forced", "lack of resources"];

/** What everybody looks for first, as for version 5; what is left in the order of the template. */
function flowText({ values }: TemplateRecord, message: TemplateMessage): string {
  const rest = new Map(Object.entries(values));
  const take = (...names: string[]): Value | undefined => {
    const found = names.find((name) => rest.has(name));
    const value = found === undefined ? undefined : rest.get(found);
    if (found !== undefined) rest.delete(found);
    return value;
  };
  const text = (...names: string[]): string => valueText(take(...names) ?? "-");
  const end = (address: Value | undefined, mac: string, port: string): string => {
    return address === undefined ? text(mac) : hostPort(valueText(address), text(port));
  };
  const src = end(take("sourceIPv4Address", "sourceIPv6Address"), "sourceMacAddress", "sourceTransportPort");
  const dst = end(
    take("destinationIPv4Address", "destinationIPv6Address"),
    "destinationMacAddress",
    "destinationTransportPort",
  );
  const proto = take("protocolIdentifier");
  const what = typeof proto === "number" ? (PROTOCOLS[proto] ?? `proto ${proto}`) : "";
  const seconds = durationText(take("flowStartMilliseconds"), take("flowEndMilliseconds"));
  const uptime = durationText(take("flowStartSysUpTime"), take("flowEndSysUpTime"));
  const size = `${text("packetDeltaCount")} packets ${text("octetDeltaCount", "layer2OctetDeltaCount")} octets`;
  const ports = `${text("ingressInterface")} > ${text("egressInterface")}`;
  const why = take("flowEndReason");
  const said = [...rest].filter(([, value]) => value !== 0 && value !== "");
  const others = said.map(([name, value]) => `${name} ${valueText(value)}`).join(", ");
  const ended = typeof why === "number" && ENDS[why] ? `  ${ENDS[why]}` : "";
  const lasted = message.version === 9 ? uptime : seconds;
  return `${src} > ${dst}${what && ` ${what}`}  ${size}${lasted}  ${ports}${ended}${others && `  ${others}`}`;
}

/** Of SysUptime across its wrap too. */
function durationText(first: Value | undefined, last: Value | undefined): string {
  if (typeof first !== "number" || typeof last !== "number") return "";
  const ms = last - first;
  return ` in ${((ms < 0 ? ms + TWO_32 : ms) / 1000).toFixed(1)} s`;
}
