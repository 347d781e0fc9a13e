/** Sending the switch's own frames: out by a packet socket, counted where they leave. */
import {
  type ActionBlock,
  outputCount,
  outputPort,
  outputTag,
  outputTci,
  TAG_POP,
  TAG_PUSH,
} from "../../pipeline/actions.ts";
import { ACTION_HEADER_WORDS, ACTION_OUTPUT_WORDS } from "../../pipeline/actions.ts";
import { bindSender, closeSender, enqueue, flushSender, openSender, SEND_BYTES } from "../../ports/device/send.ts";
import * as C from "../../shm/counters.ts";
import { allocate, release } from "../../sys/memory.ts";
import { applyTag, TAG_HEADROOM } from "../userspace/tags.ts";

export interface Injector {
  /** `own` counts; `ifIndexOf` is 0 for a port that cannot send. */
  send(frame: Uint8Array, actions: ActionBlock): void;
  close(): void;
}

export function openInjector(own: Float64Array, ifIndexOf: (port: number) => number): Injector {
  const region = allocate(SEND_BYTES);
  const sender = openSender(region, 0);
  const TAG_SHIFT = 4;

  function count(port: number, frame: Uint8Array, bytes: number): void {
    const base = port * C.COUNTERS_PER_PORT;
    own[base + C.C_TX_PACKETS]! += 1;
    own[base + C.C_TX_BYTES]! += bytes;
    if ((frame[0]! & 1) === 0) return;
    const isBroadcast = frame.subarray(0, 6).every((byte) => byte === 0xff);
    own[base + (isBroadcast ? C.C_TX_BROADCAST : C.C_TX_MULTICAST)]! += 1;
  }

  return {
    send(frame, actions) {
      for (let n = 0; n < outputCount(actions); n++) {
        const port = outputPort(actions, n);
        const ifIndex = ifIndexOf(port);
        const operation = outputTag(actions, n);
        const length = frame.length + (operation === TAG_PUSH ? TAG_SHIFT : operation === TAG_POP ? -TAG_SHIFT : 0);
        if (ifIndex === 0) {
          own[port * C.COUNTERS_PER_PORT + C.C_TX_FAILED]! += 1;
          continue;
        }
        const bytes = new Uint8Array(TAG_HEADROOM + Math.max(frame.length, TAG_HEADROOM + TAG_SHIFT));
        bytes.set(frame, TAG_HEADROOM);
        const tpid = actions[ACTION_HEADER_WORDS + n * ACTION_OUTPUT_WORDS + 1]! >>> 16;
        const shift = applyTag(bytes, TAG_HEADROOM, operation, outputTci(actions, n), tpid, false);
        bindSender(sender, ifIndex, `port ${port}`);
        enqueue(sender, bytes, TAG_HEADROOM + shift, length, false);
        flushSender(sender);
        count(port, frame, length);
      }
    },
    close() {
      closeSender(sender);
      release(region);
    },
  };
}
