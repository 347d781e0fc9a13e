/**
 * What a flow exporter must report of capture files: packets and IP total lengths of outer IPv4 and IPv6 (Ethernet, at most two
 * tags, a sound header), counted by tshark. A plain `-Y ip` would also count what is inside tunnels.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { createCaptureBatch, openCaptureFile } from "../../src/wire/capture-file.ts";
import { tsharkFields, withFolder } from "./tshark.ts";

export interface OuterIpv4 {
  readonly path: string;
  /** Frames of the file, and of them outer IPv4. */
  frames: number;
  packets: number;
  octets: number;
  /** The same of outer IPv6. */
  packets6: number;
  octets6: number;
  /** Unix time, ms, of the earliest and the latest frame. */
  firstMs: number;
  lastMs: number;
}

const OUTER = /^eth:((?:ethertype:|vlan:|ieee8021ad:)*)ip(v6)?(:|$)/;
const ETHERNET_BYTES = 14;
const TAG_BYTES = 4;
const IPV6_BYTES = 40;

/** One run of tshark over all files, one after the other: a run for each would take a minute. */
export function outerIpv4(files: readonly string[]): OuterIpv4[] {
  const rows = withFolder((folder) => {
    const all = join(folder, "all.pcapng");
    const merged = spawnSync("mergecap", ["-a", "-w", all, ...files], { encoding: "utf8" });
    assert.equal(merged.status, 0, merged.stderr);
    return tsharkFields(all, ["frame.protocols", "frame.time_epoch", "frame.len", "ip.len", "ipv6.plen"]);
  });
  const batch = createCaptureBatch(256);
  let at = 0;
  const found = files.map((path): OuterIpv4 => {
    const sums: OuterIpv4 = {
      path,
      frames: 0,
      packets: 0,
      octets: 0,
      packets6: 0,
      octets6: 0,
      firstMs: Infinity,
      lastMs: -Infinity,
    };
    const reader = openCaptureFile(path, { anyLinktype: true });
    for (let count; (count = reader.read(batch)) > 0;) sums.frames += count;
    reader.close();
    for (const [protocols, time, length, ipLength, payload] of rows.slice(at, at + sums.frames)) {
      const ms = Number(time) * 1000;
      sums.firstMs = Math.min(sums.firstMs, ms);
      sums.lastMs = Math.max(sums.lastMs, ms);
      const outer = OUTER.exec(protocols!);
      if (outer === null) continue;
      const tags = outer[1]!.match(/vlan:|ieee8021ad:/g)?.length ?? 0;
      // A length of 0 (segmentation offload) says nothing: the frame does.
      const rest = Number(length) - ETHERNET_BYTES - tags * TAG_BYTES;
      if (outer[2] === undefined) {
        if (ipLength === "") continue;
        sums.packets++;
        sums.octets += Number(ipLength) || rest;
      } else if (payload !== "") {
        sums.packets6++;
        sums.octets6 += Number(payload) > 0 ? Number(payload) + IPV6_BYTES : rest;
      }
    }
    at += sums.frames;
    return sums;
  });
  assert.equal(at, rows.length, "tshark and the reader see the same frames");
  return found;
}
