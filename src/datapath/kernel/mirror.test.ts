/** The mirror suite (test/conformance/mirror.ts) on the kernel datapath: real frames between veth ends. */
import { after } from "node:test";
import { runMirrorSuite } from "../../../test/conformance/mirror.ts";
import { KernelBed } from "../../../test/helpers/kernel-bed.ts";
import { kernelAvailable } from "../../../test/helpers/kernel-harness.ts";
import type { MirrorHarness } from "../../../test/helpers/mirror-bed.ts";

const MOST_PORTS = 6;

/** One switch for all checks: the programs are loaded once. */
let bed: KernelBed | undefined;
after(() => bed?.close());

runMirrorSuite({
  name: "kernel",
  available: kernelAvailable,
  cutsSpan: false,
  async create(): Promise<MirrorHarness> {
    bed ??= new KernelBed(MOST_PORTS);
    const { bridge, datapath } = bed;
    return {
      bridge,
      datapath,
      nowNs: () => datapath.nowNs(),
      configure: (vlans) => bed!.configure(vlans),
      send: (port, frame) => bed!.send(port, frame),
      work: () => bed!.work(),
      close: () => bed!.clear(),
    };
  },
});
