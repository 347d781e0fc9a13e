/** Conservation as sums that add up, exporters, and how far estimates from samples can be trusted. */
import type { AuditJson, ExporterJson } from "../../bridge/views/json.ts";
import { ago, bytes, count, short } from "./format.ts";
import { Fact, Facts, Name } from "./parts.tsx";
import { useLive } from "./store.ts";

/** A number of a sum, and what it is made of. */
const Term = ({
  name,
  n,
  strong = false,
  note = "",
  of = {},
}: {
  name: string;
  n: number;
  strong?: boolean;
  note?: string;
  of?: Readonly<Record<string, number>>;
}) => (
  <>
    <tr class={strong ? "sum" : ""}>
      <th scope="row">{name}</th>
      <td class="n">{count(n)}</td>
      <td class="sub">{note}</td>
    </tr>
    {parted(of).map(([part, some]) => (
      <tr key={part} class="part">
        <th scope="row">{part}</th>
        <td />
        <td class="n">{count(some)}</td>
      </tr>
    ))}
  </>
);
const parted = (counts: Readonly<Record<string, number>>): [string, number][] =>
  Object.entries(counts)
    .toSorted(([, a], [, b]) => b - a)
    .filter(([, n]) => n > 0);
/** What does not add up, one sentence each, by how much; empty where all does. */
export function failing(audit: AuditJson): string[] {
  const off = (sum: number, of: number): string =>
    sum === of ? "differs" : `is ${count(Math.abs(of - sum))} ${sum < of ? "short of" : "more than"}`;
  const found: string[] = [];
  if (!audit.dispositionsOk) found.push(`forwarded + refused + consumed ${off(parts(audit), audit.rx)} received`);
  if (!audit.flowsOk) found.push(`records + table + unattributed ${off(inFlows(audit), audit.rx)} received`);
  for (const exporter of audit.exporters)
    if (!exporter.ok)
      found.push(
        `${exporter.name.slice(0, 40)}: sent + not exportable ${off(exported(exporter), audit.inRecords)} records`,
      );
  if (found.length === 0 && !audit.ok) found.push("the switch says so without naming a term");
  return found;
}

const parts = (a: AuditJson): number => a.forwarded + a.dropped + a.consumed + a.observed + a.pending;
const inFlows = (a: AuditJson): number => a.inRecords + a.inTable + a.unattributed + a.pending;
const exported = (e: AuditJson["exporters"][number]): number =>
  e.packets + e.pending + e.lost + Object.values(e.notExportable).reduce((sum, n) => sum + n, 0);

function Verdict({ ok, sum, of, what }: { ok: boolean; sum: number; of: number; what: string }) {
  const off = of - sum;
  return (
    <tr class={ok ? "sum" : "sum amber"}>
      <th scope="row">{ok ? "sum" : "▲ sum"}</th>
      <td class="n">{count(sum)}</td>
      <td class={ok ? "sub" : ""}>
        {!ok
          ? `does NOT add up: ${what} is ${count(of)}, ${count(Math.abs(off))} ${off > 0 ? "missing" : "too many"}`
          : off === 0
            ? `= ${what}`
            : `= ${what}, but for ${count(Math.abs(off))} in flight`}
      </td>
    </tr>
  );
}

function Sum({ audit }: { audit: AuditJson }) {
  const failed = failing(audit);
  return (
    <article>
      <h3>
        <Name>{audit.bridge}</Name>{" "}
        <span class={audit.ok ? "sub" : "amber"}>
          {audit.ok
            ? audit.exact
              ? "conserved, exact"
              : `conserved, within ${count(audit.inFlight)} frames in flight`
            : "▲ NOT conserved"}
        </span>
      </h3>
      {failed.length > 0 && (
        <p class="problem" role="alert">
          {failed.join("; ")}
        </p>
      )}
      <table class="sums">
        <caption>Every frame has one fate</caption>
        <tbody>
          <Term name="received by ports" n={audit.rx} strong />
          <Term name="forwarded" n={audit.forwarded} />
          <Term name="refused" n={audit.dropped} of={audit.drops} />
          <Term name="consumed" n={audit.consumed} />
          {audit.observed > 0 && <Term name="observed" n={audit.observed} />}
          {audit.pending > 0 && <Term name="waiting for a rule" n={audit.pending} />}
          <Verdict ok={audit.dispositionsOk} sum={parts(audit)} of={audit.rx} what="received" />
        </tbody>
      </table>
      <table class="sums">
        <caption>Every frame is in one flow</caption>
        <tbody>
          <Term name="in records written" n={audit.inRecords} />
          <Term name="in the table, not yet in a record" n={audit.inTable} />
          <Term name="unattributed" n={audit.unattributed} of={audit.causes} />
          {audit.pending > 0 && <Term name="waiting for a rule" n={audit.pending} />}
          <Verdict ok={audit.flowsOk} sum={inFlows(audit)} of={audit.rx} what="received" />
        </tbody>
      </table>
      {audit.exporters.map((exporter) => (
        <table class="sums" key={exporter.name}>
          <caption>
            Every record reaches <Name>{exporter.name}</Name>
          </caption>
          <tbody>
            <Term name="packets sent" n={exporter.packets} />
            {Object.entries(exporter.notExportable).map(
              ([why, n]) => n > 0 && <Term key={why} name={why} n={n} note="not in this format" />,
            )}
            {exporter.pending > 0 && <Term name="not yet sent" n={exporter.pending} />}
            {exporter.lost > 0 && <Term name="overrun" n={exporter.lost} />}
            <Verdict ok={exporter.ok} sum={exported(exporter)} of={audit.inRecords} what="in records" />
          </tbody>
        </table>
      ))}
      <table class="sums">
        <caption>Outside the sums: lost around the switch</caption>
        <tbody>
          <Term name="before: ring" n={audit.lost.ring} />
          <Term name="before: NIC" n={audit.lost.nic} />
          <Term name="after: tap" n={audit.lost.tap} />
          <Term name="after: queue" n={audit.lost.qdisc} />
        </tbody>
      </table>
    </article>
  );
}

export function Audit() {
  const now = useLive();
  return (
    <>
      {now.audit.map((audit) => (
        <Sum key={audit.bridge} audit={audit} />
      ))}
      <h3>Sampling accuracy</h3>
      <p class="sub">
        An estimate from n samples is within ± 196 % ⁄ √n of the truth, 95 times in 100. Flows and counters on this page
        are not estimates: they count every frame.
      </p>
      <table class="sums">
        <thead>
          <tr>
            <th scope="col">Port</th>
            <th scope="col" class="n">
              Samples
            </th>
            <th scope="col" class="n">
              Stand for
            </th>
            <th scope="col" class="n">
              95 % band
            </th>
          </tr>
        </thead>
        <tbody>
          {now.sampling.map(({ bridge, port, samples, pool, errorPercent }) => (
            <tr key={`${bridge}/${port}`}>
              <th scope="row">
                <Name>{port}</Name>
              </th>
              <td class="n">{count(samples)}</td>
              <td class="n">{short(pool)}</td>
              <td class="n">± {Number(errorPercent.toPrecision(2))} %</td>
            </tr>
          ))}
        </tbody>
      </table>
    </>
  );
}

const bad = (state: string): boolean => !["sending", "idle", "starting"].includes(state);

function Exporter({ exporter, nowMs }: { exporter: ExporterJson; nowMs: number }) {
  const missing = parted(exporter.notExportable)
    .map(([why, n]) => `${why} ${count(n)}`)
    .join(", ");
  return (
    <article class={bad(exporter.state) ? "session amber-edge" : "session"}>
      <p class="line">
        <Name class="strong">{exporter.name}</Name>
        <span class={bad(exporter.state) ? "amber strong" : "sub"}>{exporter.state}</span>
      </p>
      <Facts>
        <Fact name="to">
          <Name>{exporter.to.join(", ")}</Name>
        </Fact>
        <Fact name="datagrams">{count(exporter.datagrams)}</Fact>
        <Fact name="records">{count(exporter.records)}</Fact>
        <Fact name="packets">{count(exporter.packets)}</Fact>
        <Fact name="octets">
          {bytes(exporter.octets)} ({exporter.basis})
        </Fact>
        <Fact name="waiting">{count(exporter.pendingPackets)} packets</Fact>
        {exporter.sendErrors > 0 && (
          <Fact name="send errors">
            <b class="amber">{count(exporter.sendErrors)}</b>
          </Fact>
        )}
        {exporter.lostPackets > 0 && (
          <Fact name="lost">
            <b class="amber">{count(exporter.lostPackets)} packets</b>
          </Fact>
        )}
        {missing !== "" && <Fact name="cannot be said">{missing}</Fact>}
        {exporter.sampling !== undefined && (
          <Fact name="samples">
            {count(exporter.sampling.samples)} of {count(exporter.sampling.pool)}, {count(exporter.sampling.lost)} lost
          </Fact>
        )}
        {exporter.lastSentMs !== undefined && <Fact name="last sent">{ago(nowMs - exporter.lastSentMs)}</Fact>}
      </Facts>
      {exporter.lastError !== undefined && (
        <p class="problem">
          <bdi>{exporter.lastError}</bdi>
        </p>
      )}
      {exporter.detail.map((line) => (
        <p key={line} class="sub">
          <bdi>{line}</bdi>
        </p>
      ))}
    </article>
  );
}

export function Exporters() {
  const now = useLive();
  return (
    <>
      {now.exporters.length === 0 && <p class="empty">No exporter is configured: nothing is sent to collectors.</p>}
      {now.exporters.map((exporter) => (
        <Exporter key={exporter.name} exporter={exporter} nowMs={now.atMs} />
      ))}
    </>
  );
}
