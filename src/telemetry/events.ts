/**
 * Notices for people: a bounded ring of what happened last. Every subscriber reads it at its own pace with its own
 * place; one that is slower than the ring loses the oldest, and knows how many.
 */

export type EventKind = "port" | "mac" | "drop" | "mirror" | "config" | "exporter";
export const EVENT_KINDS: readonly EventKind[] = ["port", "mac", "drop", "mirror", "config", "exporter"];

/** What a publisher says. `message` is a sentence for a person; `fields` is the same for a program. */
export interface Notice {
  readonly kind: EventKind;
  readonly message: string;
  readonly bridge?: string;
  readonly port?: string;
  readonly fields?: Readonly<Record<string, string | number | boolean>>;
}

export interface Event extends Notice {
  /** 0, 1, 2 … without a gap. */
  readonly number: number;
  /** Unix time, ms. */
  readonly atMs: number;
}

export class EventBus {
  private readonly capacity: number;
  private readonly ring: Event[] = [];
  private readonly subscriptions = new Set<Subscription>();
  private head = 0;

  /** `capacity`: events that are remembered, for late readers and slow subscribers alike. */
  constructor(capacity = 1024) {
    this.capacity = capacity;
  }

  /** Number of the next event: also how many there ever were. */
  get next(): number {
    return this.head;
  }

  /** Subscribers are woken, not called into: nothing of theirs runs here. */
  publish(notice: Notice, atMs: number): void {
    this.ring[this.head % this.capacity] = { ...notice, number: this.head, atMs };
    this.head++;
    for (const subscription of this.subscriptions) subscription.wake();
  }

  /** The last `limit` events of these kinds (empty = all), oldest first. */
  recent(kinds: readonly EventKind[] = [], limit = this.capacity): Event[] {
    const found: Event[] = [];
    const oldest = Math.max(0, this.head - this.capacity);
    for (let number = this.head - 1; number >= oldest && found.length < limit; number--) {
      const event = this.at(number);
      if (wanted(event, kinds)) found.push(event);
    }
    return found.toReversed();
  }

  /** Events from now on, or from event number `from`. Close it when done. */
  subscribe(kinds: readonly EventKind[] = [], from = this.head): Subscription {
    const subscription = new Subscription(this, kinds, from, () => this.subscriptions.delete(subscription));
    this.subscriptions.add(subscription);
    return subscription;
  }

  get subscribers(): number {
    return this.subscriptions.size;
  }

  /** Event `number`, which must still be in the ring. */
  at(number: number): Event {
    return this.ring[number % this.capacity]!;
  }

  get oldest(): number {
    return Math.max(0, this.head - this.capacity);
  }
}

export class Subscription {
  /** Events that were overwritten before they were read, of any kind. */
  lost = 0;
  private readonly bus: EventBus;
  private readonly kinds: readonly EventKind[];
  private readonly forget: () => void;
  private cursor: number;
  private closed = false;
  private waiter: (() => void) | undefined;

  constructor(bus: EventBus, kinds: readonly EventKind[], from: number, forget: () => void) {
    this.bus = bus;
    this.kinds = kinds;
    this.cursor = from;
    this.forget = forget;
  }

  /** What has happened since the last call, at most `limit`, oldest first. Never waits. */
  read(limit = 256): Event[] {
    const { bus } = this;
    if (this.cursor < bus.oldest) {
      this.lost += bus.oldest - this.cursor;
      this.cursor = bus.oldest;
    }
    const events: Event[] = [];
    while (this.cursor < bus.next && events.length < limit) {
      const event = bus.at(this.cursor++);
      if (wanted(event, this.kinds)) events.push(event);
    }
    return events;
  }

  /** As `read`, but waits for the first; empty only after `close`. One call at a time. */
  async wait(limit = 256): Promise<Event[]> {
    for (;;) {
      const events = this.read(limit);
      if (events.length > 0 || this.closed) return events;
      await new Promise<void>((resolve) => (this.waiter = resolve));
    }
  }

  /** Called by the bus. */
  wake(): void {
    const waiter = this.waiter;
    this.waiter = undefined;
    waiter?.();
  }

  close(): void {
    this.closed = true;
    this.forget();
    this.wake();
  }
}

function wanted(event: Event, kinds: readonly EventKind[]): boolean {
  return kinds.length === 0 || kinds.includes(event.kind);
}
