/** What did not pass, in sentences: one for each reason and port, the newest frame decoded. */
import type { DropJson } from "../../bridge/views/json.ts";
import { ago, count, short } from "./format.ts";
import { Name, ownerName } from "./parts.tsx";
import { useLive } from "./store.ts";
import { go } from "./url.ts";

const key = (drop: DropJson): string => `drop:${drop.bridge}/${drop.port}/${drop.reason}`;

export function Refused() {
  const now = useLive();
  return (
    <section class="refused" aria-label="Refused">
      <header>
        <h2>Refused</h2>
        <span class="sub">
          last 60 s{now.expected.packets > 0 && ` · ${count(now.expected.packets)} expected, not shown`}
        </span>
      </header>
      {now.drops.length === 0 && now.lost.length === 0 && (
        <p class="empty">Nothing was refused and nothing was lost.</p>
      )}
      <ul class="sentences">
        {now.drops.map((drop) => (
          <li key={key(drop)} class="sentence">
            <p>
              <b class="red n">■ {short(drop.pps)}/s</b> <Name class="strong">{drop.port}</Name>{" "}
              <span class="sub">
                <Name>{ownerName(drop.owner)}</Name>
              </span>{" "}
              <bdi>{drop.text}</bdi>
              <span class="sub n">
                {" "}
                · {count(drop.packets)} packets
                {drop.lastMs !== undefined && `, last ${ago(now.atMs - drop.lastMs)}`} · {drop.reason}
              </span>
            </p>
            {drop.last !== undefined && (
              <p class="frame">
                <bdi>{drop.last}</bdi>
              </p>
            )}
            <p class="acts">
              <button
                onClick={() => go({ open: key(drop) })}
                aria-label={`Trace ${drop.reason} on ${drop.port.slice(0, 40)}`}
              >
                Trace
              </button>
              {now.role === "operator" && (
                <button
                  onClick={() => go({ open: `capture:${drop.bridge}/${drop.port}:only` })}
                  aria-label={`Capture refused frames of ${drop.port.slice(0, 40)}`}
                >
                  Capture
                </button>
              )}
            </p>
          </li>
        ))}
        {now.lost.map((row) => (
          <li key={`${row.bridge}/${row.port}/${row.where}`} class="sentence">
            <p>
              <b class="amber n">▨ {count(row.packets)} lost</b> <Name class="strong">{row.port}</Name>{" "}
              <bdi>{row.text}</bdi>
              <span class="sub"> · {row.where}</span>
            </p>
          </li>
        ))}
      </ul>
    </section>
  );
}
