/** `weir observe`: the configuration that its words mean. */
import type { ObserveOptions } from "../cli/deps.ts";
import type { Link } from "../sys/links.ts";

/** Of the bridge that holds what is no Linux bridge. */
const DEVICES_BRIDGE = "devices";

/** A configuration document as plain data: a bridge for each Linux bridge, one for all other devices. */
export function observeConfig(options: ObserveOptions, links: readonly Link[]): unknown {
  const isBridge = (device: string): boolean => links.some(({ name, kind }) => name === device && kind === "bridge");
  const [bridges, others] = [options.devices.filter(isBridge), options.devices.filter((one) => !isBridge(one))];
  // A lone device is asked for what passes it, both ways; of several, each frame comes in by one.
  const direction = others.length === 1 && !/[*?]/.test(others[0]!) ? "both" : "ingress";
  const ports = others.map((device) =>
    /[*?]/.test(device)
      ? { name: "{device}", type: "netdev", match: { device } }
      : { name: device, type: "netdev", device, direction },
  );
  const exporter = (type: string, collectors: readonly string[]): unknown[] =>
    collectors.length === 0 ? [] : [{ type, collectors }];
  return {
    bridges: [
      ...bridges.map((name) => ({ name, mode: "observe", members: name })),
      ...(ports.length === 0 ? [] : [{ name: DEVICES_BRIDGE, mode: "observe", ports }]),
    ],
    exporters: [
      ...exporter("netflow-v5", options.netflow),
      ...exporter("ipfix", options.ipfix),
      ...exporter("sflow", options.sflow),
    ],
  };
}
