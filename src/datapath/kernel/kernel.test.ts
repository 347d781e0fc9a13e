/**
 * The datapath suite with real frames: between veth pairs whose other ends stand in a namespace, and between taps; on
 * veth once more as on a kernel without tcx.
 */
import { runDatapathSuite } from "../../../test/conformance/datapath.ts";
import { kernelAvailable, kernelHarness } from "../../../test/helpers/kernel-harness.ts";
import { needs } from "../../../test/helpers/needs.ts";

const suite = { shortestFrame: 14, available: kernelAvailable };

runDatapathSuite({ ...suite, name: "kernel, veth", create: (slots) => kernelHarness(slots) });

runDatapathSuite({
  ...suite,
  name: "kernel, tap",
  available: (t) => kernelAvailable(t) && needs(t, "/dev/net/tun"),
  create: (slots) => kernelHarness(slots, "tap"),
});

runDatapathSuite({
  ...suite,
  name: "kernel, veth by clsact",
  async create(slots) {
    process.env["WEIR_TC_HOOK"] = "clsact";
    try {
      return await kernelHarness(slots);
    } finally {
      delete process.env["WEIR_TC_HOOK"];
    }
  },
});
