/** What an sFlow exporter sent to its bench, decoded. */
import assert from "node:assert/strict";
import { decode } from "../../exporters/sflow-decoder/decode.ts";
import type { CounterSample, Datagram, DiscardSample, FlowSample } from "../../exporters/sflow-decoder/decode.ts";
import type { Sample } from "../../src/shm/samples.ts";
import { moment, type SampleBench } from "./samples.ts";

export function datagrams({ sender }: SampleBench): Datagram[] {
  return sender.sent.map((bytes) => {
    const { datagram, error } = decode(bytes);
    assert.equal(error, undefined);
    return datagram!;
  });
}

const all = (bench: SampleBench): Datagram["samples"][number][] => datagrams(bench).flatMap(({ samples }) => samples);
export const flows = (bench: SampleBench): FlowSample[] => all(bench).filter((sample) => sample.type === "flow");
export const discards = (bench: SampleBench): DiscardSample[] =>
  all(bench).filter((sample) => sample.type === "discard");
export const counters = (bench: SampleBench): CounterSample[] =>
  all(bench).filter((sample) => sample.type === "counters");

/** Give samples and flush. */
export function give(bench: SampleBench, samples: readonly Sample[], at = 1000): void {
  bench.exporter.samples!(samples, "b", moment(at));
  bench.exporter.flush(moment(at));
}

/** Counters, once a second. */
export function poll(bench: SampleBench, seconds: number): void {
  for (let second = 0; second < seconds; second++) {
    bench.exporter.counters!(bench.snapshot, "b", moment(second * 1000));
    bench.exporter.tick(moment(second * 1000 + 250));
    bench.exporter.tick(moment(second * 1000 + 750));
  }
  bench.exporter.flush(moment(seconds * 1000));
}
