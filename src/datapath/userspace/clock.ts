/** The clock of live datapaths: CLOCK_MONOTONIC in ns, the same in every thread of the process and in the kernel. */
const [seconds, nanoseconds] = process.hrtime();
/** performance.now() counts from a thread's start and allocates nothing; this puts it on the common scale. */
const offsetNs = seconds * 1e9 + nanoseconds - performance.now() * 1e6;

export function monotonicNs(): number {
  return Math.round(performance.now() * 1e6 + offsetNs);
}
