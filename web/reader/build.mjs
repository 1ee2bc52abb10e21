// Builds the reader: node build.mjs [FOLDER]
//   kinpack-reader.js  one module for a page
//   node.js            the same for a program under Node, which also opens paths
//   command.js         the command for Node
import { build } from "esbuild";

const outdir = process.argv[2] ?? "dist";
const shared = { bundle: true, format: "esm", target: "es2022", logLevel: "warning", outdir };
const page = { "kinpack-reader": "src/index.ts" };
await build({ ...shared, entryPoints: page, platform: "browser", minify: true, sourcemap: true });
await build({ ...shared, entryPoints: ["src/node.ts", "src/command.ts"], platform: "node" });
