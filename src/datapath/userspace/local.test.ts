import { runDatapathSuite } from "../../../test/conformance/datapath.ts";
import memoryPort, { memory, type MemoryChannel, type MemoryOptions } from "../../ports/memory/index.ts";
import { MAX_PORTS } from "../datapath.ts";
import { LocalDatapath } from "./local.ts";

runDatapathSuite({
  name: "userspace, in-thread",
  async create(capacity) {
    const env = { bridge: "weir0", baseDir: ".", nowNs: 0 };
    const datapath = new LocalDatapath({
      capacity,
      ports: MAX_PORTS,
      seed: 1,
      open: (spec) => memoryPort.open(spec.options as MemoryOptions, { ...env, name: spec.name }),
    });
    const channels: MemoryChannel[] = [];
    for (let no = 1; no <= 3; no++) {
      channels[no] = memory();
      await datapath.addPort({ no, name: `p${no}`, type: "memory", options: channels[no]!.options });
    }
    datapath.program({ enabled: [1, 2, 3].map((port) => ({ port, up: true })) });
    let nowNs = 1e9;
    return {
      datapath,
      send: (no, frame) => channels[no]!.inject(frame),
      received: (no) => channels[no]!.take().map(({ bytes }) => bytes),
      async settle() {
        while (datapath.step((nowNs += 1e6)) > 0);
      },
      close: () => datapath.close(),
    };
  },
});
