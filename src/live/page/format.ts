/** Units that people read. Three digits, SI prefixes, and a plain dash where there is nothing to say. */
import { hostPort } from "../../text/host-port.ts";

const PREFIXES = ["", "k", "M", "G", "T", "P"];

/** 402_113_000 → "402M"; 1_300_000 → "1.30M": as wide as any other, so that columns stand still. */
export function short(value: number): string {
  if (!Number.isFinite(value)) return "–";
  let step = 0;
  let scaled = Math.abs(value);
  while (scaled >= 999.5 && step < PREFIXES.length - 1) {
    scaled /= 1000;
    step++;
  }
  const digits = scaled >= 100 || (step === 0 && Number.isInteger(scaled)) ? 0 : scaled >= 10 ? 1 : 2;
  const text = scaled.toFixed(digits);
  return (value < 0 ? "−" : "") + (digits > 0 && step === 0 ? text.replace(/\.?0+$/, "") : text) + PREFIXES[step];
}

/** Of what was set by people: 1e9 → "1G". */
export const round = (value: number): string => short(value).replace(/\.0+(?=[a-zA-Z]|$)/, "");

const unit = (value: number, name: string, say = short): string => {
  const text = say(value);
  const prefix = /[a-zA-Z]$/.exec(text)?.[0] ?? "";
  return `${prefix === "" ? text : text.slice(0, -1)} ${prefix}${name}`;
};

export const bits = (bps: number): string => unit(bps, "bit/s");
export const speed = (bps: number): string => unit(bps, "bit/s", round);
export const bytes = (n: number): string => unit(n, "B");
export const pps = (n: number): string => `${short(n)} pps`;

/** All digits of a counter, grouped. */
export const count = (n: number): string => n.toLocaleString("en-US");

/** "0.4 s", "41 s", "4:12", "3 h 5 m", "3 d 4 h". */
export function age(ms: number): string {
  const s = Math.max(0, ms) / 1000;
  if (s < 10) return `${s.toFixed(1)} s`;
  if (s < 60) return `${Math.floor(s)} s`;
  if (s < 3600) return `${Math.floor(s / 60)} m ${Math.floor(s % 60)} s`;
  if (s < 86_400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} m`;
  return `${Math.floor(s / 86_400)} d ${Math.floor((s % 86_400) / 3600)} h`;
}

/** "now", "0.4 s ago". */
export const ago = (ms: number): string => (ms < 100 ? "now" : `${age(ms)} ago`);

/** As `age`, without tenths: for columns. */
export const wholeAge = (ms: number): string => (ms < 10_000 ? `${Math.max(0, Math.floor(ms / 1000))} s` : age(ms));

/** 0.0123 → "1.2 %". */
export const percent = (share: number): string =>
  share > 0 && share < 0.001 ? "< 0.1 %" : `${(share * 100).toFixed(share < 0.1 ? 1 : 0)} %`;

/** Time that is left: "4:12". */
export function left(ms: number): string {
  const s = Math.max(0, Math.round(ms / 1000));
  return `${Math.floor(s / 60)}:${String(s % 60).padStart(2, "0")}`;
}

export const clock = (ms: number): string => new Date(ms).toLocaleTimeString([], { hour12: false });

const PROTOCOLS: Record<number, string> = {
  1: "icmp",
  2: "igmp",
  6: "tcp",
  17: "udp",
  47: "gre",
  58: "icmp6",
  132: "sctp",
};
const ETHER_TYPES: Record<number, string> = {
  0x0800: "ipv4",
  0x0806: "arp",
  0x86dd: "ipv6",
  0x88cc: "lldp",
  0x8809: "lacp",
};

export const protocol = (flow: { proto?: number; etherType: number }): string =>
  flow.proto !== undefined
    ? (PROTOCOLS[flow.proto] ?? `proto ${flow.proto}`)
    : (ETHER_TYPES[flow.etherType] ?? `0x${flow.etherType.toString(16).padStart(4, "0")}`);

interface Ends {
  ipSrc?: string;
  ipDst?: string;
  ethSrc: string;
  ethDst: string;
  srcPort?: number;
  dstPort?: number;
}

const end = (ip: string | undefined, mac: string, port: number | undefined): string =>
  port === undefined ? (ip ?? mac) : ip === undefined ? `${mac}:${port}` : hostPort(ip, port);

export const source = (f: Ends): string => end(f.ipSrc, f.ethSrc, f.srcPort);
export const destination = (f: Ends): string => end(f.ipDst, f.ethDst, f.dstPort);

/** Keys that people may type with ":"; everything else keeps its colons (MACs, IPv6). */
const TYPED =
  /(^|\s)(id|tenant|vm|bridge|port|output|outputPort|vlan|innerVlan|pcp|etherType|proto|ip|ipSrc|ipDst|mac|ethSrc|ethDst|srcPort|dstPort|icmpType|arpOp|tcpFlags|malformed|disposition|dropReason|rule|mirrors|owner[.\w]*|packets|bytes|pps|bps|state|type|device|reason):(?=\S)/g;

/** `tenant:acme` as typed → `tenant=acme`, the one language. */
export const typedFilter = (text: string): string => text.trim().replace(TYPED, "$1$2=");

/** A term of that language: blanks stand in quotes, and a quote in a name cannot be said but for any one character. */
export const term = (key: string, value: string): string => {
  const text = value.replaceAll('"', "?");
  return /[\s,]/.test(text) ? `${key}="${text}"` : `${key}=${text}`;
};
