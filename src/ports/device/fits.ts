/** May a frame that is longer than MTU and Ethernet header leave all the same? */
import { ETH_TYPE } from "../../wire/ethernet.ts";
import { gsoHeaderBytes, gsoSize, VNET_HEADER_BYTES } from "../../wire/vnet.ts";
import { TAG_BYTES, TPID_CTAG, TPID_STAG } from "../../wire/vlan.ts";

/**
 * One C-tag may come on top (AF_PACKET takes no longer one, EMSGSIZE; veth
 * and the Linux bridge have the same limit), and a GSO frame fits if its segments do.
 */
export function fits(bytes: Uint8Array, offset: number, length: number, maxFrame: number, vnet: boolean): boolean {
  const type = (bytes[offset + ETH_TYPE]! << 8) | bytes[offset + ETH_TYPE + 1]!;
  if (type === TPID_CTAG && length <= maxFrame + TAG_BYTES) return true;
  const size = vnet ? gsoSize(bytes, offset - VNET_HEADER_BYTES) : 0;
  if (size === 0) return false;
  const room = type === TPID_CTAG || type === TPID_STAG ? TAG_BYTES : 0;
  return gsoHeaderBytes(bytes, offset - VNET_HEADER_BYTES, offset, length) + size <= maxFrame + room;
}
