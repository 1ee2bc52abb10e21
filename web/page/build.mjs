// Builds the page: node build.mjs [FOLDER]; by default where the package carries it.
//   page.js    what is seen
//   worker.js  what reads the archive; it loads codec-….js at the first payload that is no file,
//              and picture_describer-….js at the first search by a picture
import { copyFileSync, mkdirSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { build } from "../reader/node_modules/esbuild/lib/main.js";

const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const outdir = process.argv[2] ?? here("../../src/kinpack/web/page");
rmSync(outdir, { recursive: true, force: true });
mkdirSync(outdir, { recursive: true });
await build({
  entryPoints: [here("src/page.ts"), here("src/worker.ts")],
  absWorkingDir: here("."),
  bundle: true,
  splitting: true,
  chunkNames: "[name]-[hash]",
  format: "esm",
  target: "es2022",
  minify: true,
  platform: "browser",
  logLevel: "warning",
  outdir,
});
for (const name of ["index.html", "page.css"]) copyFileSync(here(`src/${name}`), `${outdir}/${name}`);
