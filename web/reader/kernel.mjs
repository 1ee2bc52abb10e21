// Compiles kernel/products.ts to WebAssembly, and writes it as text that the reader imports:
//   node kernel.mjs [FILE]; by default src/networks/products_wasm.ts
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import asc from "assemblyscript/asc";

const folder = mkdtempSync(join(tmpdir(), "kernel-"));
const file = join(folder, "products.wasm");
const options = ["-O3", "--noAssert", "--runtime", "stub", "--enable", "simd", "--importMemory"];
const { error, stderr } = await asc.main(["kernel/products.ts", ...options, "--outFile", file]);
if (error) {
  console.error(stderr.toString());
  process.exit(1);
}
const text = readFileSync(file).toString("base64");
rmSync(folder, { recursive: true });
writeFileSync(
  process.argv[2] ?? "src/networks/products_wasm.ts",
  `/** kernel/products.ts in WebAssembly, written by kernel.mjs. */\nexport const PRODUCTS =\n  "${text}";\n`,
);
