/**
 * The names of ovs_exporter (github.com/greenpau/ovs_exporter), for rules and dashboards that were written for it:
 * `/metrics?names=ovs`. Its interfaces are our ports; `uuid` joins them to the info metric, as there. Its counters have no
 * `_total`: they are declared as gauges, which is what it does.
 */
import type { PortJson } from "../../bridge/views/json.ts";
import type { Facts } from "./families.ts";
import type { Family, Sample } from "./exposition.ts";

const lost = ({ lost: { ring, nic } }: PortJson): number => ring + nic;

const PORTS: readonly (readonly [name: string, help: string, value: (port: PortJson) => number])[] = [
  ["rx_bytes", "Bytes received.", (port) => port.rxBytes],
  ["rx_packets", "Packets received.", (port) => port.rxPackets],
  ["rx_dropped", "Packets refused or lost on the way in.", (port) => port.dropped + lost(port)],
  ["tx_bytes", "Bytes sent.", (port) => port.txBytes],
  ["tx_packets", "Packets sent.", (port) => port.txPackets],
  ["tx_dropped", "Packets that could not be sent.", (port) => port.txFailed + port.lost.qdisc + port.lost.tap],
  ["link_speed", "Speed in bit/s, 0 = unknown.", (port) => port.speed],
  ["link_state", "1: up.", (port) => (port.state === "up" ? 1 : 0)],
  ["admin_state", "1: enabled.", (port) => (port.enabled ? 1 : 0)],
  ["mtu", "Largest payload.", (port) => port.mtu],
  ["if_index", "ifIndex that it is exported by.", (port) => port.ifIndex],
];

export function ovsFamilies({ system, ports }: Facts): Family[] {
  const labels = ({ bridge, name }: PortJson): Record<string, string> => ({
    system_id: system.host.name,
    uuid: `${bridge}/${name}`,
  });
  const gauge = (name: string, help: string, samples: readonly Sample[]): Family => {
    return { name, type: "gauge", help, samples };
  };
  const of = (bridge: string): Record<string, string> => ({ system_id: system.host.name, datapath: bridge });
  const misses = (bridge: string): number =>
    ports.reduce((sum, port) => sum + (port.bridge === bridge ? (port.unattributed["missRefused"] ?? 0) : 0), 0);
  return [
    gauge(
      "ovs_interface",
      "Always 1; what the interface is.",
      ports.map((port) => ({ labels: { ...labels(port), name: port.name, type: port.type }, value: 1 })),
    ),
    ...PORTS.map(([name, help, value]) =>
      gauge(
        `ovs_interface_${name}`,
        help,
        ports.map((port) => ({ labels: labels(port), value: value(port) })),
      ),
    ),
    gauge(
      "ovs_dp_flows",
      "Flows in the table.",
      system.bridges.map(({ name, flows }) => ({ labels: of(name), value: flows })),
    ),
    gauge(
      "ovs_dp_lookups_lost",
      "Packets refused because nobody could decide them in time.",
      system.bridges.map(({ name }) => ({ labels: of(name), value: misses(name) })),
    ),
  ];
}
