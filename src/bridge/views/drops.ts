/** What was refused and what was lost, in sentences: the drop table with names, owners and the port's own words. */
import { DROP_REASONS } from "../../flow/disposition.ts";
import { describeKey } from "../../flow/describe.ts";
import { FACT_WORDS } from "../../flow/facts.ts";
import { KEY_WORDS } from "../../flow/key.ts";
import { parseKey } from "../../flow/parse.ts";
import { vlanText } from "../../pipeline/snapshot.ts";
import type { DropRow, LostRow, RefusedFrame } from "../../telemetry/drops.ts";
import { frameText } from "../../telemetry/frame-text.ts";
import { ETH_HEADER_BYTES } from "../../wire/ethernet.ts";
import { flowId } from "./flows.ts";
import type { DropJson, LostRowJson } from "./json.ts";
import type { PortSource } from "./ports.ts";

export interface DropContext {
  readonly bridge: string;
  port(no: number): PortSource | undefined;
  tenant(port: PortSource): string | undefined;
  /** Is this flow still in the table? */
  lives(slot: number, gen: number): boolean;
}

const key = new Uint32Array(KEY_WORDS);
const facts = new Int32Array(FACT_WORDS);

/** "tagged 200" or "without a tag", of the last frame. */
function tagWords(frame: RefusedFrame | undefined): string {
  if (frame === undefined) return "";
  key.fill(0);
  if (!parseKey(frame.data, 0, frame.data.length, Math.max(frame.wireLength, frame.data.length), 0, key, facts))
    return "";
  const { vlan } = describeKey(key);
  return vlan === undefined ? "without a tag" : `tagged ${vlan}`;
}

/** "access port db1 carries only VLAN 100" */
function carried(port: PortSource | undefined): string {
  if (port === undefined) return "the port is gone";
  const { name, vlan } = port.config;
  if (vlan === undefined) return `port ${name} carries only frames without a VLAN`;
  return vlan.mode === "access"
    ? `access port ${name} carries only VLAN ${vlan.tag}`
    : `port ${name} carries ${vlanText(vlan)}`;
}

/** What was refused, and by what. Every reason has words; some know the port's configuration. */
function sentence(reason: string, port: PortSource | undefined, frame: RefusedFrame | undefined): string {
  switch (reason) {
    case "ingress_vlan_filter":
      return `frames ${tagWords(frame) || "with a tag"}; ${carried(port)}`;
    case "vlan_tag_mismatch":
      return `frames without a tag; ${carried(port)}`;
    case "egress_vlan_filter":
      return "the only port to the destination does not carry the VLAN";
    case "src_mac_is_multicast":
      return "the source address is a group address";
    case "src_mac_is_dmac":
      return "source and destination address are the same";
    case "dmac_is_reserved":
      return "link-local protocols (01:80:c2:00:00:0x) end at the switch";
    case "port_loopback_filter":
      return "the destination is behind the port it came from";
    case "port_list_is_empty":
      return "no other port carries the VLAN";
    case "pkt_too_small":
      return "cut Ethernet header";
    case "vlan_parsing":
      return "cut VLAN tag";
    case "llc_snap_parsing":
      return "cut LLC or SNAP header";
    case "pkt_too_big":
      return "larger than the output port's MTU";
    case "dev_ready":
      return "the port it should leave by is down or disabled";
    case "tx_failed":
      return "the output device did not take it";
    case "no_buffer_space":
      return "too many frames waited for a rule";
    case "cpu_backlog":
      return "the control thread did not answer in time";
    default:
      return reason.endsWith("_parsing")
        ? "a bad header, and the bridge has dropMalformed: true"
        : reason.replaceAll("_", " ");
  }
}

export function dropJson(row: DropRow, context: DropContext): DropJson {
  const { name, sflow, class: kind } = DROP_REASONS[row.reason]!;
  const port = context.port(row.port);
  const tenant = port === undefined ? undefined : context.tenant(port);
  const { frame } = row;
  const portName = port?.name ?? `#${row.port}`;
  const trace = frame === undefined ? undefined : traceArguments(frame, portName, context);
  return {
    bridge: context.bridge,
    port: portName,
    ...(port?.config.owner !== undefined && { owner: port.config.owner }),
    ...(tenant !== undefined && { tenant }),
    reason: name,
    sflow,
    class: kind,
    packets: row.packets,
    pps: row.pps,
    totalPackets: row.totalPackets,
    ...(row.lastMs !== undefined && { lastMs: Math.round(row.lastMs) }),
    text: sentence(name, port, frame),
    ...(frame !== undefined && { last: frameText(frame.data, frame.wireLength) }),
    ...(trace !== undefined && { trace }),
  };
}

/** By its flow while that lives; else by its bytes, if they are a header at least. */
function traceArguments(frame: RefusedFrame, port: string, context: DropContext): string | undefined {
  if (context.lives(frame.slot, frame.gen)) return `--flow ${flowId(context.bridge, frame.gen, frame.slot)}`;
  if (frame.data.length < ETH_HEADER_BYTES) return undefined;
  return `--port ${port} ${Buffer.from(frame.data.subarray(0, 64)).toString("hex")}`;
}

const LOST_WORDS: Readonly<Record<LostRow["where"], (device: string) => string>> = {
  ring: () => "the receive ring was full: this process was too slow",
  nic: (device) => `${device} rx_missed or rx_fifo: the NIC had no room`,
  tap: (device) => `${device} tx_dropped: the guest empties its receive queue too slowly`,
  qdisc: (device) => `${device}: its queueing discipline dropped them`,
};

export function lostJson(row: LostRow, context: DropContext): LostRowJson {
  const port = context.port(row.port);
  const device = port?.status.device ?? port?.name ?? "the device";
  return {
    bridge: context.bridge,
    port: port?.name ?? `#${row.port}`,
    ...(port?.config.owner !== undefined && { owner: port.config.owner }),
    where: row.where,
    packets: row.packets,
    totalPackets: row.totalPackets,
    ...(row.lastMs !== undefined && { lastMs: Math.round(row.lastMs) }),
    text: LOST_WORDS[row.where](device),
  };
}
