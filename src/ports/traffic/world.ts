/**
 * One generator's world: its conversations, what happens beside them, and the clock that says when the next frame is
 * due. All ports of a generator share one world and pull their own frames out of it, so that both directions of a
 * conversation are there and every port sees a part of the same story.
 *
 * The story depends on the seed alone. The times of the calls decide how much of it is told: a world that is asked late
 * makes up for BACKLOG_NS and skips the rest of the time, never a part of the story.
 */
import { createBackground, background, type Background } from "./background.ts";
import { createConversations, step, type Conversations } from "./conversations.ts";
import { BACKGROUND_OF, NOISE_NS, NOISE_PERIOD_NS, NOISE_SHARE, VMS } from "./profile.ts";
import { below, unit } from "./random.ts";
import { RING, createStore, queued, type Store } from "./store.ts";

/** A port that pulls has at most this many frames waiting, so that none of its frames is lost. */
const HIGH_WATER = RING - 64;
const BACKLOG_NS = 50e6;
/** A port that has not pulled for so long is not waited for; its frames are thrown away and counted. */
const ABSENT_NS = 1e9;

// World.clock, ns: when the next frame is due, and how long the story has lasted (time skipped is no part of it).
const DUE = 0;
const STORY = 1;

export interface World {
  readonly store: Store;
  readonly conversations: Conversations;
  readonly background: Background;
  readonly clock: Float64Array;
  readonly intervalNs: number;
}

/** `rate` in frames a second over all ports. */
export function createWorld(seed: number, rate: number, nowNs: number): World {
  const store = createStore(seed, VMS.length);
  const conversations = createConversations(store);
  return {
    store,
    conversations,
    background: createBackground(conversations.blobs),
    clock: Float64Array.of(nowNs, 0),
    intervalNs: 1e9 / rate,
  };
}

/** The first frame is due now. */
export function startAt(world: World, nowNs: number): void {
  world.clock[DUE] = nowNs;
}

/** When the next frame of the world is due, ns. */
export function dueNs(world: World): number {
  return world.clock[DUE]!;
}

/** Make every frame that is due; stops early while a port that pulls has enough. */
export function advance(world: World, nowNs: number): void {
  const { clock, store, intervalNs } = world;
  if (clock[DUE]! < nowNs - BACKLOG_NS) clock[DUE] = nowNs - BACKLOG_NS;
  let room = 0;
  while (clock[DUE]! <= nowNs) {
    if (room <= 0 && (room = roomOf(store, nowNs)) <= 0) return;
    const frames = happen(world);
    room -= frames;
    // Uniform in 0.5 … 1.5 intervals a frame: no march in step.
    const gap = frames * intervalNs * (0.5 + unit(store.random));
    clock[DUE]! += gap;
    clock[STORY]! += gap;
  }
}

/** Frames that can be made before any port that pulls is above HIGH_WATER. */
function roomOf(store: Store, nowNs: number): number {
  let most = 0;
  for (let port = 0; port < store.made.length; port++) {
    const waiting = queued(store, port);
    if (waiting > most && store.pulledNs[port]! > nowNs - ABSENT_NS) most = waiting;
  }
  return HIGH_WATER - most;
}

/** One thing happens. Returns how many frames it made, those of ports that are not open included. */
function happen(world: World): number {
  const { store, conversations } = world;
  const frames = background(world.background, store, below(store.random, BACKGROUND_OF));
  if (frames > 0) return frames;
  const noisy = world.clock[STORY]! % NOISE_PERIOD_NS >= NOISE_PERIOD_NS - NOISE_NS;
  if (noisy && unit(store.random) < NOISE_SHARE) return step(conversations, store, conversations.noisy);
  return step(conversations, store, below(store.random, conversations.count));
}
