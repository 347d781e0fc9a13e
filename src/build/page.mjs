// The live view, src/live/page → dist/page: index.html, app.js, app.css. Types are checked against the DOM by the folder's
// own tsconfig; everything is in the three files, so that a browser asks nobody else.
import { copyFileSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { root } from "./setup.mjs";

export async function buildPage() {
  const folder = join(root, "src/live/page");
  const output = join(root, "dist/page");
  mkdirSync(output, { recursive: true });
  const esbuild = await import("esbuild");
  await esbuild.build({
    absWorkingDir: root,
    bundle: true,
    minify: true,
    format: "esm",
    platform: "browser",
    target: "es2022",
    logLevel: "warning",
    jsx: "automatic",
    jsxImportSource: "preact",
    entryPoints: { app: join(folder, "main.tsx") },
    outdir: output,
  });
  await esbuild.build({
    absWorkingDir: root,
    bundle: true,
    minify: true,
    logLevel: "warning",
    entryPoints: { app: join(folder, "app.css") },
    outdir: output,
  });
  copyFileSync(join(folder, "index.html"), join(output, "index.html"));
}
