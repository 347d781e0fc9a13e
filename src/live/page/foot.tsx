/** `in = forwarded + refused + consumed`, counting together; amber where a term does not add up, and which. */
import { failing } from "./audit.tsx";
import { count } from "./format.ts";
import { useLive } from "./store.ts";
import { go, usePlace } from "./url.ts";

const VIEWS = ["mirrors", "trace", "exporters", "audit", "events"] as const;

export function Foot() {
  const now = useLive();
  const place = usePlace();
  const all = now.system?.bridges ?? [];
  const sum = (pick: (b: (typeof all)[number]) => number): number => all.reduce((total, b) => total + pick(b), 0);
  const received = sum((b) => b.rxPackets);
  const terms: [string, number][] = [
    ["forwarded", sum((b) => b.forwarded)],
    ["refused", sum((b) => b.dropped)],
    ["consumed", sum((b) => b.consumed)],
  ];
  for (const name of ["observed", "pending"] as const)
    if (sum((b) => b[name]) > 0) terms.push([name, sum((b) => b[name])]);
  const wrong = now.audit.flatMap(failing);
  if (wrong.length === 0 && !all.every((b) => b.conserved))
    wrong.push("forwarded + refused + consumed is not received");
  return (
    <footer class={wrong.length === 0 ? "foot" : "foot bad"}>
      {all.length > 0 && (
        <button class="plain n" onClick={() => go({ open: "audit" })}>
          {wrong.length > 0 && <b>▲ does not add up: {wrong[0]} · </b>}
          in {count(received)} = {terms.map(([name, n], i) => `${i > 0 ? "+ " : ""}${name} ${count(n)}`).join(" ")}
        </button>
      )}
      <nav aria-label="More">
        {VIEWS.map((name) => (
          <button
            key={name}
            aria-expanded={place.open === name}
            onClick={() => go({ open: place.open === name ? "" : name })}
          >
            {name[0]!.toUpperCase() + name.slice(1)}
          </button>
        ))}
      </nav>
    </footer>
  );
}
