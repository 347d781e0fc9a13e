/**
 * Ports of virtual machines that are not there: a seeded generator of tenants' traffic. One entry of the configuration
 * makes a port for each VM of the profile; what the bridge sends to them is taken and forgotten.
 */
import * as z from "zod";
import { packetRate } from "../../text/fields.ts";
import type { PacketBatch, Port, PortPlan, PortType } from "../port.ts";
import { VMS } from "./profile.ts";
import { queued, RING, type Store } from "./store.ts";
import { advance, createWorld, dueNs, startAt, type World } from "./world.ts";

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

/** The story begins when everybody is there, or so long after the first port was opened. */
const LATEST_START_NS = 1e9;

/** A world of this thread; the last of its ports to close takes it away. */
interface Stage {
  readonly world: World;
  readonly openedNs: number;
  ports: number;
  isOn: boolean;
}

/** By bridge, generator, seed and rate. */
const stages = new Map<string, Stage>();

function begin(stage: Stage, nowNs: number): boolean {
  if (stage.ports < VMS.length && nowNs < stage.openedNs + LATEST_START_NS) return false;
  stage.isOn = true;
  startAt(stage.world, nowNs);
  return true;
}

function open(options: TrafficPortOptions, env: { readonly bridge: string; readonly nowNs: number }): Port {
  const id = JSON.stringify([env.bridge, options.generator, options.seed, options.rate]);
  const stage = stages.get(id) ?? {
    world: createWorld(options.seed, options.rate, env.nowNs),
    openedNs: env.nowNs,
    ports: 0,
    isOn: false,
  };
  stages.set(id, stage);
  stage.ports++;
  const { world } = stage;
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
      if (!stage.isOn && !begin(stage, nowNs)) return 0;
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
      if (--stage.ports === 0) stages.delete(id);
    },
    nextReceiveNs(nowNs) {
      if (!stage.isOn) return stage.ports < VMS.length ? stage.openedNs + LATEST_START_NS : nowNs;
      return queued(store, port) > shown ? nowNs : dueNs(world);
    },
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
