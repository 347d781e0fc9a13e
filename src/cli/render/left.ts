/** What forwards without a process, for a person. */
import type { LeftJson } from "../deps.ts";
import { visible } from "./text.ts";
import { clock, count } from "./units.ts";

export function renderLeft(bridges: readonly LeftJson[]): string[] {
  const lines = bridges.flatMap((left) => {
    const name = `${visible(left.bridge)} (${left.ports.length} ports)`;
    if (left.isAnswered) return [`a weir process runs ${name}; its API does not answer here.`];
    if (left.mode === "observe")
      return [`no weir process. Its kernel datapath still counts what passes ${name}; nothing is exported.`];
    const what =
      left.failMode === "standalone"
        ? [`flooded in their VLAN`, `(${count(left.flooded)} so far; ${count(left.refused)} refused)`]
        : [`dropped`, `(cpu_backlog, ${count(left.refused)} so far)`];
    const rules = `by rules of ${clock(left.lastSeenMs)}`;
    return [
      `no weir process. Its kernel datapath still forwards ${name} ${rules}; frames that match no rule are ${what[0]}`,
      `${what[1]}, counts are kept, nothing is exported.`,
    ];
  });
  const gone = bridges.some(({ isAnswered }) => !isAnswered);
  return gone ? [...lines, "systemctl start weir   takes over without loss ·  weir detach   ends forwarding"] : lines;
}
