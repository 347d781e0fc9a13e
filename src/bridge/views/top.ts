/** The largest N of many, offered one by one: a binary heap with the least of the kept on top. */
export class TopN<T> {
  private readonly items: T[] = [];
  private readonly size: number;
  private readonly compare: (a: T, b: T) => number;

  /** `compare` as for sorting: negative = a comes first. */
  constructor(size: number, compare: (a: T, b: T) => number) {
    this.size = size;
    this.compare = compare;
  }

  offer(item: T): void {
    const { items } = this;
    if (items.length < this.size) {
      items.push(item);
      this.up(items.length - 1);
    } else if (this.size > 0 && this.compare(item, items[0]!) < 0) {
      items[0] = item;
      this.down(0);
    }
  }

  /** The last of the kept, where there is room for no more: what does not come before it is not kept. */
  get least(): T | undefined {
    return this.items.length < this.size ? undefined : this.items[0];
  }

  /** What was kept, in order. */
  sorted(): T[] {
    return this.items.toSorted(this.compare);
  }

  private swap(a: number, b: number): void {
    const item = this.items[a]!;
    this.items[a] = this.items[b]!;
    this.items[b] = item;
  }

  private up(at: number): void {
    for (let child = at; child > 0;) {
      const parent = (child - 1) >> 1;
      if (this.compare(this.items[child]!, this.items[parent]!) <= 0) return;
      this.swap(child, parent);
      child = parent;
    }
  }

  private down(at: number): void {
    for (let parent = at; ;) {
      let last = parent;
      for (let child = 2 * parent + 1; child <= 2 * parent + 2 && child < this.items.length; child++)
        if (this.compare(this.items[child]!, this.items[last]!) > 0) last = child;
      if (last === parent) return;
      this.swap(parent, last);
      parent = last;
    }
  }
}
