/** P8: what sampling and exporters cost the kernel datapath's forwarding: on against off, in pairs, with the 95 % interval. */
import { Bed } from "./bed.ts";
import { weir } from "./peers.ts";
import { median, put, type Result } from "./table.ts";
import { type Turns, turnsOf } from "./turns.ts";

/** Whatever the number of rounds: an interval needs them. */
const PAIRS = 20;
/** Student's t for 19 degrees of freedom, 95 % both sides. */
const T_95 = 2.093;
/** A pair is the median of so many alternations, each of two turns of TURN_MS. */
const ALTERNATIONS = 20;
const TURN_MS = 60;
const FLOWS = 1000;
const OFF = "no sampling, no exporters";
const RATES = [
  { rate: 1000, floor: 2, goal: 1 },
  { rate: 100, floor: 3, goal: 2 },
];

/** Mean and half of the interval. */
export function interval(values: readonly number[]): { mean: number; half: number } {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1);
  return { mean, half: T_95 * Math.sqrt(variance / values.length) };
}

export async function telemetry(): Promise<Result> {
  const result: Result = {
    part: "telemetry",
    title: `Sampling, NetFlow and sFlow on against off, kernel datapath, ${FLOWS.toLocaleString("en")} flows, ${PAIRS} pairs`,
    unit: "",
    cells: [],
    ratios: [],
    notes: [
      `Flows are counted in both. A pair is the median of ${ALTERNATIONS} alternations of on and off, ${TURN_MS} ms each; cost, with half of its 95 % interval, is the mean of the pairs.`,
    ],
  };
  const bed = new Bed();
  try {
    const kernel = { datapath: "kernel", netflow: true, sflow: true } as const;
    const off = await weir(bed, OFF, { datapath: "kernel", sampling: 0 });
    const on = [];
    for (const { rate } of RATES) on.push(await weir(bed, `1:${rate}, NetFlow, sFlow`, { ...kernel, sampling: rate }));
    const costs = RATES.map((): number[] => []);
    const without = await turnsOf(bed, off.lane, FLOWS);
    const lanes: Turns[] = [];
    for (const { lane } of on) lanes.push(await turnsOf(bed, lane, FLOWS));
    const measure = async (name: string, lane: Turns): Promise<number> => {
      const rate = await lane.rate(TURN_MS);
      put(result, name, "thousand frames/s", rate / 1000);
      return rate;
    };
    for (let pair = 0; pair < PAIRS; pair++)
      for (const [n, { name }] of on.entries()) {
        const ratios: number[] = [];
        for (let turn = 0; turn < ALTERNATIONS; turn++) {
          // Who comes first changes.
          const rates = [NaN, NaN];
          for (const isOn of turn % 2 === 0 ? [0, 1] : [1, 0])
            rates[isOn] = isOn ? await measure(name, lanes[n]!) : await measure(OFF, without);
          ratios.push(rates[1]! / rates[0]!);
        }
        costs[n]!.push((1 - median(ratios)) * 100);
      }
    for (const [n, { rate, floor, goal }] of RATES.entries()) {
      const { mean, half } = interval(costs[n]!);
      put(result, on[n]!.name, "cost, %", mean);
      put(result, on[n]!.name, "±", half);
      result.ratios.push({
        target: "P8",
        what: `cost at 1:${rate} (± ${half.toFixed(2)} %)`,
        // An interval wider than the floor says nothing: the machine was busy with something else.
        value: half > floor ? NaN : Number(mean.toFixed(2)),
        unit: "%",
        floor,
        goal,
        atMost: true,
      });
    }
  } finally {
    await bed.close();
  }
  return result;
}
