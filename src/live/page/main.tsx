/** The live view, put together. */
import { render } from "preact";
import { useLayoutEffect, useState } from "preact/hooks";
import { Drawer } from "./drawer.tsx";
import { connect } from "./feed.ts";
import { Flows } from "./flows.tsx";
import { Ports } from "./ports.tsx";
import { Foot } from "./foot.tsx";
import { Refused } from "./refused.tsx";
import { River } from "./river.tsx";
import { useLive } from "./store.ts";
import { Top } from "./top.tsx";

const preferred = (): string =>
  localStorage.getItem("weir-theme") ?? (matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark");

const WORDS: Record<string, string> = {
  connecting: "Connecting to the switch …",
  lost: "No news from the switch: what you see is from before. Trying again …",
  refused: "The switch refused this page. Open the link that it printed, or ask for a token.",
};

function App() {
  const now = useLive();
  const [theme, setTheme] = useState(preferred);
  useLayoutEffect(() => void (document.documentElement.dataset["theme"] = theme), [theme]);
  const choose = (next: string): void => {
    localStorage.setItem("weir-theme", next);
    setTheme(next);
  };
  const problem = WORDS[now.connection];
  return (
    <>
      <Top theme={theme} setTheme={choose} />
      <main class={now.connection === "live" ? "main" : "main stale"}>
        {problem !== undefined && (
          <p class="problem" role="status">
            {problem}
          </p>
        )}
        {now.noSession !== undefined && now.role === "viewer" && (
          <p class="problem" role="status">
            You see this as a viewer: {now.noSession}. Open a new link of the switch to capture packets.
          </p>
        )}
        <River theme={theme} />
        <div class="middle">
          <Ports />
          <Flows />
        </div>
        <Refused />
      </main>
      <Drawer />
      <Foot />
    </>
  );
}

document.documentElement.dataset["theme"] = preferred();
const app = document.getElementById("app")!;
app.textContent = "";
render(<App />, app);
void connect();
