/** What must hold between entries: names once, numbers once, references that lead somewhere. */
import { didYouMean } from "../text/suggest.ts";
import { vlanList } from "../text/fields.ts";
import type { ExporterEntry, PortEntry } from "./check.ts";
import { problemAt } from "./issues.ts";
import { formatPlace, type Place, type Problem } from "./problem.ts";
import { isTemplate } from "./schema.ts";
import type { Located } from "./source.ts";

const MAX_PORT_NAME = 15;
/** Types of ports that the kernel datapath has. */
export const KERNEL_PORT_TYPES: readonly string[] = ["netdev", "tap"];

export function checkSemantics(
  root: Located,
  ports: readonly PortEntry[],
  exporters: readonly ExporterEntry[],
  problems: Problem[],
): void {
  const bridges = once(problems, (name, first) => `the bridge ${JSON.stringify(name)} is there already, at ${first}`);
  const names: string[] = [];
  for (const bridge of root.members?.get("bridges")?.members?.values() ?? []) {
    const name = bridge.members?.get("name")?.value;
    if (typeof name !== "string") continue;
    bridges(name, bridge, ["name"]);
    if (bridge.members?.has("members") && bridge.members.get("mode")?.value !== "observe")
      problems.push(problemAt(bridge, ["members"], "members are for bridges that only look on: write mode: observe"));
    names.push(name);
  }
  checkApi(root, problems);
  checkPorts(ports, problems);
  checkTenants(root, problems);
  checkExporters(exporters, names, problems);
}

/** Who can be reached by others has to say who may ask, and must not say it in clear. */
function checkApi(root: Located, problems: Problem[]): void {
  const api = root.members?.get("api");
  for (const [index, { value }] of api?.members?.get("listen")?.members ?? []) {
    if (typeof value !== "string" || /^(127\.|\[::1\])/.test(value)) continue;
    const isSafe = api!.members!.has("tls") || api!.members!.get("insecure")?.value === true;
    const hasTokens = (api!.members!.get("tokens")?.members?.size ?? 0) > 0;
    if (isSafe && hasTokens) continue;
    const missing = isSafe ? "tokens" : hasTokens ? "tls" : "tls and tokens";
    problems.push(
      problemAt(api!, ["listen", index], `${value} can be reached by others: give ${missing}, or listen on 127.0.0.1`),
    );
  }
}

/** Remembers where a value was first used; a second use is a problem that shows both places. */
function once(problems: Problem[], message: (value: string, first: string) => string) {
  const first = new Map<string, Place>();
  return (value: string, at: Located, path: readonly (string | number)[], key = value) => {
    const place = problemAt(at, path, "");
    const before = first.get(key);
    if (before) problems.push({ ...place, message: message(value, formatPlace(before)) });
    else first.set(key, place);
  };
}

function checkPorts(entries: readonly PortEntry[], problems: Problem[]): void {
  const names = once(problems, (name, first) => `the port ${JSON.stringify(name)} is there already, at ${first}`);
  const numbers = once(problems, (number, first) => `ifIndex ${number} is taken at ${first}`);
  const devices = once(problems, (device, first) => `${device} is claimed by the port at ${first}`);
  const bridges = new Map<Located, number>();
  for (const { at, bridge, name, ports } of entries) {
    if (!bridges.has(bridge)) bridges.set(bridge, bridges.size);
    const scope = bridges.get(bridge)!;
    const foreign = ports.find(({ type }) => !KERNEL_PORT_TYPES.includes(type));
    if (bridge.members?.get("datapath")?.value === "kernel" && foreign !== undefined)
      problems.push(
        problemAt(
          at,
          ["type"],
          `the kernel datapath has ports of type ${KERNEL_PORT_TYPES.join(" and ")} only; write datapath: auto or userspace for this bridge`,
        ),
      );
    if (!isTemplate(name))
      for (const one of ports.length ? ports.map((port) => port.name) : [name])
        names(one, at, ["name"], `${scope}/${one}`);
    const long = ports.find((port) => port.entry !== undefined && port.name.length > MAX_PORT_NAME);
    if (long)
      problems.push(
        problemAt(
          at,
          ["name"],
          `${name} makes the port ${long.name}, longer than ${MAX_PORT_NAME} characters: give it a shorter name`,
        ),
      );
    const ifIndex = at.members?.get("ifIndex")?.value;
    if (typeof ifIndex === "number") {
      if (isTemplate(name) || ports.length > 1)
        problems.push(problemAt(at, ["ifIndex"], "this entry makes many ports; each has its own ifIndex"));
      else numbers(String(ifIndex), at, ["ifIndex"]);
    }
    const type = String(at.members?.get("type")?.value);
    for (const path of [["device"], ["match", "device"], ["match", "mac"]]) {
      const claim = path.reduce<Located | undefined>((here, key) => here?.members?.get(key), at)?.value;
      if (typeof claim !== "string" || /[*?[]/.test(claim)) continue;
      devices(claim, at, path, `${type} ${path.at(-1) === "mac" ? claim.toLowerCase().replaceAll("-", ":") : claim}`);
    }
  }
}

function checkTenants(root: Located, problems: Problem[]): void {
  const owners = new Map<number, string>();
  for (const [name, tenant] of root.members?.get("tenants")?.members ?? [])
    for (const [index, item] of tenant.members?.get("vlans")?.members ?? []) {
      const read = vlanList().safeParse([item.value]);
      if (!read.success) continue;
      const clash = read.data.find((id) => owners.has(id) && owners.get(id) !== name);
      if (clash !== undefined)
        problems.push(
          problemAt(tenant, ["vlans", index], `VLAN ${clash} belongs to tenant ${owners.get(clash)} already`),
        );
      for (const id of read.data) if (!owners.has(id)) owners.set(id, String(name));
    }
}

function checkExporters(entries: readonly ExporterEntry[], bridges: readonly string[], problems: Problem[]): void {
  const names = once(
    problems,
    (name, first) => `the exporter ${JSON.stringify(name)} is there already, at ${first}: give this one another name`,
  );
  const identities = new Map<string, { readonly name: string; readonly place: Place }>();
  for (const { at, name, type, identity, exporter } of entries) {
    names(name, at, at.members?.has("name") ? ["name"] : ["type"]);
    for (const [index, { value: bridge }] of at.members?.get("bridges")?.members ?? [])
      if (typeof bridge === "string" && !bridges.includes(bridge))
        problems.push(
          problemAt(
            at,
            ["bridges", index],
            `there is no bridge ${JSON.stringify(bridge)}${didYouMean(bridge, bridges)}`,
          ),
        );
    const seen = new Set<string>();
    for (const [index, collector] of exporter?.collectors.entries() ?? []) {
      const place = problemAt(at, ["collectors", index], `${collector} is listed twice`);
      if (seen.has(collector)) problems.push(place);
      seen.add(collector);
      if (identity === undefined) continue;
      const key = `${type} ${identity} ${collector}`;
      const other = identities.get(key);
      if (other && other.name !== name) {
        const told = `${other.name} at ${formatPlace(other.place)} sends to ${collector} as the same ${identity}`;
        problems.push({ ...place, message: `${told}: the collector could not tell them apart` });
      } else if (!other) identities.set(key, { name, place });
    }
  }
}
