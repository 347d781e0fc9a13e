/** Golden messages: golden/*.hex, each named by what it proves; templates, options and flows. */
import test from "node:test";
import { DROPPED, dropReason } from "../../src/flow/disposition.ts";
import { checkGolden, messagesOf } from "../../test/helpers/golden.ts";
import type { Golden } from "../../test/helpers/golden.ts";
import type { TestFlow } from "../../test/helpers/records.ts";
import ipfix from "./index.ts";

const TCP: TestFlow = {
  ethSrc: [0x5254, 0x00123456],
  ethDst: [0x5254, 0x00abcdef],
  vlan: 0xb0640000,
  src: 0x0a010005,
  dst: 0xc000024d,
  proto: 6,
  tos: 0x2a,
  l4: [443, 51514],
  tcpFlags: 0x11b,
  packets: 12,
  l3Bytes: 4711,
  firstMs: 1000.9,
  lastMs: 1999.9,
  endReason: 3,
};
const IPV6: TestFlow = {
  ...TCP,
  version: 6,
  src6: [0x20010db8, 0, 0, 1],
  dst6: [0x20010db8, 0, 0, 0x4d],
  proto: 58,
  l4: [128, 0],
};
const port = { no: 1, name: "web1", bridge: "weir0", ifIndex: 20001, speed: 0, up: true };
const owner = { tenant: "acme", vm: "web1", vmId: "4c4c4544-0042-3510-8035-b4c04f4d3232" };

const GOLDENS: Record<string, Golden> = {
  "one-flow-of-each-family": { uptimeMs: 2500.4, flows: [TCP, IPV6, { version: 0, packets: 3 }], sequence: 1_000_000 },
  "dropped-by-an-acl": {
    uptimeMs: 2500,
    flows: [{ ...TCP, disposition: DROPPED, dropReason: dropReason("acl"), droppedPackets: 12, droppedBytes: 4879 }],
  },
  "counters-above-2-to-the-32": { uptimeMs: 2500, flows: [{ ...TCP, packets: 2 ** 33 + 1, l3Bytes: 2 ** 43 + 5 }] },
  "sampled-1-in-400-at-random": {
    uptimeMs: 2500,
    flows: [TCP],
    options: { sampling: { rate: 400, mode: "random" } },
  },
  "interfaces-and-their-owners": {
    uptimeMs: 2500,
    flows: [TCP],
    ports: [
      { ...port, owner },
      { ...port, no: 2, name: "uplink", ifIndex: 3, device: "eth1" },
    ],
  },
  "the-form-for-nfdump": {
    uptimeMs: 2500,
    flows: [TCP],
    ports: [{ ...port, owner }],
    options: { profile: "nfdump" },
  },
};

for (const [name, golden] of Object.entries(GOLDENS))
  test(name, () => checkGolden("ipfix", name, messagesOf(ipfix, golden)));
