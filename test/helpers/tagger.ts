/**
 * A guest behind a VLAN tag on kernels without 8021q: a tc program in the guest tags what it sends (in the skb's
 * metadata, as a VLAN device does, so that offloads and GSO stay on) and takes the tag off what it gets.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { type Guest, inside, sh, tryInside } from "./netns.ts";

const PROGRAM = `
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
SEC("push") int push_tag(struct __sk_buff *skb) {
  if (INNER) bpf_skb_vlan_push(skb, bpf_htons(0x8100), INNER);
  bpf_skb_vlan_push(skb, bpf_htons(TPID), TCI);
  return TC_ACT_OK;
}
SEC("pop") int pop_tag(struct __sk_buff *skb) {
  if (!skb->vlan_present) return UNTAGGED ? TC_ACT_OK : TC_ACT_SHOT;
  if (skb->vlan_tci != TCI) return TC_ACT_SHOT;
  bpf_skb_vlan_pop(skb);
  if (INNER) bpf_skb_vlan_pop(skb);
  return TC_ACT_OK;
}
char text[] SEC("license") = "Dual BSD/GPL";
`;

export const TAGGER_TOOLS = ["clang-14", "/usr/include/bpf/bpf_helpers.h", "tc"] as const;

/**
 * From now on every frame of the guest carries this tag (and `inner` inside it), and only frames with it reach the
 * guest; with `untagged` those without a tag too.
 */
export function tag(
  t: TestContext,
  guest: Guest,
  tci: number,
  { tpid = 0x8100, inner = 0, untagged = false } = {},
): void {
  const folder = mkdtempSync(join(tmpdir(), "weir-tagger-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const [source, object] = [join(folder, "tag.c"), join(folder, "tag.o")];
  writeFileSync(source, PROGRAM);
  const values = [
    `-DTCI=${tci}`,
    `-DTPID=${tpid}`,
    `-DINNER=${inner}`,
    `-DUNTAGGED=${Number(untagged)}`,
    "-I/usr/include/x86_64-linux-gnu",
  ];
  sh("clang-14", "-O2", "-g", "-target", "bpf", ...values, "-c", source, "-o", object);
  untag(guest);
  inside(guest, "tc", "qdisc", "add", "dev", "eth0", "clsact");
  for (const [hook, section] of [
    ["egress", "push"],
    ["ingress", "pop"],
  ] as const)
    inside(guest, "tc", "filter", "add", "dev", "eth0", hook, "bpf", "da", "obj", object, "sec", section);
}

/** Frames as the guest's stack makes them. */
export function untag(guest: Guest): void {
  tryInside(guest, "tc", "qdisc", "del", "dev", "eth0", "clsact");
}
