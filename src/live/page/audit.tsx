/** Conservation as sums that add up, exporters, and how far estimates from samples can be trusted. */
import type { AuditJson, ExporterJson } from "../../bridge/views/json.ts";
import { age, band95, bytes, count, short } from "./format.ts";
import { Fact, Facts, Name } from "./parts.tsx";
import { useLive } from "./store.ts";

const Term = ({ name, n, strong = false, note = "" }: { name: string; n: number; strong?: boolean; note?: string }) => (
  <tr class={strong ? "sum" : ""}>
    <th scope="row">{name}</th>
    <td class="n">{count(n)}</td>
    <td class="sub">{note}</td>
  </tr>
);
const words = (counts: Readonly<Record<string, number>>): string =>
  Object.entries(counts)
    .map(([name, n]) => `${name} ${count(n)}`)
    .join(", ");

function Sum({ audit }: { audit: AuditJson }) {
  const yes = (ok: boolean): string => (ok ? "= received · yes" : "does NOT add up");
  const parts = audit.forwarded + audit.dropped + audit.consumed + audit.observed + audit.pending;
  const flows = audit.inRecords + audit.inTable + audit.unattributed;
  return (
    <article class={audit.ok ? "" : "amber"}>
      <h3>
        <Name>{audit.bridge}</Name>{" "}
        <span class={audit.ok ? "sub" : "amber"}>
          {audit.ok ? `conserved${audit.exact ? ", exact" : ""}` : "NOT conserved"}
        </span>
      </h3>
      <table class="sums">
        <tbody>
          <Term name="received by ports" n={audit.rx} strong />
          <Term name="forwarded" n={audit.forwarded} />
          <Term name="refused" n={audit.dropped} note={words(audit.drops)} />
          <Term name="consumed" n={audit.consumed} />
          {audit.observed > 0 && <Term name="observed" n={audit.observed} />}
          {audit.pending > 0 && <Term name="waiting for a rule" n={audit.pending} />}
          <Term name="sum" n={parts} strong note={yes(audit.dispositionsOk)} />
          <Term name="in records written" n={audit.inRecords} />
          <Term name="in the table, not yet in a record" n={audit.inTable} />
          <Term name="unattributed" n={audit.unattributed} note={words(audit.causes)} />
          <Term name="sum" n={flows} strong note={yes(audit.flowsOk)} />
        </tbody>
      </table>
      <p class="sub">outside the sum, lost around the switch: {words({ ...audit.lost })}</p>
      {!audit.exact && audit.inFlight > 0 && (
        <p class="sub">{count(audit.inFlight)} frames were in flight while this was read</p>
      )}
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
          {now.ports
            .filter((port) => port.samplePool > 0)
            .map((port) => {
              const band = band95(port.samples);
              return (
                <tr key={`${port.bridge}/${port.name}`}>
                  <th scope="row">
                    <Name>{port.name}</Name>
                  </th>
                  <td class="n">{count(port.samples)}</td>
                  <td class="n">{short(port.samplePool)}</td>
                  <td class="n">{Number.isFinite(band) ? `± ${(band * 100).toPrecision(2)} %` : "no sample yet"}</td>
                </tr>
              );
            })}
        </tbody>
      </table>
    </>
  );
}

const bad = (state: string): boolean => !["sending", "idle", "starting"].includes(state);

function Exporter({ exporter, nowMs }: { exporter: ExporterJson; nowMs: number }) {
  const missing = words(exporter.notExportable);
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
        {exporter.lastSentMs !== undefined && <Fact name="last sent">{age(nowMs - exporter.lastSentMs)} ago</Fact>}
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
