/** What happened lately: ports, mirrors, configuration, exporters; the newest first. */
import { clock } from "./format.ts";
import { Name } from "./parts.tsx";
import { useLive } from "./store.ts";

export function Events() {
  const { events } = useLive();
  if (events.length === 0) return <p class="empty">Nothing has happened since the switch began.</p>;
  return (
    <ol class="events">
      {events.toReversed().map((event) => (
        <li key={event.number}>
          <time class="n" dateTime={new Date(event.atMs).toISOString()} title={new Date(event.atMs).toLocaleString()}>
            {clock(event.atMs)}
          </time>
          <span class="sub">{event.kind}</span>
          <p>
            {event.port !== undefined && !event.message.includes(event.port) && (
              <>
                <Name class="strong">{event.port}</Name>{" "}
              </>
            )}
            <bdi>{event.message.slice(0, 500)}</bdi>
          </p>
        </li>
      ))}
    </ol>
  );
}
