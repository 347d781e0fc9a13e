/**
 * tc filters on a device's way in and out (clsact). One drops everything: what stands behind packet sockets and bridges, so
 * the host's own stack sees nothing of a switch port's frames; one instruction of classic BPF in direct-action mode: every
 * kernel with cls_bpf has it, and no bpf(2) is needed. Another runs an eBPF program, where the kernel has no tcx; on the
 * way in it stands in the place of the first, so that frames meet one or the other at any time.
 *
 * The order on a received frame is: packet sockets, tc ingress, VLAN devices, bridge, protocols (__netif_receive_skb_core).
 */
import { SystemError } from "./libc.ts";
import {
  attribute,
  concat,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_EXCL,
  parseAttributes,
  request,
  text,
  u16,
  u32,
} from "./netlink.ts";

const RTM_NEWQDISC = 36;
const RTM_DELQDISC = 37;
const RTM_NEWTFILTER = 44;
const RTM_DELTFILTER = 45;
const RTM_GETTFILTER = 46;
const TCA_KIND = 1;
const TCA_OPTIONS = 2;
const TCA_BPF_OPS_LEN = 4;
const TCA_BPF_OPS = 5;
const TCA_BPF_FD = 6;
const TCA_BPF_NAME = 7;
const TCA_BPF_FLAGS = 8;
const TCA_BPF_FLAG_ACT_DIRECT = 1;
const TC_ACT_SHOT = 2;
const TC_H_CLSACT = 0xfffffff1;
const CLSACT_HANDLE = 0xffff0000;
const CLSACT_INGRESS = 0xfffffff2;
const CLSACT_EGRESS = 0xfffffff3;
const ETH_P_ALL = 0x0003;
const EEXIST = 17;
const ENOENT = 2;
const ENODEV = 19;
const EINVAL = 22;
/** Before anybody else's filter, whose verdict would let frames through. */
const PRIORITY = 1;
const HANDLE = 1;
const NAME = "weir";
const TCM_BYTES = 20;

/** tcmsg: family u8, pad 3, ifindex i32, handle u32, parent u32, info u32 (priority << 16 | protocol, network order). */
function tcmsg(index: number, handle: number, parent: number, info: number): Uint8Array {
  const body = new Uint8Array(TCM_BYTES);
  const view = new DataView(body.buffer);
  view.setInt32(4, index, true);
  view.setUint32(8, handle, true);
  view.setUint32(12, parent, true);
  view.setUint32(16, info, true);
  return body;
}

const FILTER_INFO = ((PRIORITY << 16) | ((ETH_P_ALL & 0xff) << 8)) >>> 0;

/** sock_filter: code u16, jt u8, jf u8, k u32. `ret #TC_ACT_SHOT` */
const DROP_ALL = Uint8Array.of(0x06, 0, 0, 0, TC_ACT_SHOT, 0, 0, 0);

function clsact(type: number, flags: number, index: number, what: string): void {
  const kind = attribute(TCA_KIND, text("clsact"));
  request(type, flags, concat([tcmsg(index, CLSACT_HANDLE, TC_H_CLSACT, 0), kind]), what);
}

/** What `addIngressDrop` found. */
export interface IngressDrop {
  /** The qdisc goes with the filter: it was made for it. */
  readonly ownQdisc: boolean;
  /** The filter was there: left by a process that was killed. */
  readonly inherited: boolean;
}

/** Drop all frames that come in on the device, behind its packet sockets. */
export function addIngressDrop(index: number, device: string): IngressDrop {
  const what = `keep the host's stack off ${device} (tc ingress filter)`;
  let made = true;
  try {
    clsact(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, index, what);
  } catch (error) {
    if (!(error instanceof SystemError) || error.errno !== EEXIST) throw error;
    made = false;
  }
  if (!made) {
    const there = filters(index, CLSACT_INGRESS);
    const program = there.some(({ name, handle, info }) => name === NAME && handle === HANDLE && info === FILTER_INFO);
    if (program) putFilter(index, CLSACT_INGRESS, DROP_FILTER, what);
    if (program || there.some(isOurs)) return { ownQdisc: true, inherited: true };
  }
  try {
    putFilter(index, CLSACT_INGRESS, DROP_FILTER, what);
  } catch (error) {
    if (made) clsact(RTM_DELQDISC, 0, index, what);
    throw error;
  }
  return { ownQdisc: made, inherited: false };
}

const DROP_FILTER = [attribute(TCA_BPF_OPS_LEN, u16(1)), attribute(TCA_BPF_OPS, DROP_ALL)];

/** A filter in our place; the one that stands there is replaced in one step. */
function putFilter(index: number, hook: number, program: readonly Uint8Array[], what: string): void {
  const options = attribute(TCA_OPTIONS, [
    ...program,
    attribute(TCA_BPF_NAME, text(NAME)),
    attribute(TCA_BPF_FLAGS, u32(TCA_BPF_FLAG_ACT_DIRECT)),
  ]);
  const body = concat([tcmsg(index, HANDLE, hook, FILTER_INFO), attribute(TCA_KIND, text("bpf")), options]);
  request(RTM_NEWTFILTER, NLM_F_CREATE, body, what);
}

function removeFilter(index: number, hook: number, isQdiscOurs: boolean, what: string): void {
  const kind = attribute(TCA_KIND, text("bpf"));
  try {
    request(RTM_DELTFILTER, 0, concat([tcmsg(index, HANDLE, hook, FILTER_INFO), kind]), what);
    const others = [CLSACT_INGRESS, CLSACT_EGRESS].some((one) => filters(index, one).length > 0);
    if (isQdiscOurs && !others) clsact(RTM_DELQDISC, 0, index, what);
  } catch (error) {
    if (!isGone(error)) throw error;
  }
}

const isGone = (error: unknown): boolean =>
  error instanceof SystemError && [ENOENT, EINVAL, ENODEV].includes(error.errno);

/**
 * Run an eBPF program (its descriptor) on the device's way in or out. Returns how it is taken away; what dropped
 * everything there before does so again. The filter keeps the program when the process ends: the next `addIngressDrop`
 * takes its place. Throws where somebody else's filter has it.
 */
export function addProgramFilter(
  index: number,
  device: string,
  direction: "ingress" | "egress",
  program: number,
): () => void {
  const what = `program on ${device} (tc ${direction} filter)`;
  const hook = direction === "ingress" ? CLSACT_INGRESS : CLSACT_EGRESS;
  let made = true;
  try {
    clsact(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, index, what);
  } catch (error) {
    if (!(error instanceof SystemError) || error.errno !== EEXIST) throw error;
    made = false;
  }
  const there = filters(index, hook).find(({ info, handle }) => info === FILTER_INFO && handle === HANDLE);
  if (there !== undefined && there.name !== NAME && !isOurs(there))
    throw new Error(`${device}: somebody else's tc filter has priority ${PRIORITY}; write datapath: userspace`);
  const dropped = there !== undefined && isOurs(there);
  putFilter(index, hook, [attribute(TCA_BPF_FD, u32(program))], what);
  return () => {
    if (!dropped) return removeFilter(index, hook, made, what);
    try {
      putFilter(index, hook, DROP_FILTER, what);
    } catch (error) {
      if (!isGone(error)) throw error;
    }
  };
}

/** Take the filter away, and the qdisc where it is our own and nobody else put a filter into it. A device that is gone is fine. */
export function removeIngressDrop(index: number, device: string, { ownQdisc }: IngressDrop): void {
  const what = `give ${device} back to the host (tc ingress filter)`;
  removeFilter(index, CLSACT_INGRESS, ownQdisc, what);
}

interface Filter {
  readonly kind: string;
  readonly handle: number;
  readonly info: number;
  /** Of an eBPF program; empty: it has none. */
  readonly name: string;
  /** Instructions of classic BPF; undefined: it has none. */
  readonly ops: Uint8Array | undefined;
}

/** The filters of a hook. None where the device or its qdisc is gone. */
function filters(index: number, hook: number): Filter[] {
  let messages;
  try {
    messages = request(RTM_GETTFILTER, NLM_F_DUMP, tcmsg(index, 0, hook, 0), "list tc filters");
  } catch (error) {
    if (error instanceof SystemError) return [];
    throw error;
  }
  return messages
    .map(({ body }) => {
      const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
      const attributes = parseAttributes(body.subarray(TCM_BYTES));
      const own = parseAttributes(attributes.get(TCA_OPTIONS) ?? new Uint8Array());
      return {
        kind: new TextDecoder().decode(attributes.get(TCA_KIND)?.subarray(0, -1)),
        handle: view.getUint32(8, true),
        info: view.getUint32(16, true),
        name: new TextDecoder().decode(own.get(TCA_BPF_NAME)?.subarray(0, -1)),
        ops: own.get(TCA_BPF_OPS),
      };
    })
    .filter(({ handle }) => handle !== 0);
}

/** The kernel keeps no name of a classic program: it is known by its place and its one instruction. */
function isOurs({ kind, handle, info, ops }: Filter): boolean {
  const isSame = ops?.length === DROP_ALL.length && ops.every((byte, n) => byte === DROP_ALL[n]);
  return kind === "bpf" && handle === HANDLE && info === FILTER_INFO && isSame;
}

/** Kinds of the filters on a device's ingress hook, for tests and reports. */
export function ingressFilters(index: number): string[] {
  return filters(index, CLSACT_INGRESS).map(({ kind }) => kind);
}
