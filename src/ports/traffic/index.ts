/**
 * Ports of virtual machines that are not there: a seeded generator of tenants' traffic. One entry of the configuration
 * makes a port for each VM of the profile; what the bridge sends to them is taken and forgotten.
 */
import * as z from "zod";
import { packetRate } from "../../text/fields.ts";
import type { PacketBatch, Port, PortPlan, PortType } from "../port.ts";
import { VMS } from "./profile.ts";
import { queued, RING, type Store } from "./store.ts";
import { advance, createWorld, dueNs, type World } from "./world.ts";

const MAX_NAME = 15;
const schema = z.strictObject({
  profile: z.literal("tenants").default("tenants"),
  seed: z.int().min(0).max(0xffffffff).default(1),
  rate: packetRate({ min: 1, max: 5e6 }).default(5000),
});

/** An entry of the configuration; `rate` in frames a second, over all ports. */
export type TrafficOptions = z.infer<typeof schema>;

/** What one port of the generator is opened with. */
export interface TrafficPortOptions extends TrafficOptions {
  readonly generator: string;
  /** Index of the VM in the profile. */
  readonly vm: number;
}

function plan(name: string, options: TrafficOptions): PortPlan[] {
  const longest = Math.max(...VMS.map((vm) => vm.name.length)) + 1;
  if (name.length + longest > MAX_NAME) {
    throw new Error(
      `the ports of traffic generator ${name} would be named ${name}.${VMS[1]!.name}, …: longer than ${MAX_NAME} ` +
        `characters; give the generator a name of at most ${MAX_NAME - longest}, as "gen"`,
    );
  }
  return VMS.map((vm, index) => ({
    name: `${name}.${vm.name}`,
    vlan: vm.vlan,
    ...(vm.owner ? { owner: vm.owner } : {}),
    options: { ...options, generator: name, vm: index } satisfies TrafficPortOptions,
  }));
}

/** Worlds of this thread, by bridge, generator and seed; the last port to close takes its world away. */
const worlds = new Map<string, { readonly world: World; ports: number }>();

function open(options: TrafficPortOptions, env: { readonly bridge: string; readonly nowNs: number }): Port {
  const id = JSON.stringify([env.bridge, options.generator, options.seed, options.rate]);
  const entry = worlds.get(id) ?? { world: createWorld(options.seed, options.rate, env.nowNs), ports: 0 };
  worlds.set(id, entry);
  entry.ports++;
  const { world } = entry;
  const { store } = world;
  const port = options.vm;
  store.taken[port] = store.made[port]!;
  store.pulledNs[port] = env.nowNs;
  /** Frames of the last batch, which stay where they are until the next call. */
  let shown = 0;
  return {
    receive(batch, nowNs) {
      store.taken[port]! += shown;
      store.pulledNs[port] = nowNs;
      if (queued(store, port) < batch.capacity) advance(world, nowNs);
      shown = show(store, port, batch);
      return shown;
    },
    transmit: () => true,
    flush() {},
    status: () => ({
      state: "up",
      mtu: 1500,
      speed: 0,
      ifIndex: 0,
      lost: { ring: store.lost[port]!, nic: 0, tap: 0, qdisc: 0 },
    }),
    close() {
      store.pulledNs[port] = -Infinity;
      if (--entry.ports === 0) worlds.delete(id);
    },
    nextReceiveNs: (nowNs) => (queued(store, port) > shown ? nowNs : dueNs(world)),
  };
}

/** Lay the queued frames of a port out in the batch. */
function show(store: Store, port: number, batch: PacketBatch): number {
  const waiting = queued(store, port);
  const count = waiting < batch.capacity ? waiting : batch.capacity;
  batch.bytes = store.bytes;
  batch.vnet = false;
  for (let n = 0; n < count; n++) {
    const slot = port * RING + ((store.taken[port]! + n) & (RING - 1));
    batch.offset[n] = store.start[slot]!;
    batch.captured[n] = store.length[slot]!;
    batch.length[n] = store.length[slot]!;
    batch.timeNs[n] = 0;
    batch.gsoSize[n] = 0;
    batch.gsoHeaders[n] = 0;
  }
  return count;
}

const type: PortType = { schema, plan, open };
export default type;
